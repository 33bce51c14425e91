"""Asking over the control socket."""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from standin import eventually, host, stand_in, write_catalog

from telemetry.errors import ShipperUnreachableError
from telemetry.rendezvous.control import Control
from telemetry.wire import CONTROL_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    made = zmq.Context()
    yield made
    made.term()


@pytest.fixture
def directory(home: Path) -> Path:
    """Short enough for a socket."""
    return home


def answer(directory: Path, context: zmq.Context[zmq.Socket[bytes]], reply: bytes) -> threading.Thread:
    """Answer one request, with anything."""

    def work() -> None:
        with context.socket(zmq.ROUTER) as socket:
            socket.linger = 1000
            socket.bind(f"ipc://{directory / CONTROL_SOCKET}")
            assert socket.poll(30_000)
            identity, _ = socket.recv_multipart()
            socket.send_multipart([identity, reply])

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_a_request_is_answered(directory: Path, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    thread = answer(directory, context, msgpack.packb({"pid": 1}))
    with Control(context, directory) as control:
        assert control.ask({"op": "status"}, 30) == {"pid": 1}
    thread.join()


def test_a_request_made_before_there_is_a_shipper_is_answered_by_the_one_that_comes(
    directory: Path, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with Control(context, directory) as control:
        threads: list[threading.Thread] = []
        timer = threading.Timer(0.1, lambda: threads.append(answer(directory, context, msgpack.packb({}))))
        timer.start()
        assert control.ask({"op": "status"}, 30) == {}
        timer.join()
    threads[0].join()


@pytest.mark.parametrize("timeout", [0.0, 0.05, -1.0, math.nan], ids=["none", "short", "negative", "nan"])
def test_no_answer_in_time_is_an_error_that_says_where(
    directory: Path, context: zmq.Context[zmq.Socket[bytes]], timeout: float
) -> None:
    with Control(context, directory) as control, pytest.raises(ShipperUnreachableError, match=str(directory)):
        control.ask({"op": "status"}, timeout)


@pytest.mark.parametrize(
    "reply",
    [b"", b"\xc1", msgpack.packb(5), msgpack.packb(None), b"\x81\xa1a"],
    ids=["empty", "junk", "5", "nil", "cut"],
)
def test_an_answer_that_is_no_map_is_an_error(
    directory: Path, context: zmq.Context[zmq.Socket[bytes]], reply: bytes
) -> None:
    thread = answer(directory, context, reply)
    no_reply = pytest.raises(ShipperUnreachableError, match="not a shipper of this version")
    with Control(context, directory) as control, no_reply:
        control.ask({"op": "status"}, 30)
    thread.join()


@pytest.mark.parametrize("timeout", [math.inf, 1e300, None], ids=["infinite", "huge", "None"])
def test_a_flush_and_a_close_may_wait_for_ever(home: Path, tmp_path: Path, timeout: Any) -> None:
    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.emit("started")
        assert client.flush(timeout)
        client.close(timeout)
        assert shipper.left == shipper.producers


def test_a_close_that_is_refused_its_timeout_can_be_called_again(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog) as shipper, host(catalog) as client:
        wrong: Any = "soon"
        with pytest.raises(TypeError):
            client.close(wrong)
        client.close(30)
        eventually(lambda: shipper.left == shipper.producers)  # its hello and its goodbye came over two sockets


@pytest.mark.parametrize("timeout", [0.0, -1.0, math.nan], ids=["none", "negative", "nan"])
def test_a_flush_without_time_says_that_it_is_not_confirmed(home: Path, tmp_path: Path, timeout: float) -> None:
    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog, deaf=True), host(catalog) as client:
        client.emit("started")
        began = time.monotonic()
        assert not client.flush(timeout)
        assert time.monotonic() - began < 20
