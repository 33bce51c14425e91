"""The living half of a client, made only with consent: outbox, counters, flusher, and the transport they need."""

from __future__ import annotations

import os
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

from telemetry.consent import State
from telemetry.native import Lock, monotonic, time_ns
from telemetry.producer import exits
from telemetry.producer.counters import EBB_SECONDS, TALLY_CALLS, TALLY_SECONDS, Counters
from telemetry.producer.exception import reduce_exception
from telemetry.producer.flag import forked_before_ns
from telemetry.producer.flusher import SUPERVISE_SECONDS, Flusher
from telemetry.producer.outbox import CHUNK_EVENTS, Outbox, Settled
from telemetry.rendezvous.control import MAX_WAIT_SECONDS

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Callable, Mapping

    from telemetry import wire
    from telemetry.consent import Decision, Stored
    from telemetry.producer.counters import Aggregate
    from telemetry.producer.transport import Transport

    Record = Callable[[str, dict[str, Any]], None]
    Tick = Callable[[str, Any, dict[str, Any]], None]

HELLO_SECONDS = 0.05
"""The interval of telling a shipper that is behind this process's position: a frame that was lost on its way to one
that left or died is noticed by the next one only, and there may be none."""

ANSWER_SECONDS = 0.5
"""The time for an answer before the shipper is looked after and asked anew, doubled each time. It exceeds what `close`
waits: it asks once."""

SIGNAL_SECONDS = 0.1
"""The time that a signal handler waits: the host's own may end the process next, and wait as well."""


