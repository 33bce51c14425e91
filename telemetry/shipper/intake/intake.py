"""The intake: from sockets to spool, a drain at a time. It waits for no network.

    data socket, port, handovers -> decode_frame -> Admission -> OwnNames -> Pipeline -> Writer -> Spool

All of it runs on one thread: nothing here has to be locked. Events taken in belong to a session, which ends with its
consent, with its time, with its UTC day, and when no producer is left.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from time import monotonic, time_ns
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.model import SENSITIVITIES
from telemetry.drops import DropReason
from telemetry.shipper.day import utc_day
from telemetry.shipper.intake.admission import Admission
from telemetry.shipper.intake.handovers import Handovers
from telemetry.shipper.intake.order import in_order
from telemetry.shipper.intake.receiver import decode_frame, decode_left_frame, decode_remote_frame, receive_waiting
from telemetry.shipper.intake.session import Session
from telemetry.shipper.watch import remembered
from telemetry.spool.positions import MAX_POSITIONS, REMOTE_PID, Position, complete, furthest, taken_numbers, up_to
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from telemetry.catalog.model import Sensitivity
    from telemetry.receipt import First, Receipt
    from telemetry.rendezvous.taken import Records
    from telemetry.shipper.catalogs import Catalogs, Source
    from telemetry.shipper.intake.pipeline import Drain
    from telemetry.shipper.intake.pipelines import Pipelines
    from telemetry.shipper.intake.receiver import Frame
    from telemetry.shipper.intake.reports import Reports
    from telemetry.shipper.intake.writer import Writer
    from telemetry.shipper.own_names import OwnNames
    from telemetry.shipper.permission import Permission
    from telemetry.shipper.sockets import Ready, Sockets
    from telemetry.shipper.watch import Watch
    from telemetry.spool.positions import Positions
    from telemetry.spool.spool import Spool

REST_SECONDS = 0.5
"""The time for which a shipper that leaves takes in late frames."""

ASK_SECONDS = 0.5
"""The least interval between questions to the spool about missing events."""


class Terms(NamedTuple):
    """The terms on which the events of one frame are taken in.

    Attributes:
        receipt: the frame's own receipt, or a stricter one by the user's choice.
        source: the catalog by which they are read.
        not_before_ns: by sensitivity, the time before which they are too old, in UNIX nanoseconds.
        is_earlier: whether they were emitted under another consent than the session's, as far as their producer says.
    """

    receipt: Receipt
    source: Source
    not_before_ns: dict[Sensitivity, int]
    is_earlier: bool

    @property
    def bounds(self) -> tuple[str, dict[Sensitivity, int]]:
        """The level of the receipt, and the times before which events are too old: what a pipeline asks for."""
        return self.receipt.level, self.not_before_ns


class Intake:
    """The intake of one shipper, made of its stages.

    Attributes:
        permission: the user's permission; see `obey`.
        positions: the position of each producer, by its id in hexadecimal.
        session: the present session, to which everything taken in belongs.
        unreadable: the number of frames, and events of frames, that could not be read.
    """

    def __init__(
        self,
        sockets: Sockets,
        spool: Spool,
        positions: Positions,
        catalogs: Catalogs,
        names: OwnNames,
        pipelines: Pipelines,
        writer: Writer,
        reports: Reports,
        watch: Watch,
        permission: Permission,
        records: Records,
        clock: Callable[[], float],
        claim: Callable[[dt.date], First],
    ) -> None:
        self.permission = permission
        self._records = records
        self.positions = positions
        self.unreadable = 0
        self._sockets = sockets
        self._spool = spool
        self._catalogs = catalogs
        self._names = names
        self._pipelines = pipelines
        self._writer = writer
        self._reports = reports
        self._watch = watch
        self._admission = Admission()
        self._handovers = Handovers(sockets.listeners)
        self._asked_at = float("-inf")
        self._clock = clock
        self._claim = claim
        self._begin_session()

    def wait(self, seconds: float) -> Ready:
        """Wait for something to arrive, at most `seconds`, and let in the peers that wait.

        Returns:
            The sockets that have something; for `take_in`.
        """
        ready = self._sockets.wait(seconds)
        self._handovers.let_in()
        if ready.newcomer and self._sockets.remote:
            self._sockets.remote.let_in()
        return ready

    def take_in(self, ready: Ready) -> None:
        """Take in a drain from each socket that has something; never blocks but for the disk."""
        if ready.frames:
            self.take(receive_waiting(self._sockets.data))
        if left := self._handovers.take(self.positions):
            self.take(left, decode_left_frame)
        if ready.remote and self._sockets.remote:
            self.take(self._sockets.remote.receive_frames(), decode_remote_frame)

    def take(self, messages: list[bytes], decode: Callable[[bytes], Frame | None] = decode_frame) -> None:
        """Take messages the whole way, from bytes to the spool."""
        if utc_day(self._clock()) != self.session.day:
            self.renew_session()
        admitted = self._admit(messages, decode)
        producers = {frame.producer.hex() for frame in admitted}
        self._greet(producers)
        unsure = self._ask_for_what_is_missing(admitted)
        halves, frames = in_order(admitted, self.position_of, unsure)
        for half in halves:
            self._take_the_rest_of(half)
        for terms, group in groupby(frames, key=self._terms_of):
            self._write(terms, self._pipelines.of(terms.source).run(group, self.positions, *terms.bounds))
        for record in taken_numbers({name: self.positions[name] for name in producers if name in self.positions}):
            self._records.write(*record)

    def _take_the_rest_of(self, frame: Frame) -> None:
        """Take those events of a frame that are not on disk: of one sensitivity, a killed shipper has written them."""
        terms = self._terms_of(frame)
        drains = self._pipelines.of(terms.source).run([frame], self.positions, *terms.bounds)
        last = drains[-1]
        producer = frame.producer.hex()
        end = last.positions[producer].next if last.positions else frame.first
        missing = last.tally.emitted if last.sensitivity == "technical" else 0
        position = complete(self.positions[producer], end, missing)
        rest = last if missing else last._replace(body=b"", tally=Tally())
        self._write(terms, [rest._replace(positions={producer: position})])

    def _write(self, terms: Terms, drains: list[Drain]) -> None:
        """Write drains of some frames, and note how far their producers have come."""
        for drain in drains:
            self.unreadable += drain.unreadable
            kept = drain if self.permission.collects else drain.lost(DropReason.CONSENT)
            ground = terms.receipt.of(drain.sensitivity), terms.source
            self._writer.append(*ground, kept._replace(is_earlier=terms.is_earlier), self.session)
        positions = drains[-1].positions
        self.positions |= positions
        self._watch.see(positions, terms.receipt, terms.source.label)

    def take_in_the_rest(self) -> None:
        """Take in and seal everything that has arrived; blocks for half a second while more arrives.

        Frames that arrive while the disk is at work are included: a newcomer may have sent its first one here. A
        producer that goes on sending reaches the next shipper, and frames lost between the two are a hole in its
        numbers.
        """
        deadline = monotonic() + REST_SECONDS
        coming = True
        while coming and monotonic() < deadline:
            coming = False
            while self._take_in_more() and monotonic() < deadline:
                coming = True
            self.seal_all()

    @property
    def waits(self) -> bool:
        """Whether hosts that have ended left frames that are not taken yet."""
        return self._handovers.waits

    @property
    def refused(self) -> int:
        """The number of frames that were not let in since the start."""
        return self._admission.refused

    def position_of(self, producer: str) -> Position:
        """Return a producer's position, by its id in hexadecimal; position 0 for an unknown one."""
        return self.positions.get(producer, Position(0))

    def make_durable(self) -> bool:
        """Sync the frames taken in; return whether all of them, and the account of losses, are safe on disk."""
        return self._writer.sync() and not self._writer.owes

    def seal_all(self) -> None:
        """Seal every active segment, so that all can be uploaded."""
        self._writer.seal_all(self.session)

    def tick(self) -> None:
        """Do what falls due with time: syncs, seals by age."""
        self._writer.tick(self.session)

    def look_around(self, session_seconds: float) -> None:
        """Renew what has become old: the session, the day's stages, the memory of very many producers."""
        if monotonic() - self.session.began >= session_seconds or utc_day(self._clock()) != self.session.day:
            self.renew_session()
        self._pipelines.look_at_the_day()
        if len(self.positions) > MAX_POSITIONS:
            self.positions = remembered(self._spool.directory, self.positions)

    def obey(self, permission: Permission) -> None:
        """Go on under the user's present permission: a session ends with its consent."""
        self.permission = permission
        self.renew_session()

    def renew_session(self) -> None:
        """End the session at a segment's boundary, and begin another."""
        self.seal_all()
        self._begin_session()

    def part(self) -> None:
        """End the session if no producer is left, so that the next host's events can't be linked to it."""
        if not self._watch and self.session.is_used:
            self.renew_session()

    def forget_names(self) -> None:
        """Forget the names of producers that are gone, once all their events have left: a last look asks for them."""
        if not (self._spool.waiting or self._writer.receipts):
            self._names.keep(self._watch)

    def report_if_due(self) -> None:
        """Write the catalog's reports, if it is time to."""
        self._reports.write_if_due(self.permission, self.session)

    def _begin_session(self) -> None:
        self.session = Session(self.permission.since_unix_seconds, utc_day(self._clock()), self._claim)
        self._catalogs.name()
        self._reports.begin()
        self._pipelines.begin(self.session)

    def _admit(self, messages: list[bytes], decode: Callable[[bytes], Frame | None]) -> list[Frame]:
        """Return the frames among messages that may go on: of admitted producers, new, and with names that are known.

        Names are heard before the first text that may hold them is read.
        """
        frames = [frame for message in messages if (frame := decode(message)) is not None]
        self.unreadable += len(messages) - len(frames)
        frames = self._admission.admit(frames, self.positions)
        frames = self._handovers.without_repeats(frames, self.positions)
        self._names.hear(frames)
        readable = [frame for frame in frames if self._names.covers(frame)]
        self._admission.refuse(len(frames) - len(readable))
        return readable

    def _greet(self, producers: set[str]) -> None:
        """Make sure that a new producer's events don't join the session of producers that are gone."""
        if self.session.is_used and not producers <= self.positions.keys():
            self._watch.look(lost_seconds=0.0)
            self.part()

    def _ask_for_what_is_missing(self, frames: list[Frame]) -> set[str]:
        """Ask the spool before a hole is counted: an earlier shipper may have the events, and have sealed them since.

        The ledger of a full spool takes a while to read, and anybody can send frames with holes, so it is done only now
        and then. A hole that its producer can fill is none.

        Returns:
            The producers about which it was not asked, as it had been a moment ago.
        """
        firsts: dict[str, Frame] = {}
        for frame in frames:
            firsts.setdefault(frame.producer.hex(), frame)
        holes = {
            name
            for name, frame in firsts.items()
            if (frame.first if frame.kept is None else min(frame.first, frame.kept)) > self.position_of(name).settled
        }
        if not holes or monotonic() - self._asked_at < ASK_SECONDS:
            return holes
        self._asked_at = monotonic()
        with suppress(OSError):
            known = self._spool.ledger().positions
            for name in holes & known.keys():
                here, frame = self.positions.get(name), firsts[name]
                keeps = frame.kept is not None
                self.positions[name] = furthest(here, known[name]) if keeps else up_to(frame.first, here, known[name])
        return set()

    def _terms_of(self, frame: Frame) -> Terms:
        context = frame.context
        receipt = self.permission.under(context.receipt)
        now_ns = time_ns()
        return Terms(
            receipt,
            self._catalogs.find(context.catalog, is_remote=context.pid == REMOTE_PID),
            {
                each: self.permission.not_before_ns(receipt.of(each), context.since, each, now_ns)
                for each in SENSITIVITIES
            },
            context.since not in {0.0, self.session.since_unix_seconds},
        )

    def _take_in_more(self) -> bool:
        """Take in a drain of what has arrived or was left; return whether there may be more."""
        messages = receive_waiting(self._sockets.data)
        self.take(messages)
        self._handovers.let_in()
        # Once nothing arrives at all, no earlier frames can precede those that were left.
        self.take(self._handovers.take(self.positions, at_once=not messages), decode_left_frame)
        return bool(messages) or self._handovers.waits
