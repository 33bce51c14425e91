"""Positions of the producers in their running numbers, which tell what was lost on the way."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import msgspec

from telemetry.drops import DropReason
from telemetry.wire import PRODUCER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from telemetry.spool.tally import Tally

MAX_POSITIONS = 10_000
"""The number of producers remembered; beyond it those whose processes are gone are forgotten first, then the others."""

REMOTE_PID = -1
"""The pid of a producer on another machine, where its real one means nothing."""


class Position(msgspec.Struct, array_like=True, frozen=True):
    """The position of one producer.

    Attributes:
        pid: the producer's process.
        next: the number that its next event will have.
        dropped: the running totals, by reason, of what it has dropped itself.
        ended: the number below which missing events count as lost, because the producer was buried; 0 before that.
        half: the numbers, first and behind the last, of events of which only one sensitivity is on disk: a drain that
            has both is written in two steps. `next` then lies behind by those that are not, so that they are missed.
    """

    pid: int
    next: int = 0
    dropped: dict[str, int] = {}
    ended: int = 0
    half: tuple[int, int] | None = None

    @property
    def whole(self) -> int:
        """The number below which every event has arrived, in one step or in both."""
        return self.half[0] if self.half else self.next

    @property
    def settled(self) -> int:
        """The number below which every event has arrived or counts as lost."""
        return max(self.next, self.ended)


Positions = dict[str, Position]
"""By the producers' ids, in hexadecimal."""


def advance(position: Position, first: int, events: int, dropped: Mapping[Any, int], tally: Tally) -> Position:
    """Take a frame into account: its events, the hole before it, and the events its producer dropped.

    Args:
        position: the producer's position before the frame.
        first: the number of the frame's first event.
        events: the number of its events.
        dropped: the producer's running totals in the frame.
        tally: the drain's counts. `emitted` grows by all of this, `dropped` by the losses, and `late` by the events
            that already counted as lost.

    Returns:
        The position after the frame.
    """
    # A producer interrupted between sending and counting numbers a frame twice: events that arrive count, no hole does.
    hole = max(0, first - position.settled)
    tally.drop(DropReason.IN_TRANSIT, hole)
    tally.late += max(0, min(first + events, position.ended) - max(first, position.next))
    lost = _drop_new(position.dropped, dropped, tally)
    tally.emitted += hole + events + lost
    return msgspec.structs.replace(position, next=first + events, dropped=_latest(position.dropped, dropped), half=None)


def complete(position: Position, end: int, events: int) -> Position:
    """Take into account that the rest of a frame has arrived of which one sensitivity was on disk before.

    Args:
        position: the producer's position before.
        end: the number behind the frame's last event.
        events: the number of events that were missing.
    """
    _, last = position.half or (end, end)
    if end >= last:
        return msgspec.structs.replace(position, next=max(position.next, end), half=None)
    return msgspec.structs.replace(position, next=position.next + events, half=(end, last))


def bury(position: Position, accepted: int, dropped: dict[str, int], tally: Tally) -> Position:
    """Take a tombstone into account: its producer is gone, and no number below `accepted` will arrive any more."""
    hole = max(0, accepted - position.settled)
    tally.drop(DropReason.EXIT_UNCONFIRMED, hole)
    lost = _drop_new(position.dropped, dropped, tally)
    tally.emitted += hole + lost
    ended = max(accepted, position.ended)
    return msgspec.structs.replace(position, ended=ended, dropped=_latest(position.dropped, dropped))


def furthest(one: Position | None, other: Position) -> Position:
    """Combine two positions into the further one.

    Two segments that a producer moved in may be sealed in either order.
    """
    if one is None:
        return other
    return msgspec.structs.replace(
        other,
        pid=max(one.pid, other.pid),  # a producer has one; whatever the order, and however often a line is there
        next=max(one.next, other.next),
        dropped=_latest(one.dropped, other.dropped),
        ended=max(one.ended, other.ended),
        half=_half(one, other),
    )


def up_to(first: int, one: Position | None, other: Position) -> Position:
    """Combine two positions for a frame whose first event has the number `first`, and go no further than that.

    Another shipper may have come further: what it has beyond `first` was sent twice, and its numbers mean nothing here.
    """
    found = furthest(one, other)
    return msgspec.structs.replace(found, next=first, half=None) if found.next > first else found


def taken_numbers(positions: Positions) -> Iterator[tuple[bytes, int, int]]:
    """Yield each producer's record of what is taken (telemetry/rendezvous/taken.py); what is no id is passed over."""
    for name, position in positions.items():
        with suppress(ValueError):
            if len(producer := bytes.fromhex(name)) == PRODUCER_BYTES:
                yield producer, position.whole, sum(position.dropped.values())


def catch_up(positions: dict[str, Position], others: Mapping[str, Position]) -> None:
    """Move each producer in `positions` on to its position in `others`, if that is further."""
    for producer, position in others.items():
        positions[producer] = furthest(positions.get(producer), position)


def _half(one: Position, other: Position) -> tuple[int, int] | None:
    """Return the numbers that are half on disk in two positions together: those of the further one, if it has any."""
    return max(one, other, key=lambda found: (found.half[1] if found.half else found.next, found.next)).half


def _latest(known: Mapping[str, int], totals: Mapping[Any, int]) -> dict[str, int]:
    """Return the greater of each reason's running totals, since frames may arrive out of order."""
    return {**known, **{reason: max(known.get(reason, 0), total) for reason, total in totals.items()}}


def _drop_new(known: dict[str, int], totals: Mapping[Any, int], tally: Tally) -> int:
    """Count the growth of running totals as drops, and return its sum."""
    grown = {reason: total - known.get(reason, 0) for reason, total in totals.items() if total > known.get(reason, 0)}
    for reason, events in grown.items():
        tally.drop(DropReason(reason), events)
    return sum(grown.values())
