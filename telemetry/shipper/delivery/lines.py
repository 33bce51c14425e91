"""The connections of a sink, so that an upload can be cut off in the middle: its user has taken the consent back.

`requests` has no word for it, and the thread that uploads is in a call of the kernel as long as the endpoint pleases.
"""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

_DISCARD = struct.pack("ii", 1, 0)
"""SO_LINGER for a close that throws away what waits in the kernel, which may be the whole of an upload."""


class Lines:
    """The sockets that a sink has open, and whether anything may go over them."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = Lock()
        self._is_cut = False
        self.cuttable = lru_cache(self._cuttable)

    def open(self) -> None:
        """An upload begins."""
        self._is_cut = False

    def cut(self) -> None:
        """Make whatever is sent or awaited fail at once, until `open`; from any thread."""
        self._is_cut = True
        with self._lock:
            lines = list(self._sockets)
        for line in lines:
            with suppress(OSError):  # it is closed already
                # Not by the methods of a TLS socket, which belong to the thread that uploads.
                socket.socket.setsockopt(line, socket.SOL_SOCKET, socket.SO_LINGER, _DISCARD)
                socket.socket.shutdown(line, socket.SHUT_RDWR)

    def keep(self, line: object) -> None:
        """Know a socket that has just been connected. Raises ConnectionAbortedError when it is not to be used."""
        if isinstance(line, socket.socket):
            with self._lock:
                self._sockets.add(line)
        if self._is_cut:
            raise ConnectionAbortedError

    def _cuttable(self, connection: type[HTTPConnection]) -> type[HTTPConnection]:
        """The same kind of connection, whose sockets are known here."""
        if connection.__dict__.get("lines") is self:
            return connection
        lines = self

        class Cuttable(connection):  # type: ignore[misc, valid-type] # whichever kind the pool makes
            lines: Any = self

            def connect(self) -> None:
                super().connect()
                lines.keep(self.sock)

        return Cuttable
