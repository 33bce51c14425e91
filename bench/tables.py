"""How many events a second does one core load into tables, and how long does one GROUP BY over one of them take?

A store is filled with batches of a realistic mix, then loaded by the command's own code in a process of its own, whose
CPU counts, from the first import to the last commit. Then a table of an event is filled with 100 million rows, in files
as large as merged ones are, and asked by DuckDB in 1 GiB, once unmeasured.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from bench.events import mix
from bench.measure import Result, progress, summarize
from bench.site import CATALOG
from telemetry.collector.tables.lake import FileWriter, Lake, place_of
from telemetry.collector.tables.layout import STAMPS
from telemetry.collector.tables.read import open_tables

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 100_000_000
_FILES = 10
_GROUP_ROWS = 500_000
_BATCH_EVENTS = 5_000
_ENGINES = ("batch", "stream")
_LOAD = (
    "import resource, sys; from telemetry.__main__ import main; sys.argv = ['telemetry', 'load', *sys.argv[1:]]\n"
    "try: main()\n"
    "except SystemExit as end: assert not end.code, end\n"
    "used = resource.getrusage(resource.RUSAGE_SELF)\n"
    "print(used.ru_utime + used.ru_stime, used.ru_maxrss)"
)
_QUERIES = {
    "GROUP BY, count": "SELECT engine, count(*) FROM query_finished GROUP BY ALL",
    "GROUP BY, two columns, mean": "SELECT engine, ok, avg(rows) FROM query_finished GROUP BY ALL",
}


def measure(runs: int, events: int, rows: int = ROWS) -> list[Result]:
    """Measure so many runs of loading so many events, then of queries over so many rows."""
    with tempfile.TemporaryDirectory() as scratch:
        found = _load(Path(scratch), runs, events)
    with tempfile.TemporaryDirectory() as scratch:
        lake = Lake(place_of(scratch, None), is_new=True)
        _fill(lake, rows)
        found |= _ask(lake, runs)
    return [summarize("load", metric, unit, values) for (metric, unit), values in found.items()]


def _load(scratch: Path, runs: int, events: int) -> dict[tuple[str, str], list[float]]:
    progress(f"load: a store of {events:,} events")
    store = scratch / "store"
    held_bytes = _make_store(store, events)
    found: dict[tuple[str, str], list[float]] = {}
    for run in range(runs):
        progress(f"load: {events:,} events, run {run + 1}")
        tables = scratch / f"tables-{run}"
        done = subprocess.run(
            [sys.executable, "-c", _LOAD, str(store), "--tables", str(tables)],
            capture_output=True,
            text=True,
            check=True,
        )
        cpu_seconds, memory_kib = map(float, done.stdout.split()[-2:])
        size_bytes = sum(path.stat().st_size for path in tables.rglob("*.parquet"))
        found.setdefault(("events, a core", "1/s"), []).append(events / cpu_seconds)
        found.setdefault(("memory", "MiB"), []).append(memory_kib / 1024)
        found.setdefault(("Parquet, an event", "B"), []).append(size_bytes / events)
        found.setdefault(("the store, an event", "B"), []).append(held_bytes / events)
    return found


def _make_store(store: Path, events: int) -> int:
    batches = store / "batches"
    batches.mkdir(parents=True)
    (store / "catalogs").mkdir()
    content = CATALOG.read_bytes()
    (store / "catalogs" / f"{hashlib.sha256(content).hexdigest()}.toml").write_bytes(content)
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    encode_lines = msgspec.json.Encoder().encode_lines
    receipt = {"level": "on", "basis": "host", "notice": 0, "deployment": "unknown"}
    held_bytes = 0
    for number in range(-(-events // _BATCH_EVENTS)):
        batch, minute = secrets.token_hex(16), f"2026-01-01T{number // 60 % 24:02d}:{number % 60:02d}:00Z"
        stamp = {"time": minute, "session": secrets.token_hex(16)}
        emitted = mix(min(_BATCH_EVENTS, events - number * _BATCH_EVENTS), seed=number)
        body = compressor.compress(encode_lines([{"event": name, **stamp, **fields} for name, fields in emitted]))
        record = {"batch": batch, "received": minute, "catalog": "bench/1", "receipt": receipt, "route": "/v1/batches"}
        (batches / f"{batch}.json").write_text(json.dumps(record))
        (batches / f"{batch}.ndjson.zst").write_bytes(body)
        held_bytes += len(body)
    return held_bytes


def _fill(lake: Lake, rows: int) -> None:
    columns = {**STAMPS, "duration_ms": "DOUBLE", "rows": "BIGINT", "engine": "VARCHAR", "ok": "BOOLEAN"}
    table = lake.require("query_finished", columns, "query_finished")
    files = []
    for number in range(_FILES):
        progress(f"load: file {number + 1} of {_FILES}")
        writer = FileWriter(table, date(2026, 1, 1 + number))
        for _ in range(rows // _FILES // _GROUP_ROWS):
            writer.write(_rows(number))
        files.append(writer.finish())
    lake.add("query_finished", files)


def _rows(day: int) -> pa.Table:
    """Return a row group of events, a batch of some thousand after the other, with random values."""
    batches = _GROUP_ROWS // _BATCH_EVENTS
    of = pa.array([number for number in range(batches) for _ in range(_BATCH_EVENTS)], pa.int32())
    start = pa.scalar(1_767_225_600_000_000 + day * 86_400_000_000)
    received = pc.add(pc.multiply(of.cast(pa.int64()), 60_000_000), start).cast(pa.timestamp("us", "UTC"))
    ids = [secrets.token_hex(16) for _ in range(batches)]
    chance = pa.array(memoryview(os.urandom(4 * _GROUP_ROWS)).cast("I"), pa.uint32())
    one = pc.multiply(of, 0).cast(pa.int32())
    return pa.table(
        {
            "time": received,
            "session": _of(of, ids[::-1]),
            "product": _of(one, ["bench"]),
            "catalog": _of(one, ["bench/1"]),
            "batch": _of(of, ids),
            "received": received,
            "duration_ms": pc.divide(pc.shift_right(chance, 12).cast(pa.float64()), 1000.0),
            "rows": pc.bit_wise_and(chance, 0xFFFF).cast(pa.int64()),
            "engine": _of(pc.bit_wise_and(chance, 1).cast(pa.int32()), _ENGINES),
            "ok": pc.not_equal(pc.bit_wise_and(chance, 14), 0),
        }
    )


def _of(indices: pa.Array, values: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(indices, pa.array(values))


def _ask(lake: Lake, runs: int) -> dict[tuple[str, str], list[float]]:
    found: dict[tuple[str, str], list[float]] = {}
    with open_tables(lake) as (connection, _):
        for name, sql in _QUERIES.items():
            progress(f"load: {name}")
            for run in range(runs + 1):
                begun = perf_counter()
                connection.execute(sql).fetchall()
                if run:
                    found.setdefault((name, "s"), []).append(perf_counter() - begun)
    return found
