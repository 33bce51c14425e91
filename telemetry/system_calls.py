"""Trial of the system calls without which ZeroMQ ends its process, as a sandbox may deny any of them."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

from telemetry.native import posix

if TYPE_CHECKING:
    from collections.abc import Callable


def check_system_calls() -> None:
    """Make each of these calls once, to no effect, in some microseconds.

    Raises:
        OSError: one fails here; its `strerror` names it, and the remedy.
    """
    for name, call in _NEEDED.items():
        try:
            call()
        except OSError as fault:
            raise OSError(
                fault.errno,
                f"the system call {name} is denied here ({fault.strerror}), and ZeroMQ needs it: allow it, "
                "for example in systemd's SystemCallFilter=",
            ) from None


def _make_eventfd() -> None:
    os.close(posix.eventfd(0, posix.EFD_CLOEXEC))


def _set_scheduler() -> None:
    posix.sched_setscheduler(0, posix.sched_getscheduler(0), posix.sched_getparam(0))


_NEEDED: dict[str, Callable[[], object]] = {}
if hasattr(posix, "eventfd"):
    _NEEDED["eventfd2"] = _make_eventfd
if hasattr(posix, "sched_setscheduler"):
    _NEEDED["sched_setscheduler"] = _set_scheduler
if hasattr(select, "epoll"):  # which gevent takes away; what denies it to ZeroMQ denies it to gevent
    _NEEDED["epoll_create1"] = select.epoll
