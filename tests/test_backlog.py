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
from telemetry.drops import DropReason
from telemetry.producer.backlog import FRAME_EVENTS, SOCKET_BYTES, UNSURE_FRAMES, Backlog, _fitting
from telemetry.producer.outbox import CHUNK_EVENTS
from telemetry.rendezvous.taken import Taken

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


class Told(Pipe):
    """A transport that takes whatever it is given, to a shipper that says what it takes."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.connections = 0
        self.says = Taken(0, 0, "one")

    def send(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return True

    def taken(self, producer: bytes) -> Taken:  # type: ignore[override] # that one says nothing
        assert producer
        return self.says

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        assert linger_milliseconds == 0
        self.connections += 1


def _filled(pipe: Told) -> tuple[Backlog, int]:
    """A backlog that has no room left, and how many of its events are not taken."""
    backlog = _backlog(pipe)
    backlog.settle()
    taken = 0
    while _add(backlog, taken, ["x" * 1000] * 100):
        taken += 100
        backlog.send()
    return backlog, taken


def test_what_is_kept_fills_the_queue_until_it_is_taken() -> None:
    pipe = Told()
    backlog, number = _filled(pipe)
    limit = LIMIT_BYTES + SOCKET_BYTES
    assert 0.9 * limit < number * 1000 <= limit
    pipe.says = Taken(number // 2, 0, "one")
    assert _add(backlog, number, ["x" * 1000] * 100)
    assert pipe.connections == 0


def test_a_number_beyond_all_that_was_sent_and_one_that_falls_are_none() -> None:
    pipe = Told()
    backlog, number = _filled(pipe)
    kept = backlog.unsure()
    pipe.says = Taken(number + 1, 0, "one")
    backlog.settle()
    assert backlog.unsure() == kept
    pipe.says = Taken(100, 0, "one")
    backlog.settle()
    pipe.says = Taken(0, 0, "one")
    backlog.settle()
    assert [*_events(backlog.unsure())] == ["x" * 1000] * (number - 100)


def test_another_shipper_is_sent_what_is_not_taken_in_order_by_a_new_connection() -> None:
    pipe = Told()
    backlog, number = _filled(pipe)
    pipe.sent.clear()
    pipe.says = Taken(300, 0, "another")
    backlog.settle()
    assert pipe.connections == 1
    assert _number_and_events(pipe.sent[0])[0] == 300
    assert len([*_events(pipe.sent)]) == number - 300
    assert {msgpack.unpackb(frame)[6] for frame in pipe.sent} == {300}
    backlog.settle()
    assert pipe.connections == 1


def test_a_last_word_without_events_is_kept_until_it_was_heard() -> None:
    pipe = Told()
    backlog = _backlog(pipe)
    backlog.settle()
    backlog.drop(DropReason.QUEUE_FULL, 3)
    backlog.conclude()
    before = backlog.producer
    backlog.begin(CONTEXT, {})
    backlog.settle()
    assert backlog.kept == {before}
    pipe.says = Taken(0, 3, "one")
    backlog.settle()
    assert backlog.kept == set()


class Clock:
    """Time that stands still unless it is moved."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def _timed(pipe: Pipe) -> tuple[Backlog, Clock]:
    clock = Clock()
    return Backlog(cast("Transport", pipe), CONTEXT, LIMIT_BYTES, clock), clock


def test_what_is_kept_is_overdue_a_tenth_of_a_second_after_the_first_of_it() -> None:
    pipe = Told()
    backlog, clock = _timed(pipe)
    backlog.settle()
    clock.seconds += 5.0
    told = []
    for number, after_seconds in enumerate((0.0, 0.09, 0.02)):
        clock.seconds += after_seconds
        _add(backlog, number, ["x"])
        backlog.send()
        told.append(backlog.is_overdue)
    pipe.says = Taken(3, 0, "one")
    backlog.settle()
    told.append(backlog.is_overdue)

    assert told == [False, False, True, False]


def test_a_shipper_that_takes_nothing_is_sent_it_again_ever_more_seldom() -> None:
    pipe = Told()
    backlog, clock = _timed(pipe)
    backlog.settle()
    _add(backlog, 0, ["x"])
    backlog.send()
    began = clock.seconds
    sent_at: list[float] = []
    for _ in range(1280):
        clock.seconds += 0.125
        backlog.settle()
        if pipe.connections > len(sent_at):
            sent_at.append(clock.seconds - began)

    assert sent_at == [2.0, 6.0, 14.0, 30.0, 60.0, 90.0, 120.0, 150.0]


def test_a_shipper_that_comes_to_say_what_it_takes_is_noticed_before_more_is_forgotten() -> None:
    pipe = Told()
    asked: list[bytes] = []

    def taken(producer: bytes) -> Taken | None:
        asked.append(producer)
        return Taken(0, 0, "one") if len(asked) > 1 else None

    pipe.taken = taken  # type: ignore[assignment, method-assign] # silent at first
    backlog, clock = _timed(pipe)
    for number in range(UNSURE_FRAMES + 40):
        _add(backlog, number, ["x"])
        backlog.send()
        clock.seconds += 1 / 1024

    assert (len(asked), backlog.hears) == (2, True)
    assert len(backlog.unsure()) == UNSURE_FRAMES + 40 - 21, "it is asked each 20 ms"


@pytest.mark.parametrize("since", [0.0, 5.0])
def test_a_frame_tells_its_context_and_a_date_of_consent_if_there_is_one(since: float) -> None:
    backlog = Backlog(cast("Transport", Pipe()), CONTEXT._replace(since=since), LIMIT_BYTES)
    _add(backlog, 0, ["x"])
    (frame,) = backlog.unsure()
    said = msgpack.unpackb(frame)[2]

    assert said == {key: value for key, value in CONTEXT._asdict().items() if key != "since"} | (
        {"since": since} if since else {}
    )


def test_a_producer_is_known_once_the_transport_has_taken_a_frame_and_until_it_is_disconnected() -> None:
    pipe = Told()
    backlog = _backlog(pipe)
    told = [backlog.has_sent]
    backlog.hello()
    told.append(backlog.has_sent)
    backlog.disconnect()
    told.append(backlog.has_sent)

    assert told == [False, True, False]


def test_a_size_that_an_interrupt_has_counted_twice_is_counted_anew() -> None:
    heard, unheard = _backlog(Told()), _backlog(Pipe())
    heard._waiting_bytes = unheard._waiting_bytes = LIMIT_BYTES
    heard.settle()
    unheard.narrow(CONTEXT, lambda _: True)
    assert heard._waiting_bytes == unheard._waiting_bytes == 0


def test_what_does_not_fit_under_a_longer_head_is_divided_and_keeps_its_order() -> None:
    events = ["x" * 100, "y" * 10, "z" * 100, "a", "b" * 100]
    parts = [msgpack.unpackb(part) for part in _fitting(msgpack.packb(events), 150)]

    assert [event for part in parts for event in part] == events
    assert len(parts) > 1
    assert [*_fitting(msgpack.packb(["x" * 100] * 2), 150)] == [msgpack.packb(["x" * 100])] * 2
    assert [*_fitting(msgpack.packb(["x" * 200]), 150)] == [msgpack.packb(["x" * 200])], "an event stays whole"


def test_the_chunks_of_frames_are_those_with_events() -> None:
    backlog = _backlog(Pipe())
    backlog.conclude()
    _add(backlog, 0, ["x", "y"])
    frames = backlog.unsure()

    assert len(frames) == 2
    assert [*backlog.chunks_of(frames)] == [(msgpack.packb(["x", "y"]), 2)]
