"""A shipper's place: the rendezvous that it holds, and takes anew when it was removed from under it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.paths import CONFIG_FILE, private_dir
from telemetry.shipper.lock import acquire, is_current, release
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from telemetry.shipper.sockets import Sockets


class Place:
    """A rendezvous whose lock is held, and whose names lead to our sockets.

    Attributes:
        sockets: where producers reach us.
    """

    def __init__(self, directory: Path, lock: int, sockets: Sockets) -> None:
        self.sockets = sockets
        self._directory = directory
        self._lock = lock

    @classmethod
    def take(cls, directory: Path) -> Self | None:
        """Take a place; blocks for half a second when another shipper has it, and returns None then.

        Raises:
            OSError: the directory is gone or can't be written, or its file system has no locks.
        """
        lock = acquire(directory)
        return None if lock is None else cls(directory, lock, bind(directory))

    def keep(self) -> bool:
        """See that producers still find us. What was removed, file or directory, is put back; those we have stay.

        Blocks for half a second when another shipper has taken the place.

        Returns:
            False when one has: ours is to leave. True while the disk lets nothing be put back: we have our producers.
        """
        try:
            if is_current(self._lock, self._directory):
                if not self.sockets.are_found:
                    self.sockets.listen(self._directory)
                return True
            return self._retake()
        except OSError:
            return True

    def leave(self) -> None:
        """Close the sockets and let go of the lock; no file of ours is left but the configuration."""
        self.sockets.close()
        with suppress(OSError):  # nobody has spawned a shipper a moment ago: who comes now may
            os.utime(self._directory / CONFIG_FILE, (0, 0))
        release(self._lock, self._directory)  # after the sockets' names are gone: the next shipper makes its own

    def _retake(self) -> bool:
        private_dir(self._directory)
        lock = acquire(self._directory)
        if lock is None:
            return False
        release(self._lock, self._directory)
        self._lock = lock
        self.sockets.listen(self._directory)
        return True
