"""`python -m bench NAME [--runs N] [--events N] [--peers] [--json] [--plot FILE]`; each file says what it measures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import (
    emit,
    encode,
    guard,
    idle,
    ingest,
    latency,
    message,
    outage,
    pipeline,
    redact,
    respawn,
    rounds,
    scale,
    soak,
    spool,
    tables,
)
from bench.measure import show
from bench.plot import draw

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.measure import Result

RUNS = (
    "after one that warms up (5); load (3); redact: each with other values (1); respawn: kills (20); rounds (1,000); "
    "soak: one"
)

NAMES = (
    "emit encode guard idle ingest latency load message outage pipeline redact respawn rounds scale soak spool".split()  # noqa: SIM905 - as words
)

INGESTED_BATCHES = 600
"""A run of ingest: some seconds."""

STREAMED_BATCHES = 3000
"""A run of ingest into a stream: some seconds."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--runs", type=int, help=RUNS)
    parser.add_argument(
        "--events",
        type=int,
        help="a run (1,000,000; latency 10,000; load 4,000,000; guard: a turn 20,000; ingest: a batch 5,000)",
    )
    parser.add_argument("--seconds", type=int, help="how long: outage, simulated (86,400); soak (600); idle (20)")
    parser.add_argument("--shippers", type=int, default=1, help="pipeline: that run side by side (1)")
    parser.add_argument("--dirty", type=float, default=0.01, help="pipeline: share with something private (0.01)")
    parser.add_argument("--store", action="store_true", help="guard: keep this run's ratios as those to compare with")
    parser.add_argument(
        "--peers", action="store_true", help="emit: other libraries, too; pipeline: syslog-ng, which has to be there"
    )
    parser.add_argument("--stream", metavar="URL", help="ingest: into this stream instead of a store")
    parser.add_argument("--canaries", type=int, default=300, help="redact: of each kind, planted 13 times each (300)")
    parser.add_argument("--detailed", action="store_true", help="redact: recall by carrier and encoding too")
    parser.add_argument("--plot", metavar="FILE", help="draw the first metric as bars into FILE (.svg, .png)")
    parser.add_argument("--json", action="store_true", help="a list of {name, metric, unit, median, p99, runs}")
    options = parser.parse_args()
    if options.name == "guard":
        events = options.events or 20_000
        sys.exit(guard.store(events) if options.store else guard.guard(events))
    results = _measure(options)
    show(results, as_json=options.json)
    if options.plot:
        draw(results, str(Path(options.plot).absolute()))


def _measure(options: argparse.Namespace) -> list[Result]:
    """What was asked for, as long and as often as is usual for it where nothing was said."""
    name = options.name
    runs = options.runs or {"load": 3, "redact": 1, "respawn": 20, "rounds": 1000}.get(name, 5)
    usual = {"latency": 10_000, "ingest": 5000, "encode": 200_000, "load": 4_000_000}
    events = options.events or usual.get(name, 1_000_000)
    seconds = options.seconds or {"soak": 600, "idle": 20}.get(name, 86_400)
    measures: dict[str, Callable[[], list[Result]]] = {
        "emit": lambda: emit.measure(runs, events, peers=options.peers),
        "encode": lambda: encode.measure(runs, events),
        "idle": lambda: idle.measure(runs, seconds),
        "ingest": lambda: (
            ingest.measure_stream(runs, STREAMED_BATCHES, options.stream)
            if options.stream
            else ingest.measure(runs, events, INGESTED_BATCHES)
        ),
        "latency": lambda: latency.measure(runs, events),
        "load": lambda: tables.measure(runs, events),
        "message": lambda: message.measure(runs),
        "outage": lambda: outage.measure(runs, events, seconds),
        "pipeline": lambda: pipeline.measure(runs, events, options.dirty, options.shippers, peers=options.peers),
        "redact": lambda: redact.measure(runs, options.canaries, detailed=options.detailed),
        "respawn": lambda: respawn.measure(runs),
        "rounds": lambda: rounds.measure(runs),
        "scale": lambda: scale.measure(runs, events),
        "soak": lambda: soak.measure(seconds, options.dirty),
        "spool": lambda: spool.measure(runs),
    }
    return measures[name]()


if __name__ == "__main__":
    main()
