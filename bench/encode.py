"""What does an event cost to encode in each format, and how large is it then?

The realistic mix, validated, in drains of full frames, as the pipeline hands them over; the formats take turns. CPU of
this process. The cost of `ndjson` is that of the time, the session and the line.
"""

from __future__ import annotations

from time import process_time
from typing import TYPE_CHECKING

import msgspec

from bench.events import mix
from bench.measure import Result, progress, summarize
from bench.site import CATALOG
from telemetry.catalog.compile import compile_catalog
from telemetry.producer.backlog import FRAME_EVENTS
from telemetry.shipper.catalogs import read_source
from telemetry.shipper.day import utc_day
from telemetry.shipper.encode import open_format
from telemetry.spool.stream import open_stream

if TYPE_CHECKING:
    from telemetry.catalog.compile import Envelope

FORMATS = ("ndjson", "otlp", "risingwave")
_SESSION = "5e55" * 8
_TIME_NS = 1_767_225_660 * 10**9
_PRECISION_SECONDS = 60


def measure(runs: int, events: int) -> list[Result]:
    """Measure so many runs of so many events in each format, after one that warms up."""
    found: dict[tuple[str, str, str], list[float]] = {}
    decoder = compile_catalog(read_source(CATALOG).catalog, utc_day(0)).decoder
    for run in range(runs + 1):
        for name in FORMATS:
            progress(f"encode: {events:,} events as {name}, run {run}")
            emissions = [(event, _TIME_NS, fields) for event, fields in mix(events, seed=run)]
            drains = [
                decoder.decode(msgspec.msgpack.encode(emissions[first : first + FRAME_EVENTS]))
                for first in range(0, events, FRAME_EVENTS)
            ]
            encoding, compressing, plain_bytes, body_bytes = _encode(name, drains)
            if run:
                found.setdefault((name, "CPU to encode", "us"), []).append(encoding / events * 1e6)
                found.setdefault((name, "CPU to compress", "us"), []).append(compressing / events * 1e6)
                found.setdefault((name, "before compression", "B"), []).append(plain_bytes / events)
                found.setdefault((name, "in a body", "B"), []).append(body_bytes / events)
    return [summarize(f"encode {name}", metric, unit, values) for (name, metric, unit), values in found.items()]


def _encode(name: str, drains: list[list[Envelope]]) -> tuple[float, float, int, int]:
    """Return CPU seconds of encoding and of compression, and bytes before and after it."""
    format_ = open_format(name, "meta", product="bench")
    stream = open_stream(format_.compression)
    began = process_time()
    encoded = [format_.encode(drain, _SESSION, _PRECISION_SECONDS) for drain in drains]
    between = process_time()
    body_bytes = sum(len(stream.write(data)) for data in encoded) + len(stream.finish())
    return between - began, process_time() - between, sum(map(len, encoded)), body_bytes
