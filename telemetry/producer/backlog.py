"""Backlog of encoded chunks on their way to the shipper.

Numbered, joined to frames, bounded, and kept until the shipper has taken them (telemetry/rendezvous/taken.py):

    open        chunks that will make the next frame
    waiting     frames that the transport has not been given
    kept        frames that it has been given, and that are not known to be taken: sent again, in order, to another
                shipper, and to one that seems to hear nothing

A shipper of an earlier version does not say what it has taken. Of what such a one was sent only the last frames are
kept, and they are left behind when the host ends.

A frame (telemetry/wire.py) is built here, and nowhere else. For one thread at a time. An interrupt between two steps
sends a frame twice rather than not at all.
"""

from __future__ import annotations

import os
from collections import deque
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry import wire
from telemetry.drops import DropReason
from telemetry.native import monotonic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from telemetry.producer.transport import Transport

FRAME_EVENTS = 576
"""The events in a full frame, as a busy host sends them: a frame costs ZeroMQ and the shipper the same whatever is in
it, and waking that thread costs some 15 us."""

SOCKET_FRAMES = 16
"""The frames inside ZeroMQ, whose own limit counts messages."""

SOCKET_BYTES = SOCKET_FRAMES * wire.MAX_FRAME_BYTES
"""The size of those at their largest, 4 MiB. The rest waits here."""

UNSURE_FRAMES = 3 * SOCKET_FRAMES
"""The last frames sent to a shipper that does not say what it takes, of which some may never leave: those inside
ZeroMQ, and beside them 8 KiB that it encoded and not written, which is one frame, or two dozen hellos."""

TOTALS_BYTES = 128
"""The room for the numbers in a frame, of its first event, of the first that is kept and by reason, which take less."""

LOOK_SECONDS = 0.02
"""The interval of looks for a shipper that says what it takes, while frames are about to be forgotten."""

OVERDUE_SECONDS = 0.1
"""The time after which it is asked what has become of a shipper that takes nothing."""

PATIENCE_SECONDS = 2.0
"""The time after which frames are sent again to a shipper that runs and takes nothing: a connection may have broken.
Doubled each time: one that stands still is not to find many copies."""

MAX_PATIENCE_SECONDS = 30.0

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


class Numbered(NamedTuple):
    """A frame, with the number of the first event that its producer kept when it was made; it is another by and by.

    Attributes:
        producer: the producer.
        context: the context under which it is to be taken.
        first: the number of its first event.
        end: the number behind its last event.
        dropped: the number of events that its totals tell of.
        kept: that number.
        body: the whole frame.
    """

    producer: bytes
    context: wire.Context
    first: int
    end: int
    dropped: int
    kept: int
    body: bytes

    def as_frame(self, kept: int) -> bytes:
        """Return the frame; `kept` is the number of the first event that its producer keeps now."""
        if kept == self.kept:  # as it is for nearly all: a frame is long, and to copy it took a tenth of `emit`
            return self.body
        return self.body[: -len(_pack(self.kept))] + _pack(kept)


