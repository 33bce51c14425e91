"""Tries every fault of the list, or those whose name holds one of the words given, and prints what came of it.

    tools/endpoint-faults [--json] [WORD ...]

Ends with 1 when anything is not as it should be.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from unittest.mock import patch

from endpoint_faults import trial
from endpoint_faults.faults import FAULTS
from endpoint_faults.stage import Resolver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from endpoint_faults.faults import Fault
    from endpoint_faults.trial import Result

AT_ONCE = 24
"""Trials at a time: most of them wait."""


def main(arguments: Sequence[str]) -> int:
    """Returns the exit code."""
    words = [argument for argument in arguments if not argument.startswith("-")]
    faults = [fault for fault in FAULTS if not words or any(word in fault.name for word in words)]
    before = _peak_bytes()
    results = try_all(faults)
    grown = _peak_bytes() - before
    if "--json" in arguments:
        print(json.dumps({"memory_bytes": grown, "faults": [result._asdict() for result in results]}, indent=1))
    else:
        _print_table(results, grown)
    return int(any(result.wrong for result in results))


def try_all(faults: list[Fault]) -> list[Result]:
    """Try faults side by side, in an environment that would betray its user if it were asked."""
    resolver = Resolver()
    with TemporaryDirectory() as home, ThreadPoolExecutor(AT_ONCE) as threads:
        netrc = Path(home) / ".netrc"
        netrc.write_text("default login canary password canary\n")
        netrc.chmod(0o600)
        environ = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        with (
            patch.dict(os.environ, environ | {"HOME": home, "NETRC": str(netrc)}, clear=True),
            patch.object(socket, "getaddrinfo", resolver),
        ):
            return list(threads.map(lambda fault: trial.run(fault, resolver), faults))


def _peak_bytes() -> int:
    unit_bytes = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit_bytes


def _print_table(results: list[Result], grown_bytes: int) -> None:
    print(f"{'fault':37}{'outcome':11}{'uploads':>8}{'log lines':>11}{'lost':>14}  called")
    for result in results:
        lost = f"{result.lost} of {result.events}" if result.lost else "0"
        print(
            f"{result.fault:37}{result.outcome:11}{result.uploads:8}{result.log_lines:11}{lost:>14}  "
            f"{result.cause or '-'}"
        )
        for wrong in result.wrong:
            print(f"    WRONG: {wrong}")
    right = sum(not result.wrong for result in results)
    print(f"{right} of {len(results)} faults right; {grown_bytes >> 20} MiB of memory for all of them")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
