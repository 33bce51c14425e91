"""A frame, byte by byte as any language would write it."""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import msgpack
import pytest
from standin import host, rendezvous, stand_in, write_catalog

from telemetry import wire
from telemetry.files import private_dir
from telemetry.names import names_of_this_process
from telemetry.rendezvous.lock import acquire
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.shipper.sockets import Sockets


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


@pytest.fixture
def sockets(catalog: Path) -> Iterator[Sockets]:
    directory = rendezvous(catalog)
    private_dir(directory)
    lock = acquire(directory)
    assert lock is not None
    bound = bind(directory)
    yield bound
    bound.close()
    os.close(lock)


def test_the_messages_of_a_producer_are_the_frames_of_the_format(catalog: Path, sockets: Sockets) -> None:
    before_ns = time.time_ns()
    with host(catalog, deployment="cloud", flush_interval_seconds=5) as client:
        client.emit("query_finished", engine="batch", duration_ms=1.5, number=None)
        assert sockets.data.poll(30_000)
        hello = sockets.data.recv()
        assert sockets.data.poll(30_000)
        first = sockets.data.recv()
        context = {
            "pid": os.getpid(),
            "catalog": rendezvous_digest(catalog),
            "consent": "on",
            "basis": "host",
            "notice": 0,
            "deployment": "cloud",
            "names": names_of_this_process(),
        }
        assert hello[:2] == first[:2] == b"\x97\x01"
        protocol, producer, found, number, dropped, events, kept = msgpack.unpackb(hello)
        assert (protocol, found, number, dropped, events, kept) == (1, context, 0, {}, [], 0)
        assert len(producer) == wire.PRODUCER_BYTES
        assert list(found) == list(context)
        assert msgpack.packb([1, producer, context, 0, {}, [], 0]) == hello
        [[name, unix_ns, fields]] = msgpack.unpackb(first)[5]
        assert (name, fields) == ("query_finished", {"engine": "batch", "duration_ms": 1.5, "number": None})
        assert before_ns <= unix_ns <= time.time_ns()
        assert msgpack.packb([1, producer, context, 0, {}, [[name, unix_ns, fields]], 0]) == first


def test_the_receiver_reads_what_the_producer_writes(catalog: Path, sockets: Sockets) -> None:
    with host(catalog, consent="local") as client:
        client.emit("started")
        assert sockets.data.poll(30_000)
        frame = decode_frame(sockets.data.recv())
        assert frame is not None
        assert frame.context.consent == "local"
        assert (frame.first, frame.dropped, bytes(frame.events)) == (0, {}, b"\x90")


def test_producer_ids_are_random_and_16_bytes(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        for _ in range(3):
            with host(catalog) as client:
                client.emit("started")
                assert client.flush(60)
        assert {len(producer) for producer in shipper.producers} == {wire.PRODUCER_BYTES}
        assert len(set(shipper.producers)) == 3


def rendezvous_digest(catalog: Path) -> str:
    return hashlib.sha256(catalog.read_bytes()).hexdigest()
