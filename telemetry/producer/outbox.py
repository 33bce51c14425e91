"""The producer's queue, and how events in it become frames handed to ZeroMQ. Nothing here waits.

Threads, signal handlers and `__del__` append to `events` and call `drain`, at any time, inside one another too. So the
hot path takes no lock (`deque.append` is atomic), and everything else is done by whoever gets the one lock without
waiting; who does not get it leaves the work to the holder or to the flusher's next round.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any

import msgpack
import zmq

from telemetry import wire
from telemetry.drops import DropReason

BATCH_EVENTS = 128
"""Encoding this many at a time costs 0.5 us an event and delays one emit in 128 by some 70 us."""

SOCKET_FRAMES = 32
"""Frames inside ZeroMQ, whose own limit counts messages: 8 MiB at their largest. The rest waits in the backlog."""

RawEvent = tuple[str, int, dict[str, Any]]


class Outbox:
    """Everything between `emit` and the socket.

    Attributes:
        events: what was emitted and is not encoded yet; anybody may append.
        producer: this process's random id, new in a forked child.
        accepted: the running number of the next event: how many were handed to ZeroMQ or wait in the backlog.
        dropped: running totals by reason.
        shipper_missing: set by the flusher; names the reason when the queue is full.
    """

    def __init__(
        self,
        connect: Callable[[], zmq.Socket[bytes]],
        context: wire.Context,
        queue_bytes: int,
        reduce: Callable[[BaseException], str],
    ) -> None:
        self.events: deque[RawEvent] = deque()
        self.shipper_missing = False
        self._connect = connect
        self._context = context
        self._backlog_limit_bytes = max(0, queue_bytes - SOCKET_FRAMES * wire.MAX_FRAME_BYTES)
        self._packer = msgpack.Packer(default=lambda value: _encodable(value, reduce))
        self._abandoned: list[object] = []
        self._socket: zmq.Socket[bytes] | None = None
        self.renew(os.getpid())

    def renew(self, pid: int) -> None:
        """Begin as a new producer: at the start, and in a forked child, whose queue is its parent's to send.

        The parent's socket is put aside unclosed: its descriptors are shared with the parent.
        """
        self.events.clear()
        self.producer = os.urandom(wire.PRODUCER_BYTES)
        self.accepted = 0
        self.dropped: dict[str, int] = {}
        self._lock = Lock()
        self._abandoned.append(self._socket)
        self._socket = None
        self._backlog: deque[bytes] = deque()
        self._backlog_bytes = 0
        self._context = self._context._replace(pid=pid)
        head = msgpack.packb(self.producer) + msgpack.packb(self._context._asdict())
        self._prefix = bytes([0x96, wire.PROTOCOL]) + head

    def drain(self) -> bool:
        """Encode and hand over what waits. Never blocks.

        Returns:
            False when something still waits: the lock was taken, or the socket is full.
        """
        if self._lock.acquire(blocking=False):
            try:
                self._send_backlog()
                # No longer than what waits now: other threads may append for ever.
                for _ in range(1 + len(self.events) // BATCH_EVENTS):
                    self._hand_over_next()
            finally:
                self._lock.release()
        return not self.events and not self._backlog

    def hello(self) -> None:
        """Send a frame without events: it makes a producer known, or hands over its last counts."""
        if self._lock.acquire(blocking=False):
            try:
                self._offer(self._frame(msgpack.packb([])))
            finally:
                self._lock.release()

    def close(self) -> None:
        """Close the socket at once. What ZeroMQ still holds is lost: ask for confirmation before."""
        with self._lock:
            if self._socket is not None:
                self._socket.close(linger=0)
                self._socket = None

    def _hand_over_next(self) -> None:
        popleft = self.events.popleft
        # Only the holder of the lock pops, so as many as there are now can be popped.
        batch = [popleft() for _ in range(min(len(self.events), BATCH_EVENTS))]
        before = self.accepted
        try:
            self._hand_over(batch)
        except BaseException:  # KeyboardInterrupt is the host's; the batch is still ours
            if self.accepted == before:
                self.events.extendleft(reversed(batch))
            raise

    def _hand_over(self, batch: list[RawEvent]) -> None:
        if not batch:
            return
        try:
            packed = self._packer.pack(batch)
        except Exception:  # noqa: BLE001 a value may raise anything from its own methods
            self._packer.reset()
            self._hand_over_one_by_one(batch, DropReason.UNENCODABLE)
            return
        frame = self._frame(packed)
        if len(frame) > wire.MAX_FRAME_BYTES:
            self._hand_over_one_by_one(batch, DropReason.TOO_LARGE)
        elif self._offer(frame):
            self.accepted += len(batch)
        else:
            self._drop(DropReason.NO_SHIPPER if self.shipper_missing else DropReason.QUEUE_FULL, len(batch))

    def _hand_over_one_by_one(self, batch: list[RawEvent], reason: DropReason) -> None:
        if len(batch) == 1:
            self._drop(reason, 1)
            return
        for event in batch:
            self._hand_over([event])

    def _frame(self, packed_events: bytes) -> bytes:
        pack: Callable[[object], bytes] = self._packer.pack
        return b"".join((self._prefix, pack(self.accepted), pack(self.dropped), packed_events))

    def _offer(self, frame: bytes) -> bool:
        if not self._backlog and self._sent(frame):
            return True
        if self._backlog_bytes + len(frame) > self._backlog_limit_bytes:
            return False
        self._backlog.append(frame)
        self._backlog_bytes += len(frame)
        return True

    def _send_backlog(self) -> None:
        while self._backlog and self._sent(self._backlog[0]):
            self._backlog_bytes -= len(self._backlog.popleft())

    def _sent(self, frame: bytes) -> bool:
        try:
            if self._socket is None:
                self._socket = self._connect()
            self._socket.send(frame, zmq.NOBLOCK)
        except zmq.ZMQError:  # full (EAGAIN), or no descriptor is left for a socket: either may pass
            return False
        return True

    def _drop(self, reason: DropReason, events: int) -> None:
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + events


def _encodable(value: object, reduce: Callable[[BaseException], str]) -> str:
    """What msgpack does not know: an exception is reduced, anything else drops its event alone."""
    if isinstance(value, BaseException):
        return reduce(value)
    raise TypeError
