"""The producer's queue, and how events in it become frames handed to ZeroMQ. Nothing here waits.

Threads, signal handlers and `__del__` append to `events` and call `drain`, at any time, inside one another too. So the
hot path takes no lock (`deque.append` is atomic), and everything else is done by whoever gets the one lock without
waiting; who does not get it leaves the work to the holder or to the flusher's next round.
"""

from __future__ import annotations

import math
import os
from collections import deque
from contextlib import suppress
from itertools import repeat, starmap
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry import wire
from telemetry.drops import DropReason
from telemetry.producer.alone import alone
from telemetry.producer.backlog import SOCKET_FRAMES, Backlog
from telemetry.producer.encode import encoder
from telemetry.producer.native import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

    import zmq

    from telemetry.consent import Decision
    from telemetry.producer.encode import RawEvent

BATCH_EVENTS = 192
"""Encoded at a time, in some 40 us. More would delay the one call that does it for longer; with fewer, those calls come
near one in a hundred, and the 99th percentile of all is theirs as soon as the machine has other work."""

WAITING_EVENT_BYTES = 512
"""About what an event takes in the process before it is encoded; it bounds how many may wait by `queue_bytes`."""

TOTALS_BYTES = 128
"""More than the numbers in a frame's head take, of its first event and by reason."""

_pack = msgspec.msgpack.Encoder().encode


class Settled(NamedTuple):
    """What became of everything emitted up to a moment: the totals that the shipper must have heard of."""

    accepted: int
    dropped: int


class Final(NamedTuple):
    """What an outbox had come to when it was closed.

    Attributes:
        settled: the totals.
        unsure: frames, in order; any that are not among them have left the process.
    """

    settled: Settled
    unsure: list[bytes]


