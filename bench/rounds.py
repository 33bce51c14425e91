"""What do `init` and `close` leave in a host? Descriptors, threads, child processes and memory, over many rounds.

Another client of the host stays open, so that the shipper, which leaves with its last producer, stays too.
"""

from __future__ import annotations

import gc
import json
import sys
from time import monotonic, sleep
from typing import Any

import psutil

import telemetry
from bench.measure import Result, progress
from bench.site import CATALOG, site

EVENTS = 10
"""Emitted in each round."""

SETTLE_SECONDS = 10.0
"""How long the last threads may take to end."""


def measure(rounds: int) -> list[Result]:
    """Run the rounds in one process; what is left after them, less what was there after the first tenth."""
    progress(f"rounds: {rounds:,} of init, {EVENTS} events, close")
    with site() as place:
        left = place.run("bench.rounds", place.endpoint, rounds)
    return [Result("init/close", metric, unit, value, value, rounds) for metric, (value, unit) in left.items()]


def run(endpoint: str, rounds: int) -> dict[str, tuple[float, str]]:
    """The rounds themselves, in this process; what they left behind, with units."""
    site_of_all: dict[str, Any] = {"product": "bench", "catalog": CATALOG, "endpoint": endpoint, "consent": "on"}
    with telemetry.Client(**site_of_all) as keeper:
        keeper.emit("query_finished", duration_ms=1.5)
        assert keeper.flush(60)
        threads = psutil.Process().num_threads()
        unconfirmed = _rounds(site_of_all, max(1, rounds // 10))
        before = _settled(threads)
        unconfirmed += _rounds(site_of_all, rounds)
        after = _settled(threads)
    grown = {name: (after[name] - before[name], "") for name in ("threads", "descriptors", "children", "objects")}
    memory = (after["memory_bytes"] - before["memory_bytes"]) / rounds
    return {**grown, "rounds not confirmed": (unconfirmed, ""), "memory a round": (memory, "bytes")}


def _rounds(site_of_all: dict[str, Any], rounds: int) -> int:
    unconfirmed = 0
    for _ in range(rounds):
        with telemetry.Client(**site_of_all) as client:
            for _ in range(EVENTS):
                client.emit("query_finished", duration_ms=1.5)
            unconfirmed += not client.flush(10)
    return unconfirmed


def _settled(threads: int) -> dict[str, float]:
    """What the process has, when no more than `threads` are left or don't end."""
    process = psutil.Process()
    deadline = monotonic() + SETTLE_SECONDS
    while process.num_threads() > threads and monotonic() < deadline:
        sleep(0.01)
    gc.collect()
    return {
        "threads": process.num_threads(),
        "descriptors": process.num_fds(),
        "children": len(process.children(recursive=True)),
        "objects": len(gc.get_objects()),
        "memory_bytes": process.memory_info().rss,
    }


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
