"""Frames come in typed, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from conftest import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.drops import HOST_REASONS
from telemetry.receipt import Receipt
from telemetry.shipper.intake.receiver import DRAIN_BYTES, Frame, decode_frame, receive_waiting
from telemetry.shipper.limits import MAX_MESSAGE_BYTES, RECEIVE_FRAMES
from telemetry.shipper.sockets import bind
from telemetry.wire import DATA_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.shipper.sockets import Sockets

PRODUCER = bytes(range(16))
CONTEXT = {
    "pid": 7,
    "catalog": "ab" * 32,
    "consent": "on",
    "basis": "host",
    "notice": 0,
    "deployment": "cloud",
}
EVENTS = [["query_finished", 1, {"duration_ms": 1.5}]]
GOOD: list[Any] = [1, PRODUCER, CONTEXT, 5, {"queue_full": 2}, EVENTS]


def _with(at: int, value: object) -> bytes:
    message: bytes = msgpack.packb([*GOOD[:at], value, *GOOD[at + 1 :]])
    return message


def _context(**changes: object) -> bytes:
    return _with(2, CONTEXT | changes)


def test_a_frame_is_read_and_its_events_are_left_for_later() -> None:
    frame = decode_frame(msgpack.packb(GOOD))

    assert isinstance(frame, Frame)
    assert (frame.producer, frame.first, frame.dropped) == (PRODUCER, 5, {"queue_full": 2})
    assert msgpack.unpackb(bytes(frame.events)) == EVENTS
    assert frame.context.receipt == Receipt("on", "host", 0, "cloud")


def test_a_frame_without_events_says_hello() -> None:
    frame = decode_frame(_with(5, []))

    assert frame is not None
    assert msgpack.unpackb(bytes(frame.events)) == []


def test_what_another_version_adds_to_the_context_is_left_out() -> None:
    assert decode_frame(_context(new="thing")) is not None


def test_a_producer_may_hand_over_names_of_its_own_or_none() -> None:
    names = {"user": ["janedoe"], "secret": ["hunter2000", "größe"], "a later kind": ["x1"]}
    frame = decode_frame(_context(names=names))

    assert frame is not None
    assert frame.context.names == names
    without = decode_frame(msgpack.packb(GOOD))
    assert without is not None
    assert without.context.names == {}


def test_a_client_whose_only_numbers_are_floats_is_read() -> None:
    floats = [1.0, PRODUCER, CONTEXT | {"pid": 7.0, "notice": 0.0}, 5.0, {"queue_full": 2.0}, EVENTS]

    assert decode_frame(msgpack.packb(floats)) == decode_frame(msgpack.packb(GOOD))


def test_what_a_later_version_puts_behind_the_events_is_passed_over() -> None:
    assert decode_frame(msgpack.packb([*GOOD, "new", [1]])) == decode_frame(msgpack.packb(GOOD))


def test_a_context_without_a_notice_is_of_one_that_was_not_shown() -> None:
    frame = decode_frame(_with(2, {name: value for name, value in CONTEXT.items() if name != "notice"}))

    assert frame is not None
    assert frame.context.notice == 0


def test_what_was_dropped_for_a_reason_that_nobody_knows_here_counts_as_lost_in_transit() -> None:
    frame = decode_frame(_with(4, {"queue_full": 1, "cosmic_ray": 2, "rejected": 4}))

    assert frame is not None
    assert frame.dropped == {"queue_full": 1, "in_transit": 6}


def test_every_reason_that_a_host_counts_is_heard() -> None:
    said = {reason.value: number for number, reason in enumerate(sorted(HOST_REASONS), 1)}
    frame = decode_frame(_with(4, said))

    assert frame is not None
    assert frame.dropped == said


BAD = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\xc1", id="no msgpack"),
    pytest.param(msgpack.packb({"a": 1}), id="a map"),
    pytest.param(msgpack.packb(GOOD)[:-1], id="cut off"),
    pytest.param(msgpack.packb(GOOD) + b"\0", id="a byte more"),
    pytest.param(msgpack.packb(GOOD[:5]), id="a part missing"),
    pytest.param(_with(0, 2), id="another protocol"),
    pytest.param(_with(0, value=True), id="a bool for the protocol"),
    pytest.param(_with(1, b"short"), id="a short producer"),
    pytest.param(_with(1, b"x" * 17), id="a long producer"),
    pytest.param(_with(1, "x" * 16), id="a text for a producer"),
    pytest.param(_with(3, -1), id="a negative number"),
    pytest.param(_with(3, 2**63), id="a number over 62 bits"),
    pytest.param(_with(3, 1.5), id="half a number"),
    pytest.param(_with(4, {"queue_full": 0.5}), id="half a drop"),
    pytest.param(_with(4, {"x" * 65: 1}), id="a reason too long to be one"),
    pytest.param(_with(4, {"queue_full": -1}), id="a negative drop"),
    pytest.param(_with(4, []), id="a list for drops"),
    pytest.param(_context(consent="off"), id="consent off"),
    pytest.param(_context(consent="maybe"), id="unknown consent"),
    pytest.param(_context(basis="x"), id="unknown basis"),
    pytest.param(_context(deployment="x; level=on"), id="unknown deployment"),
    pytest.param(_context(catalog="x" * 65), id="a long catalog"),
    pytest.param(_context(pid=-1), id="a negative pid"),
    pytest.param(_context(notice=10**7), id="a notice that can't be"),
    pytest.param(_context(names=["janedoe"]), id="names of no kind"),
    pytest.param(_context(names={"user": "janedoe"}), id="a name that is no list"),
    pytest.param(_context(names={"user": [b"janedoe"]}), id="a name that is no text"),
    pytest.param(_context(names={"user": ["x" * 300]}), id="a name too long to be one"),
    pytest.param(_context(names={"user": ["x"] * 600}), id="more names than there may be"),
    pytest.param(_with(2, {}), id="no context"),
    pytest.param(b"\x91" * 100_000, id="deep"),
    pytest.param(_with(5, [])[:-1] + b"\x91" * 100_000, id="deep events, cut off"),
    pytest.param(b"\x96\x01\xc4\x10" + PRODUCER + b"\x81\xa3\xff\xff\xff\x01\0\x80\x90", id="a key that is no UTF-8"),
]


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_frame_is_left(message: bytes) -> None:
    assert decode_frame(message) is None


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_random_bytes_are_no_frame(message: bytes) -> None:
    assert decode_frame(message) is None


@settings(deadline=None)
@given(st.data())
def test_a_frame_with_a_byte_changed_is_read_or_left_and_never_an_error(data: st.DataObject) -> None:
    message = bytearray(msgpack.packb(GOOD))
    message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    decode_frame(bytes(message))


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[Sockets]:
    bound = bind(tmp_path)
    yield bound
    bound.close()


@pytest.fixture
def push(sockets: Sockets, tmp_path: Path) -> Iterator[zmq.Socket[bytes]]:
    with sockets.context.socket(zmq.PUSH) as socket:
        socket.linger = 0
        socket.connect(f"ipc://{tmp_path / DATA_SOCKET}")
        yield socket


def test_nothing_waiting_is_no_messages_at_once(sockets: Sockets) -> None:
    assert receive_waiting(sockets.data) == []


def test_all_that_waits_is_received_in_order(sockets: Sockets, push: zmq.Socket[bytes]) -> None:
    sent = [b"%d" % number for number in range(40)]
    for message in sent:
        push.send(message)
    received: list[bytes] = []

    def all_came() -> bool:
        received.extend(receive_waiting(sockets.data))
        return len(received) == len(sent)

    wait_until(all_came)
    assert received == sent


def test_a_drain_takes_a_bounded_part_of_what_waits(sockets: Sockets, push: zmq.Socket[bytes]) -> None:
    message = os.urandom(MAX_MESSAGE_BYTES)
    drains: list[int] = []
    for _ in range(12):
        push.send(message)

    def all_came() -> bool:
        drains.append(sum(map(len, receive_waiting(sockets.data))))
        return sum(drains) == 12 * MAX_MESSAGE_BYTES

    wait_until(all_came)
    assert max(drains) < DRAIN_BYTES + MAX_MESSAGE_BYTES


def test_a_message_that_is_no_frame_by_its_size_never_comes_in(
    sockets: Sockets, push: zmq.Socket[bytes], tmp_path: Path
) -> None:
    push.send(os.urandom(MAX_MESSAGE_BYTES + 1))
    with sockets.context.socket(zmq.PUSH) as other:
        other.linger = 0
        other.connect(f"ipc://{tmp_path / DATA_SOCKET}")
        other.send(b"good")
        received: list[bytes] = []

        def came() -> bool:
            received.extend(receive_waiting(sockets.data))
            return bool(received)

        wait_until(came)
    assert received == [b"good"]


def test_what_piles_up_while_nothing_is_taken_in_is_bounded_for_each_producer(tmp_path: Path) -> None:
    sockets = bind(tmp_path)
    sender = sockets.context.socket(zmq.PUSH)
    sender.sndhwm = 1
    sender.connect(f"ipc://{tmp_path / DATA_SOCKET}")
    frame = bytes(256 << 10)
    taken, idle = 0, 0
    while idle < 50:  # half a second in which nothing was taken: the disk stalls, say
        try:
            sender.send(frame, zmq.NOBLOCK)
            taken, idle = taken + 1, 0
        except zmq.Again:
            idle += 1
            sender.poll(10, zmq.POLLOUT)
    sender.close(linger=0)
    sockets.close()

    # The kernel's own buffers and what the two ends have in hand come to it.
    assert taken * len(frame) <= RECEIVE_FRAMES * len(frame) + (2 << 20)
