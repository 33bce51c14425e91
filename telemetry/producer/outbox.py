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
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry import wire
from telemetry.consent import State, strictest
from telemetry.drops import DropReason
from telemetry.native import Lock
from telemetry.producer.alone import alone
from telemetry.producer.backlog import SOCKET_FRAMES, Backlog, length_of
from telemetry.producer.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import zmq

    from telemetry.consent import Decision, Stored
    from telemetry.producer.encode import RawEvent

BATCH_EVENTS = 192
"""Encoded at a time, in some 40 us. More would delay the one call that does it for longer; with fewer, those calls come
near one in a hundred, and the 99th percentile of all is theirs as soon as the machine has other work."""

WAITING_EVENT_BYTES = 512
"""About what an event takes in the process before it is encoded; it bounds how many may wait by `queue_bytes`."""

TOTALS_BYTES = 128
"""More than the numbers in a frame's head take, of its first event and by reason."""

_pack = msgspec.msgpack.Encoder().encode


LINGER_MILLISECONDS = 200
"""What ZeroMQ holds for a shipper that is left behind, and takes frames, is gone long before."""


class Settled(NamedTuple):
    """What became of everything emitted up to a moment: the totals that the shipper must have heard of."""

    producer: bytes
    accepted: int
    dropped: int


