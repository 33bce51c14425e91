"""The control socket's server: what is asked is answered, and rubbish stops nothing."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from conftest import wait_until

from telemetry.rendezvous.control import MAX_REQUEST_BYTES, MAX_REQUESTS, Control, answer_all
from telemetry.shipper.sockets import bind
from telemetry.wire import CONTROL_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.shipper.sockets import Sockets

ANSWERS = {
    "echo": lambda request: {"you": request["said"]},
    "hex": lambda request: {"hex": request["producer"].hex()},
    "number": lambda request: {"number": int(request["number"])},
}


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    bound = bind(tmp_path)
    yield bound
    bound.close()


@pytest.fixture
def asker(sockets: Sockets, tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    with sockets.context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{tmp_path / CONTROL_SOCKET}")
        yield socket


def _ask(sockets: Sockets, asker: zmq.Socket[bytes]) -> dict[str, Any]:
    """The next reply; a good request goes behind whatever was sent before."""
    asker.send(msgpack.packb({"op": "echo", "said": "good"}))

    def answered() -> bool:
        answer_all(sockets.control, ANSWERS)
        return bool(asker.poll(0))

    wait_until(answered)
    reply: dict[str, Any] = msgpack.unpackb(asker.recv())
    assert not asker.poll(0)
    return reply


def test_a_request_is_answered(sockets: Sockets, asker: zmq.Socket[bytes]) -> None:
    assert _ask(sockets, asker) == {"you": "good"}


RUBBISH = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\xc1", id="no msgpack"),
    pytest.param(b"\x81\xa2op", id="cut off"),
    pytest.param(b"\x91" * 4000 + b"\x90", id="deep"),
    pytest.param(b"\x81\xa1x" * 1300 + b"\xc0", id="deep maps"),
    pytest.param(b"\xdd\xff\xff\xff\xff", id="an array of four thousand million"),
    pytest.param(b"\xc7\x0c\xff" + b"\xff" * 12, id="a time that is none"),
    pytest.param(b"\xa2\xff\xfe", id="a text that is no UTF-8"),
    pytest.param(msgpack.packb([]), id="a list"),
    pytest.param(msgpack.packb(None), id="nothing"),
    pytest.param(msgpack.packb({}), id="no op"),
    pytest.param(msgpack.packb({"op": "none"}), id="an unknown op"),
    pytest.param(msgpack.packb({"op": ["echo"]}), id="an op that can't be a key"),
    pytest.param(msgpack.packb({"op": "echo"}), id="a key is missing"),
    pytest.param(msgpack.packb({"op": "hex", "producer": 7}), id="a number for bytes"),
    pytest.param(msgpack.packb({"op": "number", "number": "x"}), id="no number"),
    pytest.param(msgpack.packb({"op": "number", "number": None}), id="none for a number"),
    pytest.param(msgpack.packb({"op": "echo", "said": "x" * MAX_REQUEST_BYTES}), id="too large"),
    pytest.param(b"\0" * (1 << 20), id="a megabyte"),
]


@pytest.mark.parametrize("rubbish", RUBBISH)
def test_rubbish_is_left_unanswered_and_the_next_request_is_answered(
    sockets: Sockets, asker: zmq.Socket[bytes], rubbish: bytes
) -> None:
    asker.send(rubbish)

    assert _ask(sockets, asker) == {"you": "good"}


def test_random_bytes_stop_nothing(sockets: Sockets, asker: zmq.Socket[bytes]) -> None:
    chance = random.Random(7)
    for _ in range(500):
        asker.send(chance.randbytes(chance.randrange(200)))
        answer_all(sockets.control, ANSWERS)

    assert _ask(sockets, asker) == {"you": "good"}


def test_a_message_of_many_parts_is_one_request(sockets: Sockets, asker: zmq.Socket[bytes]) -> None:
    whole = msgpack.packb({"op": "echo", "said": "parts"})
    asker.send_multipart([b"", whole[:4], whole[4:]])

    def answered() -> bool:
        answer_all(sockets.control, ANSWERS)
        return bool(asker.poll(0))

    wait_until(answered)
    assert msgpack.unpackb(asker.recv()) == {"you": "parts"}


def test_more_than_the_socket_takes_is_cut_off_and_another_asker_is_answered(
    sockets: Sockets, asker: zmq.Socket[bytes], tmp_path: Path
) -> None:
    asker.send(os.urandom((1 << 20) + 1))
    with sockets.context.socket(zmq.DEALER) as other:
        other.linger = 0
        other.connect(f"ipc://{tmp_path / CONTROL_SOCKET}")

        assert _ask(sockets, other) == {"you": "good"}


def test_an_asker_that_is_gone_stops_nothing(sockets: Sockets, asker: zmq.Socket[bytes], tmp_path: Path) -> None:
    for _ in range(20):
        gone = sockets.context.socket(zmq.DEALER)
        gone.connect(f"ipc://{tmp_path / CONTROL_SOCKET}")
        gone.send(msgpack.packb({"op": "echo", "said": "bye"}))
        wait_until(lambda: sockets.control.poll(0))
        gone.close(linger=0)
        answer_all(sockets.control, ANSWERS)

    assert _ask(sockets, asker) == {"you": "good"}


def test_who_asks_without_end_is_answered_in_turns(sockets: Sockets, asker: zmq.Socket[bytes]) -> None:
    asked = 0

    def ask(request: dict[str, Any]) -> dict[str, Any]:
        nonlocal asked
        asked += 1
        asker.send(msgpack.packb(request))
        wait_until(lambda: sockets.control.poll(0))
        return {}

    asker.send(msgpack.packb({"op": "again"}))
    wait_until(lambda: sockets.control.poll(0))
    answer_all(sockets.control, {"again": ask})

    assert asked == MAX_REQUESTS


def test_the_client_of_this_package_understands_the_answers(sockets: Sockets, tmp_path: Path) -> None:
    with Control(sockets.context, tmp_path) as control:
        control._socket.send(msgpack.packb({"op": "echo", "said": "first"}))
        wait_until(lambda: sockets.control.poll(0))
        answer_all(sockets.control, ANSWERS)

        assert control.ask({"op": "unknown"}, 30.0) == {"you": "first"}