class Link:
    """The objects of one process between its calls and its shipper.

    Attributes:
        transport: the way to the shipper.
    """

    def __init__(
        self,
        transport: Transport,
        reconsider: Callable[[], tuple[Stored, Decision | None]],
        context: wire.Context,
        packages: tuple[str, ...],
        flush_interval_seconds: float,
        queue_bytes: int,
        scales: Mapping[str, int],
    ) -> None:
        self.transport = transport
        self._reconsider = reconsider
        self._closed = self._closing = False
        self._signal: int | None = None  # came while it closed
        self._counted_at = self._tallied_at = monotonic()
        self._interval_ns = int(flush_interval_seconds * 1e9)
        self._counters = Counters(scales)
        self._outbox = Outbox(transport, context, queue_bytes, lambda error: reduce_exception(error, packages))
        self._renewing = Lock()
        self._flusher = Flusher(flush_interval_seconds, self._round, self._supervise)
        self._sent_ns = 0
        self._flusher.watch()
        self._outbox.hello()
        exits.at_exit(self._exit)
        exits.after_fork(self, Link._renew)
        self._watch_servers()

    def recorder(self) -> Record:
        """Return the hot path, the function that `emit` calls with a name and its fields."""
        awake, first, hand_over = self._flusher.awake.truth, self._after_pause, self._hand_over_chunk
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
                elif len(events) >= CHUNK_EVENTS:
                    hand_over()
            except Exception:  # noqa: BLE001, S110 no memory, or the host's stack is full: a later round drains
                pass

        return record

    def ticker(self) -> Tick:
        """Return the hot path of `count`, called with a name, a number and fields."""
        return self._path(self._counters.calls, self._first_count)

    def observer(self) -> Tick:
        """Return the hot path of `observe`, called with a name, a number and fields."""
        return self._path(self._counters.observed, self._first_observed)

    def _path(self, calls: deque[Any], first: Callable[[], None]) -> Tick:
        """Return the hot path of calls that are tallied later."""
        awake, tally, lose = self._flusher.awake.truth, self._counters.tally, self._lose
        append = calls.append

        def tick(name: str, number: float, fields: dict[str, Any]) -> None:
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
            timeout_seconds: the time to wait; None for as long as it takes, a day at most.

        Returns:
            False if `timeout_seconds` passed before that. True after `close`: nothing is left to hand over.
        """
        self._be_own()
        return self._closed or self._flush(_deadline(timeout_seconds)) is not None

    def deliver(self, timeout_seconds: float) -> bool:
        """Hand over everything emitted so far and wait until it has left this machine.

        Returns:
            Whether each event is delivered, or counted as dropped. False at once if nothing is uploaded now, and after
            `close`, when there is nobody left to ask.
        """
        deadline = _deadline(timeout_seconds)
        self._obey()
        if self._closed or self._outbox.stays_local:
            self._outbox.drain()
            return False
        settled = self._settle(deadline)
        if settled is None or self._outbox.off or not self._outbox.used:
            return settled is not None
        replies = [self._ask("deliver", totals, deadline) for totals in (*self._outbox.earlier(), settled)]
        return all(reply is not None and reply["delivered"] is True for reply in replies)

    def close(self, timeout_seconds: float | None) -> None:
        """Flush for at most `timeout_seconds`, then say goodbye, or leave unconfirmed frames behind."""
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
        """Flush, and leave unconfirmed frames behind, without closing: this may be the end of the process."""
        self._be_own()
        if self._closed:
            return
        confirmed = self._flush(_deadline(self.transport.exit_seconds))
        if confirmed is None and not self._outbox.off:
            self._leave_behind(self._outbox.unsure(self.transport.lock_seconds))

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
        """Close at the end of the process."""
        self.close(self.transport.exit_seconds)

    def _lose(self) -> None:
        with suppress(Exception):  # no memory to count it either
            self._outbox.lose()

    def _hand_over_chunk(self) -> None:
        """Drain a full chunk, because the thread is busy or not there."""
        if not self._be_own():
            return
        self._outbox.drain()
        self._outbox.shed()

    def _first_count(self) -> None:
        """Wake the thread for the first `count` after a pause."""
        if self._be_own(calls=1):
            self._wake()

    def _first_observed(self) -> None:
        """Wake the thread for the first `observe` after a pause."""
        if self._be_own(observed=1):
            self._wake()

    def _after_pause(self, now_ns: int) -> None:
        """Send the first event after a pause at once; have the thread do whatever that leaves."""
        if not self._be_own(since_ns=now_ns):
            return
        if now_ns - self._sent_ns > self._interval_ns:
            self._sent_ns = now_ns
            # Somebody must look whether it is taken: the thread, unless it looks by itself in a moment.
            has_watch = self._flusher.keeps_watch or not self._outbox.hears
            if self._outbox.drain() and has_watch and not self._flusher.due:
                return
        self._wake()

    def _wake(self) -> None:
        """Have the thread look at what waits; in a process that must have none, do its work here."""
        if not exits.forks_in_c():
            self._flusher.wake()
            return
        self._flusher.watch()
        self._emit_counters()
        self._outbox.drain()
        self._outbox.tend()

    def _round(self) -> bool:
        """Do one round of the flusher."""
        if self._counters:
            self._tend_counters(monotonic())
        # Without a shipper encoded frames can't go on, and the flusher comes back only to keep watch.
        done = self._outbox.drain() or (self._flusher.keeps_watch and not self._outbox.events)
        self._outbox.tend()
        if self._outbox.is_overdue and not self._flusher.is_fresh:
            self._flusher.watch_now()  # it may be gone, and the next one is to come soon
        self._flusher.keeps_watch |= self._awaits
        return done and not self._counters

    def _tend_counters(self, now: float) -> None:
        """Tally the calls since the last round; make events of them when that is due."""
        if self._counters.calls or self._counters.observed:
            self._counters.tally()
            self._counted_at = now
        if now - self._counted_at >= EBB_SECONDS or now - self._tallied_at >= TALLY_SECONDS:
            self._emit_counters()

    def _emit_counters(self, patience_seconds: float = 0.0) -> bool:
        """Make events of the counters; False if another thread has them in hand."""
        return self._counters.hand_over(self._take_aggregates, patience_seconds)

    def _take_aggregates(self, aggregates: list[Aggregate]) -> None:
        self._tallied_at = monotonic()
        if not aggregates:
            return
        counted_ns = time_ns()  # before the question: if stopped between the two, the earlier time counts
        stored, decision = self._reconsider()
        goes_on = decision is not None and decision.state is State.TECHNICAL and stored.continues(self._outbox.since)
        if stored.since_unix_seconds != self._outbox.since and not goes_on:
            # Counted under a consent that is no more, it may be a second old and has no time of its own.
            counted_ns = int(self._outbox.since * 1e9)
        self._outbox.events.extend([(name, counted_ns, fields) for name, fields in aggregates])

    def _supervise(self) -> None:
        """Check the user's present choice, and that there is a shipper."""
        self._be_own()
        self._obey()
        self._watch_servers()
        is_expected = self.transport.supervise(self._outbox)
        self._outbox.tend()
        self._flusher.keeps_watch = is_expected or self._awaits

    @property
    def _awaits(self) -> bool:
        """Whether something was sent of which the shipper is expected to say that it is taken, or will be in a moment.

        The latter, so that a host with an event now and then does not wake the thread for each.
        """
        is_flowing = self._outbox.hears and abs(time_ns() - self._sent_ns) < SUPERVISE_SECONDS * 1e9
        return self._outbox.awaits or is_flowing

    def _watch_servers(self) -> None:
        """Make sure that a server which ends this process without `atexit` hands everything over before."""
        exits.after_last_work(self, Link.hand_over)

    def _obey(self) -> None:
        """Follow the present consent. Waiting frames go on under the stricter of two consents, or nowhere."""
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
        """Return the totals that the shipper confirmed; None if it did not in time."""
        settled = self._settle(deadline)
        if settled is None or self._outbox.off or not self._outbox.used:
            return settled
        for totals in (*self._outbox.earlier(), settled):
            if self._ask("confirm", totals, deadline) is None:
                # All that was emitted has other numbers, if this process was moved meanwhile.
                return self._flush(deadline) if _remaining(deadline) and self._has_moved(totals) else None
            self._outbox.trust(totals)
        return settled

    def _has_moved(self, settled: Settled) -> bool:
        """Tell whether what was settled is no longer that of a producer of this process."""
        producers = {self._outbox.producer, *(totals.producer for totals in self._outbox.earlier())}
        return settled.producer not in producers and not self._outbox.off

    def _settle(self, deadline: float) -> Settled | None:
        """Number or drop all that was emitted; None if that can't be done in time."""
        if not self._emit_counters(_remaining(deadline)):
            return None
        if not self._outbox.used:
            return Settled(self._outbox.producer, 0, 0)  # a forked child that never emitted has nothing to wait for
        self._obey()
        return self._outbox.settle(_remaining(deadline))

    def _ask(self, op: str, settled: Settled, deadline: float) -> dict[str, Any] | None:
        """Ask the shipper about the settled totals until it knows; None if it does not in time."""
        patience_seconds = ANSWER_SECONDS
        try:
            while (reply := self._answer(op, settled, min(deadline, monotonic() + patience_seconds))) is None:
                if not _remaining(deadline) or self._has_moved(settled) or self._outbox.off:
                    return None  # late; or the user has changed their mind, and nobody says that one's hello any more
                self._flusher.watch()  # a shipper that left or died meanwhile is replaced, and the next one asked
                patience_seconds *= 2
        except OSError:
            return None
        return reply

    def _answer(self, op: str, settled: Settled, deadline: float) -> dict[str, Any] | None:
        """Return the shipper's answer, if it comes in time: none until it has heard of all that was settled."""
        said_at = float("-inf")

        def meanwhile() -> None:
            nonlocal said_at
            if monotonic() - said_at >= HELLO_SECONDS:
                said_at = monotonic()
                self._outbox.hello()
            self._outbox.drain()
            self._outbox.tend()

        self._outbox.drain()
        self._outbox.tend()
        return self.transport.confirm({"op": op, **settled._asdict()}, deadline, meanwhile)

    def _end(self, confirmed: Settled | None, deadline: float) -> None:
        """Close the outbox; only its final totals tell what is owed: others may have emitted during the flush."""
        patience_seconds = max(self.transport.lock_seconds, _remaining(deadline))
        self._emit_counters(patience_seconds)
        used = self._outbox.used
        patience_seconds = max(self.transport.lock_seconds, _remaining(deadline))
        settled, unsure = self._outbox.close(patience_seconds) or (None, [])
        if self._outbox.off:
            pass  # the user wants nothing told or written any more
        elif settled is None or settled != confirmed:
            self._leave_behind(unsure)
        elif used:
            self.transport.leave(self._outbox.producer, deadline)
        self._flusher.stop()
        self.transport.close(is_free=settled is not None)

    def _leave_behind(self, frames: list[bytes]) -> None:
        self.transport.leave_behind(frames, self._outbox.last_word(self._counters.unsettled))

    def _be_own(self, *, since_ns: float = inf, calls: int = 0, observed: int = 0) -> bool:
        """Begin anew if this is a child forked in C, where no hook has run: uWSGI forks its workers so.

        Args:
            since_ns: events from this time on are the child's own, in UNIX nanoseconds; those of its other threads are
                told by the time of the fork.
            calls: how many of the newest calls of `count` are its own.
            observed: how many of those of `observe` are.

        Returns:
            Whether all is this process's by now: False while another thread sees to it, and hands over what waits.
        """
        if not self._flusher.awake.is_own:
            if not self._renewing.acquire(blocking=False):
                return False
            try:
                self._renew(min(since_ns, forked_before_ns()), calls, observed)
            finally:
                self._renewing.release()
        self._follow_user()
        return True

    def _follow_user(self) -> None:
        if self.transport.follow_user(self._outbox):
            self._flusher.watch_now()

    def _renew(self, since_ns: float = inf, calls: int = 0, observed: int = 0) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares.

        Args:
            since_ns: events from this time on are the child's own already.
            calls: how many of the newest calls of `count` are.
            observed: how many of those of `observe` are.
        """
        self.transport.renew()
        self._closing, self._signal = False, None
        if self._closed:
            return
        self._sent_ns = 0
        self._counters.renew(calls, observed)
        self._outbox.renew(os.getpid(), since_ns)
        self._flusher.renew()
        exits.at_exit_of_forked_child(self, self._exit)


def _deadline(timeout_seconds: float | None) -> float:
    return monotonic() + (MAX_WAIT_SECONDS if timeout_seconds is None else min(timeout_seconds, MAX_WAIT_SECONDS))


def _remaining(deadline: float) -> float:
    return max(0.0, deadline - monotonic())