class Outbox:
    """Everything between `emit` and the socket.

    Attributes:
        events: what was emitted and is not encoded yet; anybody may append.
        producer: this process's random id, new in a forked child.
        accepted: the running number of the next event: how many were handed to ZeroMQ or wait in the backlog.
        dropped: running totals by reason.
        shipper_missing: set by the flusher; names the reason when the queue is full.
        off: set by the flusher; while the user has said off, what is emitted or waits is let go unsent.
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
        self.off = False
        self._context = context
        self._backlog = Backlog(connect, self._head, queue_bytes - SOCKET_FRAMES * wire.MAX_FRAME_BYTES)
        self._waiting_limit = queue_bytes // WAITING_EVENT_BYTES
        self._shed: deque[None] = deque()
        self._encode = encoder(reduce)
        self.renew(os.getpid())

    def renew(self, pid: int) -> None:
        """Begin as a new producer: at the start, and in a forked child, whose queue is its parent's to send."""
        self.events.clear()
        self._shed.clear()
        self.producer = os.urandom(wire.PRODUCER_BYTES)
        self.accepted = 0
        self.dropped: dict[str, int] = {}
        self._lock = Lock()
        self._closed = False
        self._in_hand: list[RawEvent] = []
        self._settled_before = 0
        self._backlog.renew()
        self._set_context(self._context._replace(pid=pid))

    @property
    def used(self) -> bool:
        """Whether this process has anything to account for, or has made itself known."""
        return bool(self.events or self.accepted or self.dropped or self._backlog.socket)

    @property
    def unsettled(self) -> int:
        """How many events are neither numbered nor dropped yet; exact when nobody else is at work."""
        in_hand = len(self._in_hand) - (self._settled - self._settled_before if self._in_hand else 0)
        return len(self.events) + len(self._shed) + in_hand

    def drain(self) -> bool:
        """Encode and hand over what waits. Never blocks.

        Returns:
            False when something still waits: the lock was taken, or the socket is full.
        """
        alone(self._lock, self._drain)
        return not self.events and not self._backlog

    def shed(self) -> None:
        """Let the newest event go when too many wait: other threads emit faster than the one that drains encodes.

        Whoever drains next counts it; here that would take the lock.
        """
        if len(self.events) > self._waiting_limit:
            self.events.pop()
            self._shed.append(None)

    def settle(self, timeout_seconds: float) -> Settled | None:
        """Number or drop everything that was emitted before this call.

        Blocks while another thread drains, for at most `timeout_seconds`; None when that did not end. It can't end
        when it is a signal handler that asks, and what it interrupted is a drain.
        """
        settled: list[Settled] = []

        def settle() -> None:
            self._drain()
            settled.append(self._totals)

        return settled[0] if alone(self._lock, settle, timeout_seconds) else None

    def agrees(self, decision: Decision) -> bool:
        """Whether frames bear this consent."""
        return self._context == _under(decision, self._context)

    def turn(self, decision: Decision) -> bool:
        """Have later frames bear this consent; what waits is handed over with the one it was emitted under.

        Returns:
            False when another thread is draining: ask again.
        """

        def turn() -> None:
            self._drain()
            self._backlog.close_frame()
            self._set_context(_under(decision, self._context))

        return alone(self._lock, turn)

    def hello(self) -> None:
        """Send a frame without events: it makes a producer known, or hands over its last counts."""
        alone(self._lock, self._say_hello)

    def close(self, timeout_seconds: float) -> Final | None:
        """Close the socket and let all later events go. What ZeroMQ still holds is lost: ask for confirmation before.

        Returns:
            The final totals, and the frames that may not have left; None when another thread, or what a signal handler
            interrupted, did not let go of it in time.
        """
        final: list[Final] = []

        def close() -> None:
            self._drain()
            self._backlog.send()
            self._closed = True
            self._backlog.close_socket()
            final.append(Final(self._totals, self._backlog.unsure()))

        if alone(self._lock, close, timeout_seconds):
            return final[0]
        self._closed = True
        return None

    def _let_events_go(self) -> None:
        self._count_shed()
        number = 0
        with suppress(IndexError):  # `shed` pops as well
            for _ in range(len(self.events)):
                self.events.popleft()
                number += 1
        if number:
            self._drop(DropReason.EXIT_UNCONFIRMED, number)

    def _let_all_go(self) -> None:
        """The user said off. Nothing is counted: there is nobody left to be told."""
        self.events.clear()
        self._shed.clear()
        self._backlog.clear()
        self._backlog.close_socket()

    def _set_context(self, context: wire.Context) -> None:
        self._context = context
        self._prefix = bytes([0x96, wire.PROTOCOL]) + _pack(self.producer) + _pack(context._asdict())
        self._batch_limit_bytes = wire.MAX_FRAME_BYTES - len(self._prefix) - TOTALS_BYTES

    @property
    def _settled(self) -> int:
        return sum(self._totals)

    @property
    def _totals(self) -> Settled:
        return Settled(self.accepted, sum(self.dropped.values()))

    def _say_hello(self) -> None:
        self._backlog.hello(self.accepted)

    def _drain(self) -> None:
        if self._closed:
            self._let_events_go()
            return
        if self.off:
            self._let_all_go()
            return
        self._count_shed()
        # No longer than what waits now: other threads may append for ever.
        waiting = len(self.events)
        for _ in range(math.ceil(waiting / BATCH_EVENTS)):
            self._hand_over_next()
        # Full batches alone are a busy host: more will come to fill a frame, or the flusher.
        if waiting and not waiting % BATCH_EVENTS:
            self._backlog.send_full()
        else:
            self._backlog.send()

    def _count_shed(self) -> None:
        if number := len(self._shed):
            self._drop(DropReason.QUEUE_FULL, number)
            for _ in range(number):
                self._shed.popleft()

    def _hand_over_next(self) -> None:
        self._settled_before = before = self._settled
        batch: list[RawEvent] = []
        self._in_hand = batch
        try:
            # Only the holder of the lock pops (and `shed`, far above a batch), so as many as there are now can be
            # popped; in one call, because a KeyboardInterrupt between popping and keeping would lose an event.
            batch.extend(starmap(self.events.popleft, repeat((), min(len(self.events), BATCH_EVENTS))))
            self._hand_over(batch)
        except BaseException:  # KeyboardInterrupt is the host's; the batch is still ours
            self.events.extendleft(reversed(batch[self._settled - before :]))
            raise
        finally:
            self._in_hand = []

    def _hand_over(self, batch: list[RawEvent]) -> None:
        if not batch:
            return
        try:
            packed = self._encode(batch)
        except Exception:  # noqa: BLE001 a value may raise anything from its own methods
            self._hand_over_halves(batch, DropReason.UNENCODABLE)
            return
        if len(packed) > self._batch_limit_bytes:
            self._hand_over_halves(batch, DropReason.TOO_LARGE)
        elif self._backlog.add(self.accepted, packed, len(batch)):
            self.accepted += len(batch)
        else:
            self._drop(DropReason.NO_SHIPPER if self.shipper_missing else DropReason.QUEUE_FULL, len(batch))

    def _hand_over_halves(self, batch: list[RawEvent], reason: DropReason) -> None:
        """Halve until the guilty event is alone."""
        if len(batch) == 1:
            self._drop(reason, 1)
            return
        middle = len(batch) // 2
        self._hand_over(batch[:middle])
        self._hand_over(batch[middle:])

    def _head(self, first: int) -> bytes:
        """Of a frame, all but its events."""
        return b"".join((self._prefix, _pack(first), _pack(self.dropped)))

    def _drop(self, reason: DropReason, events: int) -> None:
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + events


def _under(decision: Decision, context: wire.Context) -> wire.Context:
    """The same context under another consent."""
    return context._replace(
        consent=decision.state.value,
        basis=decision.basis,
        notice=decision.notice,
        deployment=decision.deployment,
    )
