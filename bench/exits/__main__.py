"""`python -m bench.exits [--json]`: every row of the table, and what the end of a program is delayed by."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from bench.exits.rows import DELAYED, ROWS, ROWS_THAT_SPAWN
from bench.exits.run import missing, site
from bench.measure import progress

SIDE_BY_SIDE = 3


def main() -> None:
    """Run all rows and print a line each."""
    parser = argparse.ArgumentParser(prog="tools/exits", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of {name, emitted, arrived, …, exit_seconds}")
    options = parser.parse_args()
    table = [*ROWS, *ROWS_THAT_SPAWN]
    rows = [row for row in table if not missing(row)]
    for row in table:
        if row not in rows:
            progress(f"{row.name}: skipped, it needs {', '.join(missing(row))}")
    with site() as place, ThreadPoolExecutor(SIDE_BY_SIDE) as threads:
        results = list(threads.map(place.run, rows))
        delays = [
            (row.name, place.exit_seconds(row), place.exit_seconds(row, plain=True)) for row in [*rows[:2], *DELAYED]
        ]
    if options.json:
        found = [result._asdict() for result in results]
        found += [{"name": name, "exit_seconds": ours, "plain_exit_seconds": plain} for name, ours, plain in delays]
        print(json.dumps(found, indent=1))
        return
    print(f"{'':66} emitted arrived counted twice  exit s")
    for name, emitted, arrived, counted, duplicates, exit_seconds in results:
        print(f"{name:66} {emitted:7} {arrived:7} {counted:7} {duplicates:5} {exit_seconds:7.3f}")
    print(f"\n{'one at a time':66}                            exit s, without telemetry")
    for name, ours, plain in delays:
        print(f"{name:66} {'':29} {ours:7.3f} {plain:7.3f}")


if __name__ == "__main__":
    main()
