"""What the tests of the shipper's core share: segments, accounts, and an endpoint that replies as it is told."""

from __future__ import annotations

import datetime as dt
import os
import socket
import struct
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from time import monotonic, time_ns
from typing import TYPE_CHECKING, NamedTuple

import pytest
import zstandard
from msgspec import UNSET, UnsetType

from telemetry.receipt import Receipt
from telemetry.shipper.catalogs import Source
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.spool.positions import Position
from telemetry.spool.segment import Head
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from typing import Self

    from telemetry.catalog.model import Catalog, Sensitivity
    from telemetry.spool.ledger import Ledger

NOBODY = 65534
"""A uid for what root may do and others may not."""


CRASHED = 42


def nobody_lives(_producer: str, _position: Position) -> bool:
    return False


def open_spool(directory: Path, clock: Callable[[], float] = monotonic) -> Spool:
    return Spool.open(directory, nobody_lives, clock)[0]


def make_head(
    level: str = "on",
    session: str = "s1",
    created_ns: int = 0,
    sensitivity: Sensitivity | UnsetType = UNSET,
    *,
    compressed: bool = True,
) -> Head:
    id_ = os.urandom(16).hex()
    suffix = NDJSON.suffix + (".zst" if compressed else "")
    return Head(
        id=id_,
        file=f"{created_ns or time_ns():020d}-{id_}{suffix}",
        format=NDJSON.name,
        compressed=compressed,
        content_type=NDJSON.content_type,
        route="",
        catalog="acme-db/3",
        session=session,
        receipt=Receipt(level, "host", 0, "cloud"),
        sensitivity=sensitivity,
    )


def make_lines(events: int, first: int = 0) -> bytes:
    return b"".join(b'{"event":"query_finished","number":%d}\n' % number for number in range(first, first + events))


def append(active: object, events: int, first: int = 0) -> None:
    """A drain of so many events to an active segment."""
    position = {"aa" * 16: Position(1, first + events)}
    active.append(make_lines(events, first), Tally(emitted=events, kept=events), position)  # type: ignore[attr-defined]


def add_segment(
    spool: Spool,
    events: int = 3,
    level: str = "on",
    session: str = "s1",
    created_ns: int = 0,
    sensitivity: Sensitivity | UnsetType = UNSET,
) -> Head:
    """A sealed segment of so many events; without a sensitivity it is as an earlier version wrote it."""
    head = make_head(level, session, created_ns, sensitivity)
    active = spool.begin(head)
    append(active, events)
    spool.seal(active, Tally(emitted=events, kept=events))
    return head


def names(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def source_of(catalog: Catalog) -> Source:
    """A catalog as a shipper knows it that was written long ago."""
    return Source("", catalog, dt.date.min)


def decompress(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


def read_balanced(spool: Spool) -> Ledger:
    """The ledger, which must balance."""
    ledger = spool.log.read()
    assert ledger.balance == 0
    return ledger


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that any user may enter, in memory where there is such a place: for what is done a thousand times."""
    memory = Path("/dev/shm")  # noqa: S108 a directory of our own below it
    with TemporaryDirectory(dir=memory if memory.is_dir() else None) as directory:
        yield Path(directory)


def crashes(action: Callable[[pytest.MonkeyPatch], object]) -> bool:
    """Whether a child process that does `action` dies of `crash` in it: no clean-up runs, locks are let go."""
    child = os.fork()
    if not child:
        try:
            with pytest.MonkeyPatch.context() as patch:
                action(patch)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == CRASHED


def crash(*_: object, **__: object) -> None:
    """What a patched function does instead."""
    os._exit(CRASHED)


class Request(NamedTuple):
    """What an endpoint was sent."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    peer: tuple[str, int]
    is_resumed: bool = False  # whether its TLS session is that of an earlier connection

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def lines(self) -> list[bytes]:
        return decompress(self.body).splitlines()


class Answer(NamedTuple):
    """What an endpoint answers; status 0 resets the connection."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


RESET = Answer(0)


class Endpoint:
    """A real HTTP server on the loopback, which answers by its script and then as `decide` says."""

    def __init__(
        self,
        *script: int | Answer,
        decide: Callable[[Request], int | Answer] = lambda _: 200,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.requests: list[Request] = []
        self._script: Iterator[int | Answer] = iter(script)
        self._decide = decide
        self._server = _Server(("127.0.0.1", port), _handler(self))
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/v1/batches"
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        answer = next(self._script, None)
        if answer is None:
            answer = self._decide(request)
        return answer if isinstance(answer, Answer) else Answer(answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that breaks off is part of the tests."""


def _handler(endpoint: Endpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            is_resumed = bool(getattr(self.connection, "session_reused", False))
            answer = endpoint.answer(
                Request(self.command, self.path, list(self.headers.items()), body, self.client_address, is_resumed)
            )
            if answer.status == 0:
                linger = struct.pack("ii", 1, 0)  # a reset, not an orderly end
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = do_CONNECT = do_POST  # noqa: N815 the names are the base class's

        def log_message(self, *_: object) -> None:
            pass

    return Handler
