"""Signs of life, by which a shipper knows that a producer lives, in whatever pid namespace.

A producer holds a POSIX record lock (fcntl(2), F_SETLK, a write lock on the whole file) on `living/<producer>` in the
spool, its id in hexadecimal. The kernel drops the lock however the process ends, and no forked child inherits it, as it
would inherit one by flock(2) or one of an open file description. A pid has no meaning where host and shipper have
different namespaces.

Such a lock is also dropped when its process closes any descriptor of the file, so a host that closes descriptors it has
not opened loses it: the holder checks the lock, and takes it again.

A producer without the file, which may be written in any language, is taken for alive while frames arrive
(telemetry/shipper/watch.py), and its numbers are remembered, as nobody can tell whether it lives. So a file that nobody
holds stays until its producer's numbers are forgotten.

Standard library only: the host imports it.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from time import time
from typing import TYPE_CHECKING

from telemetry.files import is_at, private_dir, private_file
from telemetry.paths import LIVING
from telemetry.rendezvous.record_lock import is_locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FIRST_DESCRIPTOR = 3
"""The first descriptor to use: the standard ones are the host's, even while it has closed them."""

_own: set[Path] = set()
"""The signs that this process holds: it must not look at them, for to close one again would drop its lock."""


class Sign:
    """The sign of life of one process, for one producer at a time."""

    def __init__(self) -> None:
        self._held: tuple[int, os.stat_result, Path] | None = None

    def hold(self, spool: Path, producer: bytes) -> None:
        """Make sure that the lock of this producer is held, in the spool where its shipper looks.

        The sign is another's in a forked child, and lies elsewhere after the process has become another user. Never
        waits.

        Raises:
            OSError: the file can't be made, its file system has no locks, or another process holds it.
        """
        path = spool / LIVING / producer.hex()
        if self._held is not None and self._held[2] == path and is_at(path, self._held[1]) and self._is_open:
            _lock(self._held[0])  # again: it may have been lost
            return
        self.let_go()
        self._held = _take(path)
        _own.add(path)

    def is_swept(self, spool: Path, producer: bytes) -> bool:
        """Tell whether the sign of this producer, which was held there before, has been removed."""
        path = spool / LIVING / producer.hex()
        return self._held is not None and self._held[2] == path and not is_at(path, self._held[1])

    @property
    def purged_ns(self) -> int:
        """The time when its user has erased all that was collected here, UNIX nanoseconds; 0 for never."""
        if self._held is None or not self._is_open:
            return 0
        found = os.fstat(self._held[0])
        return found.st_mtime_ns if found.st_size else 0

    def let_go(self) -> None:
        """Release the lock. The file stays, so that the shipper sees that nobody holds it."""
        held, is_open, self._held = self._held, self._is_open, None
        if held is not None:
            _own.discard(held[2])
        if held is not None and is_open:
            os.close(held[0])

    @property
    def _is_open(self) -> bool:
        """Whether the descriptor is still ours: a host may have closed it, and opened something else."""
        try:
            return self._held is not None and os.path.samestat(os.fstat(self._held[0]), self._held[1])
        except OSError:
            return False


def is_held(spool: Path, producer: str) -> bool | None:
    """Tell whether another process holds the lock of a producer, by its id in hexadecimal; None if it has no file.

    Takes no lock, so that a holder never finds its own taken. Never raises, and never waits.
    """
    try:
        file = os.open(spool / LIVING / producer, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        return is_locked(file)
    except OSError:  # a file system without locks: nobody can hold one there
        return None
    finally:
        os.close(file)


def gone_in(spool: Path) -> set[str]:
    """Return the producers whose sign lies here and is held by nobody. Never raises."""
    with suppress(OSError):
        return {name for name in os.listdir(spool / LIVING) if is_held(spool, name) is False}  # noqa: PTH208 names only
    return set()


def living_in(spool: Path) -> int:
    """Return the number of producers whose sign lies here and is held, by this process or another. Never raises."""
    with suppress(OSError):
        return sum(spool / LIVING / name in _own or is_held(spool, name) is True for name in os.listdir(spool / LIVING))  # noqa: PTH208 names only
    return 0


def newcomers_in(spool: Path, seconds: float) -> Iterator[str]:
    """Yield the producers whose sign was made within the last `seconds` and is held. Never raises."""
    with suppress(OSError), os.scandir(spool / LIVING) as signs:
        for sign in signs:
            with suppress(OSError):
                if abs(time() - sign.stat(follow_symlinks=False).st_mtime) < seconds and is_held(spool, sign.name):
                    yield sign.name


def tell_of_purge(spool: Path, producer: str) -> None:
    """Have a producer that lives discard what it keeps, and begin anew: its sign tells. Never raises."""
    with suppress(OSError, ValueError):
        file = private_file(spool / LIVING / producer, os.O_WRONLY)
        try:
            os.write(file, b"purged\n")
        finally:
            os.close(file)


def sweep(spool: Path, producers: Iterable[str]) -> None:
    """Remove the signs of producers that are gone. A producer that is just taking its own makes another.

    Never raises.
    """
    for name in producers:
        with suppress(OSError):
            (spool / LIVING / name).unlink()


def _take(path: Path) -> tuple[int, os.stat_result, Path]:
    private_dir(path.parent.parent)
    private_dir(path.parent)
    opened = private_file(path, os.O_RDWR | os.O_CREAT)
    try:
        file = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
    finally:
        os.close(opened)  # before there is a lock, which this would drop
    try:
        _lock(file)
        found = os.fstat(file)
        if not is_at(path, found):
            raise FileNotFoundError(f"{path} was swept away")
    except OSError:
        os.close(file)
        raise
    return file, found, path


def _lock(file: int) -> None:
    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
