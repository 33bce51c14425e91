"""Threads, locks and waiting that are the interpreter's own, also where gevent has put greenlets in their place.

The flush thread must run while a greenlet computes, and nothing on `emit`'s way may switch to another greenlet. So
what gevent has replaced is asked for as it was, when this module is first imported: in `init`. What it replaces later
does not reach us, since the names here are bound by then.
"""

from __future__ import annotations

import _queue
import _thread
import sys
import time
from typing import Any


def _original(module: str, name: str) -> Any:
    monkey = sys.modules.get("gevent.monkey")
    return monkey.get_original(module, name) if monkey else getattr(sys.modules[module], name)


SimpleQueue = _queue.SimpleQueue
Lock = _original(_thread.__name__, "allocate_lock")
start_new_thread = _original(_thread.__name__, "start_new_thread")
sleep = _original(time.__name__, "sleep")


def pause(seconds: float) -> None:
    """Wait on a thread of the host: other greenlets run meanwhile, where there are any."""
    try:
        time.sleep(seconds)  # looked up now: gevent may have replaced it since
    except Exception:  # noqa: BLE001 in a signal handler: the hub may not wait for itself, or is only being made
        sleep(seconds)