class Outbox:
    """Everything between `emit` and the socket.

    Attributes:
        events: what was emitted and is not encoded yet; anybody may append.
        producer: this process's random id; new in a forked child, under another consent and at another place.
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
        self._encoder = Encoder(reduce)
        self.renew(os.getpid())

    def renew(self, pid: int, since_ns: float = inf) -> None:
        """Begin as a new producer: at the start, and in a forked child, whose queue is its parent's to send.

        Args:
            pid: of this process.
            since_ns: events from this time on are its own already, UNIX nanoseconds.
        """
        waiting = [self.events.popleft() for _ in range(len(self.events))]
        self.events.extendleft(reversed([event for event in waiting if event[1] >= since_ns]))
        self._shed.clear()
        self._lock = Lock()
        self._closed = False
        self._in_hand: list[RawEvent] = []
        self._suspects = 0
        self._raised: RawEvent | None = None
        self._settled_before = 0
        self._backlog.renew()
        self._begin(self._context._replace(pid=pid))

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

    def lose(self) -> None:
        """Have an event counted that there was no memory for."""
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

    @property
    def stays_local(self) -> bool:
        """Whether what is emitted now is never to leave this machine."""
        return self._context.consent == State.LOCAL.value

    @property
    def since(self) -> float:
        """The date of the stored consent that frames bear, UNIX seconds; 0 for none."""
        return self._context.since

    def agrees(self, decision: Decision, since: float) -> bool:
        """Whether frames bear this consent, stored at that date."""
        return self._context == _under(decision, since, self._context)

    def turn(self, decision: Decision, stored: Stored) -> bool:
        """Go on as a new producer under this consent, the stored one being that.

        What waits is handed over with the consent that it was emitted under; with this one, if it is the stricter and
        there was none between that was stricter still.

        Numbers begin anew: none may tell what was emitted before a no, and who kept them may have erased them since.
        The shipper hears how far they had come, under the consent of before, unless that was a no.

        Returns:
            False when another thread is draining: ask again.
        """

        def turn() -> None:
            frames: list[bytes] = []
            if not self.off and self._narrows(decision) and stored.continues(self._context.since):
                frames = self._backlog.take_back()
            else:
                self._drain()
            if not self.off and (self.accepted or self.dropped):
                self._backlog.conclude(_first(frames[0]) if frames else self.accepted)
            self._begin(_under(decision, stored.since_unix_seconds, self._context))
            self.off = False
            self._keep_anew(frames)

        return alone(self._lock, turn)

    def _narrows(self, decision: Decision) -> bool:
        """Whether a consent is stricter than that of now."""
        now = State(self._context.consent)
        return decision.state is not now and strictest(decision.state, now) is decision.state

    def hello(self) -> None:
        """Send a frame without events: it makes a producer known, or hands over its last counts."""
        alone(self._lock, self._say_hello)

    def last_word(self, dropped: dict[str, int]) -> bytes:
        """A frame without events that says how far this producer has come, and the totals of what it has dropped."""
        return b"".join((self._prefix, _pack(self.accepted), _pack(dropped), _pack([])))

    def unsure(self, timeout_seconds: float) -> list[bytes]:
        """The frames that may not have left; none when another thread did not let go of them in time."""
        unsure: list[bytes] = []

        def collect() -> None:
            self._drain()
            unsure.extend(self._backlog.unsure())

        alone(self._lock, collect, timeout_seconds)
        return unsure

    def reconnect(self) -> bool:
        """Have the next frame go to where the shipper is met now. What ZeroMQ holds for the one before is lost.

        Returns:
            False when another thread is draining: ask again.
        """
        return alone(self._lock, self._backlog.close_socket)

    def move(self, change: Callable[[], object], *, is_connected: bool) -> bool:
        """Go on as a new producer at another place, with all that has not left; numbers begin anew there.

        Args:
            change: makes the place another one.
            is_connected: whether a shipper took what was sent so far. Else what ZeroMQ holds goes on as well.

        Returns:
            False when another thread is draining: ask again.
        """

        def move() -> None:
            self._drain()
            change()
            frames = self._backlog.waiting() if is_connected else self._backlog.unsure()
            self._backlog.close_socket(LINGER_MILLISECONDS if is_connected else 0)
            self._backlog.clear()
            self.producer = os.urandom(wire.PRODUCER_BYTES)
            self.accepted = 0
            self._set_context(self._context)
            self._keep_anew(frames)
            self._backlog.send()

        return alone(self._lock, move)

    def close(self, timeout_seconds: float) -> tuple[Settled, list[bytes]] | None:
        """Close the socket and let all later events go. What ZeroMQ still holds is lost: ask for confirmation before.

        Returns:
            The final totals, and the frames, in order, that may not have left; None when another thread, or what a
            signal handler interrupted, did not let go of it in time.
        """
        final: list[tuple[Settled, list[bytes]]] = []

        def close() -> None:
            self._drain()
            self._backlog.send()
            self._closed = True
            self._backlog.close_socket()
            final.append((self._totals, self._backlog.unsure()))

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

    def _begin(self, context: wire.Context) -> None:
        """Be a producer that has numbered nothing yet."""
        self.producer = os.urandom(wire.PRODUCER_BYTES)
        self.accepted = 0
        self.dropped: dict[str, int] = {}
        self._set_context(context)

    def _set_context(self, context: wire.Context) -> None:
        self._context = context
        self._prefix = bytes([0x96, wire.PROTOCOL]) + _pack(self.producer) + _pack(_said(context))
        self._batch_limit_bytes = wire.MAX_FRAME_BYTES - len(self._prefix) - TOTALS_BYTES

    @property
    def _settled(self) -> int:
        return self.accepted + sum(self.dropped.values())

    @property
    def _totals(self) -> Settled:
        return Settled(self.producer, self.accepted, sum(self.dropped.values()))

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
        for _ in range(math.ceil(waiting / BATCH_EVENTS) + self._suspects):
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
            number = 1 if self._suspects else BATCH_EVENTS
            batch.extend(starmap(self.events.popleft, repeat((), min(len(self.events), number))))
            self._hand_over(batch)
        except (Exception, KeyboardInterrupt):  # the host's, or its stack is full; the batch is still ours
            self.events.extendleft(reversed(batch[self._settled - before :]))
            raise
        except BaseException:
            self._take_back(batch[self._settled - before :])
            raise
        else:
            self._suspects = max(0, self._suspects - 1)
        finally:
            self._in_hand = []

    def _take_back(self, batch: list[RawEvent]) -> None:
        """Keep what something thrown left, for the next round, one event at a time: it may have come out of one.

        An event out of which it comes twice, when that is alone, would be in the way of all others for ever.
        """
        if len(batch) == 1 and self._raised is batch[0]:
            self._raised = None
            self._drop(DropReason.UNENCODABLE, 1)
            return
        self.events.extendleft(reversed(batch))
        self._suspects = max(self._suspects, len(batch))
        self._raised = batch[0] if len(batch) == 1 else None

    def _hand_over(self, batch: list[RawEvent]) -> None:
        if not batch:
            return
        try:
            packed = self._encoder.encode(batch)
        except RecursionError:  # the host's stack is full
            raise
        except Exception:  # noqa: BLE001 of some value there is no form
            self._hand_over_halves(batch, DropReason.UNENCODABLE)
        else:
            self._hand_over_packed(packed, batch)

    def _hand_over_packed(self, packed: bytes, batch: list[RawEvent]) -> None:
        if len(packed) > self._batch_limit_bytes:
            self._hand_over_halves(batch, DropReason.TOO_LARGE)
        else:
            self._keep(packed, len(batch))

    def _keep(self, packed: bytes, number: int) -> None:
        if self._backlog.add(self.accepted, packed, number):
            self.accepted += number
        else:
            self._drop(DropReason.NO_SHIPPER if self.shipper_missing else DropReason.QUEUE_FULL, number)

    def _keep_anew(self, frames: list[bytes]) -> None:
        """Number the events of frames anew, under the context of now."""
        for frame in frames:
            for events in _fitting(_events(frame), self._batch_limit_bytes):
                if number := length_of(events):
                    self._keep(events, number)

    def _hand_over_halves(self, batch: list[RawEvent], reason: DropReason) -> None:
        """Halve until the guilty event is alone; then it goes without the values that are bad, if they can be told."""
        if len(batch) == 1:
            self._hand_over_alone(batch, reason)
            return
        middle = len(batch) // 2
        self._hand_over(batch[:middle])
        self._hand_over(batch[middle:])

    def _hand_over_alone(self, batch: list[RawEvent], reason: DropReason) -> None:
        packed = b""
        if reason is DropReason.UNENCODABLE:
            try:
                packed = self._encoder.mend(batch[0])
            except RecursionError:  # as above
                raise
            except Exception:  # noqa: BLE001, S110 its name is no text, say
                pass
        if packed:
            self._hand_over_packed(packed, batch)
        else:
            self._drop(reason, 1)

    def _head(self, first: int) -> bytes:
        """Of a frame, all but its events."""
        return b"".join((self._prefix, _pack(first), _pack(self.dropped)))

    def _drop(self, reason: DropReason, events: int) -> None:
        self.dropped[reason.value] = self.dropped.get(reason.value, 0) + events


def _said(context: wire.Context) -> dict[str, object]:
    said = context._asdict()
    if not context.since:
        del said["since"]
    return said


def _under(decision: Decision, since: float, context: wire.Context) -> wire.Context:
    """The same context under another consent."""
    return context._replace(
        consent=decision.state.value,
        basis=decision.basis,
        notice=decision.notice,
        deployment=decision.deployment,
        since=since,
    )


def producer_of(frame: bytes) -> bytes:
    """The producer that a frame is of."""
    return msgspec.msgpack.decode(frame, type=tuple[int, bytes, msgspec.Raw, msgspec.Raw, msgspec.Raw, msgspec.Raw])[1]


def _first(frame: bytes) -> int:
    """The number of a frame's first event."""
    return msgspec.msgpack.decode(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[3], type=int)


def _events(frame: bytes) -> bytes:
    """The events of a frame, a msgpack array; what a batch is."""
    return bytes(msgspec.msgpack.decode(frame, type=list[msgspec.Raw])[-1])


def _fitting(events: bytes, limit_bytes: int) -> Iterator[bytes]:
    """A batch, or its halves if it is larger than that: another head may be longer."""
    if len(events) <= limit_bytes or (number := length_of(events)) == 1:
        yield events
        return
    each = msgspec.msgpack.decode(events, type=list[msgspec.Raw])
    for half in (each[: number // 2], each[number // 2 :]):
        yield from _fitting(_pack(half), limit_bytes)
