"""Connections of a sink that can be cut off when consent is withdrawn or an upload's time is over.

`requests` offers nothing for this: its timeouts bound a silence, so an endpoint that sends a byte now and then holds
the uploading thread for as long as it pleases.
"""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager, suppress
from functools import lru_cache
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakSet

from telemetry.endpoint import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3.connection import HTTPConnection

_DISCARD = struct.pack("ii", 1, 0)
"""The SO_LINGER of a close that discards what waits in the kernel, which may be a whole upload."""


class LeavesThisMachineError(ConnectionError):
    """Raised when an upload that must stay on this machine would go to another."""


class Lines:
    """The open sockets of a sink, and whether anything may go over them.

    `stays_here` is for plain http that was not allowed beyond this machine: a name such as `localhost` tells where it
    is meant to lead, a connection where it does.

    Attributes:
        stays_here: as given.
        is_late: whether they were cut since `open` because the time was over.
    """

    def __init__(self, *, stays_here: bool = False) -> None:
        self.stays_here = stays_here
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = Lock()
        self._is_cut = False
        self.is_late = False
        self.cuttable = lru_cache(self._cuttable)

    def open(self) -> None:
        """Permit connections again, for the next upload."""
        self._is_cut = self.is_late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound the duration of the block: when the time is over, the lines are cut.

        A connection attempt in progress is not cut, but ends by its own timeout.
        """
        timer = Timer(seconds, self._be_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it must not cut the next upload

    def cut(self) -> None:
        """Make whatever is being sent or awaited fail at once, until `open`; may be called from any thread."""
        self._is_cut = True
        with self._lock:
            lines = list(self._sockets)
        for line in lines:
            with suppress(OSError):  # it is closed already
                # Not by the methods of a TLS socket, which belong to the thread that uploads.
                socket.socket.setsockopt(line, socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def keep(self, line: object) -> None:
        """Register a socket that has just been connected.

        Raises:
            ConnectionAbortedError, LeavesThisMachineError: it is not to be used.
        """
        if isinstance(line, socket.socket):
            address = address_of(line.getpeername()[0]) if self.stays_here else None
            if address and not address.is_loopback:
                line.close()
                raise LeavesThisMachineError
            with self._lock:
                self._sockets.add(line)
        if self._is_cut:
            raise ConnectionAbortedError

    def _be_late(self) -> None:
        self.is_late = True
        self.cut()

    def _cuttable(self, connection: type[HTTPConnection]) -> type[HTTPConnection]:
        """Return a subclass of a connection class that registers its sockets here."""
        if connection.__dict__.get("lines") is self:
            return connection
        lines = self

        class Cuttable(connection):  # type: ignore[misc, valid-type] # whichever kind the pool makes
            lines: Any = self

            def _new_conn(self) -> socket.socket:
                # Before a proxy has its say, which may take for ever too.
                self.sock = line = super()._new_conn()
                lines.keep(line)
                return cast("socket.socket", line)

            def connect(self) -> None:
                super().connect()
                lines.keep(getattr(self.sock, "socket", self.sock))  # of TLS within TLS, the outer one

        return Cuttable
