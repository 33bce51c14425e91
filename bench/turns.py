"""Ours and its floor in turns, within one process: `python -m bench.turns SUBJECT ENDPOINT ROUNDS EVENTS`.

A turn takes some hundredths of a second, so what disturbs the machine for longer, a clock that is lowered or a
neighbour that takes the cache, disturbs both. That is why a ratio of the two can be compared with one of another day.
"""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time, sleep
from typing import TYPE_CHECKING, NamedTuple

import telemetry
from bench.cost import EMIT, cpu_us_per_event
from bench.emit import CHUNK_EVENTS, COUNT, HAND_OVER_SECONDS, floor
from bench.site import CATALOG
from bench.stages import Stages, frames, take_apart

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    Turn = Callable[[int], float]


class Pair(NamedTuple):
    """What takes turns; each is told how many events, and returns CPU by event in microseconds."""

    ours: Turn
    floor: Turn


@contextmanager
def _host(endpoint: str, call: str, consent: str) -> Iterator[Pair]:
    telemetry.init(product="bench", catalog=CATALOG, endpoint=endpoint, consent=consent)
    calls = {"emit": (telemetry.emit, EMIT), "count": (telemetry.count, COUNT)}
    assert telemetry.flush(60)
    try:
        with floor() as send:
            yield Pair(lambda events: _called(*calls[call], events), send)
    finally:
        telemetry.close(5)


@contextmanager
def _shipper(_endpoint: str) -> Iterator[Pair]:
    with TemporaryDirectory(prefix="telemetry-bench-") as place:
        stages = Stages(Path(place) / "spool")
        seeds = count()  # no two turns have the same texts, which would be remembered
        yield Pair(
            lambda events: _cpu_us(stages.take_in, events, next(seeds)),
            lambda events: _cpu_us(take_apart, events, next(seeds)),
        )
        stages.spool.close()


SUBJECTS = {
    "emit": lambda endpoint: _host(endpoint, "emit", "on"),
    "emit, consent off": lambda endpoint: _host(endpoint, "emit", "off"),
    "count": lambda endpoint: _host(endpoint, "count", "on"),
    "shipper, decode to disk": _shipper,
}
"""The floor of the host's is the bare loop of `bench emit`, the shipper's is `take_apart`."""


def ratio(pair: Pair, rounds: int, events: int) -> float:
    """The median of so many rounds, after one that warms up: ours to the floor beside it."""
    ratios = [pair.ours(events) / pair.floor(events) for _ in range(rounds + 1)]
    return median(ratios[1:])


def _called(call: Callable[..., None], statement: str, events: int) -> float:
    """Call and wait: to ask a busy shipper again and again, as `flush` does, costs what the machine is busy with."""
    cpu_us = cpu_us_per_event(call, lambda _: sleep(HAND_OVER_SECONDS), events, CHUNK_EVENTS, statement)
    assert telemetry.flush(60)
    return cpu_us


def _cpu_us(work: Callable[[Sequence[bytes]], object], events: int, seed: int) -> float:
    messages = frames(events, seed)
    cpu = process_time()
    work(messages)
    return (process_time() - cpu) / events * 1e6


def main(subject: str, endpoint: str, rounds: int, events: int) -> None:
    """Print the ratio as JSON."""
    with SUBJECTS[subject](endpoint) as pair:
        print(json.dumps({"ratio": ratio(pair, rounds, events)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
