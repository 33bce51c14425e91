"""Has an event become dearer? What it costs, as a ratio to a floor measured beside it, is compared with a stored run.

Ratios, because absolute figures drift with the machine by more than a loss worth finding. A loss is one that is there
each time it is measured, with more rounds each time, so that noise fails nothing.
"""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from bench.measure import progress
from bench.site import site
from bench.turns import SUBJECTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    Ratios = dict[str, float]
    Measure = Callable[[Collection[str], int], Ratios]

BASELINE = Path(__file__).with_name("baseline.json")
LIMIT = 1.3
"""A ratio beyond so many times the stored one is a loss: machines and builds of Python differ by less, mostly."""
ROUNDS = (10, 20, 30, 40)
"""Of the first look, and of the repetitions: one that is within the limit ends them."""
STORED_RUNS = 3


def guard(events: int, baseline: Path = BASELINE) -> int:
    """Measure, compare and print.

    Args:
        events: of a turn.
        baseline: the file with the stored ratios.

    Returns:
        The exit code: 1 when something has become dearer.
    """
    stored: Ratios = json.loads(baseline.read_text())
    if stored.keys() != SUBJECTS.keys():
        raise SystemExit(f"bench: {baseline.name} is not of these metrics: store a run with --store")
    lost = losses(stored, lambda names, rounds: _measure(names, rounds, events))
    for name, ratio in lost.items():
        print(complaint(name, stored[name], ratio))
    print(f"guard: {len(stored) - len(lost)} of {len(stored)} metrics are what they were")
    return 1 if lost else 0


def store(events: int, baseline: Path = BASELINE) -> int:
    """Measure some times, since processes differ too, and keep the medians; the exit code."""
    runs = [_measure(SUBJECTS, ROUNDS[-1], events) for _ in range(STORED_RUNS)]
    ratios = {name: round(median(run[name] for run in runs), 3) for name in SUBJECTS}
    baseline.write_text(json.dumps(ratios, indent=2) + "\n")
    return 0


def losses(stored: Ratios, measure: Measure) -> Ratios:
    """The metrics that are beyond the limit each time they are measured, with the lowest ratio found.

    Args:
        stored: what is compared with.
        measure: takes names of metrics and a number of rounds.
    """
    suspects = dict.fromkeys(stored, inf)
    for rounds in ROUNDS:
        measured = measure(suspects, rounds)
        suspects = {
            name: min(ratio, suspects[name]) for name, ratio in measured.items() if ratio > LIMIT * stored[name]
        }
        if not suspects:
            break
    return suspects


def complaint(name: str, stored: float, measured: float) -> str:
    """What was found, and what to do about it."""
    return (
        f"guard: {name} costs {measured:.3f} times its floor, stored {stored:.3f}: {measured / stored - 1:.0%} more, "
        f"{len(ROUNDS)} times in a row. Profile it (bench/README.md) or, if it is meant, store it with --store."
    )


def _measure(names: Collection[str], rounds: int, events: int) -> Ratios:
    ratios = {}
    for name in names:
        with site() as place:
            ratios[name] = place.run("bench.turns", name, place.endpoint, rounds, events)["ratio"]
        progress(f"guard: {name}, {rounds} rounds: {ratios[name]:.3f} times its floor")
    return ratios
