"""Flag that `emit` reads on its way, and that every fork clears: a fork in C runs none of Python's hooks.

The kernel wipes the flag's page in a child (MADV_WIPEONFORK in madvise(2), since Linux 4.14). So comparing a process
with the one that made the state costs no more than the look at the flag, which is there anyway. Of the objects over raw
memory a pointer's truth is read fastest, in the time that an attribute takes to load; it is never followed.

Where the page is not wiped, a child is recognised by its pid alone: when the flag happens to be clear, or a chunk is
full.
"""

from __future__ import annotations

import mmap
import sys
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

from telemetry.native import booted_ns, open_file, posix

if TYPE_CHECKING:
    _Byte: Any
    _Pointer: Any
else:
    from _ctypes import _Pointer, _SimpleCData

    class _Byte(_SimpleCData):
        _type_ = "b"


WIPE_ON_FORK = 18
"""The advice MADV_WIPEONFORK, from Linux's asm-generic/mman-common.h."""

_STARTTIME = 20
"""The field of a process's start in /proc/self/stat, in ticks since boot, counted after its name (proc(5))."""

_OWNED = 64
"""The byte of the page that tells whether it is this process's own, far behind the pointer."""


class _Truth(_Pointer):  # type: ignore[misc] # known at run time
    """A pointer that is true when the memory under it is not zero."""

    _type_ = _Byte


class Flag:
    """A flag of one process. Nothing here waits, and all of it is safe in signal handlers.

    Attributes:
        truth: an object whose truth is the flag's; false at first, and in a child.
    """

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if sys.platform == "linux":
            with suppress(OSError, ValueError):  # an older kernel
                self._page.madvise(WIPE_ON_FORK)
        self.truth: object = _Truth.from_buffer(self._page)
        self.own()

    def set(self) -> None:
        """Raise the flag."""
        self._page[0] = 1

    def clear(self) -> None:
        """Lower the flag."""
        self._page[0] = 0

    def own(self) -> None:
        """Lower the flag, and make it this process's: in a child, once its state is its own."""
        self.clear()
        self._pid = posix.getpid()
        self._page[_OWNED] = 1

    @property
    def is_own(self) -> bool:
        """Whether this process owns it. A child may have its parent's pid, in a namespace of its own."""
        return self._page[_OWNED] == 1 and self._pid == posix.getpid()


def forked_before_ns() -> float:
    """Return the end of the kernel's tick in which this process was forked, in UNIX nanoseconds; inf if unknown."""
    try:
        with open_file("/proc/self/stat", "rb") as file:
            stat = file.read()
        ticks = int(stat[stat.rindex(b")") :].split()[_STARTTIME])
    except (OSError, ValueError, IndexError):
        return inf
    return booted_ns() + (ticks + 1) * 1_000_000_000 // posix.sysconf("SC_CLK_TCK")
