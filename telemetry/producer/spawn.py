"""Spawning of a shipper when none runs.

It is orphaned at once, by a shell that leaves before we go on: a direct child would make a host's `os.wait()` return a
process it never started, and would be a zombie until the host waited. Configuration goes by a private file, never by
argv, which every user of the machine can read.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from telemetry.files import write_private
from telemetry.native import posix, start_new_thread, time
from telemetry.producer.exits import forks_in_c
from telemetry.producer.start import CanNotStartError, plan_start
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.handover import HANDOVER_DESCRIPTOR, open_listener
from telemetry.rendezvous.refusal import START_LOG_FILE, foreground_command, read_refusal, refuse

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.producer.start import Start

START_SECONDS = 0.5
"""The time that others leave it to the producer that has just spawned one: of fifty at once, one or two do."""


def is_starting(directory: Path) -> bool:
    """Tell whether a producer has spawned a shipper a moment ago, by the date of the configuration it wrote.

    A date in the future, from before the clock was set back, does not count.
    """
    try:
        return 0 <= time() - (directory / CONFIG_FILE).stat().st_mtime < START_SECONDS
    except OSError:
        return False


class Spawner:
    """The starter of the shippers of one rendezvous, which also reports there why none can be started.

    Args:
        config: the shipper's configuration, as it goes into its file.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self._said = self._none_came = ""

    def plan(self, directory: Path) -> Start | None:
        """Return how to start one; None if there is nothing to start, or this very configuration was refused."""
        try:
            start = plan_start(self.config["command"])
        except CanNotStartError as fault:
            self._say(directory, str(fault))
            return None
        refusal = read_refusal(directory)
        return None if refusal and refusal.holds(self._file(start)) else start

    def spawn(self, directory: Path, start: Start) -> bool:
        """Write the configuration and start a shipper in `directory`; it leaves at once if another has the lock.

        Blocks for the few milliseconds that a shell takes.

        Returns:
            False if no process can be started here (a full process table, no shell): the caller may try again later.
        """
        try:
            write_private(directory / CONFIG_FILE, self._file(start))
            listener = open_listener(directory)
        except OSError as fault:
            self._say(directory, f"{directory} can't be written ({fault.strerror or fault}): fix or move it")
            return False
        try:
            is_started = _start_orphan(start, directory, listener.fileno())
        except OSError as fault:
            self._say(directory, f"no process can be started here ({fault.strerror}), by /bin/sh")
            return False
        finally:
            listener.close()
        self._said = ""
        return is_started

    def say_none_came(self, directory: Path, start: Start, starts: int, seconds: float) -> None:
        """Report that shippers were started and none served, unless one of them has reported more."""
        said = read_refusal(directory)
        if said is not None and said.why != self._none_came and said.age_seconds <= seconds:
            return
        look = foreground_command(start.program, start.environment.get("PYTHONPATH"), directory / CONFIG_FILE)
        self._none_came = (
            f"{starts} shippers were started here in the last {seconds:.0f} seconds and none came up; "
            f"run `{look}` in the foreground to see why"
        )
        refuse(directory, self._none_came, None)

    def _file(self, start: Start) -> bytes:
        """Return the shipper's configuration, with how it was started: where that differs, a refusal does not hold."""
        path = start.environment.get("PYTHONPATH", "")
        return json.dumps({**self.config, "started_by": [*start.command, path]}).encode()

    def _say(self, directory: Path, why: str) -> None:
        """Report why there is no shipper, once, and whose it would have been."""
        if why == self._said:
            return
        self._said = why
        refuse(directory, why, None)
        with suppress(OSError):
            if not (directory / CONFIG_FILE).exists():
                write_private(directory / CONFIG_FILE, json.dumps(self.config).encode())
                os.utime(directory / CONFIG_FILE, (0, 0))  # nobody has spawned one a moment ago


PID_DESCRIPTOR = HANDOVER_DESCRIPTOR + 1
"""The descriptor at which the shell writes the id of the process it has left behind."""

_ORPHAN = f'cd / || exit; "$@" {PID_DESCRIPTOR}>&- & echo $! >&{PID_DESCRIPTOR}'


def _start_orphan(start: Start, directory: Path, listener: int) -> bool:
    """Start an orphan by way of a shell; return whether that could start it. Raises OSError if there is no shell."""
    quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in (0, 1)]
    # Until it serves, what an interpreter says that can't even begin is kept for `telemetry status`.
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    said = (os.POSIX_SPAWN_OPEN, 2, str(directory / START_LOG_FILE), flags, 0o600)
    handed = (os.POSIX_SPAWN_DUP2, listener, HANDOVER_DESCRIPTOR)
    told, tells = os.pipe()
    try:
        tell = fcntl.fcntl(tells, fcntl.F_DUPFD_CLOEXEC, PID_DESCRIPTOR + 1)  # not where the handover socket goes
    finally:
        os.close(tells)
    try:
        shell = posix.posix_spawn(
            "/bin/sh",
            ["sh", "-c", _ORPHAN, "sh", *start.command, str(directory)],
            start.environment,
            file_actions=[*quiet, said, handed, (os.POSIX_SPAWN_DUP2, tell, PID_DESCRIPTOR)],
            setsigmask=[],
        )
        os.close(tell)
        tell = -1
        # It is reaped already when the host ignores SIGCHLD, or another thread of it waits for every child.
        is_started = True
        with suppress(ChildProcessError):
            is_started = posix.waitpid(shell, 0)[1] == 0
        _look_after(posix.read(told, 32))
    finally:
        os.close(told)
        if tell >= 0:
            os.close(tell)
    return is_started


def _look_after(pid: bytes) -> None:
    """Make sure that a shipper adopted by us, as orphans are if we are pid 1, is no zombie when it ends."""
    with suppress(ValueError, OSError, RuntimeError):
        if posix.waitpid(int(pid), os.WNOHANG) == (0, 0) and not forks_in_c():
            start_new_thread(_wait_for, (int(pid),))


def _wait_for(pid: int) -> None:
    with suppress(OSError):  # the host has waited for it
        posix.waitpid(pid, 0)
