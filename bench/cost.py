"""What a call costs: CPU of the whole process until everything is handed over, and the time of single calls."""

from __future__ import annotations

from time import perf_counter_ns, process_time
from typing import Any

from bench.measure import percentile

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
CALLS = 50_000
"""Timed one by one."""


def cost(emit: Any, flush: Any, events: int, chunk_events: int) -> dict[str, tuple[float, str]]:
    """Emit the five-field event again and again.

    Args:
        emit: takes a name and fields.
        flush: takes the seconds it may wait.
        events: emitted for the CPU figure.
        chunk_events: at full speed between two flushes: less than the queue holds, so that nothing is dropped.

    Returns:
        CPU of the process by event, the time of calls, less that of taking the time, and how many events were emitted
        in all; with their units.
    """
    cpu_us = cpu_us_per_event(emit, flush, events, chunk_events)
    calls: list[int] = []
    clock: list[int] = []
    while len(calls) < min(CALLS, events):
        for _ in range(chunk_events):
            before = perf_counter_ns()
            emit("query_finished", duration_ms=12.5, rows=1000, engine="batch", ok=True, feature="materialized_view")
            calls.append(perf_counter_ns() - before)
            before = perf_counter_ns()
            clock.append(perf_counter_ns() - before)
        flush(10)
    own = percentile(clock, 0.5)
    return {
        "host CPU per event": (cpu_us, "us"),
        **{f"call, {name}": ((percentile(calls, share) - own) / 1e3, "us") for name, share in PERCENTILES.items()},
        "emitted": (events + len(calls), "events"),
    }


def cpu_us_per_event(emit: Any, flush: Any, events: int, chunk_events: int) -> float:
    """CPU of the whole process by event, microseconds; the arguments are those of `cost`."""
    cpu = process_time()
    for start in range(0, events, chunk_events):
        for _ in range(min(chunk_events, events - start)):
            emit("query_finished", duration_ms=12.5, rows=1000, engine="batch", ok=True, feature="materialized_view")
        flush(10)
    return (process_time() - cpu) / events * 1e6
