"""The seam between a process and its shipper: a link knows of its transport what the interface says, and no more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from telemetry.consent import Decision, State, Stored
from telemetry.debug import DebugTransport
from telemetry.producer.link import Link
from telemetry.producer.local import LocalTransport
from telemetry.producer.remote import RemoteTransport
from telemetry.producer.transport import Transport
from telemetry.wire import Context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox

CONTEXT = Context(os.getpid(), "", "on", "host", 0, "unknown", {})
ON = Decision(State.ON, "host", "host", 0, "unknown")
QUEUE_BYTES = 8 << 20


class Memory:
    """A transport to nowhere: keeps what it is given, confirms when told to, and notes what it is asked to do."""

    exit_seconds = 0.0
    lock_seconds = 0.05

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.is_full = self.is_missing = False
        self.confirms = True
        self.asked: list[dict[str, Any]] = []
        self.left: list[bytes] = []
        self.behind: list[tuple[list[bytes], LastWord]] = []
        self.done: list[str] = []

    def send(self, frame: bytes) -> bool:
        if not self.is_full:
            self.frames.append(frame)
        return not self.is_full

    def taken(self, producer: bytes) -> None:
        pass

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        self.done.append(f"disconnect {linger_milliseconds}")

    def supervise(self, outbox: Outbox) -> bool:
        self.done.append(f"supervise {outbox.off}")
        return False

    def follow_user(self, outbox: Outbox) -> bool:
        return outbox is None

    def confirm(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object]
    ) -> dict[str, Any] | None:
        self.asked.append(request)
        if not self.confirms:
            assert deadline
            meanwhile()
            raise OSError
        return {"delivered": True}

    def leave(self, producer: bytes, deadline: float) -> None:
        assert deadline
        self.left.append(producer)

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        self.behind.append((frames, word))

    def renew(self) -> None:
        self.done.append("renew")

    def close(self, *, is_free: bool) -> None:
        self.done.append(f"close {is_free}")


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def link(memory: Memory) -> Iterator[Link]:
    made = Link(memory, lambda: (Stored(), ON), CONTEXT, (), 60.0, QUEUE_BYTES, {})
    yield made
    made.close(0.0)


def events(frames: list[bytes]) -> list[Any]:
    return [event for frame in frames for event in msgpack.unpackb(frame)[5]]


def test_each_way_there_is_one() -> None:
    ways: list[type[Transport]] = [LocalTransport, RemoteTransport, DebugTransport, Memory]
    public = {name for name in vars(Transport) if not name.startswith("_")}
    assert all(hasattr(way, name) for way in ways[:3] for name in public)


def test_events_go_by_it_and_what_was_settled_is_asked_of_it(memory: Memory, link: Link) -> None:
    assert memory.done == ["supervise False"]
    assert [msgpack.unpackb(frame)[5] for frame in memory.frames] == [[]]  # a hello
    record = link.recorder()
    for number in range(3):
        record("e", {"number": number})
    assert link.flush(1)
    assert [fields for _, _, fields in events(memory.frames)] == [{"number": number} for number in range(3)]
    producer = msgpack.unpackb(memory.frames[0])[1]
    assert memory.asked == [{"op": "confirm", "producer": producer, "accepted": 3, "dropped": 0}]
    assert link.deliver(1)
    link.close(1)
    assert memory.left == [producer]
    assert memory.behind == []
    assert memory.done[-2:] == ["disconnect 0", "close True"]


@pytest.mark.parametrize(("is_missing", "reason"), [(False, "queue_full"), (True, "no_shipper")])
def test_what_it_does_not_take_waits_and_beyond_that_is_dropped_for_its_reason(
    memory: Memory, link: Link, *, is_missing: bool, reason: str
) -> None:
    memory.is_full, memory.is_missing = True, is_missing
    record = link.recorder()
    for _ in range(200):
        record("e", {"text": "x" * 60_000})
    link.flush(0.1)
    memory.is_full = False
    assert link.flush(1)
    dropped = 200 - len(events(memory.frames))
    assert 0 < dropped < 200
    link.close(1)
    assert memory.asked[-1]["dropped"] == dropped
    assert link._outbox.dropped == {reason: dropped}


def test_what_it_does_not_confirm_is_left_behind_with_the_account_of_all(memory: Memory, link: Link) -> None:
    memory.confirms = False
    record = link.recorder()
    record("e", {"number": 1})
    link._counters.calls.append(("c", 1, {}))
    link.close(0.0)
    ((frames, word),) = memory.behind
    assert [name for name, _, _ in events(frames)] == ["e", "c"]
    assert (word.accepted, word.dropped, memory.left) == (2, {"exit_unconfirmed": 0}, [])
    assert msgpack.unpackb(word.frame)[3:] == [2, {"exit_unconfirmed": 0}, [], 2]


def test_a_forked_child_has_it_begin_anew(memory: Memory, link: Link) -> None:
    link.recorder()("e", {})
    link._renew()
    assert memory.done.count("renew") == 1
    assert link.flush(0.1)
    assert memory.asked == []  # a child that emitted nothing waits for nothing
