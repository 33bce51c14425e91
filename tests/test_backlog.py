"""Batches leave as frames: whole, in order, bounded, and again as long as they may not have left."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import msgpack
import pytest
import zmq
from hypothesis import given
from hypothesis import strategies as st

from telemetry import wire
from telemetry.producer.backlog import FRAME_EVENTS, UNSURE_FRAMES, Backlog
from telemetry.producer.outbox import CHUNK_EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.producer.transport import Transport

LIMIT_BYTES = 1 << 20
CONTEXT = wire.Context(1, "", "on", "host", 0, "unknown", {})


class Pipe:
    """A transport of one process, with a reader at its end; one that is shut takes nothing."""

    def __init__(self, socket: zmq.Socket[bytes] | None = None) -> None:
        self.socket = socket
        self.is_shut = socket is None

    def send(self, frame: bytes) -> bool:
        if self.socket is None or self.is_shut:
            return False
        self.socket.send(frame, zmq.NOBLOCK)
        return True

    def taken(self, producer: bytes) -> None:
        """A shipper of a version that says nothing."""


def _backlog(pipe: Pipe) -> Backlog:
    return Backlog(cast("Transport", pipe), CONTEXT, LIMIT_BYTES)


def _add(backlog: Backlog, first: int, batch: list[Any]) -> bool:
    assert first >= 0
    return backlog.add(msgpack.packb(batch), len(batch))


def _number_and_events(frame: bytes) -> list[Any]:
    _, _, _, first, _, events, _ = msgpack.unpackb(frame)
    return [first, events]


def _events(frames: list[bytes]) -> Iterator[Any]:
    """What frames hold; their numbers go on where the last one ended."""
    following = None
    for frame in frames:
        first, events = _number_and_events(frame)
        assert following in {None, first}
        following = first + len(events)
        yield from events


def _sizes(frames: list[bytes]) -> list[int]:
    return [len(_number_and_events(frame)[1]) for frame in frames]


@pytest.fixture
def pair() -> Iterator[tuple[Backlog, zmq.Socket[bytes]]]:
    """A backlog, and who reads from it."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    reading = context.socket(zmq.PULL)
    reading.bind("inproc://backlog")

    writing = context.socket(zmq.PUSH)
    writing.connect("inproc://backlog")
    yield _backlog(Pipe(writing)), reading
    writing.close(linger=0)
    reading.close()
    context.term()


@given(
    st.lists(st.integers(1, CHUNK_EVENTS) | st.just(CHUNK_EVENTS), max_size=60),
    st.lists(st.integers(0, 5000), min_size=1, max_size=5),
)
def test_the_events_of_any_batches_leave_once_in_order_in_frames_that_are_not_too_large(
    sizes: list[int], lengths: list[int]
) -> None:
    backlog = _backlog(Pipe())
    accepted: list[Any] = []
    number = iter(range(10**6))
    for size in sizes:
        batch = [(n, "x" * lengths[n % len(lengths)]) for n in islice(number, size)]
        if len(msgpack.packb(batch)) < wire.MAX_FRAME_BYTES - 100 and _add(backlog, len(accepted), batch):
            accepted += batch
    frames = backlog.unsure()
    assert [tuple(event) for event in _events(frames)] == accepted
    assert all(len(frame) <= wire.MAX_FRAME_BYTES for frame in frames)
    assert all(len(_number_and_events(frame)[1]) < 2 * FRAME_EVENTS for frame in frames)
    assert sum(map(len, frames)) <= LIMIT_BYTES + 100 * len(frames)


def test_full_frames_are_made_of_full_batches() -> None:
    backlog = _backlog(Pipe())
    for number in range(7):
        assert _add(backlog, number * CHUNK_EVENTS, [0] * CHUNK_EVENTS)
    assert _sizes(backlog.unsure()) == [FRAME_EVENTS, FRAME_EVENTS, CHUNK_EVENTS]


def test_of_a_busy_host_only_full_frames_leave(pair: tuple[Backlog, zmq.Socket[bytes]]) -> None:
    backlog, reading = pair
    for number in range(5):
        assert bool(reading.poll(0)) == (number * CHUNK_EVENTS >= FRAME_EVENTS)
        assert _add(backlog, number * CHUNK_EVENTS, [0] * CHUNK_EVENTS)
        backlog.send_full()
    backlog.send()
    assert _sizes([reading.recv(), reading.recv()]) == [FRAME_EVENTS, 2 * CHUNK_EVENTS]
    assert not backlog


def test_behind_a_frame_that_can_not_leave_batches_go_on_joining() -> None:
    backlog = _backlog(Pipe())
    for number in range(7):
        assert _add(backlog, number * CHUNK_EVENTS, [0] * CHUNK_EVENTS)
        backlog.send()
    assert _sizes(backlog.unsure()) == [CHUNK_EVENTS, FRAME_EVENTS, FRAME_EVENTS]


def test_what_there_is_no_room_for_is_refused_until_something_has_left(
    pair: tuple[Backlog, zmq.Socket[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog, reading = pair
    batch = ["x" * 1000] * 100
    monkeypatch.setattr(backlog._transport, "is_shut", True)
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
    backlog._following = 7
    backlog.hello()
    assert _number_and_events(reading.recv()) == [7, []]
    assert _add(backlog, 7, ["one"])
    backlog.hello()
    assert _number_and_events(reading.recv()) == [7, ["one"]]
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
    backlog._frames.append(backlog._kept[0])
    assert [*_events(backlog.unsure())] == ["one"]


def test_a_batch_that_an_interrupt_kept_from_being_counted_leaves_in_a_good_frame() -> None:
    backlog = _backlog(Pipe())
    assert _add(backlog, 0, ["one"])
    backlog._open.append(msgpack.packb(["two"] * 20))
    assert _add(backlog, 21, ["three"])
    assert [*_events(backlog.unsure())] == ["one", *["two"] * 20, "three"]
