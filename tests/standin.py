"""A stand-in for the shipper, for tests of producers alone: real lock, real sockets, frames kept as they came."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import zmq

from telemetry.client import Client
from telemetry.files import private_dir
from telemetry.producer.local import LocalTransport
from telemetry.rendezvous.directory import rendezvous_dir
from telemetry.rendezvous.lock import acquire
from telemetry.settings import ShipperSettings
from telemetry.shipper.sockets import Sockets, bind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PRODUCT = "acme-db"
ENDPOINT = "http://127.0.0.1:9/v1/batches"
DEADLINE_SECONDS = 30.0

CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
number = { type = "int", purpose = "tell events apart" }

[events.started]
purpose = "how often it is started"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.queries.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
"""


def local_transport(client: Client) -> LocalTransport:
    """A client's way to a shipper on this machine."""
    assert client._link
    transport = client._link.transport
    assert isinstance(transport, LocalTransport)
    return transport


def eventually(predicate: Callable[[], object], timeout_seconds: float = DEADLINE_SECONDS) -> None:
    """Poll until `predicate` holds."""
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        assert time.monotonic() < deadline, f"it did not come true within {timeout_seconds} s"
        time.sleep(0.005)


class Frame(NamedTuple):
    """A frame of telemetry/wire.py, decoded, and the size of its message."""

    protocol: int
    producer: bytes
    context: dict[str, Any]
    first: int
    dropped: dict[str, int]
    events: list[list[Any]]
    size_bytes: int


class StandIn:
    """Reads frames and confirms them, in a thread; one that is `deaf` only holds the lock.

    Attributes:
        frames: in the order in which they came.
        left: the producers that said goodbye.
    """

    def __init__(self, directory: Path, *, deaf: bool = False) -> None:
        private_dir(directory)
        lock = acquire(directory)
        assert lock is not None, "another shipper holds the lock"
        self._lock = lock
        self.frames: list[Frame] = []
        self.left: list[bytes] = []
        self._stopping = False
        self._thread = threading.Thread(target=self._run, args=(directory,))
        if not deaf:
            self._thread.start()

    def stop(self) -> None:
        """Go the way of a shipper that is told to stop."""
        self._stopping = True
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._lock)

    def frames_of(self, producer: bytes) -> list[Frame]:
        return [frame for frame in self.frames if frame.producer == producer]

    @property
    def producers(self) -> list[bytes]:
        """In the order of their first frame."""
        return list(dict.fromkeys(frame.producer for frame in self.frames))

    @property
    def events(self) -> list[list[Any]]:
        return [event for frame in list(self.frames) for event in frame.events]

    def values(self, field: str) -> list[Any]:
        """What came in one field, in order."""
        return [fields[field] for _, _, fields in self.events if field in fields]

    def assert_unbroken(self) -> None:
        """The numbers of each producer begin at 0 and have no hole and no overlap."""
        following: dict[bytes, int] = {}
        for frame in self.frames:
            assert frame.first == following.get(frame.producer, 0)
            following[frame.producer] = frame.first + len(frame.events)

    def _run(self, directory: Path) -> None:
        sockets = bind(directory)
        poller = zmq.Poller()
        poller.register(sockets.data, zmq.POLLIN)
        poller.register(sockets.control, zmq.POLLIN)
        while not self._stopping:
            ready = dict(poller.poll(20))
            if sockets.data in ready:
                self._read(sockets)
            if sockets.control in ready:
                self._answer(sockets)
        sockets.close()

    def _read(self, sockets: Sockets) -> None:
        message = sockets.data.recv()
        self.frames.append(Frame._make([*msgpack.unpackb(message)[:6], len(message)]))

    def _answer(self, sockets: Sockets) -> None:
        identity, message = sockets.control.recv_multipart()
        request = msgpack.unpackb(message)
        if request["op"] == "leave":
            self.left.append(request["producer"])
        frames = self.frames_of(request["producer"])
        reply = {
            "accepted": max((frame.first + len(frame.events) for frame in frames), default=0),
            "dropped": max((sum(frame.dropped.values()) for frame in frames), default=0),
        }
        if any(reply[total] < request.get(total, 0) for total in reply):
            reply = {}  # not yet
        sockets.control.send_multipart([identity, msgpack.packb(reply)])


def write_catalog(directory: Path) -> Path:
    """The catalog of these tests, as a file."""
    path = directory / "acme.toml"
    path.write_text(CATALOG)
    return path


def rendezvous(catalog: Path, settings: ShipperSettings = ShipperSettings()) -> Path:  # noqa: B008 a value
    """Where producers with this catalog look for their shipper."""
    return rendezvous_dir(PRODUCT, hashlib.sha256(catalog.read_bytes()).hexdigest(), ENDPOINT, settings)


@contextmanager
def stand_in(catalog: Path, *, deaf: bool = False) -> Iterator[StandIn]:
    """A stand-in where producers with this catalog look for their shipper, until the block ends."""
    shipper = StandIn(rendezvous(catalog), deaf=deaf)
    try:
        yield shipper
    finally:
        shipper.stop()


@contextmanager
def host(catalog: Path, /, **options: Any) -> Iterator[Client]:
    """A client that may collect, closed at the end of the block."""
    arguments: dict[str, Any] = {"product": PRODUCT, "catalog": catalog, "endpoint": ENDPOINT, "consent": "on"}
    client = Client(**arguments | options)
    try:
        yield client
    finally:
        client.close()
