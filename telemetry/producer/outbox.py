"""Outbox: the producer's queue, and how events in it become chunks of the backlog. Nothing here waits.

Threads, signal handlers and `__del__` append to `events` and call `drain`, at any time, inside one another too. So the
hot path takes no lock (`deque.append` is atomic), and everything else is done by whichever caller gets the one lock
without waiting; the others leave the work to the holder or to the flusher's next round.
"""

from __future__ import annotations

import math
import os
from collections import deque
from contextlib import suppress
from itertools import repeat, starmap
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent import State, strictest
from telemetry.drops import DropReason
from telemetry.native import Lock
from telemetry.producer.alone import alone
from telemetry.producer.backlog import SOCKET_BYTES, Backlog
from telemetry.producer.encode import Encoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry import wire
    from telemetry.consent import Decision, Stored
    from telemetry.producer.backlog import LastWord
    from telemetry.producer.encode import RawEvent
    from telemetry.producer.transport import Transport

CHUNK_EVENTS = 192
"""The events encoded at a time, in some 40 us. More would delay the one call that does it longer; with fewer, they come
near one in a hundred, and the 99th percentile of all is theirs as soon as the machine has other work."""

WAITING_EVENT_BYTES = 512
"""The rough size of an event before it is encoded, by which `queue_bytes` bounds how many may wait."""

LINGER_MILLISECONDS = 200
"""The time for ZeroMQ to send what it holds for a shipper that is left behind, and takes frames: far less is needed."""


class Settled(NamedTuple):
    """The totals of everything emitted up to a moment, which the shipper must have heard of."""

    producer: bytes
    accepted: int
    dropped: int


