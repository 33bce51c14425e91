"""Spawning a shipper when none runs.

It is orphaned at once, by a shell that leaves before we go on: a direct child would make a host's `os.wait()` return
a process it never started, and would be a zombie until somebody waited. Configuration goes by a private file, never
by argv, which every user of the machine can read.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import site
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry.handover import DOOR_DESCRIPTOR, open_door
from telemetry.paths import CONFIG_FILE, LOCK_FILE, REFUSED_FILE, private_file, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSED_SECONDS = 60.0
"""How long a shipper that could not start, because of its configuration, is left in peace."""
START_SECONDS = 0.5
"""How long others leave it to the producer that has just spawned one: of fifty that start at once, one or two do."""
GUARD = "TELEMETRY_SHIPPER"
"""Set in a shipper's environment, so that nothing in it can spawn another."""

_NEEDED = re.compile(
    r"TELEMETRY_\w+|PYTHON\w+|LC_\w+|XDG_\w+|MALLOC_\w+|(?:LD|DYLD)_(?:FALLBACK_)?LIBRARY_PATH|SSL_CERT_(?:FILE|DIR)"
    r"|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy|PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|VIRTUAL_ENV"
)
"""Where files lie, how to reach the network, and what an interpreter needs to start."""


def shipper_runs(directory: Path) -> bool:
    """Whether a living shipper holds the lock; a file left by a dead one holds nothing. Makes no file.

    The probe asks for a shared lock, so that two probes don't mistake each other for a shipper.
    """
    try:
        lock = private_file(directory / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no locks here: a shipper that is spawned will refuse, and say so
        return False
    finally:
        os.close(lock)
    return False


def can_spawn(directory: Path) -> bool:
    """Whether a shipper can be started: `sys.executable` is a Python, and none refused its configuration a moment ago.

    In uWSGI or a PyInstaller bundle `sys.executable` is the host itself.
    """
    name = Path(sys.executable or "").name
    if not name.startswith(("python", "pypy")) or getattr(sys, "frozen", False):
        return False
    return not _is_younger(directory / REFUSED_FILE, REFUSED_SECONDS)


def is_starting(directory: Path) -> bool:
    """Whether a producer has spawned a shipper a moment ago: it wrote its configuration."""
    return _is_younger(directory / CONFIG_FILE, START_SECONDS)


def spawn_shipper(directory: Path, config: dict[str, Any]) -> bool:
    """Write the configuration and start a shipper in `directory`; it leaves at once if another has the lock.

    Blocks for the few milliseconds that a shell takes.

    Returns:
        False when no process can be started here (a full process table, no shell): the caller may try again later.
    """
    try:
        write_private(directory / CONFIG_FILE, json.dumps(config).encode())
        door = open_door(directory)
    except OSError:
        return False
    try:
        command = [sys.executable, "-P", "-m", "telemetry", "ship", "--spawned", str(directory)]
        return _start_orphan(command, door.fileno())
    except OSError:
        return False
    finally:
        door.close()


def _start_orphan(command: list[str], door: int) -> bool:
    """Whether the shell could start it. Raises OSError when there is not even a shell."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    handed = (os.POSIX_SPAWN_DUP2, door, DOOR_DESCRIPTOR)
    shell = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd / && "$@" &', "sh", *command],
        {**_needed(os.environ), GUARD: "1", "PYTHONPATH": _python_path()},
        file_actions=[*quiet, handed],
        setsigmask=[],
    )
    # It is reaped already when the host ignores SIGCHLD, or another thread of it waits for every child.
    with suppress(ChildProcessError):
        return os.waitpid(shell, 0)[1] == 0
    return True


def _needed(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the host's environment a shipper has use for: the rest holds the host's secrets, and stays with it."""
    return {name: value for name, value in environ.items() if _NEEDED.fullmatch(name)}


def _python_path() -> str:
    """The host's, seen from `/`, with this package's own place ahead where an interpreter would not look by itself."""
    place = str(Path(__file__).parents[2])
    own = [] if place in _site_directories() else [place]
    # What the host was told to ignore (-I, -E) its shipper ignores too.
    said = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([*own, *filter(None, map(_absolute, said.split(os.pathsep)))])


def _site_directories() -> set[str]:
    found = {*site.getsitepackages()}
    with suppress(Exception):  # a user without a home, among others
        found.add(site.getusersitepackages())
    return found


def _absolute(path: str) -> str:
    """Nothing for nothing, and for what is relative to a directory that is gone."""
    try:
        return str(Path(path).absolute()) if path else ""
    except OSError:
        return ""


def _is_younger(path: Path, seconds: float) -> bool:
    """Whether it was written that recently. What is dated in the future, since the clock was set back, was not."""
    try:
        return 0 <= time.time() - path.stat().st_mtime < seconds
    except OSError:
        return False
