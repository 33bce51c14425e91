"""Does the cost of an event stay what it is when there is more of something? One curve for each thing.

Of each point the whole way is taken, from emit to acknowledged upload: CPU by event in the hosts, and in the shipper;
of what waits in the spool, the shipper's stages alone (bench/backlog.py).
The last column says how much dearer a point is than the cheapest one of its curve.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bench import backlog
from bench.load import CHUNK_EVENTS, Load
from bench.measure import Result, progress, summarize
from bench.pipeline import one_run
from bench.site import site

if TYPE_CHECKING:
    from collections.abc import Callable

    Figures = dict[tuple[str, str], float]


class Curve(NamedTuple):
    """How the cost depends on one thing.

    Attributes:
        name: of the thing.
        values: of it.
        run: from a value and the number of chunks in all, figures by metric and unit.
    """

    name: str
    values: tuple[int, ...]
    run: Callable[[int, int], Figures]


def _way(producers: int, load: Load) -> Figures:
    """The whole way, from emit to acknowledged upload."""
    with site() as place:
        figures = one_run(place, producers, load)
    return {(metric, unit): figure for (metric, unit), figure in figures.items() if metric.endswith("CPU per event")}


LANES_PRODUCERS = 4

CURVES = (
    Curve(
        "shippers",
        (1, 2, 3, 4),
        lambda n, chunks: _way(LANES_PRODUCERS, Load(max(1, chunks // LANES_PRODUCERS), shippers=n)),
    ),
    Curve("producers", (1, 2, 4, 8, 16, 32, 64), lambda n, chunks: _way(n, Load(max(1, chunks // n)))),
    Curve("threads", (1, 2, 4, 8, 16, 32), lambda n, chunks: _way(1, Load(chunks, threads=n))),
    Curve("fields", (0, 1, 2, 5, 10, 20), lambda n, chunks: _way(1, Load(chunks, fields=n))),
    Curve("characters of text", (10, 50, 200, 1000), lambda n, chunks: _way(1, Load(chunks, text_characters=n))),
    Curve(
        "bytes of a batch",
        (1 << 16, 1 << 18, 1 << 20, 1 << 22),
        lambda n, chunks: _way(1, Load(chunks, segment_bytes=n)),
    ),
    Curve("events of the catalog", (10, 30, 100, 300, 1000), lambda n, chunks: _way(1, Load(chunks, names=n))),
    Curve("MiB in the spool", (1, 10, 100, 1 << 10, 10 << 10), backlog.one_run),
)


def measure(runs: int, events: int) -> list[Result]:
    """Measure each point of each curve, the runs of a curve one after the other."""
    return [result for curve in CURVES for result in _measure(curve, runs, events // CHUNK_EVENTS)]


def _measure(curve: Curve, runs: int, chunks: int) -> list[Result]:
    found: dict[tuple[int, str, str], list[float]] = {}
    for run in range(runs):
        for value in curve.values:
            progress(f"scale: {value:,} {curve.name}, run {run + 1}")
            for (metric, unit), figure in curve.run(value, chunks).items():
                found.setdefault((value, metric, unit), []).append(figure)
    results = [
        summarize(f"{value:,} {curve.name}", metric, unit, values) for (value, metric, unit), values in found.items()
    ]
    return [*results, *_ratios(curve, results)]


def _ratios(curve: Curve, results: list[Result]) -> list[Result]:
    """By metric: the dearest point of a curve to its cheapest one."""
    ratios = []
    for metric in dict.fromkeys(result.metric for result in results):
        medians = [result.median for result in results if result.metric == metric]
        ratio = max(medians) / min(medians)
        ratios.append(summarize(f"{curve.name}: dearest / cheapest", metric, "ratio", [ratio]))
    return ratios
