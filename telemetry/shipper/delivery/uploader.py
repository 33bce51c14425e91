"""The delivery loop: sealed segment -> sink -> outcome -> ack, retry, split, quarantine or pause.

It never touches ZeroMQ; the spool is all it shares with intake.

One turn in four belongs to the oldest batch, and three to the newest that may leave; the oldest lets a fresh one go
first, once. Fresh batches thus arrive fresh while a backlog drains, with the bandwidth that they leave, and a fifth of
it at least. Nor does one batch that fails again and again keep the others waiting.

A page that refuses a batch, where a collector would give a reason, may come from something on the way that refuses all
batches, or from a collector that speaks HTML. Another batch tells: until one has gone through, uploads pause; then the
batch that is refused again is halved, down to its guilty event, which waits by itself. No such answer ever causes an
event to be given up.
"""

from __future__ import annotations

import hashlib
import logging
import random
import zlib
from contextlib import suppress
from math import inf
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from telemetry.drops import DropReason
from telemetry.errors import ConfigError
from telemetry.shipper.delivery.backoff import full_jitter
from telemetry.shipper.delivery.pace import Bandwidth, Pace
from telemetry.shipper.delivery.queue import Queue
from telemetry.shipper.encode import format_named
from telemetry.shipper.outcome import Outcome, Reply
from telemetry.spool import held
from telemetry.spool.segment import Seal, plain_events
from telemetry.spool.stream import ENDINGS, encode, wrap
from telemetry.spool.tally import Tally
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.settings import ShipperSettings
    from telemetry.shipper.delivery.sink import Delivers
    from telemetry.shipper.delivery.tripwire import Tripwire
    from telemetry.shipper.encode.format import Format
    from telemetry.shipper.permission import Permission
    from telemetry.spool.folder import Arrival
    from telemetry.spool.segment import Head
    from telemetry.spool.spool import Spool
    from telemetry.thin import Asked

IDLE_SECONDS = 5.0
"""The interval between looks for segments that another shipper of the same spool left behind."""

OLDEST_TURN = 3
"""The number of other uploads after which it is the oldest batch's turn."""

_MAY_MEAN_ALL = (400, 422)
"""The refusals that concern no single event if both halves of a batch meet them. With 413, halves may be too large."""

SAY_STOPPED_SECONDS = 3600.0
"""The interval between log lines about uploads that the tripwire has stopped."""

log = logging.getLogger("telemetry.shipper")


