"""The producers' running numbers: how far each has come, and so what was lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from telemetry.drops import DropReason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.spool.tally import Tally

MAX_POSITIONS = 10_000
"""Producers remembered before those whose processes are gone are forgotten, and then those beyond it."""

REMOTE_PID = -1
"""What stands for the process of a producer on another machine: a number of there says nothing here."""


class Position(msgspec.Struct, array_like=True, frozen=True):
    """How far one producer has come.

    Attributes:
        pid: its process, or `REMOTE_PID`.
        next: the number that its next event will have.
        dropped: running totals, by reason, of what it has dropped itself.
        ended: numbers below it that have not come count as lost, for it was buried; 0 before that.
    """

    pid: int
    next: int = 0
    dropped: dict[str, int] = {}
    ended: int = 0

    @property
    def settled(self) -> int:
        """Every number below it has come, or counts as lost."""
        return max(self.next, self.ended)


def advance(position: Position, first: int, events: int, dropped: Mapping[Any, int], tally: Tally) -> Position:
    """Take a frame of `events` events into account: what it holds, the hole before it, what its producer dropped.

    Args:
        position: of the producer before the frame.
        first: the number of the frame's first event.
        events: how many it holds.
        dropped: the producer's running totals in the frame.
        tally: of the drain; `emitted` grows by all of this, `dropped` by what was lost, and `late` by what counts as
            lost already.

    Returns:
        The position after the frame.
    """
    # A producer interrupted between sending and counting numbers a batch twice: what arrived counts, no hole does.
    hole = max(0, first - position.settled)
    tally.drop(DropReason.IN_TRANSIT, hole)
    tally.late += max(0, min(first + events, position.ended) - max(first, position.next))
    lost = _drop_new(position.dropped, dropped, tally)
    tally.emitted += hole + events + lost
    return msgspec.structs.replace(position, next=first + events, dropped=_latest(position.dropped, dropped))


def bury(position: Position, accepted: int, dropped: dict[str, int], tally: Tally) -> Position:
    """Take a tombstone into account: the producer is gone, and numbers up to `accepted` will not come any more."""
    hole = max(0, accepted - position.settled)
    tally.drop(DropReason.EXIT_UNCONFIRMED, hole)
    lost = _drop_new(position.dropped, dropped, tally)
    tally.emitted += hole + lost
    ended = max(accepted, position.ended)
    return msgspec.structs.replace(position, ended=ended, dropped=_latest(position.dropped, dropped))


def furthest(one: Position | None, other: Position) -> Position:
    """The position after both: two segments that a producer moved in may be sealed in either order."""
    if one is None:
        return other
    return msgspec.structs.replace(
        other,
        next=max(one.next, other.next),
        dropped=_latest(one.dropped, other.dropped),
        ended=max(one.ended, other.ended),
    )


def up_to(first: int, one: Position | None, other: Position) -> Position:
    """The position after both, before a frame whose first event has the number `first`.

    Another shipper may have come further: what it has beyond that was sent twice, and its numbers mean nothing here.
    """
    found = furthest(one, other)
    return msgspec.structs.replace(found, next=min(found.next, first)) if found.next > first else found


def catch_up(positions: dict[str, Position], others: Mapping[str, Position]) -> None:
    """Move each producer in `positions` on to where `others` saw it, if that is further."""
    for producer, position in others.items():
        positions[producer] = furthest(positions.get(producer), position)


def _latest(known: Mapping[str, int], totals: Mapping[Any, int]) -> dict[str, int]:
    """The greater of each reason's running totals: what comes late was said earlier."""
    return {**known, **{reason: max(known.get(reason, 0), total) for reason, total in totals.items()}}


def _drop_new(known: dict[str, int], totals: Mapping[Any, int], tally: Tally) -> int:
    """Count what running totals have grown by; returns the sum."""
    grown = {reason: total - known.get(reason, 0) for reason, total in totals.items() if total > known.get(reason, 0)}
    for reason, events in grown.items():
        tally.drop(DropReason(reason), events)
    return sum(grown.values())
