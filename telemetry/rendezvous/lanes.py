"""Choice of a lane: which of the shippers of a product, side by side on a machine, a producer goes to.

It is the one with the fewest living producers, by their signs of life; of several, the first. So a program of one
process always has lane 0. Whoever chooses holds a lock until its own sign is shown, lest many that begin at once all
choose the same. The lock is a record lock (fcntl(2)), which no forked child inherits. Standard library only: the host
imports it.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from telemetry.files import private_dir, private_file, read_file
from telemetry.native import monotonic, pause
from telemetry.paths import product_dir, spool_dir
from telemetry.rendezvous.directory import CONFIG_FILE, foreground_dir
from telemetry.rendezvous.life import living_in
from telemetry.rendezvous.lock import shipper_runs
from telemetry.settings import MAX_SHIPPERS

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCK_FILE = "lanes.lock"
"""The file in a product's directory that is locked by whoever chooses."""

_PATIENCE_SECONDS = 1.0
"""The time to wait for others that choose, each for a millisecond. Without the lock the lanes are less even."""


def lanes_of(product: str, endpoint: str, own: int) -> int:
    """Return the number of lanes of a product and endpoint.

    Args:
        product: the product's name.
        endpoint: the endpoint of its uploads.
        own: the number that applies unless shippers in the foreground serve it, which have one of their own.
    """
    return _served(product, endpoint) or own


def is_served(product: str, endpoint: str, lane: int) -> bool:
    """Tell whether a shipper in the foreground has taken over a lane, or has no such lane."""
    return shipper_runs(foreground_dir(product, endpoint, lane)) or lane >= lanes_of(product, endpoint, MAX_SHIPPERS)


def fewest(product: str, endpoint: str, lanes: int) -> int:
    """Return the lane, of so many, that has the fewest living producers."""
    if lanes == 1:
        return 0
    return min(range(lanes), key=lambda lane: living_in(spool_dir(product, endpoint, lane)))


@contextmanager
def choosing(product: str) -> Iterator[None]:
    """Keep other processes from choosing until the block ends; blocks for at most a second.

    Never raises: where no lock can be had, the lanes are less even.
    """
    lock = -1
    with suppress(OSError):
        private_dir(product_dir(product))
        lock = private_file(product_dir(product) / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        _lock(lock)
    try:
        yield
    finally:
        if lock >= 0:
            os.close(lock)


def _lock(file: int) -> None:
    deadline = monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() > deadline:
                return
            pause(0.001)
        else:
            return


def _served(product: str, endpoint: str) -> int:
    """Return the number of lanes of the shippers in the foreground, as the first has written it; 0 if none runs."""
    try:
        said = json.loads(read_file(foreground_dir(product, endpoint) / CONFIG_FILE))["shippers"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        said = 1
    lanes = said if type(said) is int and 1 <= said <= MAX_SHIPPERS else 1
    return lanes if any(shipper_runs(foreground_dir(product, endpoint, lane)) for lane in range(lanes)) else 0
