"""Timers: one event for each block or call, however it ends."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from telemetry.timing import Timer

Recorded = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def recorded() -> Recorded:
    return []


def timer(recorded: Recorded, **fields: Any) -> Timer:
    def timed(name: str, milliseconds: float, fields: dict[str, Any]) -> None:
        recorded.append((name, {**fields, "duration_ms": milliseconds}))

    return Timer(timed, "query_finished", fields)


def test_a_block_is_one_event_with_its_fields_and_its_duration(recorded: Recorded) -> None:
    with timer(recorded, engine="batch"):
        assert recorded == []
    [(name, fields)] = recorded
    assert name == "query_finished"
    assert fields.pop("duration_ms") >= 0.0
    assert fields == {"engine": "batch"}


def test_the_duration_is_in_milliseconds(recorded: Recorded) -> None:
    waiting = threading.Event()
    with timer(recorded):
        waiting.wait(0.03)
    assert 29.0 < recorded[0][1]["duration_ms"] < 20_000.0


def test_a_block_that_raises_is_recorded_and_raises(recorded: Recorded) -> None:
    with pytest.raises(KeyError), timer(recorded):
        raise KeyError
    assert len(recorded) == 1


def test_a_decorated_function_keeps_its_name_arguments_and_result(recorded: Recorded) -> None:
    @timer(recorded)
    def add(left: int, right: int = 2) -> int:
        """Add."""
        return left + right

    assert add(1, right=4) == 5
    assert add.__name__ == "add"
    assert add.__doc__ == "Add."
    assert len(recorded) == 1


def test_a_decorated_function_that_raises_is_recorded_and_raises(recorded: Recorded) -> None:
    @timer(recorded)
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        fail()
    assert len(recorded) == 1


def test_each_call_of_a_recursion_is_timed_by_itself_inner_ones_first(recorded: Recorded) -> None:
    @timer(recorded)
    def sink(depth: int) -> None:
        if depth:
            sink(depth - 1)

    sink(4)
    durations = [fields["duration_ms"] for _, fields in recorded]
    assert len(durations) == 5
    assert durations == sorted(durations)


def test_a_coroutine_is_timed_to_its_end_and_not_to_its_making(recorded: Recorded) -> None:
    @timer(recorded)
    async def answer() -> int:
        await asyncio.sleep(0)
        assert recorded == []
        return 42

    coroutine = answer()
    assert recorded == []
    assert asyncio.run(coroutine) == 42
    assert len(recorded) == 1


def test_a_cancelled_coroutine_is_recorded(recorded: Recorded) -> None:
    @timer(recorded)
    async def hang() -> None:
        await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(hang())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert len(recorded) == 1


def test_coroutines_of_one_decorator_overlap_without_mixing_up(recorded: Recorded) -> None:
    @timer(recorded)
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def both() -> None:
        await asyncio.gather(wait(0.05), wait(0.0))

    asyncio.run(both())
    short, long = (fields["duration_ms"] for _, fields in recorded)
    assert long >= 49.0
    assert short <= long


def test_threads_of_one_decorator_are_each_timed(recorded: Recorded) -> None:
    barrier = threading.Barrier(8)

    @timer(recorded)
    def meet() -> None:
        barrier.wait(30)

    threads = [threading.Thread(target=meet) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(recorded) == 8


def test_the_fields_of_one_event_are_not_those_of_the_next(recorded: Recorded) -> None:
    @timer(recorded, engine="batch")
    def work() -> None:
        """Nothing."""

    work()
    recorded[0][1]["engine"] = "changed"
    work()
    assert recorded[1][1]["engine"] == "batch"
