"""What a measurement is, and how its runs are summed up and shown."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Result(NamedTuple):
    """One figure over several runs.

    Attributes:
        name: what was measured.
        metric: which figure of it.
        unit: of `median` and `p99`.
        median: of the runs.
        p99: of the runs; with fewer than a hundred it is the worst.
        runs: how many.
    """

    name: str
    metric: str
    unit: str
    median: float
    p99: float
    runs: int


def summarize(name: str, metric: str, unit: str, values: Sequence[float]) -> Result:
    """Sum up the values of several runs."""
    return Result(
        name,
        metric,
        unit,
        round(statistics.median(values), 4),
        round(percentile(values, 0.99), 4),
        len(values),
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values don't exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def show(results: Sequence[Result], *, as_json: bool) -> None:
    """Print results: a JSON list, or a table with the machine and versions above it."""
    if as_json:
        print(json.dumps([result._asdict() for result in results], indent=1))
        return
    print(machine())
    width = max(len(result.name) for result in results)
    for result in results:
        print(
            f"{result.name:{width}}  {result.metric:34} {result.median:>12,.3f} {result.unit:10} p99 {result.p99:,.3f}"
        )


def machine() -> str:
    """What the figures were measured on, one line."""
    libraries = " ".join(
        f"{name} {version(name)}" for name in ("pyzmq", "msgpack", "msgspec", "zstandard", "hyperscan")
    )
    return f"{os.cpu_count()} cores {platform.machine()}, Python {platform.python_version()}, {libraries}"


def progress(text: str) -> None:
    """Say on stderr what is being measured."""
    print(f"bench: {text}", file=sys.stderr, flush=True)
