"""The interpreter's own clocks, threads and waiting, whatever the host has put in their place.

gevent and eventlet replace functions inside `time` and `_thread`; freezegun replaces them there and under every name
that any loaded module has for them. So these are taken from copies of those modules that nobody else holds: the copy's
function is another object, which no patch by name or identity reaches. The thread that flushes must run while a
greenlet computes, nothing on `emit`'s way may switch to another greenlet, and a deadline must pass while a test has
stopped the clock.

System calls are those of `posix`: patches are laid on `os`, which re-exports them. eventlet's `open`, `os.open`,
`os.fdopen`, `os.read` and `os.write` go through its hub, so ours are these.

A clock that is replaced beneath its name is not escaped: time-machine does so for the time of day, and events bear it.
"""

from __future__ import annotations

import posix
import time as _patched_time
from _queue import Empty, SimpleQueue
from importlib.machinery import BuiltinImporter
from io import open as open_file
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Empty",
    "Lock",
    "SimpleQueue",
    "booted_ns",
    "monotonic",
    "open_file",
    "pause",
    "perf_counter",
    "posix",
    "sleep",
    "start_new_thread",
    "time",
    "time_ns",
]


def _copy(name: str) -> Any:
    """Load a builtin module anew, as it is before anybody has touched it."""
    spec = BuiltinImporter.find_spec(name)
    if spec is None:
        raise ImportError(f"{name} is not built into this interpreter: telemetry needs CPython")
    module: Any = BuiltinImporter.create_module(spec)
    BuiltinImporter.exec_module(module)
    return module


_time, _thread = _copy("time"), _copy("_thread")

monotonic: Callable[[], float] = _time.monotonic
perf_counter: Callable[[], float] = _time.perf_counter
sleep: Callable[[float], None] = _time.sleep
time: Callable[[], float] = _time.time
time_ns: Callable[[], int] = _time.time_ns
Lock = _thread.allocate_lock
start_new_thread = _thread.start_new_thread


def booted_ns() -> int:
    """Return the time at which this machine was started, in UNIX nanoseconds by the present clock. On Linux only."""
    now_ns: int = time_ns()
    return now_ns - int(_time.clock_gettime_ns(_time.CLOCK_BOOTTIME))


def pause(seconds: float) -> None:
    """Wait on a thread of the host; other greenlets run meanwhile, if there are any."""
    try:
        _patched_time.sleep(seconds)  # looked up now: gevent may have replaced it since
    except Exception:  # noqa: BLE001 in a signal handler: the hub may not wait for itself, or is only being made
        sleep(seconds)
