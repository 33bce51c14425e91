"""What a call costs: CPU of the whole process until everything is handed over, and the time of single calls."""

from __future__ import annotations

from time import perf_counter_ns, process_time
from typing import Any

from bench.measure import percentile

PERCENTILES = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
CALLS = 50_000
"""Timed one by one."""


EMIT = "call('query_finished', duration_ms=12.5, rows=1000, engine='batch', ok=True, feature='materialized_view')"
"""The call that is measured, as a program would write it: one more function in between would be measured too."""


_LOOPS = """
def repeat(call, times):
    for _ in range(times):
        {statement}

def time_each(call, times, now, taken, own):
    for _ in range(times):
        before = now()
        {statement}
        taken(now() - before)
        before = now()
        own(now() - before)
"""


def cost(call: Any, flush: Any, events: int, chunk_events: int, statement: str = EMIT) -> dict[str, tuple[float, str]]:
    """Call again and again.

    Args:
        call: what `statement` calls by this name.
        statement: one line of Python.
        flush: takes the seconds it may wait.
        events: emitted for the CPU figure.
        chunk_events: at full speed between two flushes: less than the queue holds, so that nothing is dropped.

    Returns:
        CPU of the process by event, the time of calls, less that of taking the time, and how many events were emitted
        in all; with their units.
    """
    time_each = _loops(statement)["time_each"]
    cpu_us = cpu_us_per_event(call, flush, events, chunk_events, statement)
    calls: list[int] = []
    clock: list[int] = []
    while len(calls) < min(CALLS, events):
        time_each(call, chunk_events, perf_counter_ns, calls.append, clock.append)
        flush(10)
    own = percentile(clock, 0.5)
    return {
        "host CPU per event": (cpu_us, "us"),
        **{f"call, {name}": ((percentile(calls, share) - own) / 1e3, "us") for name, share in PERCENTILES.items()},
        "emitted": (events + len(calls), "events"),
    }


def cpu_us_per_event(call: Any, flush: Any, events: int, chunk_events: int, statement: str = EMIT) -> float:
    """CPU of the whole process by event, microseconds; the arguments are those of `cost`."""
    repeat = _loops(statement)["repeat"]
    cpu = process_time()
    for start in range(0, events, chunk_events):
        repeat(call, min(chunk_events, events - start))
        flush(10)
    return (process_time() - cpu) / events * 1e6


def _loops(statement: str) -> dict[str, Any]:
    """The loops around a statement."""
    loops: dict[str, Any] = {}
    exec(_LOOPS.format(statement=statement), loops)  # noqa: S102 as timeit does
    return loops
