"""A server on the loopback: real sockets, a thread per connection, and a behaviour instead of an application."""

from __future__ import annotations

import socket
import struct
from contextlib import closing, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    Behaviour = Callable[["Line"], None]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_RESET = struct.pack("ii", 1, 0)


class Request(NamedTuple):
    """What was sent: the head as it came, and the body."""

    head: bytes
    body: bytes


class Line:
    """One connection, as a behaviour sees it."""

    def __init__(self, server: Server, connection: socket.socket) -> None:
        self.server = server
        self.socket = connection
        self._file: BinaryIO = connection.makefile("rb")

    def read_head(self) -> bytes:
        """A request's head with the blank line; empty when the client has hung up."""
        head = b""
        while (line := self._file.readline()) not in {b"\r\n", b""}:
            head += line
        if head:
            self.server.heads.append(head)
        return head and head + line

    def read_request(self) -> Request | None:
        """A whole request; None when the client has hung up."""
        head = self.read_head()
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b":0")
        return Request(head, self._file.read(int(length.partition(b":")[2]))) if head else None

    def read(self, length: int) -> bytes:
        """So many bytes, or what comes before the client hangs up."""
        return self._file.read(length)

    def send(self, data: bytes) -> None:
        """Send, and count."""
        self.socket.sendall(data)
        self.server.sent_bytes += len(data)

    def reset(self) -> None:
        """End without an orderly end."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close()

    def close(self) -> None:
        """End in order."""
        self._file.close()
        self.socket.close()


class Server:
    """Does as it is told, within `with`.

    Attributes:
        port: known from the start.
        heads: of all requests, as they came.
        connections: that were accepted.
        sent_bytes: in all replies.
        over: set when the fault is over: healed, or the end of the trial.
    """

    def __init__(
        self, behave: Behaviour | None, tls: ssl.SSLContext | None = None, *, takes_little: bool = False
    ) -> None:
        """Behave so, or, with None, not listen. `takes_little` is for the kernel."""
        self.heads: list[bytes] = []
        self.connections = 0
        self.sent_bytes = 0
        self.over = Event()
        self._behave = behave
        self._tls = tls
        self._socket = socket.socket()
        self._fillers: list[socket.socket] = []
        if takes_little:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        if self._behave is not None:
            self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for end in (*self._fillers, self._socket):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def fill_backlog(self) -> None:
        """Listen, accept nobody, and have so many callers wait that the kernel answers no more."""
        self._socket.listen(0)
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)  # noqa: FBT003 the standard library's word
            with suppress(BlockingIOError):
                filler.connect(("127.0.0.1", self.port))
            self._fillers.append(filler)

    def heal(self, behave: Behaviour | None = None, tls: ssl.SSLContext | None = None) -> None:
        """Take whatever comes from now on, or behave as is said."""
        listens = self._behave is not None
        self._behave, self._tls = behave or takes_all, tls
        self.over.set()
        if not listens:
            self._listen()

    def _listen(self) -> None:
        self._socket.listen(64)
        Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.connections += 1
                Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        behave, tls = self._behave or takes_all, self._tls
        with suppress(OSError, ValueError):  # the client hangs up, or refuses our certificate
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with closing(Line(self, connection)) as line:
                behave(line)
        connection.close()


def takes_all(line: Line) -> None:
    """Answers every request with 200."""
    while line.read_request():
        line.send(OK)
