"""The living half of a client, made only with consent: outbox, counters, flusher, and the shipper they need."""

from __future__ import annotations

import os
from contextlib import suppress
from time import monotonic, time_ns
from typing import TYPE_CHECKING, Any

import zmq

from telemetry.consent import State
from telemetry.control import MAX_WAIT_SECONDS
from telemetry.drops import DropReason
from telemetry.errors import ShipperUnreachableError
from telemetry.producer import exits
from telemetry.producer.counters import TALLY_CALLS, TALLY_SECONDS, Counters
from telemetry.producer.exception import reduce_exception
from telemetry.producer.flusher import Flusher
from telemetry.producer.native import pause
from telemetry.producer.outbox import BATCH_EVENTS, Outbox, Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry import wire
    from telemetry.consent import Decision
    from telemetry.control import Control
    from telemetry.producer.channel import Channel
    from telemetry.producer.counters import Aggregate
    from telemetry.producer.site import Site

    Record = Callable[[str, dict[str, Any]], None]
    Tick = Callable[[str, int, dict[str, Any]], None]

CONFIRM_POLL_SECONDS = 0.005
"""How often the shipper is asked whether it has everything; one of its drains takes about as long."""

HELLO_SECONDS = 0.05
"""How often a shipper that is behind is told how far this process has come: a frame that was lost on its way to one
that left or died is noticed by the next one only, and there may be none."""

ANSWER_SECONDS = 0.5
"""How long an answer may take before the shipper is looked after and asked anew; doubled each time. Over what `close`
waits: it asks once."""

EXIT_SECONDS = 0.2
"""How long the end of a process waits for a shipper that runs; what it has not confirmed by then is left to it."""

SIGNAL_SECONDS = 0.1
"""How long a signal handler does: that of the host may end the process next, and wait as well."""

LOCK_SECONDS = 0.05
"""How long a thread that drains may take to let go: about what it takes to encode the most that may wait."""


