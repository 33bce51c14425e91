"""One shipper for each rendezvous: whoever holds the lock is it. The kernel lets go of a dead one's."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.paths import LOCK_FILE
from telemetry.spool.disk import try_lock

if TYPE_CHECKING:
    from pathlib import Path

_PATIENCE_SECONDS = 0.5
"""Producers probe with a shared lock that they hold for microseconds; a shipper holds its own for its life."""


def acquire(directory: Path) -> int | None:
    """Take the lock of a rendezvous; blocks for at most half a second.

    Returns:
        A descriptor that holds it until closed, with our pid in the file; None when another shipper lives.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (lock := try_lock(directory / LOCK_FILE)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(0.01)
    with suppress(OSError):  # the pid is for people who look; a full disk must not stop us
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    return lock
