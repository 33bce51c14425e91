"""Work for one thread at a time, without waiting for the thread that does it, and safe from Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Lock


def alone(lock: Lock, work: Callable[[], object], timeout_seconds: float = 0.0) -> bool:
    """Do `work` while holding `lock`; return whether it was done.

    Args:
        lock: the lock to hold meanwhile.
        work: the work to do.
        timeout_seconds: how long to wait for the lock.
    """
    if not timeout_seconds and lock.locked():  # with eight threads a third of a host's CPU went into trying for it
        return False
    held: list[bool] = []
    try:
        # Taken and noted in one call: an interrupt between the two would leave it taken for ever.
        held.extend(map(lock.acquire, (True,), (timeout_seconds,)))
        if held[0]:
            work()
    finally:
        if held == [True]:
            lock.release()
    return held[0]
