"""Files and directories of one user alone: made private, written whole, synced, locked. The host imports it.

A file that others have put in the place of ours is neither read nor written, and nothing here waits for a pipe of that
name. Standard library only.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError
from telemetry.native import open_file, posix
from telemetry.paths import is_given, is_open_to_others, own_name

if TYPE_CHECKING:
    from pathlib import Path

_MAX_SECRET_BYTES = 1 << 20  # a chain of certificates has some KiB

_MAY_PASS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}
"""The errors that tell nothing of the file to be read: the same read may succeed later."""

_FULL = {errno.ENOSPC, errno.EDQUOT}


def private_dir(path: Path) -> None:
    """Make `path` and its parents, 0700, unless they exist; refuse one that another user can reach or replace.

    Raises:
        OSError: it can't be made. PermissionError: `path` is a symbolic link, belongs to another user, or is open to
            others; or a parent of it is such that another user could put something else in its place.
    """
    if not path.exists():
        check_parents(path)  # nothing is made in a place that is somebody else's
        _make(path)
    check_private(path)


def check_private(path: Path) -> None:
    """Refuse what `private_dir` would refuse, as far as it exists; makes nothing.

    Raises:
        PermissionError: as `private_dir`.
    """
    with suppress(FileNotFoundError, NotADirectoryError):
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise PermissionError(
                f"{path} must be a directory of user {os.getuid()} alone (mode 0700): remove it or fix its mode"
            )
    check_parents(path)


def check_parents(path: Path) -> None:
    """Refuse a path that another user could replace, by its parents as named and behind links.

    Raises:
        PermissionError: an existing parent belongs to another user, or others may write there and it is not sticky.
    """
    for whole in dict.fromkeys((path, path.resolve())):
        for inner, outer in pairwise((whole, *whole.parents)):
            try:
                found = outer.stat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            if is_open_to_others(found):
                _check_open_parent(inner, outer, found, path)


def _check_open_parent(inner: Path, outer: Path, found: os.stat_result, path: Path) -> None:
    """Refuse a parent in which others may rename entries: one that they may write, and that is not sticky.

    A volume given to us is trusted not to be abused so, but only for the private directory that we make in it.
    """
    if found.st_uid not in {0, os.getuid()}:
        raise PermissionError(f"{outer} belongs to another user, who could replace {path}: choose another place")
    if not found.st_mode & stat.S_ISVTX and not (inner.name == own_name() and is_given(outer)):
        raise PermissionError(f"others may write in {outer} and could replace {path}: chmod +t or go-w it")
    if os.path.lexists(inner) and inner.lstat().st_uid not in {0, os.getuid()}:
        raise PermissionError(f"{inner} belongs to another user, who could replace {path}: remove it")


def private_file(path: Path, flags: int) -> int:
    """Open a file of a private directory, making it, 0600, if `flags` say so; never blocks.

    The caller closes the descriptor.

    Raises:
        OSError: it can't be opened. PermissionError: it is no file, a link, or another user's; a file that others have
            put there is neither read nor written.
    """
    file = posix.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    found = os.fstat(file)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and found.st_nlink <= 1:
        return file
    os.close(file)
    raise PermissionError(f"{path} must be a file of user {os.getuid()}, and not a link: remove it")


def open_append(path: Path) -> int:
    """Open a file of a private directory for appending, making it, 0600, if there is none.

    The caller closes the descriptor. Raises OSError, as `private_file`.
    """
    return private_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)


def read_file(path: Path) -> bytes:
    """Read a file of a private directory.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not ours, or can't be read.
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
    """Write all of `data` to a descriptor: a write may stop half-way, at a signal or a limit. Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[posix.write(file, view) :]


def write_private(path: Path, data: bytes) -> None:
    """Write a file of a private directory, 0600, in one step: a reader meets all of it or nothing.

    Several processes may do so at once. After a power cut there may be neither the old file nor the new one.

    Raises:
        OSError: the disk refuses, or is full; then nothing is left.
    """
    # Not named by our pid: another process may have it in another pid namespace.
    _put(path.with_name(f"{path.name}.{os.urandom(4).hex()}"), path, data, is_durable=False)


def new_name(name: str) -> str:
    """Return the name that a file of `write_durably` has until it is whole."""
    return f".{name}.new"


def write_durably(path: Path, data: bytes) -> None:
    """Write a file of a private directory as `write_private`, safe on disk but for its name: see `sync_directory`.

    It is for one writer at a time: a file that an earlier one left half written is replaced.

    Raises:
        OSError: the disk refuses, or is full; then nothing is left.
    """
    new = path.with_name(new_name(path.name))
    new.unlink(missing_ok=True)
    _put(new, path, data, is_durable=True)


def sync_directory(path: Path) -> None:
    """Make the names in a directory safe on disk: without it a new or renamed file may be lost in a power cut.

    Raises OSError.
    """
    directory = posix.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def lock(file: int, *, is_shared: bool = False, waits: bool = False) -> None:
    """Take flock(2)'s lock on an open file, until all descriptors of this opening are closed.

    Args:
        file: a descriptor; a child that is forked meanwhile keeps the lock.
        is_shared: whether others may hold it too that ask likewise.
        waits: whether to block while another holds it.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file system has no locks.
    """
    import fcntl  # noqa: PLC0415 with consent off nothing is locked

    fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))


def unlock(file: int) -> None:
    """Release flock(2)'s lock, even if a child that was forked meanwhile has the file open. Raises OSError."""
    import fcntl  # noqa: PLC0415 as in `lock`

    fcntl.flock(file, fcntl.LOCK_UN)


