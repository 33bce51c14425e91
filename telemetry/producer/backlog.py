"""Backlog of encoded chunks on their way to the shipper.

Numbered, joined to frames, bounded, kept until they have left.

A frame (telemetry/wire.py) is built here, and nowhere else. For one thread at a time. An interrupt between two steps
sends a frame twice rather than not at all.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry import wire
from telemetry.drops import DropReason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.producer.transport import Transport

FRAME_EVENTS = 576
"""The events in a full frame, as a busy host sends them: a frame costs ZeroMQ and the shipper the same whatever is in
it, and waking that thread costs some 15 us."""

SOCKET_FRAMES = 16
"""The frames inside ZeroMQ, whose own limit counts messages: 4 MiB at their largest. The rest waits here."""

UNSURE_FRAMES = 3 * SOCKET_FRAMES
"""The last frames sent, of which some may never leave: those inside ZeroMQ, and beside them 8 KiB that it encoded and
not written, which is one frame, or two dozen hellos. What it has written the kernel keeps."""

TOTALS_BYTES = 128
"""The room for the numbers in a frame's head, of its first event and by reason, which take less."""

_pack = msgspec.msgpack.Encoder().encode


class LastWord(NamedTuple):
    """The account of a producer that ends.

    Attributes:
        producer: the producer's id.
        accepted: the number of events it has numbered.
        dropped: the totals by reason, including events it never numbered.
        frame: the same account as a frame without events.
    """

    producer: bytes
    accepted: int
    dropped: dict[str, int]
    frame: bytes


class Backlog:
    """The frames of this process that have not surely left, and the producer that numbers their events.

    Attributes:
        context: the context under which events added now were emitted.
        producer: a random id; new in a forked child, under another consent and at another place.
        accepted: the running number of the next event: how many were handed to the transport or wait here.
        dropped: the running totals by reason.
        has_sent: whether the transport has taken a frame since it was disconnected last.
        chunk_limit_bytes: the size of the largest chunk that may be added.
    """

    def __init__(self, transport: Transport, context: wire.Context, limit_bytes: int) -> None:
        """Begin empty.

        Args:
            transport: takes the frames.
            context: the context of the process.
            limit_bytes: the limit of what may wait here.
        """
        self._transport = transport
        self._limit_bytes = limit_bytes
        self.renew(context)

    def renew(self, context: wire.Context) -> None:
        """Begin anew in a forked child: waiting frames are its parent's to send."""
        self.has_sent = False
        self.clear()
        self.begin(context, {})

    def begin(self, context: wire.Context, dropped: dict[str, int]) -> None:
        """Be a producer that has numbered nothing yet; waiting frames stay as they are.

        Args:
            context: the context under which the next events are emitted.
            dropped: the totals to begin with.
        """
        self.producer = os.urandom(wire.PRODUCER_BYTES)
        self.accepted = 0
        self.dropped = dropped
        self.context = context
        self._prefix = bytes([0x96, wire.PROTOCOL]) + _pack(self.producer) + _pack(_said(context))
        self.chunk_limit_bytes = wire.MAX_FRAME_BYTES - len(self._prefix) - TOTALS_BYTES

    def clear(self) -> None:
        """Discard all frames that wait or may not have left."""
        self._frames: deque[bytes] = deque()
        self._unsure: deque[bytes] = deque(maxlen=UNSURE_FRAMES)
        self._open: list[bytes] = []  # of the next frame: its head, and chunks
        self._open_events = self._open_bytes = self._closed_bytes = 0

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._frames or self._open)

    def add(self, chunk: bytes, events: int) -> bool:
        """Number the events of a chunk, and have them leave with the next frame.

        Args:
            chunk: a msgpack array of at most `chunk_limit_bytes`.
            events: the number of events in it.

        Returns:
            False if there is no room for it.
        """
        if not self._has_room(len(chunk)):
            self.send()
            if not self._has_room(len(chunk)):
                return False
        if self._open_events >= FRAME_EVENTS or self._open_bytes + len(chunk) > wire.MAX_FRAME_BYTES:
            self.close_frame()
        self._open_frame(self.accepted)
        self._open.append(chunk)
        self._open_bytes += len(chunk)
        self._open_events += events
        self.accepted += events
        return True

    def drop(self, reason: DropReason, events: int) -> None:
        """Count events that got no number."""
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + events

    def hello(self) -> None:
        """Have a frame leave that tells the producer's position; one without events if none waits."""
        if not self:
            self._open_frame(self.accepted)
        self.send()

    def conclude(self, taken_back: list[bytes]) -> None:
        """End the waiting frames with one that tells the producer's position, because another producer's follow.

        Args:
            taken_back: the frames that `take_back` has returned, which the producer has not come up to.
        """
        self.close_frame()
        self._open_frame(_first(taken_back[0]) if taken_back else self.accepted)
        self.close_frame()
        self.send()

    def last_word(self, lost: int) -> LastWord:
        """Return the account of a producer that ends now, with `lost` events that never got a number."""
        unconfirmed = DropReason.EXIT_UNCONFIRMED.value
        dropped = {**self.dropped, unconfirmed: self.dropped.get(unconfirmed, 0) + lost}
        frame = b"".join((self._prefix, _pack(self.accepted), _pack(dropped), _pack([])))
        return LastWord(self.producer, self.accepted, dropped, frame)

    def close_frame(self) -> None:
        """Have no more chunks join the next frame."""
        if not self._open:
            return
        head, *chunks = self._open
        # Counted anew: after an interrupt the count at hand may be off.
        frame = b"".join((head, _array_head(sum(map(_length_of, chunks))), *map(_elements, chunks)))
        self._frames.append(frame)
        self._closed_bytes += len(frame)
        self._open = []
        self._open_events = self._open_bytes = 0

    def send(self) -> None:
        """Hand frames over to the transport as long as it takes them.

        While it takes no more, the last frame stays open: sent a chunk at a time, a host that is ahead of its shipper
        would cost both of them three times as many frames.
        """
        self.send_full()
        if not self._frames:
            self.close_frame()
            self.send_full()

    def send_full(self) -> None:
        """Hand over the frames that no more events would join, as long as the transport takes them."""
        if self._open_events >= FRAME_EVENTS:
            self.close_frame()
        while self._frames and self._sent(self._frames[0]):
            self._closed_bytes -= len(self._frames.popleft())

    def waiting(self) -> list[bytes]:
        """Return the frames that the transport has not been given, in order."""
        self.close_frame()
        return list(self._frames)

    def take_back(self) -> list[bytes]:
        """Remove and return the frames that the transport has not been given, in order."""
        frames = self.waiting()
        self._frames.clear()
        self._closed_bytes = 0
        return frames

    def unsure(self) -> list[bytes]:
        """Return the frames that wait or may not have left, in order; all others surely have."""
        self.close_frame()
        # Once each: an interrupt may have come between sending a frame and taking it out.
        return list(dict.fromkeys([*self._unsure, *self._frames]))

    def chunks_of(self, frames: Iterable[bytes]) -> Iterator[tuple[bytes, int]]:
        """Yield the chunks in frames, none larger than may be added now, each with the number of its events."""
        for frame in frames:
            for chunk in _fitting(_events(frame), self.chunk_limit_bytes):
                if number := _length_of(chunk):
                    yield chunk, number

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Drop whatever the transport holds and can't send within that time; the next frame connects it anew."""
        self._transport.disconnect(linger_milliseconds)
        self.has_sent = False

    def _has_room(self, more_bytes: int) -> bool:
        return self._closed_bytes + self._open_bytes + more_bytes <= self._limit_bytes

    def _open_frame(self, first: int) -> None:
        if not self._open:
            head = b"".join((self._prefix, _pack(first), _pack(self.dropped)))
            self._open_events, self._open_bytes = 0, len(head)
            self._open = [head]

    def _sent(self, frame: bytes) -> bool:
        if not self._transport.send(frame):
            return False
        self._unsure.append(frame)
        self.has_sent = True
        return True