class Outbox:
    """Everything between `emit` and the transport.

    Attributes:
        events: the events emitted and not encoded yet; anybody may append.
        off: set by the flusher; while the user has said off, all events and frames are discarded unsent.
    """

    def __init__(
        self,
        transport: Transport,
        context: wire.Context,
        queue_bytes: int,
        reduce: Callable[[BaseException], str],
    ) -> None:
        self.events: deque[RawEvent] = deque()
        self.off = False
        self._transport = transport
        self._backlog = Backlog(transport, context, queue_bytes - SOCKET_BYTES)
        self._waiting_limit = queue_bytes // WAITING_EVENT_BYTES
        self._shed: deque[None] = deque()
        self._encoder = Encoder(reduce)
        self.renew(os.getpid())

    def renew(self, pid: int, since_ns: float = inf) -> None:
        """Begin as a new producer: at the start, and in a forked child, whose queue is its parent's to send.

        Args:
            pid: the id of this process.
            since_ns: events from this time on, in UNIX nanoseconds, are its own already.
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
        self._backlog.renew(self._backlog.context._replace(pid=pid))

    @property
    def producer(self) -> bytes:
        """The random id of this process; new in a forked child, under another consent and at another place."""
        return self._backlog.producer

    @property
    def accepted(self) -> int:
        """The running number of the next event: how many were handed to the transport or wait in the backlog."""
        return self._backlog.accepted

    @property
    def dropped(self) -> dict[str, int]:
        """The running totals by reason."""
        return self._backlog.dropped

    @property
    def used(self) -> bool:
        """Whether this process has anything to account for, or has made itself known."""
        return bool(self.events or self.accepted or self.dropped or self._backlog.has_sent)

    @property
    def unsettled(self) -> int:
        """The number of events neither numbered nor dropped yet; exact if no other thread is at work."""
        in_hand = len(self._in_hand) - (self._settled - self._settled_before if self._in_hand else 0)
        return len(self.events) + len(self._shed) + in_hand

    def drain(self) -> bool:
        """Encode and hand over what waits. Never blocks.

        Returns:
            False if something still waits: the lock was taken, or the socket is full.
        """
        alone(self._lock, self._drain)
        return not self.events and not self._backlog

    def tend(self) -> None:
        """Let go of what the shipper has taken, and send the rest again if it is another one. Never blocks."""
        alone(self._lock, self._tend)

    def trust(self, settled: Settled) -> None:
        """Let go of what the shipper has said is taken."""
        alone(self._lock, lambda: self._backlog.trust(*settled))

    @property
    def awaits(self) -> bool:
        """Whether events were sent of which a shipper is expected to say that it has taken them."""
        return self._backlog.awaits

    @property
    def hears(self) -> bool:
        """Whether the shipper says what it takes."""
        return self._backlog.hears

    @property
    def is_overdue(self) -> bool:
        """Whether they have waited for so long that the shipper may be gone."""
        return self._backlog.is_overdue

    @property
    def kept(self) -> set[bytes]:
        """The producers, this one and those that the process was before, of which something is kept."""
        return self._backlog.kept

    def shed(self) -> None:
        """Discard the newest event if too many wait: other threads emit faster than the draining one encodes.

        The next drain counts it; doing so here would take the lock.
        """
        if len(self.events) > self._waiting_limit:
            self.events.pop()
            self._shed.append(None)

    def lose(self) -> None:
        """Have an event counted for which there was no memory."""
        self._shed.append(None)

    def settle(self, timeout_seconds: float) -> Settled | None:
        """Number or drop everything that was emitted before this call.

        Blocks while another thread drains, for at most `timeout_seconds`; returns None if that does not end. It can't
        end if a signal handler asks that has itself interrupted a drain.
        """
        settled: list[Settled] = []

        def settle() -> None:
            self._drain()
            settled.append(self._totals)

        return settled[0] if alone(self._lock, settle, timeout_seconds) else None

    def earlier(self) -> list[Settled]:
        """Return the totals of the producers that the process was before, of which something waits or is kept."""
        return [Settled(producer, *totals) for producer, totals in self._backlog.earlier().items()]

    @property
    def stays_local(self) -> bool:
        """Whether events emitted now are never to leave this machine."""
        return self._backlog.context.consent == State.LOCAL.value

    @property
    def since(self) -> float:
        """The date of the stored consent that frames bear, UNIX seconds; 0 for none."""
        return self._backlog.context.since

    def agrees(self, decision: Decision, since: float) -> bool:
        """Tell whether frames bear this consent, stored at that date."""
        return self._backlog.context == _under(decision, since, self._backlog.context)

    def turn(self, decision: Decision, stored: Stored) -> bool:
        """Go on as a new producer under this consent, stored as given.

        What is not taken goes on under the consent that it was emitted under; under this one, if it is the stricter
        and there was none between that was stricter still.

        Numbers begin anew: none may tell what was emitted before a no, and a shipper may have erased them since. The
        shipper hears the last ones under the earlier consent, unless that was a no.

        Returns:
            False if another thread is draining: ask again.
        """

        def turn() -> None:
            backlog = self._backlog
            context = _under(decision, stored.since_unix_seconds, backlog.context)
            if not self.off and _narrows(backlog.context, context) and stored.continues(self.since):
                backlog.narrow(context, lambda old: _narrows(old, context) and stored.continues(old.since))
            else:
                self._drain()
            if not self.off and (self.accepted or self.dropped):
                backlog.conclude()
            backlog.begin(context, {})
            self.off = False

        return alone(self._lock, turn)

    def hello(self) -> None:
        """Send a frame without events: it makes a producer known, or hands over its last counts."""
        alone(self._lock, self._backlog.hello)

    def last_word(self, counted: int) -> LastWord:
        """Return the account of this producer if it ends now; exact if no other thread is at work.

        Args:
            counted: the number of further events that counters would have made.
        """
        return self._backlog.last_word(self.unsettled + counted)

    def unsure(self, timeout_seconds: float) -> list[bytes]:
        """Return the frames that may not be taken; none if another thread did not release them in time."""
        unsure: list[bytes] = []

        def collect() -> None:
            self._drain()
            self._tend()
            unsure.extend(self._backlog.unsure())

        alone(self._lock, collect, timeout_seconds)
        return unsure

    def reconnect(self) -> bool:
        """Have the next frame go to where the shipper is met now, and before it all that is not taken.

        Returns:
            False if another thread is draining: ask again.
        """
        return alone(self._lock, self._backlog.reconnect)

    def move(self, change: Callable[[], object], *, is_connected: bool) -> bool:
        """Go on as a new producer at another place, with all that is not taken; numbers begin anew there.

        Args:
            change: changes the place.
            is_connected: whether a shipper runs at the present place, and will take what was sent to it; if not, that
                moves as well.

        Returns:
            False if another thread is draining: ask again.
        """

        def move() -> None:
            self._drain()
            self._tend()
            change()
            backlog = self._backlog
            frames = backlog.waiting() if is_connected else backlog.unsure()
            backlog.disconnect(LINGER_MILLISECONDS if is_connected else 0)
            backlog.clear()
            backlog.begin(backlog.context, backlog.dropped)
            self._keep_anew(frames)
            backlog.send()

        return alone(self._lock, move)

    def purge(self, before_ns: int) -> bool:
        """Discard everything, uncounted, and go on as a new producer: the user has erased what was collected.

        Args:
            before_ns: when that was; if nothing here is older, all stays as it is.

        Returns:
            False if another thread is draining: ask again.
        """

        def purge() -> None:
            self._drain()
            if self._backlog.oldest_ns() < before_ns:
                self._let_all_go()
                self._backlog.begin(self._backlog.context, {})

        return alone(self._lock, purge)

    def close(self, timeout_seconds: float) -> tuple[Settled, list[bytes]] | None:
        """Disconnect and discard all later events. Frames that the transport holds are lost.

        Ask for confirmation before.

        Returns:
            The final totals, and the frames, in order, that may not be taken; None if another thread, or work that a
            signal handler interrupted, did not release them in time.
        """
        final: list[tuple[Settled, list[bytes]]] = []

        def close() -> None:
            self._drain()
            self._tend()
            self._closed = True
            self._backlog.disconnect()
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
            self._backlog.drop(DropReason.EXIT_UNCONFIRMED, number)

    def _let_all_go(self) -> None:
        """Discard everything, because the user said off. Nothing is counted: there is nobody left to be told."""
        self.events.clear()
        self._shed.clear()
        self._backlog.clear()
        self._backlog.disconnect()

    def _tend(self) -> None:
        if not self._closed and not self.off:
            self._backlog.settle()
            self._backlog.send()

    @property
    def _settled(self) -> int:
        return self.accepted + sum(self.dropped.values())

    @property
    def _totals(self) -> Settled:
        return Settled(self.producer, self.accepted, sum(self.dropped.values()))

    def _drain(self) -> None:
        if self._closed:
            self._let_events_go()
            return
        if self.off:
            self._let_all_go()
            return
        self._count_shed()
        # Only the events that wait now: other threads may append for ever.
        waiting = len(self.events)
        for _ in range(math.ceil(waiting / CHUNK_EVENTS) + self._suspects):
            self._hand_over_next()
        # Full chunks alone are a busy host: more will come to fill a frame, or the flusher.
        if waiting and not waiting % CHUNK_EVENTS:
            self._backlog.send_full()
        else:
            self._backlog.send()

    def _count_shed(self) -> None:
        if number := len(self._shed):
            self._backlog.drop(DropReason.QUEUE_FULL, number)
            for _ in range(number):
                self._shed.popleft()

    def _hand_over_next(self) -> None:
        self._settled_before = before = self._settled
        chunk: list[RawEvent] = []
        self._in_hand = chunk
        try:
            # Only the holder of the lock pops (and `shed`, far above a chunk), so as many as there are now can be
            # popped; in one call, because a KeyboardInterrupt between popping and keeping would lose an event.
            number = 1 if self._suspects else CHUNK_EVENTS
            chunk.extend(starmap(self.events.popleft, repeat((), min(len(self.events), number))))
            self._hand_over(chunk)
        except (Exception, KeyboardInterrupt):  # the host's, or its stack is full; the chunk is still ours
            self.events.extendleft(reversed(chunk[self._settled - before :]))
            raise
        except BaseException:
            self._take_back(chunk[self._settled - before :])
            raise
        else:
            self._suspects = max(0, self._suspects - 1)
        finally:
            self._in_hand = []

    def _take_back(self, chunk: list[RawEvent]) -> None:
        """Keep the events that an exception left for the next round, one at a time: it may have come out of one.

        An event out of which it comes twice, when that is alone, would be in the way of all others for ever.
        """
        if len(chunk) == 1 and self._raised is chunk[0]:
            self._raised = None
            self._backlog.drop(DropReason.UNENCODABLE, 1)
            return
        self.events.extendleft(reversed(chunk))
        self._suspects = max(self._suspects, len(chunk))
        self._raised = chunk[0] if len(chunk) == 1 else None

    def _hand_over(self, chunk: list[RawEvent]) -> None:
        if not chunk:
            return
        try:
            packed = self._encoder.encode(chunk)
        except RecursionError:  # the host's stack is full
            raise
        except Exception:  # noqa: BLE001 of some value there is no form
            self._hand_over_halves(chunk, DropReason.UNENCODABLE)
        else:
            self._hand_over_packed(packed, chunk)

    def _hand_over_packed(self, packed: bytes, chunk: list[RawEvent]) -> None:
        if len(packed) > self._backlog.chunk_limit_bytes:
            self._hand_over_halves(chunk, DropReason.TOO_LARGE)
        else:
            self._keep(packed, len(chunk))

    def _keep(self, packed: bytes, number: int) -> None:
        if not self._backlog.add(packed, number):
            reason = DropReason.NO_SHIPPER if self._transport.is_missing else DropReason.QUEUE_FULL
            self._backlog.drop(reason, number)

    def _keep_anew(self, frames: list[bytes]) -> None:
        """Number the events of frames anew, under the present context."""
        for packed, number in self._backlog.chunks_of(frames):
            self._keep(packed, number)

    def _hand_over_halves(self, chunk: list[RawEvent], reason: DropReason) -> None:
        """Halve until the guilty event is alone; it then goes without its bad values, if they can be told."""
        if len(chunk) == 1:
            self._hand_over_alone(chunk, reason)
            return
        middle = len(chunk) // 2
        self._hand_over(chunk[:middle])
        self._hand_over(chunk[middle:])

    def _hand_over_alone(self, chunk: list[RawEvent], reason: DropReason) -> None:
        packed = b""
        if reason is DropReason.UNENCODABLE:
            try:
                packed = self._encoder.mend(chunk[0])
            except RecursionError:  # as above
                raise
            except Exception:  # noqa: BLE001, S110 its name is no text, say
                pass
        if packed:
            self._hand_over_packed(packed, chunk)
        else:
            self._backlog.drop(reason, 1)


def _narrows(old: wire.Context, new: wire.Context) -> bool:
    """Tell whether the consent of a context is stricter than that of another."""
    return new.consent != old.consent and strictest(State(new.consent), State(old.consent)).value == new.consent


def _under(decision: Decision, since: float, context: wire.Context) -> wire.Context:
    """Return the context under another consent."""
    return context._replace(
        consent=decision.state.value,
        basis=decision.basis,
        notice=decision.notice,
        deployment=decision.deployment,
        since=since,
    )
