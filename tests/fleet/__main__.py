"""`tools/fleet`: simulated shippers against a collector or a cluster, over bad links, with servers killed on schedule.

Exit code 1: an event was lost, counted twice, or sent against its installation's will.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from fleet.far import SIDES
from fleet.run import Plan, run

_MOST_INSTALLATIONS = 5000  # each has files open
_MOST_SECONDS = 3600.0
_MEMORY = Path("/dev/shm")  # noqa: S108 a directory of our own below it


def main() -> None:
    """Run a fleet, and print what became of it."""
    usual = Plan()
    parser = argparse.ArgumentParser(prog="tools/fleet", description=__doc__)
    parser.add_argument("--far", choices=SIDES, default=usual.far, help="one collector, or two before three servers")
    parser.add_argument("--installations", type=int, default=usual.installations)
    parser.add_argument("--batches", type=int, default=usual.batches, help="of each installation")
    parser.add_argument("--events", type=int, default=usual.events, help="of each batch")
    parser.add_argument("--seconds", type=float, default=usual.seconds, help="in which the batches are made")
    parser.add_argument("--kill-every-seconds", type=float, default=usual.kill_every_seconds, help="a server; 0: none")
    parser.add_argument("--json", action="store_true")
    options = vars(parser.parse_args())
    as_json = options.pop("json")
    if not (0 < options["installations"] <= _MOST_INSTALLATIONS and 0 < options["seconds"] <= _MOST_SECONDS):
        sys.exit(f"tools/fleet: 1 to {_MOST_INSTALLATIONS} installations, for at most {_MOST_SECONDS:.0f} seconds")
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        outcome = run(usual._replace(**options), Path(place))
    if as_json:
        print(json.dumps(outcome._asdict()))
    else:
        costs = outcome.cpu_seconds_per_million
        rows = {**outcome._asdict(), **{f"CPU s per million events, {name}": cost for name, cost in costs.items()}}
        del rows["cpu_seconds_per_million"]
        for name, value in rows.items():
            print(f"{name.replace('_', ' '):<40}{value:>14,}")
    sys.exit(not outcome.is_whole)


if __name__ == "__main__":
    main()
