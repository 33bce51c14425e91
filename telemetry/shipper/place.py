"""Place of a shipper: the rendezvous that it holds, and takes anew if it was removed from under it."""

from __future__ import annotations

import os
from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING

from telemetry.files import is_at, private_dir
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.lock import acquire, is_current, release
from telemetry.rendezvous.unix import listen_at
from telemetry.wire import HANDOVER_SOCKET

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

    from telemetry.shipper.sockets import Sockets


class Place:
    """A rendezvous whose lock is held, and whose names, once it is open, lead to our sockets.

    The holder of the lock keeps other shippers out. Producers reach it, and hand over what they have, only when it is
    open, because everything taken in must be kept. Frames of hosts that end meanwhile wait at a handover socket.

    Attributes:
        listeners: the listening handover sockets, for `Sockets`.
    """

    def __init__(self, directory: Path, lock: int, listener: socket, found: os.stat_result) -> None:
        self.listeners = [listener]
        self._found = found
        self._directory = directory
        self._lock = lock
        self._sockets: Sockets | None = None

    @classmethod
    def take(cls, directory: Path) -> Self | None:
        """Take a place; if another shipper has it, block for half a second and return None.

        Raises:
            OSError: the directory is gone or can't be written, or its file system has no locks.
        """
        lock = acquire(directory)
        if lock is None:
            return None
        listener, found = listen_at(directory / HANDOVER_SOCKET)
        return cls(directory, lock, socket(fileno=listener.detach()), found)

    def inherit(self, listener: socket) -> None:
        """Take a handover socket that was opened before the place was taken: who came to it has waited longest."""
        self.listeners.insert(0, listener)

    def open(self, sockets: Sockets) -> None:
        """Let producers in, by names in the rendezvous. Raises OSError."""
        sockets.listen(self._directory)
        self._sockets = sockets

    def keep(self) -> bool:
        """Make sure that producers still find us. A file or directory that was removed is put back; connections stay.

        Blocks for half a second if another shipper has taken the place.

        Returns:
            False if one has, so that ours must leave. True while the disk lets nothing be put back: we have our
            producers.
        """
        try:
            if is_current(self._lock, self._directory):
                if self._sockets and not self._sockets.are_found:
                    self._sockets.listen(self._directory)
                return True
            return self._retake()
        except OSError:
            return True

    def leave(self) -> None:
        """Close the sockets and release the lock; no file of ours is left but the configuration."""
        if self._sockets:
            self._sockets.close()
        else:
            self._close_listeners()
        with suppress(OSError):  # marked as not spawned just now: the next producer may spawn one
            os.utime(self._directory / CONFIG_FILE, (0, 0))
        release(self._lock, self._directory)  # after the sockets' names are gone: the next shipper makes its own

    def _close_listeners(self) -> None:
        for listener in self.listeners:
            listener.close()
        if is_at(self._directory / HANDOVER_SOCKET, self._found):
            with suppress(OSError):
                (self._directory / HANDOVER_SOCKET).unlink()

    def _retake(self) -> bool:
        private_dir(self._directory)
        lock = acquire(self._directory)
        if lock is None:
            return False
        release(self._lock, self._directory)
        self._lock = lock
        if self._sockets:
            self._sockets.listen(self._directory)
        return True
