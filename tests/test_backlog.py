"""Batches leave as frames: whole, in order, bounded, and again as long as they may not have left."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from telemetry import wire
from telemetry.producer.backlog import FRAME_EVENTS, UNSURE_FRAMES, Backlog
from telemetry.producer.outbox import BATCH_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT_BYTES = 1 << 20


def _head(first: int) -> bytes:
    """The least that makes a frame an array of two: its number and its events."""
    packed: bytes = b"\x92" + msgpack.packb(first)
    return packed


def _nowhere() -> zmq.Socket[bytes]:
    raise OSError


def _add(backlog: Backlog, first: int, batch: list[Any]) -> bool:
    return backlog.add(first, msgpack.packb(batch), len(batch))


def _events(frames: list[bytes]) -> Iterator[Any]:
    """What frames hold; their numbers go on where the last one ended."""
    following = None
    for frame in frames:
        first, events = msgpack.unpackb(frame)
        assert following in {None, first}
        following = first + len(events)
        yield from events


def _sizes(frames: list[bytes]) -> list[int]:
    return [len(msgpack.unpackb(frame)[1]) for frame in frames]


@pytest.fixture
def pair() -> Iterator[tuple[Backlog, zmq.Socket[bytes]]]:
    """A backlog, and who reads from it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    reading = context.socket(zmq.PULL)
    reading.bind("inproc://backlog")

    def connect() -> zmq.Socket[bytes]:
        socket = context.socket(zmq.PUSH)
        socket.connect("inproc://backlog")
        return socket

    backlog = Backlog(connect, _head, LIMIT_BYTES)
    yield backlog, reading
    backlog.close_socket()
    reading.close()
    context.term()


@given(
    st.lists(st.integers(1, BATCH_EVENTS) | st.just(BATCH_EVENTS), max_size=60),
    st.lists(st.integers(0, 5000), min_size=1, max_size=5),
)
def test_the_events_of_any_batches_leave_once_in_order_in_frames_that_are_not_too_large(
    sizes: list[int], lengths: list[int]
) -> None:
    backlog = Backlog(_nowhere, _head, LIMIT_BYTES)
    accepted: list[Any] = []
    number = iter(range(10**6))
    for size in sizes:
        batch = [(n, "x" * lengths[n % len(lengths)]) for n in islice(number, size)]
        if len(msgpack.packb(batch)) < wire.MAX_FRAME_BYTES - 100 and _add(backlog, len(accepted), batch):
            accepted += batch
    frames = backlog.unsure()
    assert [tuple(event) for event in _events(frames)] == accepted
    assert all(len(frame) <= wire.MAX_FRAME_BYTES for frame in frames)
    assert all(len(msgpack.unpackb(frame)[1]) < 2 * FRAME_EVENTS for frame in frames)
    assert sum(map(len, frames)) <= LIMIT_BYTES + 100 * len(frames)


def test_full_frames_are_made_of_full_batches() -> None:
    backlog = Backlog(_nowhere, _head, LIMIT_BYTES)
    for number in range(7):
        assert _add(backlog, number * BATCH_EVENTS, [0] * BATCH_EVENTS)
    assert _sizes(backlog.unsure()) == [FRAME_EVENTS, FRAME_EVENTS, BATCH_EVENTS]


def test_of_a_busy_host_only_full_frames_leave(pair: tuple[Backlog, zmq.Socket[bytes]]) -> None:
    backlog, reading = pair
    for number in range(5):
        assert bool(reading.poll(0)) == (number * BATCH_EVENTS >= FRAME_EVENTS)
        assert _add(backlog, number * BATCH_EVENTS, [0] * BATCH_EVENTS)
        backlog.send_full()
    backlog.send()
    assert _sizes([reading.recv(), reading.recv()]) == [FRAME_EVENTS, 2 * BATCH_EVENTS]
    assert not backlog


def test_behind_a_frame_that_can_not_leave_batches_go_on_joining() -> None:
    backlog = Backlog(_nowhere, _head, LIMIT_BYTES)
    for number in range(7):
        assert _add(backlog, number * BATCH_EVENTS, [0] * BATCH_EVENTS)
        backlog.send()
    assert _sizes(backlog.unsure()) == [BATCH_EVENTS, FRAME_EVENTS, FRAME_EVENTS]


def test_what_there_is_no_room_for_is_refused_until_something_has_left(
    pair: tuple[Backlog, zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog, reading = pair
    batch = ["x" * 1000] * 100
    monkeypatch.setattr(backlog, "_connect", _nowhere)
    taken = 0
    while _add(backlog, taken, batch):
        taken += len(batch)
    assert 0.8 * LIMIT_BYTES < taken * 1000 <= LIMIT_BYTES
    monkeypatch.undo()
    assert _add(backlog, taken, batch)
    backlog.send()
    assert not backlog
    found = [reading.recv() for _ in range(len(backlog.unsure()))]
    assert len([*_events(found)]) == taken + len(batch)


def test_a_hello_is_a_frame_without_events_and_says_nothing_new_where_one_waits(
    pair: tuple[Backlog, zmq.Socket[bytes]],
) -> None:
    backlog, reading = pair
    backlog.hello(7)
    assert msgpack.unpackb(reading.recv()) == [7, []]
    assert _add(backlog, 7, ["one"])
    backlog.hello(8)
    assert msgpack.unpackb(reading.recv()) == [7, ["one"]]
    assert not reading.poll(0)


def test_what_was_sent_last_may_not_have_left(pair: tuple[Backlog, zmq.Socket[bytes]]) -> None:
    backlog, _ = pair
    for number in range(2 * UNSURE_FRAMES):
        assert _add(backlog, number, [number])
        backlog.send()
    assert not backlog
    assert [*_events(backlog.unsure())] == [*range(UNSURE_FRAMES, 2 * UNSURE_FRAMES)]
    backlog.clear()
    assert backlog.unsure() == []


def test_a_frame_that_an_interrupt_left_in_both_places_is_left_behind_once(
    pair: tuple[Backlog, zmq.Socket[bytes]],
) -> None:
    backlog, _ = pair
    assert _add(backlog, 0, ["one"])
    backlog.send()
    backlog._frames.append(backlog._unsure[0])
    assert [*_events(backlog.unsure())] == ["one"]


def test_a_batch_that_an_interrupt_kept_from_being_counted_leaves_in_a_good_frame() -> None:
    backlog = Backlog(_nowhere, _head, LIMIT_BYTES)
    assert _add(backlog, 0, ["one"])
    backlog._open.append(msgpack.packb(["two"] * 20))
    assert _add(backlog, 21, ["three"])
    assert [*_events(backlog.unsure())] == ["one", *["two"] * 20, "three"]