def producer_of(frame: bytes) -> bytes:
    """Return the producer of a frame."""
    return msgspec.msgpack.decode(frame, type=tuple[int, bytes, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])[1]


def _said(context: wire.Context) -> dict[str, object]:
    said = context._asdict()
    if not context.since:
        del said["since"]
    return said


def _first(frame: bytes) -> int:
    """Return the number of a frame's first event."""
    return msgspec.msgpack.decode(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[3], type=int)


def _events(frame: bytes) -> bytes:
    """Return the events of a frame, as one chunk."""
    return bytes(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[-1])


def _fitting(chunk: bytes, limit_bytes: int) -> Iterator[bytes]:
    """Yield a chunk, or parts of it if it exceeds the limit, as another head may be longer."""
    if len(chunk) <= limit_bytes or (number := _length_of(chunk)) == 1:
        yield chunk
        return
    each = msgspec.msgpack.decode(chunk, type=list[msgspec.Raw])
    for half in (each[: number // 2], each[number // 2 :]):
        yield from _fitting(_pack(half), limit_bytes)


def _array_head(number: int) -> bytes:
    """Return the head of a msgpack array: one byte up to 15 elements, three up to 65,535."""
    return bytes([_SHORT | number]) if number < _SHORT_ELEMENTS else b"\xdc" + number.to_bytes(2)


def _is_short(array: bytes) -> bool:
    return array[0] < _SHORT + _SHORT_ELEMENTS


def _length_of(array: bytes) -> int:
    """Return the number of elements in a msgpack array."""
    return array[0] - _SHORT if _is_short(array) else int.from_bytes(array[1:3])


def _elements(array: bytes) -> memoryview:
    """Return the elements of a msgpack array, without its head."""
    return memoryview(array)[1 if _is_short(array) else 3 :]


_SHORT = 0x90
_SHORT_ELEMENTS = 16