class Uploader:
    """The delivery of one spool to one sink, a batch at a time.

    Attributes:
        state: `idle`, `uploading`, `retrying` or `paused`.
        cause: the cause of the last failure, for `telemetry status`; empty if the last upload went well.
        in_flight: the number of events in the upload under way.
        sending: the head of the batch under way; None while there is none.
    """

    def __init__(
        self,
        spool: Spool,
        sink: Delivers,
        settings: ShipperSettings,
        permission: Callable[[], Permission],
        tripwire: Tripwire,
        clock: Callable[[], float] = monotonic,
        hear: Callable[[str, Asked], None] = lambda *_: None,
    ) -> None:
        """Deliver the segments of `spool`.

        `permission` is asked before each batch what may leave, and `tripwire` whether this batch may; `clock` is the
        spool's; `hear` is told of the session of a batch and what the collector asks for in its reply.
        """
        self.state = "idle"
        self.cause = ""
        self.in_flight = 0
        self.sending: Head | None = None
        self._spool = spool
        self._sink = sink
        self._settings = settings
        self._permission = permission
        self._tripwire = tripwire
        self._failures = 0
        self._said: set[str] = set()  # causes in this state, so that an endpoint that varies them floods no log
        self._not_before = 0.0
        self._clock = clock
        self._pace = Pace(settings.upload_jitter_seconds, clock(), random.random)
        self._queue = Queue(self._pace, spool.awaits)
        self._bandwidth = Bandwidth(settings.upload_bytes_per_second)
        self._turns = OLDEST_TURN  # since the oldest had its own
        self._is_splitting = False
        self._held: list[Head] = []  # what the tripwire has stopped in this run
        self._said_stopped_at = float("-inf")
        self._doubted: dict[str, int] = {}  # refused by a page: how many had gone through by then
        self._delivered = 0
        self._is_warned = False
        self._hear = hear
        self._wake = Event()
        self._stopping = False

    def run(self, beside: Callable[[], float] = lambda: inf) -> None:
        """Deliver until `stop`; the body of the delivery thread.

        Args:
            beside: does something else between two batches, and returns the seconds until it has more to do.
        """
        while not self._stopping:
            if wait_seconds := min(self.turn(), beside()):
                self._wake.wait(wait_seconds)
                self._wake.clear()

    def turn(self) -> float:
        """Do a step, whatever becomes of it; return the seconds until there may be more to do, 0 for at once."""
        try:
            return self.step()
        except OSError as fault:  # of the spool's disk: the segment stays where it is
            self._spool.make_way(fault)
            return self._fail(Reply(Outcome.RETRY, f"disk: {type(fault).__name__} {fault.errno}"))
        except Exception as fault:  # noqa: BLE001 a mistake of ours: uploads must not end by it in silence
            return self._fail(Reply(Outcome.RETRY, f"fault: {type(fault).__name__}"))

    def beside(self, spool: Spool) -> Uploader:
        """Return an uploader of another spool, to do turns between those of this one, within the same bandwidth."""
        other = Uploader(spool, self._sink, self._settings, self._permission, self._tripwire, self._clock)
        other._bandwidth = self._bandwidth
        return other

    def nudge(self) -> None:
        """Look for a new segment now, unless an endpoint in trouble is being left in peace."""
        self._wake.set()

    def hurry(self) -> None:
        """Upload everything sealed so far without jitter, because somebody waits for it or the shipper leaves."""
        self._pace.hurry(self._clock())
        self._wake.set()

    def stop(self) -> None:
        """End the loop after the batch on its way."""
        self._stopping = True
        self._wake.set()

    @property
    def goes_well(self) -> bool:
        """Whether there is something to upload, and nothing stands against it."""
        return bool(self._spool.waiting) and not self.cause

    def step(self) -> float:
        """Deliver one batch, if it is time to.

        Returns:
            The seconds until there may be more to do; 0 for at once.
        """
        now = self._clock()
        if (wait_seconds := max(self._not_before - now, self._bandwidth.wait_seconds(now))) > 0:
            return wait_seconds
        if not self._spool.claim():
            self._spool.refresh()
            self.state = "idle"
            return IDLE_SECONDS
        permission = self._permission()
        if not permission.uploads:
            self.state = "idle"
            return IDLE_SECONDS
        if self._tripwire.cause and not self._is_taken_back():
            self.state, self.cause = "paused", self._tripwire.cause
            return IDLE_SECONDS
        seal = self._take()
        if seal is None:
            self._spool.refresh()
            self.state = "idle" if not self.cause else self.state
            return 0.0 if self._spool.waiting else IDLE_SECONDS
        return self._deliver_in_time(seal) if permission.lets_leave(seal.head) else self._withhold(seal)

    def _withhold(self, seal: Seal) -> float:
        """Keep a batch that is older than the consent on this machine."""
        self._spool.withhold(seal)
        return 0.0

    def _take(self) -> Seal | None:
        """Take the oldest batch, or the newest that may leave, depending on whose turn it is.

        Halves, which stand first, go before all others until the guilty event is found: in turns, all of a batch would
        be halved before the first final refusal, at which the endpoint is left in peace.
        """
        for arrival in self._spool.arrivals():
            self._queue.add(arrival)
        newest = self._queue.newest(self._clock(), self._is_doubted)
        seal = self._spool.take() if newest is None or self._is_oldest_s_turn(newest) else None
        if newest is not None and (seal is None or self._wait_seconds(seal) > 0):
            seal = self._spool.take(newest.file)
        self._is_splitting = seal is not None and seal.depth > 0
        return seal

    def _is_oldest_s_turn(self, newest: Arrival) -> bool:
        """Tell whether the oldest batch goes before the newest; a fresh one goes before it once."""
        is_next = self._turns == OLDEST_TURN and self._pace.is_backlog(newest.seen_at)
        return self._is_splitting or self._turns > OLDEST_TURN or is_next

    def _is_doubted(self, id_: str) -> bool:
        """Tell whether it is still open what refuses a batch, so that another batch has to show it."""
        return self._doubted.get(id_) == self._delivered

    def _deliver_in_time(self, seal: Seal) -> float:
        if (wait_seconds := self._wait_seconds(seal)) > 0:
            self._spool.put_back()
            self.state = self.state if self.cause else "idle"
            # A batch that waits by itself must not make others wait that are due before.
            is_set_aside = self._pace.set_aside_seconds(seal.head.id, self._clock()) > 0
            return min(wait_seconds, self._queue.wait_seconds(self._clock()), IDLE_SECONDS if is_set_aside else inf)
        # A turn is an upload: a look that finds nothing to send takes none.
        self._turns = 0 if self._spool.is_oldest(seal) else self._turns + 1
        return self._deliver(seal)

    def _wait_seconds(self, seal: Seal) -> float:
        now = self._clock()
        if seal.depth:
            return self._pace.set_aside_seconds(seal.head.id, now)
        return self._pace.wait_seconds(seal.head.id, self._spool.seen_at(seal), now)

    def _deliver(self, seal: Seal) -> float:
        if obstacle := _obstacle(seal):
            events = counted(seal.tally.kept, "event")
            return self._set_aside(seal, f"{events} wait for a shipper that can read them: {obstacle}")
        body = self._spool.read(seal)
        if body is None:
            log.error("a sealed segment of %s is not what was written: quarantined", counted(seal.tally.kept, "event"))
            return 0.0
        if not held.is_cleared(self._spool.directory, seal.head) and not self._tripwire.passes(seal, body):
            return self._hold_back(seal)
        if self._is_over_cap(seal):
            return self._cut(seal, body)
        return self._settle(seal, body, self._send(seal, body))

    def _is_over_cap(self, seal: Seal) -> bool:
        return seal.tally.kept > _most_events(seal, format_named(seal.head.format), self._settings.body_bytes)

    def _cut(self, seal: Seal, body: bytes) -> float:
        """Replace a batch that is more than the endpoint takes by smaller ones."""
        try:
            parts = cut(seal, body, format_named(seal.head.format), self._settings.body_bytes)
            self._is_splitting = self._spool.split(seal, parts)
        except ValueError:  # not a body of this format: no event of it can be told apart
            return self._reject(Reply(Outcome.REJECTED, "unreadable"), seal)
        return 0.0

    def _hold_back(self, seal: Seal) -> float:
        """Quarantine a batch that the tripwire has stopped; one that a dead tripwire could not check waits instead."""
        if self._tripwire.state == "dead":
            self._spool.put_back()
        else:
            self._spool.quarantine(seal, DropReason.REDACTION_FAILED)
            self._held.append(seal.head)
            places = [held.Place(*place, events) for place, events in sorted(self._tripwire.places.items())]
            with suppress(OSError):  # no disk to write it on: it is in the log, by kind
                held.note(self._spool.directory, held.Held(seal.head.id, seal.head.file, seal.tally.kept, places))
        return 0.0

    def _is_taken_back(self) -> bool:
        """Tell whether a person has cleared all that stopped the uploads; if not, log the stop again now and then."""
        if self._held and all(held.is_cleared(self._spool.directory, head) for head in self._held):
            self._held.clear()
            self._tripwire.rearm()
            self.cause = ""
            log.info("what the tripwire had stopped was released: uploads continue")
            return True
        if self._clock() - self._said_stopped_at >= SAY_STOPPED_SECONDS:
            self._said_stopped_at = self._clock()
            log.error("uploads are stopped (%s): see `telemetry tripwire show`", self._tripwire.cause)
        return False

    def _send(self, seal: Seal, body: bytes) -> Reply:
        self.sending = seal.head  # before the question: a withdrawal is either heard here, or cuts the upload off
        try:
            if not self._permission().lets_leave(seal.head):  # withdrawn since the batch was taken
                return Reply(Outcome.RETRY, "consent withdrawn")
            began = self._clock()
            self._bandwidth.spend(len(body), began)
            self.in_flight = seal.tally.kept
            reply = self._sink.deliver(seal, body)
        finally:
            self.in_flight = 0
            self.sending = None
        if reply.outcome is Outcome.DELIVERED:  # a failure has a wait of its own
            self._pace.upload(self._spool.seen_at(seal), self._clock() - began, self._clock())
        return reply

    def _settle(self, seal: Seal, body: bytes, reply: Reply) -> float:
        match reply.outcome:
            case Outcome.DELIVERED:
                if reply.thin is not None:
                    self._hear(seal.head.session, reply.thin)
                self._spool.ack(seal, self._settings.sent_bytes, reply.refused)
                self._succeed(seal)
                if reply.refused:
                    events = counted(min(reply.refused, seal.tally.kept), "event")
                    log.warning("the receiver took a batch but for %s: counted as refused_by_receiver", events)
                if reply.warning and not self._is_warned:
                    self._is_warned = True
                    log.warning("the receiver has a reservation, which is not logged again: %s", reply.warning)
                return 0.0
            case Outcome.SPLIT if seal.tally.kept > 1:
                return self._deliver_halves(seal, body, reply)
            case Outcome.SPLIT | Outcome.PAUSED if reply.is_doubtful:
                return self._doubt(seal, body, reply)
            case Outcome.SPLIT | Outcome.REJECTED:
                return self._reject(reply, seal)
            case Outcome.RETRY | Outcome.PAUSED:
                return self._fail(reply)

    def _deliver_halves(self, seal: Seal, body: bytes, reply: Reply) -> float:
        """Split a batch; its halves are taken next. If the first two fail alike, no single event is guilty."""
        try:
            halves = halve(seal, body, format_named(seal.head.format))
        except ValueError:  # not a body of this format: no event of it can be told apart
            return self._leave_alone(seal, reply) if reply.is_doubtful else self._reject(reply, seal)
        self._is_splitting = self._spool.split(seal, halves)
        if not self._is_splitting or (seal.refusals and not reply.is_doubtful):
            return 0.0
        (first, first_body), (second, second_body) = halves
        answer = self._send(first, first_body)
        if answer.status not in _MAY_MEAN_ALL:
            return self._settle(first, first_body, answer)
        other = self._send(second, second_body)
        if answer.outcome is other.outcome is Outcome.SPLIT and other.status == answer.status:
            return self._reject(answer, first, second)
        if reply.is_doubtful:  # whether the other half goes through tells what refuses this one
            self._doubted[first.head.id] = self._delivered
        self._settle(second, second_body, other)  # what it has to wait for, the next step knows
        return self._settle(first, first_body, answer)

    def _doubt(self, seal: Seal, body: bytes, reply: Reply) -> float:
        """Pause after a page refused a batch, until another has gone through; then look for the event it refuses."""
        id_ = seal.head.id
        if self._doubted.setdefault(id_, self._delivered) == self._delivered:
            self._is_splitting = False
            return self._fail(reply._replace(outcome=Outcome.PAUSED))
        return self._deliver_halves(seal, body, reply) if seal.tally.kept > 1 else self._leave_alone(seal, reply)

    def _leave_alone(self, seal: Seal, reply: Reply) -> float:
        """Set a batch that a page refuses aside: it is tried once in a while and given up by its age alone."""
        events = counted(seal.tally.kept, "event")
        return self._set_aside(seal, f"a web page refuses {events} while others go, so they wait apart: {reply.cause}")

    def _set_aside(self, seal: Seal, text: str) -> float:
        """Let a batch wait by itself, and log a text once."""
        self._spool.put_back()
        self._pace.set_aside(seal.head.id, self._clock() + self._settings.pause_seconds)
        self._say(text)
        return 0.0

    def _reject(self, reply: Reply, *seals: Seal) -> float:
        """Set batches aside for good, and wait as after a failure.

        An endpoint that refuses everything is left in peace.
        """
        for seal in seals:
            self._spool.quarantine(seal, DropReason.REJECTED)
        events = sum(seal.tally.kept for seal in seals)
        log.warning("the endpoint refused %s for good (%s): quarantined", counted(events, "event"), reply.cause)
        return self._back_off(reply)

    def _succeed(self, seal: Seal) -> None:
        self._delivered += 1
        self._doubted.pop(seal.head.id, None)
        if self.cause:
            log.info("uploads succeed again")
            self._pace.recover(self._clock())
        self.state, self.cause, self._failures = "uploading", "", 0

    def _fail(self, reply: Reply) -> float:
        """Note a failure, log it once, and return the seconds until the next try."""
        self._spool.put_back()
        state = "paused" if reply.outcome is Outcome.PAUSED else "retrying"
        if state != self.state:
            self._said.clear()
        self._say(f"upload {'paused' if state == 'paused' else 'failed, to be retried'}: {reply.cause}")
        self.state, self.cause = state, reply.cause
        return self._back_off(reply)

    def _say(self, text: str) -> None:
        """Log a text once in this state."""
        if text not in self._said:
            self._said.add(text)
            log.warning("%s", text)

    def _back_off(self, reply: Reply) -> float:
        """Leave the endpoint in peace for a while; return the seconds."""
        settings = self._settings
        self._failures += 1
        own = (
            settings.pause_seconds
            if reply.outcome is Outcome.PAUSED
            else full_jitter(self._failures, settings.retry_min_seconds, settings.retry_max_seconds, random.random)
        )
        wait_seconds = max(own, reply.retry_after_seconds)
        self._not_before = self._clock() + wait_seconds
        return wait_seconds


