"""What does an event cost the host? CPU of the whole host process until everything is handed over, and time by call.

The floor is what no library on this transport can go below: the same events packed 128 at a time by a bare loop and
sent over the same kind of socket.
"""

from __future__ import annotations

import json
import sys
from time import perf_counter, perf_counter_ns, process_time, time_ns
from typing import Any

from bench.events import FIVE_FIELDS
from bench.measure import Result, percentile, progress, summarize
from bench.site import CATALOG, site

CHUNK_EVENTS = 50_000
"""Emitted at full speed between two flushes: less than the queue holds, so that nothing is dropped."""


def measure(runs: int, events: int) -> list[Result]:
    """Measure ours, ours switched off, and the floor, alternating."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for run in range(runs + 1):
        for subject in ("emit", "emit, consent off", "count", "floor: msgpack + send"):
            progress(f"emit: {subject}, run {run or 'to warm up'}")
            with site() as place:
                figures = place.run("bench.emit", subject, place.endpoint, events)
            for metric, (value, unit) in figures.items():
                if run:
                    found.setdefault((subject, metric, unit), []).append(value)
    results = [summarize(name, metric, unit, values) for (name, metric, unit), values in found.items()]
    cpu = {result.name: result.median for result in results if result.metric == "host CPU per event"}
    ratio = cpu["emit"] / cpu["floor: msgpack + send"]
    return [
        *results,
        Result("emit / floor", "host CPU per event", "ratio", round(ratio, 3), round(ratio, 3), runs),
    ]


def subject(name: str, endpoint: str, events: int) -> dict[str, tuple[float, str]]:
    """Measure one subject in this process; figures by metric, with units."""
    if name.startswith("floor"):
        return _floor(events)
    import telemetry  # noqa: PLC0415 the floor must not have it loaded

    started = perf_counter()
    client = telemetry.init(
        product="bench", catalog=CATALOG, endpoint=endpoint, consent="off" if name.endswith("off") else "on"
    )
    init_ms = (perf_counter() - started) * 1e3
    telemetry.flush(10)
    call = _counting(telemetry.count) if name == "count" else telemetry.emit
    figures = cost(call, telemetry.flush, events)
    figures["init"] = init_ms, "ms"
    if name == "emit":
        dropped = 0 if client._link is None else sum(client._link._outbox.dropped.values())  # noqa: SLF001
        figures["delivered"] = 100.0 * (1 - dropped / events), "%"
    telemetry.close(5)
    return figures


def _counting(count: Any) -> Any:
    return lambda _name, **_fields: count("used", engine="batch")


def cost(emit: Any, flush: Any, events: int) -> dict[str, tuple[float, str]]:
    """CPU of the process, and the time of calls, less that of taking the time."""
    cpu = process_time()
    for start in range(0, events, CHUNK_EVENTS):
        for _ in range(min(CHUNK_EVENTS, events - start)):
            emit(
                "query_finished",
                duration_ms=12.5,
                rows=1000,
                engine="batch",
                ok=True,
                feature="materialized_view",
            )
        flush(10)
    cpu = process_time() - cpu
    calls, clock = [], []
    for _ in range(CHUNK_EVENTS):
        before = perf_counter_ns()
        emit(
            "query_finished",
            duration_ms=12.5,
            rows=1000,
            engine="batch",
            ok=True,
            feature="materialized_view",
        )
        calls.append(perf_counter_ns() - before)
        before = perf_counter_ns()
        clock.append(perf_counter_ns() - before)
    own = percentile(clock, 0.5)
    return {
        "host CPU per event": (cpu / events * 1e6, "us"),
        **{f"call, {name}": ((percentile(calls, share) - own) / 1e3, "us") for name, share in PERCENTILES.items()},
    }


PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}


def _floor(events: int) -> dict[str, tuple[float, str]]:
    """The bare loop: build, pack and send 128 events at a time to a peer that only reads."""
    import msgpack  # noqa: PLC0415 measured alone
    import zmq  # noqa: PLC0415 the same

    context = zmq.Context()
    reader, sender = context.socket(zmq.PULL), context.socket(zmq.PUSH)
    sender.sndhwm = reader.rcvhwm = 0
    reader.bind("ipc:///tmp/telemetry-bench-floor.sock")
    sender.connect("ipc:///tmp/telemetry-bench-floor.sock")
    packer = msgpack.Packer()
    cpu = process_time()
    for _ in range(events // 128):
        sender.send(packer.pack([("query_finished", time_ns(), dict(FIVE_FIELDS)) for _ in range(128)]), zmq.NOBLOCK)
    cpu = process_time() - cpu
    context.destroy(linger=0)
    return {"host CPU per event": (cpu / events * 1e6, "us")}


if __name__ == "__main__":
    print(json.dumps(subject(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
