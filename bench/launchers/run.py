"""Running a row, and judging it by the law that all rows are under."""

from __future__ import annotations

import re
import shutil
import subprocess
from ctypes.util import find_library
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bench.exits.run import PROGRAMS
from bench.launchers.confined import public_python
from bench.launchers.place import ROOT

if TYPE_CHECKING:
    from bench.launchers.place import Place
    from bench.launchers.rows import Row

OURS = re.compile(rf"{re.escape(str(ROOT))}/telemetry/|\bzmq\b|\bsrc/\w+\.cpp")
"""What a host never prints by us: our files in a warning or traceback, and ZeroMQ's last words."""


class Result(NamedTuple):
    """What became of a row.

    Attributes:
        name: of the row.
        emitted: calls of `emit`, and as many of `count`.
        arrived: events at the collector.
        counted: the sum of the counter's events there.
        accounted: events that the ledger knows as dropped or kept, where not all arrived.
        first_seconds: from the first call to its event's arrival.
        faults: what is not as it must be.
    """

    name: str
    emitted: int
    arrived: int
    counted: int
    accounted: int
    first_seconds: float | None
    faults: list[str]


def run(row: Row, place: Place) -> Result:
    """Launch a row in its place, wait for what must arrive, and judge."""
    faults = []
    try:
        row.launch(place)
    except (AssertionError, OSError, subprocess.SubprocessError) as fault:
        faults.append(f"the host: {fault}"[:800])
    found = place.outcome(row.emitted, expected=row.reason is None)
    if row.reason is None and not found.emitted == found.arrived == found.counted:
        faults.append(f"not all arrived: {found.status[:2000]}")
    if row.reason is not None and not re.search(row.reason, found.status):
        faults.append(f"the reason ({row.reason}) is not told: {found.status[:2000]}")
    if row.reason is not None and found.arrived + found.accounted < found.emitted:
        faults.append("what is missing is not accounted for")
    said = [line for line in place.said.splitlines() if OURS.search(line)]
    if said and not faults:
        faults.append(f"the host printed: {said[:3]}")
    return Result(row.name, *found[:5], faults)


def missing(row: Row) -> list[str]:
    """What a row needs and is not to be had here."""
    return [name for name in row.needs if not _is_here(name)]


def _is_here(name: str) -> bool:
    if name == "an interpreter that every user may run":
        return public_python() is not None
    if name == "libfaketime":
        return any(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if name == "libseccomp":
        return find_library("seccomp") is not None
    if name == "namespaces":
        return _may_unshare()
    return bool(shutil.which(name)) if name in PROGRAMS else find_spec(name) is not None


def _may_unshare() -> bool:
    command = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "true"]
    return (
        shutil.which("unshare") is not None
        and subprocess.run(command, capture_output=True, check=False).returncode == 0
    )
