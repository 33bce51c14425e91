"""Order of the frames of producers that keep them until they are taken: each event is taken once, and none is missed.

Such a producer says in each frame from which number on it keeps events. When its shipper is another one, or seems to
hear nothing, it sends all of those again, in order. So what is behind a gap that it can fill is put off, as it comes
again. What is taken already is passed over, to the event. Frames of producers that keep nothing go on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import Raw
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable

    from telemetry.shipper.intake.receiver import Frame
    from telemetry.spool.positions import Position

_ARRAY = msgspec.msgpack.Decoder(list[Raw])
_SHORT, _SHORT_END, _MIDDLE, _LONG = 0x90, 0xA0, 0xDC, 0xDD  # heads of msgpack arrays


class Ordered(NamedTuple):
    """Frames that may be taken now.

    Attributes:
        halves: the frames of whose events one sensitivity is on disk already; they go before the others.
        frames: all others.
    """

    halves: list[Frame]
    frames: list[Frame]


def in_order(frames: Iterable[Frame], position_of: Callable[[str], Position], unsure: Container[str] = ()) -> Ordered:
    """Return the frames that may be taken now.

    Args:
        frames: the frames in the order of their arrival.
        position_of: returns a producer's position, by its id in hexadecimal.
        unsure: the producers whose events another shipper may have taken, which could not be asked about just now:
            their frames behind a gap are put off.
    """
    found = Ordered([], [])
    reached: dict[str, Position] = {}
    for frame in frames:
        events = None if frame.kept is None else _count(frame.events)
        if frame.kept is None or events is None:  # what can't be counted is refused further on
            found.frames.append(frame)
            continue
        producer = frame.producer.hex()
        position = reached.get(producer) or position_of(producer)
        end = frame.first + events
        begun = max(position.whole, position.ended, 0 if producer in unsure else frame.kept)
        if end < position.whole or (events and end == position.whole) or frame.first > begun:
            continue
        if position.half and frame.first < position.half[1]:
            found.halves.append(_from(max(frame.first, position.whole), frame))
            half = (end, position.half[1]) if end < position.half[1] else None
            reached[producer] = replace(position, next=max(end, position.next), half=half)
            continue
        found.frames.append(_from(max(frame.first, min(position.whole, end)), frame))
        reached[producer] = replace(position, next=max(end, position.next), half=None)
    return found


def _from(first: int, frame: Frame) -> Frame:
    """Return a frame without its events below a number."""
    if first == frame.first:
        return frame
    events = _ARRAY.decode(frame.events)[first - frame.first :]
    return replace(frame, first=first, events=Raw(msgspec.msgpack.encode(events)))


def _count(events: Raw) -> int | None:
    """Return the number of events in a frame; None if they are no array."""
    head = bytes(memoryview(events)[:5])
    match head[0]:
        case short if _SHORT <= short < _SHORT_END:
            return short - _SHORT
        case first if first == _MIDDLE:
            return int.from_bytes(head[1:3])
        case first if first == _LONG:
            return int.from_bytes(head[1:5])
    return None
