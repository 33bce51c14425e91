"""The long loop of kills, as `tools/kills` runs it."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path

from kills.loop import VARIANTS, StuckError, run

_EVERY = 50


def main() -> int:
    """Returns the exit code: 0 when every kill was survived, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="tools/kills", description="Kill a loaded shipper, again and again.")
    parser.add_argument("--kills", type=int, default=1000, help="how many; about a second each (1000)")
    parser.add_argument("--seed", type=int, default=None, help="of the instants; printed")
    parser.add_argument("--variant", choices=VARIANTS, default="kill", help="how; see tests/kills/loop.py (kill)")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    home = Path(tempfile.mkdtemp(prefix="telemetry-"))
    _prepare_environment(home)
    (home / "kills").mkdir()

    def progress(kills: int) -> None:
        if kills % _EVERY == 0:
            print(f"{kills} of {options.kills} kills", file=sys.stderr)

    try:
        verdict = run(home / "kills", options.kills, seed, progress, options.variant)
    except StuckError as fault:
        print(f"{fault}; seed {seed}; what is on disk is left in {home}", file=sys.stderr)
        return 1
    found = {**verdict._asdict(), "seed": seed}
    print(json.dumps(found) if options.json else "\n".join(f"{name:<24}{value}" for name, value in found.items()))
    if verdict.faults:
        print(f"what is on disk is left in {home}", file=sys.stderr)
        return 1
    shutil.rmtree(home)
    return 0


def _prepare_environment(home: Path) -> None:
    """A home that holds nothing, and nothing that speaks of consent: the producers' own yes must count."""
    for variable in list(os.environ):
        if "TELEMETRY" in variable or variable in {"CI", "DO_NOT_TRACK"}:
            del os.environ[variable]
    os.environ["TELEMETRY_HOME"] = str(home)


if __name__ == "__main__":
    sys.exit(main())