def _obstacle(seal: Seal) -> str:
    """Return why a batch can't be read here: another version, or one with other extras, wrote it; empty if it can."""
    if seal.head.encoding not in ENDINGS:
        return f"its compression is {seal.head.encoding}"
    try:
        format_named(seal.head.format)
    except ConfigError as fault:
        return str(fault)
    return ""


def halve(seal: Seal, body: bytes, format_: Format) -> list[tuple[Seal, bytes]]:
    """Split a refused batch into its two halves; repeating it gives the same bytes and ids.

    Raises:
        ValueError: the body can't be read as its format, or holds another number of events than its Seal says.
    """
    events = _events_of(seal, body, format_)
    middle = len(events) // 2
    refused = msgspec.structs.replace(seal, refusals=seal.refusals + 1)
    return _parts(refused, [events[:middle], events[middle:]])


def cut(seal: Seal, body: bytes, format_: Format, body_bytes: int = 0) -> list[tuple[Seal, bytes]]:
    """Split a batch into parts that the endpoint takes; repeating it gives the same bytes and ids.

    Args:
        seal: the batch's Seal.
        body: its body.
        format_: its format, whose bounds hold.
        body_bytes: the bound of a body before compression instead of the format's; 0 for that.

    Raises:
        ValueError: the body can't be read as its format, or holds another number of events than its Seal says.
    """
    events = _events_of(seal, body, format_)
    most = _most_events(seal, format_, body_bytes)
    return _parts(seal, [events[start : start + most] for start in range(0, len(events), most)])


