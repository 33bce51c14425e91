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
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry.paths import CONFIG_FILE, LOCK_FILE, REFUSED_FILE, private_file

if TYPE_CHECKING:
    from collections.abc import Mapping

REFUSED_SECONDS = 60.0
"""How long a shipper that could not start, because of its configuration, is left in peace."""
GUARD = "TELEMETRY_SHIPPER"
"""Set in a shipper's environment, so that nothing in it can spawn another."""

_NEEDED = re.compile(
    r"TELEMETRY_\w+|PYTHON\w+|LC_\w+|XDG_\w+|MALLOC_\w+|(?:LD|DYLD)_(?:FALLBACK_)?LIBRARY_PATH|SSL_CERT_(?:FILE|DIR)"
    r"|(?:HTTPS?|ALL|NO)_PROXY|(?:https?|all|no)_proxy|PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|VIRTUAL_ENV"
)
"""Where files lie, how to reach the network, and what an interpreter needs to start."""


def shipper_runs(directory: Path) -> bool:
    """Whether a living shipper holds the lock; a file left by a dead one holds nothing.

    The probe asks for a shared lock, so that two probes don't mistake each other for a shipper.
    """
    try:
        lock = private_file(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
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
    try:
        refused_at = (directory / REFUSED_FILE).stat().st_mtime
    except OSError:
        return True
    return not 0 <= time.time() - refused_at < REFUSED_SECONDS


def spawn_shipper(directory: Path, config: dict[str, Any]) -> bool:
    """Write the configuration and start a shipper in `directory`; it leaves at once if another has the lock.

    Blocks for the few milliseconds that a shell takes.

    Returns:
        False when no process can be started here (a full process table, no shell): the caller may try again later.
    """
    try:
        _write_private(directory / CONFIG_FILE, json.dumps(config))
        _start_orphan([sys.executable, "-P", "-m", "telemetry", "ship", "--spawned", str(directory)])
    except OSError:
        return False
    return True


def _start_orphan(command: list[str]) -> None:
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1, 2)]
    shell = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", 'cd / && "$@" &', "sh", *command],
        {**_needed(os.environ), GUARD: "1", "PYTHONPATH": _python_path()},
        file_actions=quiet,
        setsigmask=[],
    )
    # It is reaped already when the host ignores SIGCHLD, or another thread of it waits for every child.
    with suppress(ChildProcessError):
        os.waitpid(shell, 0)


def _needed(environ: Mapping[str, str]) -> dict[str, str]:
    """What of the host's environment a shipper has use for: the rest holds the host's secrets, and stays with it."""
    return {name: value for name, value in environ.items() if _NEEDED.fullmatch(name)}


def _python_path() -> str:
    """The host's, seen from `/`, with this package's own place ahead when it is not installed."""
    place = Path(__file__).parents[2]
    known = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    installed = place.name in {"site-packages", "dist-packages"}
    return os.pathsep.join(known if installed else [str(place), *known])


def _write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, so that a shipper never reads half of it."""
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.unlink(missing_ok=True)  # of a process that had this pid, and was killed
    file = private_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        os.write(file, text.encode())
    finally:
        os.close(file)
    new.replace(path)
