"""`python -m bench NAME [--runs N] [--events N] [--peers] [--json] [--plot FILE]`; each file says what it measures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench import emit, guard, outage, pipeline, redact, respawn, rounds, scale, spool
from bench.measure import show
from bench.plot import draw

RUNS = "after one that warms up (5); redact: each with other values (1); respawn: kills (20); rounds (1,000)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ["emit", "guard", "outage", "pipeline", "redact", "respawn", "rounds", "scale", "spool"]
    parser.add_argument("name", choices=names)
    parser.add_argument("--runs", type=int, help=RUNS)
    parser.add_argument("--events", type=int, help="a run (1,000,000); guard: a turn (20,000)")
    parser.add_argument("--seconds", type=int, default=86_400, help="outage: how long it is, simulated (86,400)")
    parser.add_argument("--dirty", type=float, default=0.01, help="pipeline: share with something private (0.01)")
    parser.add_argument("--store", action="store_true", help="guard: keep this run's ratios as those to compare with")
    parser.add_argument("--peers", action="store_true", help="emit: the other libraries too, in their own environment")
    parser.add_argument("--canaries", type=int, default=300, help="redact: of each kind, planted 13 times each (300)")
    parser.add_argument("--detailed", action="store_true", help="redact: recall by carrier and encoding too")
    parser.add_argument("--plot", metavar="FILE", help="draw the first metric as bars into FILE (.svg, .png)")
    parser.add_argument("--json", action="store_true", help="a list of {name, metric, unit, median, p99, runs}")
    options = parser.parse_args()
    runs = options.runs or {"redact": 1, "respawn": 20, "rounds": 1000}.get(options.name, 5)
    events = options.events or {"guard": 20_000}.get(options.name, 1_000_000)
    if options.name == "guard":
        sys.exit(guard.store(events) if options.store else guard.guard(events))
    if options.name == "emit":
        results = emit.measure(runs, events, peers=options.peers)
    elif options.name == "outage":
        results = outage.measure(runs, events, options.seconds)
    elif options.name == "pipeline":
        results = pipeline.measure(runs, events, options.dirty)
    elif options.name == "spool":
        results = spool.measure(runs)
    elif options.name == "respawn":
        results = respawn.measure(runs)
    elif options.name == "rounds":
        results = rounds.measure(runs)
    elif options.name == "scale":
        results = scale.measure(runs, events)
    else:
        results = redact.measure(runs, options.canaries, detailed=options.detailed)
    show(results, as_json=options.json)
    if options.plot:
        draw(results, str(Path(options.plot).absolute()))


if __name__ == "__main__":
    main()
