"""`tools/launchers [--json] [--only TEXT]`: every row of the table, what arrived of it, and how soon."""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor

from bench.launchers.place import site
from bench.launchers.rows import ROWS, Row
from bench.launchers.run import Result, missing, run
from bench.measure import progress

SIDE_BY_SIDE = 2


def main() -> int:
    """Run all rows, print a line each, and say how many were not as they must be."""
    parser = argparse.ArgumentParser(prog="tools/launchers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="a list of {name, emitted, arrived, …, faults}")
    parser.add_argument("--only", default="", metavar="TEXT", help="the rows whose name contains it")
    options = parser.parse_args()
    rows = [row for row in ROWS if options.only in row.name]
    for row in rows:
        if lacks := missing(row):
            progress(f"{row.name}: skipped, it needs {', '.join(lacks)}")
    if not options.json:
        print(f"{'':56} emitted arrived counted accounted  first s")
    results = []
    with site() as make_place, ThreadPoolExecutor(SIDE_BY_SIDE) as threads:

        def launch(row: Row) -> Result:
            with make_place() as place:
                return run(row, place)

        for result in threads.map(launch, [row for row in rows if not missing(row)]):
            results.append(result)
            if not options.json:
                _print(result)
    bad = sum(bool(result.faults) for result in results)
    if options.json:
        print(json.dumps([result._asdict() for result in results], indent=1))
    else:
        print(f"\n{len(results) - bad} of {len(results)} launches as they must be")
    return int(bad > 0)


def _print(result: Result) -> None:
    name, emitted, arrived, counted, accounted, first_seconds, faults = result
    first = f"{first_seconds:8.2f}" if first_seconds is not None else f"{'':8}"
    print(f"{name:56} {emitted:7} {arrived:7} {counted:7} {accounted:9} {first}", flush=True)
    for fault in faults:
        print(f"    {fault}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
