"""Preparation of the process that a shipper was given: inherited descriptors, limits, allocator, garbage collector.

The module is light: it is loaded before the shipper's sockets are bound.
"""

from __future__ import annotations

import ctypes
import gc
import os
import resource
import socket
from contextlib import suppress
from pathlib import Path

import psutil

from telemetry.rendezvous.handover import HANDOVER_DESCRIPTOR

MAX_DESCRIPTORS = 65_536
"""The number of descriptors a shipper may open, or closes if a system does not list them (it may allow 2^30)."""
COLLECT_ALLOCATIONS = 20_000
"""The surplus of new over freed objects after which cycles are looked for."""
M_ARENA_MAX, M_MMAP_THRESHOLD = -8, -3
"""The parameters of mallopt, from glibc's malloc.h."""
OWN_PAGES_BYTES = 2 << 20
"""The size from which on memory gets pages of its own, which go back at once. At 256 KiB page faults cost 8 % more."""


def inherit_listener(directory: Path) -> socket.socket | None:
    """Return the handover socket of `directory` that a producer has opened for us.

    None if this process was started without one.
    """
    try:
        listener = socket.socket(fileno=os.dup(HANDOVER_DESCRIPTOR))
    except OSError:
        return None
    # If a person starts a shipper, the descriptor may be anything.
    with suppress(OSError, ValueError):
        listens = listener.family == socket.AF_UNIX and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        if listens and Path(listener.getsockname()).parent == directory:
            listener.settimeout(0)
            return listener
    listener.close()
    return None


def close_inherited(kept: int) -> None:
    """Close the descriptors inherited from the host: a listening socket would stay taken after the host is gone.

    Descriptors that this process, or a hook in it, has opened by now are left: unlike those, they would not survive an
    exec.
    """
    try:
        inherited = [int(name) for name in os.listdir("/dev/fd")]  # noqa: PTH208 names are numbers
    except OSError:
        inherited = list(range(MAX_DESCRIPTORS))
    for descriptor in inherited:
        # Standard error is the last of the three that are the null device.
        if descriptor > 2 and descriptor != kept:  # noqa: PLR2004
            with suppress(OSError):
                if os.get_inheritable(descriptor):
                    os.close(descriptor)


def allow_descriptors() -> None:
    """Raise the limit of descriptors inherited from the host: each producer takes one, and there may be thousands."""
    with suppress(OSError, ValueError):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        allowed = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
        if soft != resource.RLIM_INFINITY and soft < allowed:
            resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))


def memory_bytes() -> int:
    """Return the memory of this process; 0 if it can't be known (no /proc)."""
    try:
        return int(psutil.Process().memory_info().rss)
    except (psutil.Error, OSError):
        return 0


def be_silent() -> None:
    """Discard all further output to standard error, because a library might print anything."""
    with suppress(OSError):
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 2)
        os.close(nothing)


def be_nice(niceness: int) -> None:
    """Leave the processor to others, where that is allowed.

    A child sets the priority for us: where the call kills the process that makes it (systemd's `SystemCallFilter=`),
    that is the child.
    """
    if not niceness:
        return
    with suppress(OSError):
        if (child := os.fork()) == 0:
            try:
                os.setpriority(os.PRIO_PROCESS, os.getppid(), os.getpriority(os.PRIO_PROCESS, 0) + niceness)
            finally:
                os._exit(0)
        os.waitpid(child, 0)


def calm_the_allocator() -> None:
    """Have all threads allocate from one heap, and bodies from none: glibc's mallopt(3), where it exists.

    By default glibc takes a heap for each thread, and keeps former bodies in them, with small objects in between that
    hold them there: memory at full rate grew by a tenth in ten minutes. Call it before there are threads.
    """
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_MMAP_THRESHOLD, OWN_PAGES_BYTES)


def calm_the_collector() -> None:
    """Look for cycles less often, and not among objects that live as long as the process.

    Values flow forward here and make next to no cycles; looking for them took 3 % of the time at full rate.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_ALLOCATIONS)
