"""Encoded batches on their way to ZeroMQ: joined to frames, bounded, and kept until they have surely left.

For one thread at a time. An interrupt between two steps sends a frame twice rather than not at all.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import zmq

from telemetry import wire

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME_EVENTS = 576
"""In a full frame, as a busy host sends them: a frame costs ZeroMQ, its thread and the shipper the same whatever is in
it, and waking that thread costs some 15 us."""

SOCKET_FRAMES = 16
"""Frames inside ZeroMQ, whose own limit counts messages: 4 MiB at their largest. The rest waits here."""

UNSURE_FRAMES = 3 * SOCKET_FRAMES
"""The last ones sent, of which some may never leave: those inside ZeroMQ, and beside them 8 KiB that it has encoded and
not written, which is one frame, or two dozen hellos. What it has written the kernel keeps."""

_of_the_parent: list[object] = []
"""Sockets that a forked child must not touch, not even by collecting them: their descriptors are its parent's too."""


class Backlog:
    """What waits for the socket, and the socket.

    Attributes:
        socket: made by the first frame.
    """

    def __init__(
        self, connect: Callable[[], zmq.Socket[bytes]], head: Callable[[int], bytes], limit_bytes: int
    ) -> None:
        """Begin empty.

        Args:
            connect: makes the socket; may raise ZMQError or OSError, and is tried again.
            head: of a frame, by the number of its first event: all but the events.
            limit_bytes: of what may wait here.
        """
        self.socket: zmq.Socket[bytes] | None = None
        self._connect = connect
        self._head = head
        self._limit_bytes = limit_bytes
        self.renew()

    def renew(self) -> None:
        """Begin anew in a forked child: the socket is put aside unclosed, the rest is its parent's to send."""
        if self.socket is not None:
            _of_the_parent.append(self.socket)
        self.socket = None
        self.clear()

    def clear(self) -> None:
        """Let all go that waits, and what may not have left."""
        self._frames: deque[bytes] = deque()
        self._unsure: deque[bytes] = deque(maxlen=UNSURE_FRAMES)
        self._open: list[bytes] = []  # of the next frame: its head, and batches
        self._open_events = self._open_bytes = self._closed_bytes = 0

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return bool(self._frames or self._open)

    def add(self, first: int, batch: bytes, events: int) -> bool:
        """Have a batch leave with the next frame.

        Args:
            first: the number of its first event.
            batch: a msgpack array, no larger than `wire.MAX_FRAME_BYTES` with a head in front of it.
            events: how many it holds.

        Returns:
            False when there is no room for it.
        """
        if not self._has_room(len(batch)):
            self.send()
            if not self._has_room(len(batch)):
                return False
        if self._open_events >= FRAME_EVENTS or self._open_bytes + len(batch) > wire.MAX_FRAME_BYTES:
            self.close_frame()
        self._open_frame(first)
        self._open.append(batch)
        self._open_bytes += len(batch)
        self._open_events += events
        return True

    def hello(self, first: int) -> None:
        """Have a frame leave that tells how far its producer has come: one without events, if none waits."""
        if not self:
            self._open_frame(first)
        self.send()

    def conclude(self, first: int) -> None:
        """Have what waits end with a frame that tells how far its producer has come: another one's follow."""
        self.close_frame()
        self._open_frame(first)
        self.close_frame()
        self.send()

    def close_frame(self) -> None:
        """Have no more batches join the next frame."""
        if not self._open:
            return
        head, *batches = self._open
        # Counted anew: after an interrupt the count at hand may be off.
        frame = b"".join((head, _array_head(sum(map(length_of, batches))), *map(_elements, batches)))
        self._frames.append(frame)
        self._closed_bytes += len(frame)
        self._open = []
        self._open_events = self._open_bytes = 0

    def send(self) -> None:
        """Hand over to ZeroMQ what it takes.

        While it takes no more, the last frame stays open: sent a batch at a time, a host that is ahead of its shipper
        would cost both of them three times as many frames.
        """
        self.send_full()
        if not self._frames:
            self.close_frame()
            self.send_full()

    def send_full(self) -> None:
        """The same of the frames that no more events would join."""
        if self._open_events >= FRAME_EVENTS:
            self.close_frame()
        while self._frames and self._sent(self._frames[0]):
            self._closed_bytes -= len(self._frames.popleft())

    def waiting(self) -> list[bytes]:
        """The frames that ZeroMQ has not been given, in order."""
        self.close_frame()
        return list(self._frames)

    def take_back(self) -> list[bytes]:
        """The same, which then wait no more."""
        frames = self.waiting()
        self._frames.clear()
        self._closed_bytes = 0
        return frames

    def unsure(self) -> list[bytes]:
        """The frames that wait or may not have left, in order; all others surely have."""
        self.close_frame()
        # Once each: an interrupt may have come between sending a frame and taking it out.
        return list(dict.fromkeys([*self._unsure, *self._frames]))

    def close_socket(self, linger_ms: int = 0) -> None:
        """Close it, with what ZeroMQ holds and can't send within `linger_ms`; the next frame makes another."""
        if self.socket is not None:
            self.socket.close(linger=linger_ms)
            self.socket = None

    def _has_room(self, more_bytes: int) -> bool:
        return self._closed_bytes + self._open_bytes + more_bytes <= self._limit_bytes

    def _open_frame(self, first: int) -> None:
        if not self._open:
            head = self._head(first)
            self._open_events, self._open_bytes = 0, len(head)
            self._open = [head]

    def _sent(self, frame: bytes) -> bool:
        try:
            if self.socket is None:
                self.socket = self._connect()
            self.socket.send(frame, zmq.NOBLOCK)
            self._unsure.append(frame)
        except (zmq.ZMQError, OSError):  # full (EAGAIN), no descriptor is left, no place to meet: each may pass
            return False
        return True


def _array_head(number: int) -> bytes:
    """Of a msgpack array: one byte up to 15 elements, three up to 65,535."""
    return bytes([_SHORT | number]) if number < _SHORT_ELEMENTS else b"\xdc" + number.to_bytes(2)


def _is_short(array: bytes) -> bool:
    return array[0] < _SHORT + _SHORT_ELEMENTS


def length_of(array: bytes) -> int:
    """How many elements a msgpack array has."""
    return array[0] - _SHORT if _is_short(array) else int.from_bytes(array[1:3])


def _elements(array: bytes) -> memoryview:
    """The elements of a msgpack array."""
    return memoryview(array)[1 if _is_short(array) else 3 :]


_SHORT = 0x90
_SHORT_ELEMENTS = 16