class Link:
    """One process's way to its shipper."""

    def __init__(
        self,
        site: Site,
        channel: Channel,
        reconsider: Callable[[], Decision | None],
        context: wire.Context,
        packages: tuple[str, ...],
        flush_interval_seconds: float,
        queue_bytes: int,
    ) -> None:
        self._site = site
        self._reconsider = reconsider
        self._channel = channel
        self._closed = self._closing = False
        self._signal: int | None = None  # came while it closed
        self._tallied_at = monotonic()
        self._interval_ns = int(flush_interval_seconds * 1e9)
        self._counters = Counters()
        self._outbox = Outbox(channel.connect, context, queue_bytes, lambda error: reduce_exception(error, packages))
        self._flusher = Flusher(flush_interval_seconds, self._round, self._supervise)
        self._sent_ns = 0
        self._flusher.watch()
        self._outbox.hello()
        exits.at_exit(self._exit)
        exits.after_fork(self, Link._renew)

    def recorder(self) -> Record:
        """The hot path: what `emit` calls with a name and its fields."""
        outbox, flusher, first = self._outbox, self._flusher, self._after_pause
        events, drain, shed = outbox.events, outbox.drain, outbox.shed
        append = events.append

        def record(name: str, fields: dict[str, Any]) -> None:
            now_ns = time_ns()
            append((name, now_ns, fields))
            try:
                if flusher.asleep:
                    first(now_ns)
                elif len(events) >= BATCH_EVENTS:
                    drain()
                    shed()
            except Exception:  # noqa: BLE001, S110 no memory, or the host's stack is full: a later round drains
                pass

        return record

    def ticker(self) -> Tick:
        """The same for `count`."""
        calls, flusher, tally = self._counters.calls, self._flusher, self._counters.tally
        append = calls.append

        def tick(name: str, number: int, fields: dict[str, Any]) -> None:
            append((name, number, fields))
            try:
                if flusher.asleep:
                    flusher.wake()
                elif len(calls) >= TALLY_CALLS:
                    tally()
            except Exception:  # noqa: BLE001, S110 as above
                pass

        return tick

    def flush(self, timeout_seconds: float | None = SIGNAL_SECONDS) -> bool:
        """Hand over everything emitted so far and wait until the shipper has it on disk.

        Args:
            timeout_seconds: None for as long as it takes, a day at most.

        Returns:
            False when `timeout_seconds` passed before that. True after `close`: nothing is left to hand over.
        """
        return self._closed or self._flush(_deadline(timeout_seconds)) is not None

    def close(self, timeout_seconds: float | None = EXIT_SECONDS) -> None:
        """Flush for at most `timeout_seconds`, say goodbye, or leave behind what stayed unconfirmed."""
        if self._closed:
            return
        deadline = _deadline(timeout_seconds)
        self._closed = self._closing = True
        exits.forget(self._exit)
        confirmed = None
        try:
            confirmed = self._flush(deadline)
        finally:
            self._end(confirmed, deadline)
            self._closing = False
            if self._signal is not None:
                os.kill(os.getpid(), self._signal)

    def close_for(self, number: int) -> bool:
        """Close, before a signal ends the process.

        Returns:
            False while a close is under way, which the signal may have interrupted: it sends the signal again when it
            is done. A pool, for one, tells its workers to end, and then sends them a SIGTERM.
        """
        if self._closing:
            self._signal = number
            return False
        self._exit()
        return True

    def _exit(self) -> None:
        """Close at the end of the process. One that is only starting is not waited for: it finds what is left to it."""
        if self._channel.may_answer:
            self.close()
        else:
            self.close(0.0)

    def _after_pause(self, now_ns: int) -> None:
        """Send the first event after a pause at once; have the thread look after whatever that leaves to do."""
        if now_ns - self._sent_ns > self._interval_ns:
            self._sent_ns = now_ns
            if self._outbox.drain() and not self._flusher.due:
                return
        self._flusher.wake()

    def _round(self) -> bool:
        """One round of the flusher."""
        if self._counters and monotonic() - self._tallied_at >= TALLY_SECONDS:
            self._emit_counters()
        # Without a shipper what is encoded can't go on, and the flusher comes back only to keep watch.
        done = self._outbox.drain() or (self._flusher.keeps_watch and not self._outbox.events)
        return done and not self._counters

    def _emit_counters(self, patience_seconds: float = 0.0) -> bool:
        """Make events of the counters; False when another thread has them in hand."""
        return self._counters.hand_over(self._take_aggregates, patience_seconds)

    def _take_aggregates(self, aggregates: list[Aggregate]) -> None:
        self._tallied_at = monotonic()
        now_ns = time_ns()
        self._outbox.events.extend([(name, now_ns, fields) for name, fields in aggregates])

    def _supervise(self) -> None:
        """See what the user says by now, and that a shipper runs; spawn one when none does."""
        self._obey()
        self._flusher.keeps_watch = False
        if self._outbox.off:
            return
        self._site.look()
        self._outbox.shipper_missing = self._site.is_missing
        # ZeroMQ may hold what no shipper takes yet; it must not stay there when the user says off.
        self._flusher.keeps_watch = not self._site.runs

    def _obey(self) -> None:
        """Follow the consent of this moment. What waits goes on under the one it was emitted with, or nowhere."""
        decision = self._reconsider()
        if decision is None:
            return
        if decision.state is State.OFF:
            self._outbox.off = True
            self._emit_counters()
            self._outbox.drain()
        elif self._outbox.off or not self._outbox.agrees(decision):
            self._emit_counters()
            if self._outbox.turn(decision):
                self._outbox.off = False

    def _flush(self, deadline: float) -> Settled | None:
        """What the shipper confirmed; None when it did not in time."""
        if not self._emit_counters(_remaining(deadline)):
            return None
        if not self._outbox.used:
            return Settled(0, 0)  # a forked child that never emitted has nothing to wait for
        self._obey()
        settled = self._outbox.settle(_remaining(deadline))
        if settled is None or self._outbox.off:
            return settled
        patience_seconds = ANSWER_SECONDS
        try:
            while not self._settles(settled, min(deadline, monotonic() + patience_seconds)):
                if not _remaining(deadline):
                    return None
                self._flusher.watch()  # a shipper that left or died meanwhile is replaced, and the next one asked
                patience_seconds *= 2
        except (zmq.ZMQError, OSError):
            return None
        return settled

    def _settles(self, settled: Settled, deadline: float) -> bool:
        """Whether a shipper confirms in time; it is asked again and again. Raises ZMQError, OSError."""
        with self._channel.control() as control:
            said_at = float("-inf")
            try:
                while not self._confirmed(control, settled, deadline):
                    if monotonic() - said_at >= HELLO_SECONDS:
                        said_at = monotonic()
                        self._outbox.hello()
                    pause(CONFIRM_POLL_SECONDS)
            except ShipperUnreachableError:
                return False
        self._site.confirm()
        return True

    def _confirmed(self, control: Control, settled: Settled, deadline: float) -> bool:
        self._outbox.drain()
        question = {"op": "confirm", "producer": self._outbox.producer, **settled._asdict()}
        reply = control.ask(question, _remaining(deadline))
        return bool(reply.get("accepted", 0) >= settled.accepted and reply.get("dropped", 0) >= settled.dropped)

    def _end(self, confirmed: Settled | None, deadline: float) -> None:
        """Close the outbox; only its final totals tell what is owed: others may have emitted during the flush."""
        self._emit_counters(max(LOCK_SECONDS, _remaining(deadline)))
        used = self._outbox.used
        final = self._outbox.close(max(LOCK_SECONDS, _remaining(deadline)))
        if self._outbox.off:
            pass  # the user wants nothing told or written any more
        elif final is None or final.settled != confirmed:
            self._leave_behind(final.unsure if final else [])
        elif used:
            self._say_goodbye(deadline)
        self._flusher.stop()
        if final is not None:
            self._channel.close()

    def _say_goodbye(self, deadline: float) -> None:
        request = {"op": "leave", "producer": self._outbox.producer}
        try:
            with self._channel.control() as control:
                control.ask(request, _remaining(deadline))
        except (ShipperUnreachableError, zmq.ZMQError, OSError):
            return  # it will find this process gone

    def _leave_behind(self, frames: list[bytes]) -> None:
        """To the shipper of now or of later: the frames that may not have come, and a count of those that never did."""
        if frames:
            with suppress(OSError):
                self._channel.hand_over(frames)
        outbox = self._outbox
        unconfirmed = DropReason.EXIT_UNCONFIRMED.value
        dropped = {**outbox.dropped, unconfirmed: outbox.dropped.get(unconfirmed, 0) + outbox.unsettled}
        with suppress(OSError):  # no disk to write it on: the one case in which nobody is left to count
            exits.leave_tombstone(self._site.spool, outbox.producer, outbox.accepted, dropped)

    def _renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        self._channel.renew()
        self._closing, self._signal = False, None
        if self._closed:
            return
        self._sent_ns = 0
        self._counters.renew()
        self._outbox.renew(os.getpid())
        self._flusher.renew()
        exits.at_exit_of_forked_child(self, self._exit)


def _deadline(timeout_seconds: float | None) -> float:
    return monotonic() + (MAX_WAIT_SECONDS if timeout_seconds is None else min(timeout_seconds, MAX_WAIT_SECONDS))


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
