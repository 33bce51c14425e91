"""Draws a comparison: the figures of one metric as bars, on a logarithmic scale, the cheapest on top.

matplotlib lives in the peers' environment, so `draw` hands the figures to a process there.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bench.peers import environment
from bench.site import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.measure import Result

OURS, OTHERS = "#0a7d5a", "#8a94a6"


def draw(results: Sequence[Result], file: str) -> None:
    """Draw the first metric of the results, but its ratios.

    Args:
        results: of one measurement.
        file: to write; its ending says how (`.svg`, `.png`).
    """
    metric = results[0].metric
    bars = [(each.name, each.median, each.unit) for each in results if each.metric == metric and each.unit != "ratio"]
    command = [str(environment()), "-m", "bench.plot", file]
    subprocess.run(
        command, cwd=ROOT, input=json.dumps({"metric": metric, "bars": sorted(bars, key=_value)}), text=True, check=True
    )


def _value(bar: tuple[str, float, str]) -> float:
    return bar[1]


def main(file: str) -> None:
    """In the other process: bars from the input to the file."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - only that environment has it

    given = json.load(sys.stdin)
    names, values, units = zip(*given["bars"], strict=True)
    figure = Figure(figsize=(8, 0.5 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    colours = [OURS if name.startswith(("emit", "count")) else OTHERS for name in names]
    bars = axes.barh(names, values, color=colours)
    axes.bar_label(bars, fmt="%.3g", padding=3)
    axes.set(xscale="log", xlabel=f"{given['metric']}, {units[0].replace('us', 'µs')}")
    axes.margins(x=0.1)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Date": None} if file.endswith(".svg") else None)


if __name__ == "__main__":
    main(sys.argv[1])