def _most_events(seal: Seal, format_: Format, body_bytes: int) -> int:
    """Return the number of a batch's events that make a body: by the bound of events, and by that of bytes."""
    events = seal.tally.kept
    most = min(format_.max_events or events, events)
    if seal.body_bytes and seal.body_bytes > (most_bytes := body_bytes or format_.max_body_bytes):
        bodies = -(-seal.body_bytes // most_bytes)
        most = min(most, events // bodies)
    return max(most, 1)


def _events_of(seal: Seal, body: bytes, format_: Format) -> list[bytes]:
    events = format_.split(plain_events(seal.head, body))
    if len(events) != seal.tally.kept:
        raise ValueError(f"a body of {counted(len(events), 'event')} has a Seal for {seal.tally.kept}")
    return events


def _parts(seal: Seal, parts: list[list[bytes]]) -> list[tuple[Seal, bytes]]:
    return [_part(seal, number, events) for number, events in enumerate(parts)]


def _part(seal: Seal, number: int, events: list[bytes]) -> tuple[Seal, bytes]:
    plain = b"".join(events)
    body = encode(seal.head.encoding, wrap(seal.head.wraps or (), plain))
    id_ = hashlib.blake2b(f"{seal.head.id}/{number}".encode(), digest_size=16).hexdigest()
    head = msgspec.structs.replace(seal.head, id=id_, file=seal.head.file.replace(seal.head.id, id_))
    part = msgspec.structs.replace(
        seal,
        head=head,
        length_bytes=len(body),
        crc=zlib.crc32(body),
        tally=Tally(emitted=len(events), kept=len(events)),
        positions={},
        depth=seal.depth + 1,
        body_bytes=len(plain) if seal.head.wraps else UNSET,
    )
    return part, body
