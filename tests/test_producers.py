"""Running numbers tell what arrived and what did not, each event once."""

from __future__ import annotations

from itertools import accumulate

from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.spool.positions import Position, advance, bury, furthest
from telemetry.spool.tally import Tally

REASONS = ("queue_full", "too_large", "unencodable")
TOTALS = st.dictionaries(st.sampled_from(REASONS), st.integers(0, 100), max_size=3)

# A frame: events lost in transit before it, events in it, and what the producer dropped since the last.
FRAMES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), TOTALS), max_size=10)


def _sum(one: dict[str, int], other: dict[str, int]) -> dict[str, int]:
    return {reason: one.get(reason, 0) + other.get(reason, 0) for reason in one.keys() | other.keys()}


def _take(frames: list[tuple[int, int, dict[str, int]]], tally: Tally) -> Position:
    return _go_on(frames, 0, Position(1), tally)


def _go_on(frames: list[tuple[int, int, dict[str, int]]], taken: int, position: Position, tally: Tally) -> Position:
    """Take the frames behind those that were taken."""
    number = 0
    running = accumulate((dropped for *_, dropped in frames), _sum)
    for at, ((lost, events, _), dropped) in enumerate(zip(frames, running, strict=True)):
        if at >= taken:
            position = advance(position, number + lost, events, dropped, tally)
        number += lost + events
    return position


@settings(deadline=None)
@given(FRAMES)
def test_all_that_a_producer_numbered_or_dropped_is_emitted_and_what_did_not_arrive_is_lost(
    frames: list[tuple[int, int, dict[str, int]]],
) -> None:
    tally = Tally()
    position = _take(frames, tally)
    arrived = sum(events for _, events, _ in frames)
    tally.kept = arrived

    assert tally.balance == 0
    assert tally.dropped.get("in_transit", 0) == sum(lost for lost, *_ in frames)
    assert tally.lost - tally.dropped.get("in_transit", 0) == sum(sum(dropped.values()) for *_, dropped in frames)
    assert position.next == arrived + tally.dropped.get("in_transit", 0)


@settings(deadline=None)
@given(FRAMES)
def test_a_frame_that_comes_twice_makes_no_hole_and_drops_nothing_twice(
    frames: list[tuple[int, int, dict[str, int]]],
) -> None:
    tally = Tally()
    position = _take(frames, tally)
    before = tally.lost
    again = advance(position, max(0, position.next - 3), 3, position.dropped, tally)

    assert tally.lost == before
    assert again.next == max(3, position.next)


@settings(deadline=None)
@given(FRAMES, st.integers(0, 1000), TOTALS)
def test_a_tombstone_counts_what_did_not_arrive_once(
    frames: list[tuple[int, int, dict[str, int]]], more: int, dropped: dict[str, int]
) -> None:
    position = _take(frames, Tally())
    totals = _sum(position.dropped, dropped)
    tally = Tally()
    after = bury(position, position.next + more, totals, tally)

    assert tally.balance == 0
    assert tally.dropped.get("exit_unconfirmed", 0) == more
    assert tally.emitted == more + sum(dropped.values())

    again = Tally()
    assert bury(after, position.next + more, totals, again) == after
    assert again == Tally()


def test_a_tombstone_that_knows_less_than_we_do_counts_nothing() -> None:
    tally = Tally()

    assert bury(Position(1, 10), 4, {}, tally).next == 10
    assert tally == Tally()


@settings(deadline=None)
@given(FRAMES, st.integers(0, 10))
def test_what_comes_after_its_producer_was_buried_counts_once(
    frames: list[tuple[int, int, dict[str, int]]], came_before: int
) -> None:
    """Whatever had come by then: in the end it is as if no tombstone had been counted before all were there."""
    expected, tally = Tally(), Tally()
    end = _take(frames, expected)
    position = _take(frames[:came_before], tally)
    position = bury(position, end.next, end.dropped, tally)
    late = _go_on(frames, came_before, position, tally)
    tally.kept = sum(events for _, events, _ in frames)
    tally.settle_late()

    assert (late.settled, late.dropped) == (end.next, end.dropped)
    assert tally.emitted == expected.emitted
    assert tally.lost == expected.lost
    assert tally.balance == 0


POSITIONS = st.builds(Position, st.just(1), st.integers(0, 100), TOTALS, st.integers(0, 100))


@settings(deadline=None)
@given(POSITIONS, POSITIONS)
def test_the_furthest_of_two_positions_does_not_depend_on_their_order(one: Position, other: Position) -> None:
    both = furthest(one, other)

    assert both == furthest(other, one)
    assert both.next == max(one.next, other.next)
    assert furthest(both, one) == both
