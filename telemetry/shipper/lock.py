"""One shipper for each rendezvous: whoever holds the lock is it. The kernel lets go of a dead one's lock."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from telemetry.producer.spawn import LOCK_FILE

_PATIENCE_SECONDS = 0.5
"""Producers probe with a shared lock that they hold for microseconds; a shipper holds its own for its life."""


def acquire(directory: Path) -> int | None:
    """Take the lock of a rendezvous; blocks for at most half a second.

    Returns:
        A descriptor that holds it until closed, with our pid in the file; None when another shipper lives.
    """
    lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(lock)
                return None
            time.sleep(0.01)
        else:
            os.truncate(lock, 0)
            os.write(lock, str(os.getpid()).encode())
            return lock
