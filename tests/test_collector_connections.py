"""Who is connected, and who makes room for whom; and what a clock that is set does to old batches. Opens no socket."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from telemetry.collector import conversation as conversation_
from telemetry.collector.chores import oldest_kept
from telemetry.collector.connections import Connections
from telemetry.collector.conversation import Conversation
from telemetry.collector.limits import Limits


class One:
    """A client."""

    def __init__(self) -> None:
        self.received_bytes = 0
        self.is_cut = False

    def cut(self) -> None:
        """End it."""
        self.is_cut = True


class Clock:
    """One that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now


def test_of_those_that_wait_newcomers_go_first_and_the_oldest_of_them() -> None:
    connections = Connections(3, Clock())
    proven, first, second, third, fourth = (One() for _ in range(5))
    connections.enter(proven)
    connections.upload(proven)
    connections.rest(proven)
    for newcomer in (first, second, third):
        assert connections.enter(newcomer)
    assert [one.is_cut for one in (proven, first, second, third)] == [False, True, False, False]
    assert connections.enter(fourth)
    assert (second.is_cut, proven.is_cut, connections.cut) == (True, False, 2)


def test_a_newcomer_that_has_spoken_outlives_those_that_are_silent() -> None:
    connections = Connections(3, Clock())
    speaks, silent, last = (One() for _ in range(3))
    for newcomer in (speaks, silent, last):
        connections.enter(newcomer)
    connections.hear(speaks)
    connections.hear(One())  # that has left
    for _ in range(2):
        assert connections.enter(One())
    assert [one.is_cut for one in (speaks, silent, last)] == [False, True, True]
    assert len(connections) == 3


def test_the_slowest_upload_makes_room_once_it_had_time() -> None:
    clock = Clock()
    connections = Connections(4, clock)
    slow, fast, new = One(), One(), One()
    for one in (slow, fast, new):
        connections.enter(one)
    assert connections.upload(slow)
    assert connections.upload(fast)
    assert not connections.upload(new)
    slow.received_bytes, fast.received_bytes, clock.now = 10, 10_000, 3.0
    assert connections.upload(new)
    assert (slow.is_cut, fast.is_cut, new.is_cut) == (True, False, False)


def test_when_all_are_at_work_nobody_comes_in() -> None:
    connections = Connections(1, Clock())
    one = One()
    assert connections.enter(one)
    connections.work(one)
    assert not connections.enter(One())


@given(st.lists(st.tuples(st.sampled_from(["enter", "hear", "upload", "work", "rest", "leave"]), st.integers(0, 7))))
def test_never_are_there_more_than_the_bound_and_who_was_cut_off_does_not_come_back(
    steps: list[tuple[str, int]],
) -> None:
    connections = Connections(4, Clock())
    ones = [One() for _ in range(8)]
    inside: set[One] = set()
    for step, number in steps:
        one = ones[number]
        if step != "enter":
            getattr(connections, step)(one)  # also for those that have left, or were cut off
            inside -= {one} if step == "leave" else set()
        elif one not in inside:
            ones[number] = new = One()
            inside |= {new} if connections.enter(new) else set()
        inside -= {other for other in inside if other.is_cut}
        assert len(connections) == len(inside) <= 4
    for one in inside:
        connections.leave(one)
    assert len(connections) == 0


def test_a_clock_that_is_set_forward_removes_nothing_and_one_set_back_nothing_too_early() -> None:
    begun = datetime(2026, 6, 15, tzinfo=UTC)
    hour = timedelta(hours=1)
    assert oldest_kept(begun, 3600.0, begun + hour, 10) == "2026-06-05T01:00:00Z"
    assert oldest_kept(begun, 3600.0, begun + timedelta(days=4000), 10) == "2026-06-05T01:00:00Z"
    assert oldest_kept(begun, 3600.0, begun - timedelta(days=100), 10) == "2026-02-25T00:00:00Z"


def test_who_speaks_in_crumbs_is_listened_to_now_and_then() -> None:
    heard: list[bytes] = []
    desk = mock.Mock(talking=set(), limits=Limits())
    desk.answers.hear = heard.append  # a head that is not there yet
    transport = mock.Mock(is_closing=lambda: False)

    async def scenario() -> None:
        conversation = Conversation(mock.Mock(), desk)
        conversation.connection_made(transport)
        conversation.data_received(b"POST")
        assert transport.pause_reading.called
        assert not transport.resume_reading.called
        for _ in range(3):
            await asyncio.sleep(0)
        assert transport.resume_reading.called
        transport.pause_reading.reset_mock()
        conversation.data_received(b" " * 10_000)
        assert not transport.pause_reading.called

    with mock.patch.object(conversation_, "_REST_SECONDS", 0.0):
        asyncio.run(scenario())
    assert [len(data) for data in heard] == [4, 10_004]
