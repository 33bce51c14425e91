"""The file system as the spool sees it: private files, whole writes, syncs that are waited for."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from telemetry.paths import private_file

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE = 0o600

_MAY_PASS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}
"""What says nothing of the file that was to be read: the same read may succeed later."""


_FULL = {errno.ENOSPC, errno.EDQUOT}


def is_full(fault: OSError) -> bool:
    """Whether a disk, or what this user may have of it, is full: what is deleted makes room."""
    return fault.errno in _FULL


def free_bytes(directory: Path) -> int:
    """How much this user may still write where `directory` lies; a quota is not seen. Raises OSError."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def open_append(path: Path) -> int:
    """Open for appending, making the file, 0600, if there is none. The caller closes the descriptor."""
    return private_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def read_file(path: Path) -> bytes:
    """The bytes of a file of ours; follows no link, and waits for no pipe of that name.

    Raises:
        FileNotFoundError: there is nothing.
        ValueError: what is there is no file of ours, or one that can't be read.
        OSError: this process can't read now, whatever is there.
    """
    try:
        file = private_file(path, os.O_RDONLY)
        try:
            with os.fdopen(file, "rb", closefd=False) as found:
                return found.read()
        finally:
            os.close(file)
    except OSError as fault:
        if isinstance(fault, FileNotFoundError) or fault.errno in _MAY_PASS:
            raise
        raise ValueError(f"{path} can't be read: {fault.strerror or fault}") from None


def write_all(file: int, data: bytes) -> None:
    """Write all of `data`: a write may stop half-way, at a signal or a limit."""
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def new_name(name: str) -> str:
    """What a file that `write_whole` makes is called until it is whole."""
    return f".{name}.new"


def write_whole(path: Path, data: bytes) -> None:
    """Make `path` hold `data`, all or nothing, and durable but for its directory's entry: see `sync_directory`."""
    new = path.with_name(new_name(path.name))
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
    try:
        write_all(file, data)
        os.fsync(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    new.replace(path)


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable: a rename or a new file is not, until its directory is synced."""
    directory = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def size_bytes(directory: Path) -> int:
    """Of all files in a directory together."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # sealed meanwhile
    return total


def try_lock(path: Path) -> int | None:
    """Take the lock on a file, making it if there is none.

    Returns:
        A descriptor that holds it until closed; None when another process has it.
    """
    lock = private_file(path, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        if isinstance(fault, BlockingIOError):
            return None
        raise
    return lock
