"""POSIX record locks on whole files (fcntl(2)), which can be queried without taking any.

A lock by flock(2) can only be queried by taking it, and a child forked at that moment keeps it. Standard library only:
the host imports it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys

_IS_LINUX = sys.platform == "linux"

_SET_FOR_OPEN_FILE = 37
"""The command F_OFD_SETLK, since Linux 3.15, which not every build of Python names."""

# `struct flock` of fcntl.h: Linux begins with type and whence, the BSDs and macOS end with them.
_LAYOUT = struct.Struct("hhqqi" if _IS_LINUX else "qqihh")


def is_locked(file: int) -> bool:
    """Tell whether another process, or another open file of this one, holds a record lock on a file.

    On the BSDs and macOS locks by flock(2) are seen too. Never waits. Raises OSError: the file system has no locks.
    """
    found = fcntl.fcntl(file, fcntl.F_GETLK, _whole_file(fcntl.F_WRLCK))
    kind: int = _LAYOUT.unpack(found)[0 if _IS_LINUX else 3]
    return kind != fcntl.F_UNLCK


def lock_open_file(file: int) -> bool:
    """Lock a file, open for writing, until every descriptor of this opening is closed, in forked children too.

    Unlike a process's lock it outlasts the closing of other descriptors of the file. Never waits or raises.

    Returns:
        False if this system has no such locks, or another process holds one: on NFS flock(2) is one.
    """
    if not _IS_LINUX:
        return False
    try:
        fcntl.fcntl(file, _SET_FOR_OPEN_FILE, _whole_file(fcntl.F_WRLCK))
    except OSError:
        return False
    return True


def _whole_file(kind: int) -> bytes:
    return _LAYOUT.pack(kind, os.SEEK_SET, 0, 0, 0) if _IS_LINUX else _LAYOUT.pack(0, 0, 0, kind, os.SEEK_SET)
