"""What do a host and its shipper take when nothing happens? CPU as a share of a core, and how often they wake.

A wake-up is a voluntary switch of context, of any of the process's threads, as Linux counts them.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import sleep
from typing import Any

import psutil

import telemetry
from bench.events import FIVE_FIELDS
from bench.measure import Result, progress, summarize
from bench.site import CATALOG, site
from telemetry.rendezvous.lock import LOCK_FILE

CALM_SECONDS = 5.0
"""Until what was emitted is uploaded."""


def measure(runs: int, seconds: int) -> list[Result]:
    """Watch both for so long, several times."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for run in range(1, runs + 1):
        progress(f"idle: {seconds} s, run {run}")
        with site() as place:
            for name, (busy, wakes) in place.run("bench.idle", place.endpoint, seconds).items():
                found.setdefault((name, "CPU", "% of core"), []).append(busy)
                found.setdefault((name, "wake-ups", "1/s"), []).append(wakes)
    return [summarize(f"idle {name}", metric, unit, values) for (name, metric, unit), values in found.items()]


def run(endpoint: str, seconds: int) -> dict[str, tuple[float, float]]:
    """The host, this process: emits an event, and then nothing; percent of a core and wake-ups a second of both."""
    settings = telemetry.ShipperSettings(segment_seconds=0.5, upload_jitter_seconds=0.0)
    place: dict[str, Any] = {"product": "bench", "catalog": CATALOG, "endpoint": endpoint, "consent": "on"}
    with telemetry.Client(**place, shipper=settings) as client:
        client.emit("query_finished", **FIVE_FIELDS)
        assert client.flush(60)
        link: Any = client._link  # noqa: SLF001 there is no public word for the place
        pid = int((link.transport.site.directory / LOCK_FILE).read_text())
        watched = {"host": psutil.Process(), "shipper": psutil.Process(pid)}
        sleep(CALM_SECONDS)
        before = {name: _taken(process) for name, process in watched.items()}
        sleep(seconds)
        after = {name: _taken(process) for name, process in watched.items()}
    return {
        name: (
            100 * (after[name][0] - before[name][0]) / seconds,
            (after[name][1] - before[name][1]) / seconds,
        )
        for name in watched
    }


def _taken(process: psutil.Process) -> tuple[float, int]:
    """Seconds of CPU, and wake-ups, of all threads."""
    busy_ns = wakes = 0
    for thread in process.threads():
        task = Path(f"/proc/{process.pid}/task/{thread.id}")
        busy_ns += int((task / "schedstat").read_text().split()[0])
        status = (task / "status").read_text().splitlines()
        wakes += next(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt_switches"))
    return busy_ns / 1e9, wakes


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
