"""The living half of a client, made only with consent: outbox, counters, flusher, and the shipper they need."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import groupby
from math import inf
from typing import TYPE_CHECKING, Any

import zmq

from telemetry.consent import State
from telemetry.drops import DropReason
from telemetry.errors import ShipperUnreachableError
from telemetry.native import Lock, monotonic, pause, time_ns
from telemetry.producer import exits
from telemetry.producer.counters import EBB_SECONDS, TALLY_CALLS, TALLY_SECONDS, Counters
from telemetry.producer.exception import reduce_exception
from telemetry.producer.flag import forked_before_ns
from telemetry.producer.flusher import Flusher
from telemetry.producer.outbox import BATCH_EVENTS, Outbox, Settled, producer_of
from telemetry.rendezvous.control import MAX_WAIT_SECONDS
from telemetry.rendezvous.life import Sign

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry import wire
    from telemetry.consent import Decision, Stored
    from telemetry.producer.channel import Channel
    from telemetry.producer.counters import Aggregate
    from telemetry.producer.site import Site
    from telemetry.rendezvous.control import Control

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
        reconsider: Callable[[], tuple[Stored, Decision | None]],
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
        self._is_elsewhere = False  # where the shipper is met, since the outbox was told
        self._counted_at = self._tallied_at = monotonic()
        self._interval_ns = int(flush_interval_seconds * 1e9)
        self._counters = Counters()
        self._sign = Sign()
        self._outbox = Outbox(channel.connect, context, queue_bytes, lambda error: reduce_exception(error, packages))
        self._renewing = Lock()
        self._flusher = Flusher(flush_interval_seconds, self._round, self._supervise)
        self._sent_ns = 0
        self._flusher.watch()
        self._outbox.hello()
        exits.at_exit(self._exit)
        exits.after_fork(self, Link._renew)
        self._watch_servers()

    def recorder(self) -> Record:
        """The hot path: what `emit` calls with a name and its fields."""
        awake, first, hand_over = self._flusher.awake.truth, self._after_pause, self._hand_over_batch
        events, lose = self._outbox.events, self._lose
        append = events.append

        def record(name: str, fields: dict[str, Any]) -> None:
            try:
                now_ns = time_ns()
                append((name, now_ns, fields))
            except Exception:  # noqa: BLE001 no memory
                lose()
                return
            try:
                if not awake:  # or in a child that was forked in C
                    first(now_ns)
                elif len(events) >= BATCH_EVENTS:
                    hand_over()
            except Exception:  # noqa: BLE001, S110 no memory, or the host's stack is full: a later round drains
                pass

        return record

    def ticker(self) -> Tick:
        """The same for `count`."""
        awake, first, tally = self._flusher.awake.truth, self._first_call, self._counters.tally
        calls, lose = self._counters.calls, self._lose
        append = calls.append

        def tick(name: str, number: int, fields: dict[str, Any]) -> None:
            try:
                append((name, number, fields))
            except Exception:  # noqa: BLE001 as above
                lose()
                return
            try:
                if not awake:
                    first()
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
        self._be_own()
        return self._closed or self._flush(_deadline(timeout_seconds)) is not None

    def deliver(self, timeout_seconds: float) -> bool:
        """Hand over everything emitted so far and wait until it has left this machine.

        Returns:
            Whether each event is delivered, or counted as dropped. False at once where nothing is uploaded now, and
            after `close`, when there is nobody left to ask.
        """
        deadline = _deadline(timeout_seconds)
        self._obey()
        if self._closed or self._outbox.stays_local:
            self._outbox.drain()
            return False
        settled = self._settle(deadline)
        if settled is None or self._outbox.off or not self._outbox.used:
            return settled is not None
        reply = self._ask("deliver", settled, deadline)
        return reply is not None and reply["delivered"] is True

    def close(self, timeout_seconds: float | None = EXIT_SECONDS) -> None:
        """Flush for at most `timeout_seconds`, say goodbye, or leave behind what stayed unconfirmed."""
        self._be_own()
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

    def hand_over(self) -> None:
        """Flush, and leave behind what stays unconfirmed, without closing: this may be the end of the process."""
        self._be_own()
        if self._closed:
            return
        confirmed = self._flush(_deadline(EXIT_SECONDS if self._channel.may_answer else 0.0))
        if confirmed is None and not self._outbox.off:
            self._leave_behind(self._outbox.unsure(LOCK_SECONDS))

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

    def _lose(self) -> None:
        with suppress(Exception):  # no memory to count it either
            self._outbox.lose()

    def _hand_over_batch(self) -> None:
        """A batch is full, and the thread busy or not there."""
        if not self._be_own():
            return
        self._outbox.drain()
        self._outbox.shed()

    def _first_call(self) -> None:
        """`count` after a pause."""
        if self._be_own(calls=1):
            self._wake()

    def _after_pause(self, now_ns: int) -> None:
        """Send the first event after a pause at once; have the thread look after whatever that leaves to do."""
        if not self._be_own(since_ns=now_ns):
            return
        if now_ns - self._sent_ns > self._interval_ns:
            self._sent_ns = now_ns
            if self._outbox.drain() and not self._flusher.due:
                return
        self._wake()

    def _wake(self) -> None:
        """Have the thread look at what waits; in a process that must have none, do what it would do."""
        if not exits.forks_in_c():
            self._flusher.wake()
            return
        self._flusher.watch()
        self._emit_counters()
        self._outbox.drain()

    def _round(self) -> bool:
        """One round of the flusher."""
        if self._counters:
            self._tend_counters(monotonic())
        # Without a shipper what is encoded can't go on, and the flusher comes back only to keep watch.
        done = self._outbox.drain() or (self._flusher.keeps_watch and not self._outbox.events)
        return done and not self._counters

    def _tend_counters(self, now: float) -> None:
        """Tally what was counted since the last round; make events of it when that is due."""
        if self._counters.calls:
            self._counters.tally()
            self._counted_at = now
        if now - self._counted_at >= EBB_SECONDS or now - self._tallied_at >= TALLY_SECONDS:
            self._emit_counters()

    def _emit_counters(self, patience_seconds: float = 0.0) -> bool:
        """Make events of the counters; False when another thread has them in hand."""
        return self._counters.hand_over(self._take_aggregates, patience_seconds)

    def _take_aggregates(self, aggregates: list[Aggregate]) -> None:
        self._tallied_at = monotonic()
        if not aggregates:
            return
        counted_ns = time_ns()  # before the question: who is stopped between the two is judged by the earlier time
        stored, decision = self._reconsider()
        goes_on = decision is not None and decision.state is State.TECHNICAL and stored.continues(self._outbox.since)
        if stored.since_unix_seconds != self._outbox.since and not goes_on:
            # Counted under a consent that is no more, it may be a second old and has no time of its own.
            counted_ns = int(self._outbox.since * 1e9)
        self._outbox.events.extend([(name, counted_ns, fields) for name, fields in aggregates])

    def _supervise(self) -> None:
        """See what the user says by now, and that a shipper runs; spawn one when none does."""
        self._be_own()
        self._obey()
        self._watch_servers()
        self._flusher.keeps_watch = False
        if self._outbox.off:
            self._sign.let_go()
            return
        self._show_sign()
        self._is_elsewhere |= self._site.look()
        if self._is_elsewhere:
            self._is_elsewhere = not self._outbox.reconnect()
        self._outbox.shipper_missing = self._site.is_missing
        # ZeroMQ may hold what no shipper takes yet; it must not stay there when the user says off.
        self._flusher.keeps_watch = not self._site.runs

    def _show_sign(self) -> None:
        """Hold the sign of life. Who has swept it away knows no number of ours: then they begin anew."""
        outbox, spool = self._outbox, self._site.spool
        if self._sign.is_swept(spool, outbox.producer) and not outbox.move(
            outbox.dropped.clear, is_connected=self._site.runs
        ):
            return
        with suppress(OSError):  # no disk, or no locks: while it emits it is taken for alive all the same
            self._sign.hold(spool, outbox.producer)

    def _watch_servers(self) -> None:
        """See to it that a server which ends this process without `atexit` has all handed over before."""
        exits.after_last_work(self, Link.hand_over)

    def _obey(self) -> None:
        """Follow the consent of this moment. What waits goes on under the stricter of two, or nowhere."""
        stored, decision = self._reconsider()
        if decision is None:
            return
        if decision.state is State.OFF:
            self._outbox.off = True
            self._emit_counters()
            self._outbox.drain()
        elif self._outbox.off or not self._outbox.agrees(decision, stored.since_unix_seconds):
            self._emit_counters()
            self._outbox.turn(decision, stored)

    def _flush(self, deadline: float) -> Settled | None:
        """What the shipper confirmed; None when it did not in time."""
        settled = self._settle(deadline)
        if settled is None or self._outbox.off or not self._outbox.used:
            return settled
        return settled if self._ask("confirm", settled, deadline) is not None else None

    def _settle(self, deadline: float) -> Settled | None:
        """Number or drop all that was emitted; None when that can't be in time."""
        if not self._emit_counters(_remaining(deadline)):
            return None
        if not self._outbox.used:
            return Settled(self._outbox.producer, 0, 0)  # a forked child that never emitted has nothing to wait for
        self._obey()
        return self._outbox.settle(_remaining(deadline))

    def _ask(self, op: str, settled: Settled, deadline: float) -> dict[str, Any] | None:
        """Ask the shipper about what was settled until it knows; None when it does not in time."""
        patience_seconds = ANSWER_SECONDS
        try:
            while (reply := self._answer(op, settled, min(deadline, monotonic() + patience_seconds))) is None:
                if not _remaining(deadline) or settled.producer != self._outbox.producer or self._outbox.off:
                    return None  # late; or the user has changed their mind, and nobody says that one's hello any more
                self._flusher.watch()  # a shipper that left or died meanwhile is replaced, and the next one asked
                patience_seconds *= 2
        except (zmq.ZMQError, OSError):
            return None
        return reply

    def _answer(self, op: str, settled: Settled, deadline: float) -> dict[str, Any] | None:
        """A shipper's answer, if it comes in time; it is asked again and again. Raises ZMQError, OSError."""
        with self._channel.control() as control:
            said_at = float("-inf")
            try:
                while not (reply := self._question(control, op, settled, deadline)):
                    if monotonic() - said_at >= HELLO_SECONDS:
                        said_at = monotonic()
                        self._outbox.hello()
                    pause(CONFIRM_POLL_SECONDS)
            except ShipperUnreachableError:
                return None
        self._site.confirm()
        return reply

    def _question(self, control: Control, op: str, settled: Settled, deadline: float) -> dict[str, Any]:
        """What the shipper says at once: nothing, while it has not heard of all that was settled."""
        self._outbox.drain()
        return control.ask({"op": op, **settled._asdict()}, _remaining(deadline))

    def _end(self, confirmed: Settled | None, deadline: float) -> None:
        """Close the outbox; only its final totals tell what is owed: others may have emitted during the flush."""
        self._emit_counters(max(LOCK_SECONDS, _remaining(deadline)))
        used = self._outbox.used
        settled, unsure = self._outbox.close(max(LOCK_SECONDS, _remaining(deadline))) or (None, [])
        if self._outbox.off:
            pass  # the user wants nothing told or written any more
        elif settled is None or settled != confirmed:
            self._leave_behind(unsure)
        elif used:
            self._say_goodbye(deadline)
        self._flusher.stop()
        self._sign.let_go()
        if settled is not None:
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
        for _, of_one in groupby(frames, producer_of):
            with suppress(OSError):
                self._channel.hand_over(list(of_one))
        outbox = self._outbox
        unconfirmed = DropReason.EXIT_UNCONFIRMED.value
        unsettled = outbox.unsettled + self._counters.unsettled
        dropped = {**outbox.dropped, unconfirmed: outbox.dropped.get(unconfirmed, 0) + unsettled}
        try:
            place = self._site.directory.name
            exits.leave_tombstone(self._site.spool, place, outbox.producer, outbox.accepted, dropped)
        except OSError:  # no disk to write it on; a shipper has room that is kept for what it is told
            with suppress(OSError):  # the one case in which nobody is left to count
                self._channel.hand_over([outbox.last_word(dropped)])

    def _be_own(self, *, since_ns: float = inf, calls: int = 0) -> bool:
        """Begin anew if this is a child forked in C, where no hook has run: uWSGI forks its workers so.

        Args:
            since_ns: events from this time on are the child's own, UNIX nanoseconds; those of its other threads are
                told by when it was forked.
            calls: how many of the newest of `count` are.

        Returns:
            Whether all is this process's by now: False while another thread sees to it, and hands over what waits.
        """
        if not self._flusher.awake.is_own:
            if not self._renewing.acquire(blocking=False):
                return False
            try:
                self._renew(min(since_ns, forked_before_ns()), calls)
            finally:
                self._renewing.release()
        self._follow_user()
        return True

    def _follow_user(self) -> None:
        """Go to the place of the user that this process has become: a server drops its privileges after `init`."""
        if self._site.is_anothers and self._outbox.move(self._site.move, is_connected=self._site.runs):
            self._flusher.watch_now()

    def _renew(self, since_ns: float = inf, calls: int = 0) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares, but for what is its own already."""
        self._channel.renew()
        self._closing, self._signal = False, None
        if self._closed:
            return
        self._sent_ns = 0
        self._counters.renew(calls)
        self._outbox.renew(os.getpid(), since_ns)
        self._flusher.renew()
        exits.at_exit_of_forked_child(self, self._exit)


def _deadline(timeout_seconds: float | None) -> float:
    return monotonic() + (MAX_WAIT_SECONDS if timeout_seconds is None else min(timeout_seconds, MAX_WAIT_SECONDS))


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
