"""How long does a shipper wait for a full spool at its start, and how fast is the disk buffer?

Each start is a process of its own: it opens the spool as a shipper does (lock, list, reconcile, compact) and says how
long that took and how much memory the process had at most. The files of 10 GB are sparse: a start that read them would
take as long as it takes to read 10 GB of zeros.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

import msgspec

from bench.events import FIVE_FIELDS
from bench.measure import Result, progress, summarize
from bench.site import ROOT
from telemetry.inspect.account import verify
from telemetry.receipt import Receipt
from telemetry.spool import segment
from telemetry.spool.ledger import LedgerLog, Sealed
from telemetry.spool.segment import Head, Seal
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

Figures = dict[str, tuple[float, str]]

SEGMENTS = 100_000
BIG_BYTES = 10 << 30
BIG_SEGMENT_BYTES = 1 << 20
DRAINS = 2_000
DRAIN_EVENTS = 128
SYNC_EVERY = 100  # drains; a shipper syncs every half second
SEAL_EVERY = 500  # drains


def measure(runs: int) -> list[Result]:
    """Measure starts with an empty and two full spools, then writing and verifying."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for name, fill in SPOOLS.items():
        with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as place:
            directory = Path(place) / "spool"
            progress(f"spool: making {name}")
            fill(directory)
            for run in range(runs + 1):
                progress(f"spool: {name}, run {run or 'to warm up'}")
                _take(found, run, name, _start(directory))
    for run in range(runs + 1):
        progress(f"spool: writing, run {run or 'to warm up'}")
        _take(found, run, "write and verify", _write_and_verify())
    return [summarize(name, metric, unit, values) for (name, metric, unit), values in found.items()]


def _take(found: dict[tuple[str, str, str], list[float]], run: int, name: str, figures: Figures) -> None:
    for metric, (value, unit) in figures.items():
        if run:
            found.setdefault((name, metric, unit), []).append(value)


def _empty(directory: Path) -> None:
    Spool.open(directory, lambda *_: False)[0].close()


def _many(directory: Path) -> None:
    fill(directory, SEGMENTS, 1)


def _big(directory: Path) -> None:
    fill(directory, BIG_BYTES // BIG_SEGMENT_BYTES, BIG_SEGMENT_BYTES)


SPOOLS: dict[str, Callable[[Path], None]] = {
    "start, empty": _empty,
    "start, 100,000 segments": _many,
    "start, 10 GB": _big,
}


def fill(directory: Path, segments: int, size_bytes: int) -> None:
    """Make a spool of so many sealed segments, all in the ledger; their data files are sparse."""
    _empty(directory)
    tally = Tally(emitted=1, kept=1)
    lines = []
    for number in range(segments):
        head = _head(number)
        path = directory / "sealed" / head.file
        with path.open("wb") as file:
            file.truncate(size_bytes)
        seal = Seal(head, size_bytes, 0, tally, {}, tally)
        seal = msgspec.structs.replace(seal, check=segment._check(seal))  # noqa: SLF001 `store` would sync each
        (directory / "sealed" / segment.seal_name(head.file)).write_bytes(msgspec.json.encode(seal))
        lines.append(Sealed(head.id, tally))
    LedgerLog(directory).append(*lines)


def _head(number: int) -> Head:
    id_ = f"{number:032x}"
    return Head(
        id=id_,
        file=f"{number:020d}-{id_}.ndjson.zst",
        format="ndjson",
        compressed=True,
        content_type="application/x-ndjson",
        route="",
        catalog="bench/1",
        session="s",
        receipt=Receipt("on", "host", 0, "cloud"),
    )


def _start(directory: Path) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "bench.spool", str(directory)], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    seconds, cpu_seconds, peak_bytes, waiting = json.loads(done.stdout)
    assert waiting == sum(1 for name in os.listdir(directory / "sealed") if segment.is_data(name))  # noqa: PTH208 names will do
    return {"open": (seconds, "s"), "open, CPU": (cpu_seconds, "s"), "peak memory": (peak_bytes / 1e6, "MB")}


def _open(directory: Path) -> tuple[float, float, int, int]:
    """Open a spool in this process: seconds, CPU seconds, peak memory in bytes, segments that wait."""
    began, began_cpu = perf_counter(), process_time()
    spool, _ = Spool.open(directory, lambda *_: False)
    seconds = perf_counter() - began
    return seconds, process_time() - began_cpu, _peak_bytes(), spool.waiting


def _peak_bytes() -> int:
    """Of this program; `getrusage` would count what its parent had in memory when it forked, where it can be told."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _write_and_verify() -> Figures:
    """Events of five fields: appended, synced and sealed, and all of it read and compared with its seals."""
    line = json.dumps({"event": "query_finished", **FIVE_FIELDS}).encode() + b"\n"
    body, tally = line * DRAIN_EVENTS, Tally(emitted=DRAIN_EVENTS, kept=DRAIN_EVENTS)
    with tempfile.TemporaryDirectory(prefix="telemetry-bench-") as place:
        directory = Path(place) / "spool"
        spool, _ = Spool.open(directory, lambda *_: False)
        began = perf_counter()
        for first in range(0, DRAINS, SEAL_EVERY):
            active = spool.begin(_head(first))
            for drain in range(SEAL_EVERY):
                active.append(body, tally, {})
                if drain % SYNC_EVERY == 0:
                    active.sync()
            spool.seal(active, tally)
        written = perf_counter()
        assert verify(directory) == []
        verified = perf_counter()
        size_bytes = sum(path.stat().st_size for path in (directory / "sealed").iterdir())
        spool.close()
    return {
        "write": (DRAINS * DRAIN_EVENTS / (written - began), "events/s"),
        "write, before compression": (DRAINS * len(body) / (written - began) / 1e6, "MB/s"),
        "verify": (size_bytes / (verified - written) / 1e6, "MB/s"),
    }


if __name__ == "__main__":
    print(json.dumps(_open(Path(sys.argv[1]))))