def try_lock(path: Path) -> int | None:
    """Take flock(2)'s lock on a file of a private directory, making the file if there is none.

    Returns:
        A descriptor that holds it until closed; None if another process has it.

    Raises:
        OSError: the file can't be opened, or its file system has no locks.
    """
    file = private_file(path, os.O_RDWR | os.O_CREAT)
    try:
        lock(file)
    except OSError as fault:
        os.close(file)
        if isinstance(fault, BlockingIOError):
            return None
        raise
    return file


def is_locked(file: int) -> bool:
    """Tell whether another opening of a file holds flock(2)'s exclusive lock on it. Never waits.

    The question is asked by taking a shared lock, so that two that ask don't see each other, and releasing it at once:
    a child that is forked meanwhile keeps nothing.

    Raises:
        OSError: the file system has no locks.
    """
    try:
        lock(file, is_shared=True)
    except BlockingIOError:
        return True
    unlock(file)
    return False


def is_at(path: Path, found: os.stat_result) -> bool:
    """Tell whether the file at `path` is still the one found there before."""
    try:
        return os.path.samestat(path.lstat(), found)
    except OSError:
        return False


def is_full(fault: OSError) -> bool:
    """Tell whether a disk, or a user's share of it, is full, so that deleting makes room."""
    return fault.errno in _FULL


def free_bytes(directory: Path) -> int:
    """Return how much this user may still write to a directory's disk; a quota is not seen. Raises OSError."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def size_bytes(directory: Path) -> int:
    """Return the size of all files in a directory together. Raises OSError."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue  # it has gone meanwhile
    return total


def read_secret(path: Path, name: str) -> bytes:
    """Read a file with a secret, which only we and root can read, or which root has let our group read.

    Args:
        path: the file, or a link to it.
        name: the setting that names it, for the error.

    Raises:
        ConfigError: it can't be read, or others can read it.
    """
    try:
        file = posix.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open_file(file, "rb") as opened:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode):
                raise ConfigError(f"{name}={str(path)!r}: is no file; name one")
            if found.st_uid not in {0, os.getuid()}:
                raise ConfigError(f"{name}={str(path)!r}: belongs to another user; chown it to user {os.getuid()}")
            if found.st_mode & 0o077 & ~_given_to_our_group(found):
                mode = stat.S_IMODE(found.st_mode)
                raise ConfigError(f"{name}={str(path)!r}: others can read it (mode {mode:o}); chmod 600 it")
            return opened.read(_MAX_SECRET_BYTES)
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"{name}={str(path)!r}: {reason}; name a file that user {os.getuid()} can read") from None
    except ValueError:
        raise ConfigError(f"{name}={str(path)!r}: no file can have that name; name an existing file") from None


def _given_to_our_group(found: os.stat_result) -> int:
    """Return the mode bit by which root lets a user read what root alone may change, as in a volume of secrets."""
    is_given = found.st_uid == 0 != os.getuid() and found.st_gid in {os.getegid(), *os.getgroups()}
    return stat.S_IRGRP if is_given else 0


def _make(path: Path) -> None:
    if not path.parent.exists():
        _make(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)


def _put(new: Path, path: Path, data: bytes, *, is_durable: bool) -> None:
    """Write a file under a name that nobody else uses, and put it in place."""
    file = private_file(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        write_all(file, data)
        if is_durable:
            os.fsync(file)
    except OSError:  # the disk is full: a part would be taken for the whole
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(file)
    new.replace(path)