class Backlog:
    """The frames of this process that are not known to be taken, and the producer that numbers their events.

    Attributes:
        context: the context under which events added now were emitted.
        producer: a random id; new in a forked child, under another consent and at another place.
        dropped: the running totals by reason.
        has_sent: whether the transport has taken a frame since it was disconnected last.
        chunk_limit_bytes: the size of the largest chunk that may be added.
    """

    def __init__(
        self,
        transport: Transport,
        context: wire.Context,
        limit_bytes: int,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Begin empty.

        Args:
            transport: takes the frames.
            context: the context of the process.
            limit_bytes: the limit of what may wait here; with `SOCKET_BYTES` more, of all that waits or is kept until a
                shipper says that it has taken it.
            clock: monotonic seconds.
        """
        self._transport = transport
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._open: list[bytes] = []  # of the next frame: its head, and chunks
        self._open_first = self._open_dropped = self._following = 0
        self.renew(context)

    def renew(self, context: wire.Context) -> None:
        """Begin anew in a forked child: waiting frames are its parent's to send."""
        self.has_sent = False
        self._shipper: object = None  # that says what it takes, as far as it was heard
        self._moved_at, self._patience_seconds = self._clock(), PATIENCE_SECONDS
        self._looked_at = float("-inf")
        self.clear()
        self.begin(context, {})

    def begin(self, context: wire.Context, dropped: dict[str, int]) -> None:
        """Be a producer that has numbered nothing yet; frames that wait or are kept stay as they are.

        Args:
            context: the context under which the next events are emitted.
            dropped: the totals to begin with.
        """
        self.close_frame()
        self.producer = os.urandom(wire.PRODUCER_BYTES)
        self._following = 0
        self.dropped = dropped
        self._go_on_under(context)

    def clear(self) -> None:
        """Discard all frames that wait or are kept."""
        self._following = self.accepted
        self._frames: deque[Numbered] = deque()
        self._kept: deque[Numbered] = deque()
        self._open = []
        self._open_events = self._open_bytes = self._waiting_bytes = self._kept_bytes = 0

    def __bool__(self) -> bool:
        """Return whether anything waits."""
        return bool(self._frames or self._open)

    @property
    def accepted(self) -> int:
        """The running number of the next event: how many were handed to the transport or wait here.

        Counted from what is in the open frame: after an interrupt, a number at hand might be off.
        """
        return self._open_first + sum(map(_length_of, self._open[1:])) if self._open else self._following

    @property
    def hears(self) -> bool:
        """Whether the shipper says what it takes."""
        return self._shipper is not None

    @property
    def awaits(self) -> bool:
        """Whether frames are kept that a shipper is expected to say it has taken."""
        return self.hears and bool(self._kept)

    @property
    def is_overdue(self) -> bool:
        """Whether such frames have waited for so long that the shipper may be gone."""
        return self.awaits and self._clock() - self._moved_at >= OVERDUE_SECONDS

    @property
    def kept(self) -> set[bytes]:
        """The producers of the frames that are kept."""
        return {frame.producer for frame in self._kept.copy()}

    def earlier(self) -> dict[bytes, tuple[int, int]]:
        """Return the producers that the process was before, of which something waits or is kept.

        Returns:
            Of each the number behind its last event, and the number of events that it has told to have dropped.
        """
        totals: dict[bytes, tuple[int, int]] = {}
        for frame in (*self._kept.copy(), *self._frames.copy()):
            if frame.producer != self.producer:
                end, dropped = totals.get(frame.producer, (0, 0))
                totals[frame.producer] = max(end, frame.end), max(dropped, frame.dropped)
        return totals

    def add(self, chunk: bytes, events: int) -> bool:
        """Number the events of a chunk, and have them leave with the next frame.

        Args:
            chunk: a msgpack array of at most `chunk_limit_bytes`.
            events: the number of events in it.

        Returns:
            False if there is no room for it.
        """
        if not self._has_room(len(chunk)) and not self._makes_room(len(chunk)):
            return False
        if self._open_events >= FRAME_EVENTS or self._open_bytes + len(chunk) > wire.MAX_FRAME_BYTES:
            self.close_frame()
        self._open_frame()
        self._open.append(chunk)
        self._open_bytes += len(chunk)
        self._open_events += events
        return True

    def drop(self, reason: DropReason, events: int) -> None:
        """Count events that got no number."""
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + events

    def hello(self) -> None:
        """Have a frame leave that tells the producer's position; one without events if none waits."""
        if not self:
            self._open_frame()
        self.send()

    def conclude(self) -> None:
        """End the frames of this producer with one that tells its position, because another producer's follow."""
        self.close_frame()
        self._open_frame()
        self.close_frame()
        self.send()

    def last_word(self, lost: int) -> LastWord:
        """Return the account of a producer that ends now, with `lost` events that never got a number."""
        unconfirmed = DropReason.EXIT_UNCONFIRMED.value
        dropped = {**self.dropped, unconfirmed: self.dropped.get(unconfirmed, 0) + lost}
        accepted = _pack(self.accepted)
        frame = b"".join((self._prefix, accepted, _pack(dropped), _pack([]), accepted))
        return LastWord(self.producer, self.accepted, dropped, frame)

    def close_frame(self) -> None:
        """Have no more chunks join the next frame."""
        if not self._open:
            return
        head, *chunks = self._open
        # Counted anew: after an interrupt the count at hand may be off.
        events = sum(map(_length_of, chunks))
        kept = self._first_kept(self.producer, self._open_first)
        body = b"".join((head, _array_head(events), *map(_elements, chunks), _pack(kept)))
        self._following = self._open_first + events
        first, end, dropped = self._open_first, self._following, self._open_dropped
        self._frames.append(Numbered(self.producer, self.context, first, end, dropped, kept, body))
        self._waiting_bytes += len(body)
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
            self._waiting_bytes -= len(self._frames.popleft().body)

    def settle(self) -> None:
        """Let go of what the shipper has taken; send the rest again if it is another one, or seems to hear nothing."""
        shipper = None
        for producer in self._producers():
            taken = self._transport.taken(producer)
            if taken is None:
                return
            shipper = taken.shipper
            self.trust(producer, taken.number, taken.dropped)
        if shipper is None:
            return
        is_another, self._shipper = self._shipper not in {None, shipper}, shipper
        if not self._kept:
            self._moved_at = self._clock()
            self._count_bytes()  # an interrupt may have had something counted twice
        elif is_another:
            self._patience_seconds = PATIENCE_SECONDS
            self.send_again()
        elif self._clock() - self._moved_at >= self._patience_seconds:
            self._patience_seconds = min(2 * self._patience_seconds, MAX_PATIENCE_SECONDS)
            self.send_again()

    def trust(self, producer: bytes, number: int, dropped: int) -> None:
        """Let go of what a producer was told is taken. A number beyond all that it has sent is none.

        Args:
            producer: this producer, or one that the process was before.
            number: the number of the first event that is not taken.
            dropped: the number of events that the producer is known to have dropped itself.
        """
        sent = next((frame.end for frame in reversed(self._kept) if frame.producer == producer), 0)
        if number > sent:
            return
        before = len(self._kept)
        if self._kept and self._kept[-1].producer == self._kept[0].producer == producer:  # there is no other
            while self._kept and self._kept[0].end <= number and self._kept[0].dropped <= dropped:
                self._forget_oldest()
        else:
            gone = [
                frame
                for frame in self._kept
                if frame.producer == producer and frame.end <= number and frame.dropped <= dropped
            ]
            for frame in gone:
                self._kept.remove(frame)
                self._kept_bytes -= len(frame.body)
        if len(self._kept) < before:
            self._moved_at, self._patience_seconds = self._clock(), PATIENCE_SECONDS

    def send_again(self) -> None:
        """Have all that is not taken leave once more, in order, by a new connection."""
        self._take_back()
        self._moved_at = self._clock()
        self.send()

    def reconnect(self) -> None:
        """Have the next frame go to where the shipper is met now, and before it all that is not taken.

        Of a shipper that does not say what it takes, what the transport holds for it is lost.
        """
        if self._shipper is None:
            self.disconnect()
        else:
            self.send_again()

    def narrow(self, context: wire.Context, has_continued: Callable[[wire.Context], bool]) -> None:
        """Put what has not left under a stricter context; what has left under the earlier one is passed over there.

        Numbers stay, so that nothing counts twice. Of a shipper that does not say what it takes only what it has not
        been sent changes: it would take the rest twice.

        Args:
            context: the stricter context.
            has_continued: tells whether a frame's context is to become that one.
        """
        self.close_frame()
        if self._shipper is not None:
            self._take_back()
        self._frames = deque(
            part
            for frame in self._frames
            for part in (_under(context, frame) if has_continued(frame.context) else (frame,))
        )
        self._count_bytes()
        self._go_on_under(context)
        self.send()

    def oldest_ns(self) -> float:
        """Return the time of the first event that waits or is kept, UNIX nanoseconds; infinite if there is none."""
        self.close_frame()
        for frame in (*self._kept, *self._frames):
            for event in msgspec.msgpack.decode(_events(frame.as_frame(0)), type=list[msgspec.Raw])[:1]:
                return msgspec.msgpack.decode(msgspec.msgpack.decode(event, type=list[msgspec.Raw])[1], type=int)
        return inf

    def waiting(self) -> list[bytes]:
        """Return the frames that the transport has not been given, in order."""
        self.close_frame()
        return [frame.as_frame(frame.first) for frame in self._frames]

    def unsure(self) -> list[bytes]:
        """Return the frames that wait or are not known to be taken, in order."""
        self.close_frame()
        # Once each: an interrupt may have come between sending a frame and taking it out.
        every = {frame.body: frame for frame in (*self._kept, *self._frames)}.values()
        firsts: dict[bytes, int] = {}
        return [frame.as_frame(firsts.setdefault(frame.producer, frame.first)) for frame in every]

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

    def _producers(self) -> Iterable[bytes]:
        """Return the producer, and those that the process was before, of which something is kept."""
        if not self._kept or self._kept[0].producer == self.producer:  # what is kept of others is older
            return (self.producer,)
        return dict.fromkeys((self.producer, *(frame.producer for frame in self._kept)))

    def _take_back(self) -> None:
        """Have all that is not taken wait again, and what the transport holds of it never leave."""
        self.disconnect()
        self._frames.extendleft(reversed(self._kept))
        self._kept.clear()
        self._count_bytes()

    def _count_bytes(self) -> None:
        self._waiting_bytes = sum(len(frame.body) for frame in self._frames)
        self._kept_bytes = sum(len(frame.body) for frame in self._kept)

    def _go_on_under(self, context: wire.Context) -> None:
        self.context = context
        self._prefix = _prefix(self.producer, context)
        self.chunk_limit_bytes = wire.MAX_FRAME_BYTES - len(self._prefix) - TOTALS_BYTES

    def _has_room(self, more_bytes: int) -> bool:
        kept_bytes = self._kept_bytes - SOCKET_BYTES if self.hears else 0
        return self._waiting_bytes + self._open_bytes + kept_bytes + more_bytes <= self._limit_bytes

    def _makes_room(self, more_bytes: int) -> bool:
        """Make room by what has been taken, or can leave, since."""
        self.settle()
        self.send()
        return self._has_room(more_bytes)

    def _open_frame(self) -> None:
        if not self._open:
            self._open_first, self._open_dropped = self._following, sum(self.dropped.values())
            head = b"".join((self._prefix, _pack(self._open_first), _pack(self.dropped)))
            self._open_events, self._open_bytes = 0, len(head)
            self._open = [head]

    def _sent(self, frame: Numbered) -> bool:
        if not self._transport.send(frame.as_frame(self._first_kept(frame.producer, frame.first))):
            return False
        self.has_sent = True
        if frame.first < frame.end or frame.dropped > self._told_of(frame.producer):
            self._keep(frame)
        return True

    def _keep(self, frame: Numbered) -> None:
        if not self._kept:
            self._moved_at = self._clock()
        self._kept.append(frame)
        self._kept_bytes += len(frame.body)
        if not self.hears and len(self._kept) > UNSURE_FRAMES:
            if self._clock() - self._looked_at >= LOOK_SECONDS:  # it may be up only now
                self._looked_at = self._clock()
                taken = self._transport.taken(self.producer)
                self._shipper = taken and taken.shipper
            if not self.hears:
                self._forget_oldest()

    def _told_of(self, producer: bytes) -> int:
        """Return the number of drops of a producer that are known to the shipper, or are told by what is kept."""
        return next((kept.dropped for kept in reversed(self._kept) if kept.producer == producer), 0)

    def _forget_oldest(self) -> None:
        self._kept_bytes -= len(self._kept.popleft().body)

    def _first_kept(self, producer: bytes, first: int) -> int:
        """Return the number of the first event that a producer keeps, `first` if that is none of those sent."""
        return next((kept.first for kept in self._kept if kept.producer == producer), first)


def producer_of(frame: bytes) -> bytes:
    """Return the producer of a frame."""
    return msgspec.msgpack.decode(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[1], type=bytes)


def _said(context: wire.Context) -> dict[str, object]:
    said = context._asdict()
    if not context.since:
        del said["since"]
    return said


def _prefix(producer: bytes, context: wire.Context) -> bytes:
    """Return the beginning of each frame of a producer under a context."""
    return bytes([_HEAD, wire.PROTOCOL]) + _pack(producer) + _pack(_said(context))


def _under(context: wire.Context, frame: Numbered) -> Iterator[Numbered]:
    """Yield a frame under another context, or the parts of it that fit into a frame under that one."""
    prefix = _prefix(frame.producer, context)
    *_, dropped, events, _ = msgspec.msgpack.decode(frame.as_frame(0), type=list[msgspec.Raw])
    first = frame.first
    for chunk in _fitting(bytes(events), wire.MAX_FRAME_BYTES - len(prefix) - TOTALS_BYTES):
        end = first + _length_of(chunk)
        body = b"".join((prefix, _pack(first), bytes(dropped), chunk, _pack(first)))
        yield Numbered(frame.producer, context, first, end, frame.dropped, first, body)
        first = end


def _events(frame: bytes) -> bytes:
    """Return the events of a frame, as one chunk."""
    return bytes(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[5])


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


_HEAD = 0x97  # of an array of seven
_SHORT = 0x90
_SHORT_ELEMENTS = 16
