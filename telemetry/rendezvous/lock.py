"""Lock of a rendezvous, whose holder is the shipper there. The kernel releases the lock of a dead one.

A file is locked, but its name is what counts: a process that holds a file removed since, for example by a cleaner of
temporary files, holds nothing that others would find.

The lock that counts, for every version, is that of flock(2). On Linux its holder takes a record lock too, and ends its
pid with a newline: producers can see that one without taking any (telemetry/rendezvous/record_lock.py). Both last until
the descriptor is closed. The host imports this.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.files import is_at, is_locked, private_file, try_lock
from telemetry.native import posix
from telemetry.rendezvous import record_lock

if TYPE_CHECKING:
    from pathlib import Path

LOCK_FILE = "lock"
"""The name of the lock in a rendezvous; its shipper holds it, and writes its pid into it."""

SHOWN = b"\n"
"""The end of the pid of a shipper that also holds a record lock, which can be seen without taking one."""

_PATIENCE_SECONDS = 0.5
"""How long a lock is tried: older producers probe with a shared one for microseconds, a shipper keeps its own."""


def shipper_runs(directory: Path) -> bool:
    """Tell whether a living shipper holds the lock of a rendezvous. Makes no file.

    No lock is taken where the holder shows its own: a child that the host forks at that moment would keep it, and no
    shipper could start for as long as that child lives.
    """
    try:
        lock = private_file(directory / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return False
    try:
        if record_lock.is_locked(lock):
            return True
        # A process of an older version, or of a system with flock(2) only, shows none.
        return not posix.read(lock, 32).endswith(SHOWN) and is_locked(lock)
    except OSError:  # no locks here: a shipper that is spawned will refuse, and say so
        return False
    finally:
        os.close(lock)


def acquire(directory: Path) -> int | None:
    """Take the lock of a rendezvous; blocks for at most half a second.

    Returns:
        A descriptor that holds the lock until closed, with our pid in the file; None if another shipper lives.

    Raises:
        OSError: the directory is gone or can't be written, or its file system has no locks.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := _try(directory)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    shown = SHOWN if record_lock.lock_open_file(lock) else b""
    with suppress(OSError):  # the pid is for people who look; a full disk must not stop us
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode() + shown)
    return lock


def is_current(lock: int, directory: Path) -> bool:
    """Tell whether the file that we hold is still the one that others find."""
    return is_at(directory / LOCK_FILE, os.fstat(lock))


def release(lock: int, directory: Path) -> None:
    """Release the lock and remove its file, unless that is another shipper's by now."""
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
