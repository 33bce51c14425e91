"""`python -m bench emit|pipeline [--runs N] [--events N] [--json]`."""

from __future__ import annotations

import argparse

from bench import emit, pipeline
from bench.measure import show


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=["emit", "pipeline"])
    parser.add_argument("--runs", type=int, default=5, help="after one that warms up (5)")
    parser.add_argument("--events", type=int, default=1_000_000, help="a run (1,000,000)")
    parser.add_argument("--dirty", type=float, default=0.01, help="pipeline: share with something private (0.01)")
    parser.add_argument("--json", action="store_true", help="a list of {name, metric, unit, median, p99, runs}")
    options = parser.parse_args()
    if options.name == "emit":
        results = emit.measure(options.runs, options.events)
    else:
        results = pipeline.measure(options.runs, options.events, options.dirty)
    show(results, as_json=options.json)


if __name__ == "__main__":
    main()
