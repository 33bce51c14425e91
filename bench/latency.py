"""How long is an event on its way to the disk? From `emit` until the segment's marks vouch for it, at a gentle rate.

The host emits on a schedule and takes the time before each call; beside it, whoever measures reads the marks again
whenever their file has grown. A mark is written right after the data that it vouches for.
"""

from __future__ import annotations

import json
import sys
from time import monotonic, sleep
from typing import TYPE_CHECKING

import telemetry
from bench.events import FIVE_FIELDS
from bench.measure import Result, percentile, progress, summarize
from bench.site import CATALOG, Site, site
from telemetry.spool.segment import MARKS, read_marks

if TYPE_CHECKING:
    from pathlib import Path

EVENTS_PER_SECOND = 1000
LOOK_SECONDS = 0.001
SEGMENT_SECONDS = 3600.0
"""One segment takes all, so that the events are counted in one file."""


def measure(runs: int, events: int) -> list[Result]:
    """Measure so many runs of so many events."""
    found: dict[str, list[float]] = {}
    for run in range(1, runs + 1):
        progress(f"latency: {events:,} events at {EVENTS_PER_SECOND:,} a second, run {run}")
        with site() as place:
            waited_ms = _one_run(place, events)
        for name, share in (("p50", 0.5), ("p99", 0.99), ("worst", 1.0)):
            found.setdefault(f"emit to disk, {name}", []).append(percentile(waited_ms, share))
    return [summarize("latency", metric, "ms", values) for metric, values in found.items()]


def _one_run(place: Site, events: int) -> list[float]:
    """Milliseconds of each event."""
    with place.start("bench.latency", place.endpoint, events) as host:
        assert host.stdout is not None
        (marks,) = place.home.glob(host.stdout.readline().strip())
        seen = _watch(marks, events)
        emitted = json.loads(host.stdout.readline())
    waited: list[float] = []
    on_disk = 1  # what was emitted to find the shipper
    for at, number in seen:
        waited += [(at - began) * 1e3 for began in emitted[on_disk - 1 : number - 1]]
        on_disk = number
    return waited


def _watch(marks: Path, events: int) -> list[tuple[float, int]]:
    """When so many events stood on disk, each time that it was more."""
    seen: list[tuple[float, int]] = []
    size = number = 0
    while number <= events:
        if (grown := marks.stat().st_size) > size:
            at, size = monotonic(), grown
            read = read_marks(marks)
            number = read[1][-1].tally.emitted if read and read[1] else 0
            seen.append((at, number))
        sleep(LOOK_SECONDS)
    return seen


def run(endpoint: str, events: int) -> list[float]:
    """The host: says where the marks are, emits, and tells when, in seconds of the machine's clock."""
    settings = telemetry.ShipperSettings(segment_seconds=SEGMENT_SECONDS)
    with telemetry.Client(
        product="bench", catalog=CATALOG, endpoint=endpoint, consent="on", shipper=settings
    ) as client:
        client.emit("query_finished", **FIVE_FIELDS)
        assert client.flush(60)
        print(f"state/*/spool-*/active/*{MARKS}", flush=True)
        emitted: list[float] = []
        began = monotonic() + 1.0
        for number in range(events):
            sleep(max(0.0, began + number / EVENTS_PER_SECOND - monotonic()))
            emitted.append(monotonic())
            client.emit("query_finished", **FIVE_FIELDS)
        assert client.flush(60)
    return emitted


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
