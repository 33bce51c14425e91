"""One shipper for each rendezvous: whoever holds the lock is it. The kernel lets go of a dead one's.

What is locked is a file, and what counts is its name: who holds a file that was removed since, for example by a cleaner
of temporary files, holds nothing that anybody else would find.

It is flock(2)'s that counts, for every version. On Linux its holder takes a record lock too, and ends its pid with a
newline: producers see that one without taking any (telemetry/record_lock.py). Both last until the descriptor is closed.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.paths import LOCK_FILE, SHOWN
from telemetry.record_lock import lock_open_file
from telemetry.spool.disk import try_lock

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_SECONDS = 0.5
"""Producers of older versions probe with a shared lock, for microseconds; a shipper holds its own for its life."""


def acquire(directory: Path) -> int | None:
    """Take the lock of a rendezvous; blocks for at most half a second.

    Returns:
        A descriptor that holds it until closed, with our pid in the file; None when another shipper lives.

    Raises:
        OSError: the directory is gone or can't be written, or its file system has no locks.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := _try(directory)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    shown = SHOWN if lock_open_file(lock) else b""
    with suppress(OSError):  # the pid is for people who look; a full disk must not stop us
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode() + shown)
    return lock


def is_current(lock: int, directory: Path) -> bool:
    """Whether the file that we hold is still the one that others find."""
    try:
        found = (directory / LOCK_FILE).lstat()
    except OSError:
        return False
    return os.path.samestat(os.fstat(lock), found)


def release(lock: int, directory: Path) -> None:
    """Let go, and leave no file; one that is another shipper's by now is left alone."""
    if is_current(lock, directory):
        with suppress(OSError):  # a disk that turned read-only: a file that nobody holds is no harm
            (directory / LOCK_FILE).unlink()
    os.close(lock)


def _try(directory: Path) -> int | None:
    lock = try_lock(directory / LOCK_FILE)
    # A predecessor removes its file as it leaves: we may have opened it before.
    if lock is not None and not is_current(lock, directory):
        os.close(lock)
        return None
    return lock
