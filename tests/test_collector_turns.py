"""Whose turn it is: a place to check a body, a round of the event loop. Real loops, no time."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.collector.pace import Pace
from telemetry.collector.turns import Turns


async def rounds(number: int = 5) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


class Work:
    """What has a place until it is told to end."""

    def __init__(self, turns: Turns, who: str, begun: list[str]) -> None:
        self.may_end = asyncio.Event()
        self.task = asyncio.create_task(self._run(turns, who, begun))

    async def _run(self, turns: Turns, who: str, begun: list[str]) -> None:
        async with turns.turn(who):
            begun.append(who)
            await self.may_end.wait()


def test_however_many_of_one_wait_another_one_finds_a_place_and_the_next_are_shared_evenly() -> None:
    async def scenario() -> None:
        now = 0.0
        turns, begun = Turns(3, lambda: now), list[str]()
        theirs = [Work(turns, "theirs", begun) for _ in range(10)]
        await rounds()
        assert (begun, turns.waiting("theirs")) == (["theirs"] * 2, 8)
        ours = [Work(turns, "ours", begun) for _ in range(2)]
        await rounds()
        assert begun[2:] == ["ours"]
        theirs[0].may_end.set()
        await rounds()
        assert begun[3:] == []  # each has one by now
        ours[0].may_end.set()
        await rounds()
        assert begun[3:] == ["ours"]
        now = 5.0
        theirs.append(Work(turns, "theirs", begun))  # ours come no more
        await rounds()
        assert begun[4:] == ["theirs"]
        for work in [*theirs, *ours]:
            work.may_end.set()
        await asyncio.gather(*(work.task for work in [*theirs, *ours]))
        assert Counter(begun) == {"theirs": 11, "ours": 2}

    asyncio.run(scenario())


@pytest.mark.parametrize(("places", "alone", "together"), [(3, 2, 1), (5, 4, 1), (9, 8, 2)])
def test_two_who_come_at_one_time_leave_half_of_the_places_to_nobody(places: int, alone: int, together: int) -> None:
    async def scenario() -> None:
        turns, begun = Turns(places, lambda: 0.0), list[str]()
        theirs = [Work(turns, "theirs", begun) for _ in range(20)]
        await rounds()
        assert begun == ["theirs"] * alone
        ours = [Work(turns, "ours", begun) for _ in range(20)]
        for work in theirs[:alone]:
            work.may_end.set()
        await rounds(20)
        assert Counter(begun[alone:]) == {"theirs": together, "ours": together}
        for work in [*theirs, *ours]:
            work.may_end.set()
        await asyncio.gather(*(work.task for work in [*theirs, *ours]))

    asyncio.run(scenario())


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["begin", "end", "cancel"])), max_size=30))
@settings(max_examples=50, deadline=None)
def test_no_place_is_lost_or_given_twice(steps: list[tuple[str, str]]) -> None:
    async def scenario() -> None:
        turns, begun = Turns(2, lambda: 0.0), list[str]()
        works: list[Work] = []
        for who, step in steps:
            if step == "begin" or not works:
                works.append(Work(turns, who, begun))
            elif step == "end":
                works[0].may_end.set()
                works.append(works.pop(0))
            else:
                works.pop(0).task.cancel()
            await rounds(ord(who) % 3)
        for work in works:
            work.may_end.set()
        await asyncio.gather(*(work.task for work in works))
        last = [Work(turns, who, begun) for who in "xy"]
        await rounds()
        assert begun[-2:] == ["x", "y"]
        for work in last:
            work.may_end.set()
        await asyncio.gather(*(work.task for work in last))

    asyncio.run(scenario())


def test_a_place_whose_holder_was_called_and_given_up_at_once_is_free() -> None:
    async def scenario() -> None:
        turns, begun = Turns(1, lambda: 0.0), list[str]()
        first, second = Work(turns, "a", begun), Work(turns, "b", begun)
        await rounds()
        first.may_end.set()
        await asyncio.sleep(0)
        second.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second.task
        third = Work(turns, "c", begun)
        await rounds()
        assert begun == ["a", "c"]
        third.may_end.set()
        await third.task

    asyncio.run(scenario())


def test_one_thing_of_each_is_done_in_a_round() -> None:
    async def scenario() -> None:
        pace, done = Pace(), list[str]()

        def ask(who: str) -> None:
            if pace.may(who, lambda: done.append(who)):
                done.append(who)

        for _ in range(5):
            ask("theirs")
        ask("ours")
        assert done == ["theirs", "ours"]
        await asyncio.sleep(0)
        assert done == ["theirs", "ours", "theirs"]
        ask("ours")
        await rounds(8)
        assert done[3:] == ["ours", "theirs", "theirs", "theirs"]
        ask("theirs")
        assert done[-1] == "theirs"

    asyncio.run(scenario())
