"""The connections of a sink, so that an upload can be cut off: the consent is taken back, or its time is over.

`requests` has no word for it: its timeouts bound a silence, and an endpoint that says a byte now and then holds the
thread that uploads for as long as it pleases.
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
"""SO_LINGER for a close that throws away what waits in the kernel, which may be the whole of an upload."""


class LeavesThisMachineError(ConnectionError):
    """What must stay on this machine has been connected to another."""


class Lines:
    """The sockets that a sink has open, and whether anything may go over them.

    `stays_here` is for plain http that was not allowed beyond this machine: a name such as `localhost` says where it
    leads, a connection where it has led.

    Attributes:
        is_late: whether they were cut since `open` because the time was over.
    """

    def __init__(self, *, stays_here: bool = False) -> None:
        self._stays_here = stays_here
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = Lock()
        self._is_cut = False
        self.is_late = False
        self.cuttable = lru_cache(self._cuttable)

    def open(self) -> None:
        """An upload begins."""
        self._is_cut = self.is_late = False

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Bound what is done here: after so long the lines are cut. What nobody has connected yet ends by itself."""
        timer = Timer(seconds, self._be_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # it must not cut the next upload

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
        """Know a socket that has just been connected.

        Raises:
            ConnectionAbortedError, LeavesThisMachineError: it is not to be used.
        """
        if isinstance(line, socket.socket):
            address = address_of(line.getpeername()[0]) if self._stays_here else None
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
        """The same kind of connection, whose sockets are known here."""
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
