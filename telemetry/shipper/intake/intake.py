"""The intake: from sockets to spool, a drain at a time. It waits for no network.

    data socket, port, handovers -> decode_frame -> Admission -> OwnNames -> Pipeline -> Writer -> Spool

All of it runs on one thread: nothing here has to be locked. What it takes in belongs to a session, which ends with its
consent, with its time, and when nobody is left that it could be of.
"""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from time import monotonic, time_ns
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.model import SENSITIVITIES
from telemetry.drops import DropReason
from telemetry.shipper.intake.admission import Admission
from telemetry.shipper.intake.handovers import Handovers
from telemetry.shipper.intake.receiver import decode_frame, decode_remote_frame, receive_waiting
from telemetry.shipper.intake.session import Session
from telemetry.shipper.watch import remembered
from telemetry.spool.positions import MAX_POSITIONS, REMOTE_PID, Position, up_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Sensitivity
    from telemetry.receipt import Receipt
    from telemetry.shipper.catalogs import Catalogs, Source
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
"""How long a shipper that leaves takes in what still comes."""

ASK_SECONDS = 0.5
"""How often the spool is asked for what is missing, at most."""


class Terms(NamedTuple):
    """The terms on which the events of one frame are taken in.

    Attributes:
        receipt: the frame's own, or a stricter one by the user's choice.
        source: the catalog that they are read by.
        not_before_ns: by sensitivity, the moment that they must not be older than, UNIX nanoseconds.
        is_earlier: whether they were emitted under another consent than the session's, as far as their producer says.
    """

    receipt: Receipt
    source: Source
    not_before_ns: dict[Sensitivity, int]
    is_earlier: bool


class Intake:
    """One shipper's intake, made of its stages.

    Attributes:
        permission: what the user permits; see `obey`.
        positions: how far each producer has come, by its id in hexadecimal.
        session: the one that all goes into by now.
        unreadable: how many frames, and events of frames, could not be read.
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
    ) -> None:
        self.permission = permission
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
        self._handovers = Handovers(sockets.doors)
        self._asked_at = float("-inf")
        self._begin_session()

    def wait(self, seconds: float) -> Ready:
        """Wait for something to come in, at most `seconds`, and let in who is at a door.

        Returns:
            The ways in that have something, for `take_in`.
        """
        ready = self._sockets.wait(seconds)
        self._handovers.let_in()
        if ready.door and self._sockets.remote:
            self._sockets.remote.let_in()
        return ready

    def take_in(self, ready: Ready) -> None:
        """Take in a drain from each way in that has something; never blocks but for the disk."""
        if ready.frames:
            self.take(receive_waiting(self._sockets.data))
        if left := self._handovers.take(self.positions):
            self.take(left)
        if ready.remote and self._sockets.remote:
            self.take(self._sockets.remote.receive_frames(), decode_remote_frame)

    def take(self, messages: list[bytes], decode: Callable[[bytes], Frame | None] = decode_frame) -> None:
        """Take messages the whole way, from bytes to the spool."""
        frames = self._admit(messages, decode)
        self._greet({frame.producer.hex() for frame in frames})
        self._ask_for_what_is_missing(frames)
        for terms, group in groupby(frames, key=self._terms_of):
            receipt, source, not_before_ns, is_earlier = terms
            drains = self._pipelines.of(source).run(group, self.positions, receipt.level, not_before_ns)
            for drain in drains:
                self.unreadable += drain.unreadable
                kept = drain if self.permission.collects else drain.lost(DropReason.CONSENT)
                ground = receipt.of(drain.sensitivity), source
                self._writer.append(*ground, kept._replace(is_earlier=is_earlier), self.session)
            positions = drains[-1].positions
            self.positions |= positions
            self._watch.see(positions, receipt, source.label)

    def take_in_the_rest(self) -> None:
        """Take in and seal all that has come; blocks for half a second while more comes.

        Also what comes while the disk takes its time: a newcomer may have sent its first frame to us. Who sends on and
        on ends up with the next shipper, and what fell between the two is a hole in its numbers.
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
        """Whether hosts that have ended left something that is not taken yet."""
        return self._handovers.waits

    @property
    def refused(self) -> int:
        """The number of frames that were not let in, since the start."""
        return self._admission.refused

    def position_of(self, producer: str) -> Position:
        """Return how far a producer has come, by its id in hexadecimal; nowhere for one that is not known."""
        return self.positions.get(producer, Position(0))

    def make_durable(self) -> bool:
        """Sync what was taken in; tell whether it, and the account of what was lost, is safe on disk."""
        return self._writer.sync() and not self._writer.owes

    def seal_all(self) -> None:
        """Seal every active segment, so that all can be uploaded."""
        self._writer.seal_all(self.session)

    def tick(self) -> None:
        """Do what falls due with time: syncs, seals by age."""
        self._writer.tick(self.session)

    def look_around(self, session_seconds: float) -> None:
        """Begin anew what has become old: the session, the day's stages, the memory of very many producers."""
        if monotonic() - self.session.began >= session_seconds:
            self.renew_session()
        self._pipelines.look_at_the_day()
        if len(self.positions) > MAX_POSITIONS:
            self.positions = remembered(self._spool.directory, self.positions)

    def obey(self, permission: Permission) -> None:
        """Go on under what the user permits now: a session ends with its consent."""
        self.permission = permission
        self.renew_session()

    def renew_session(self) -> None:
        """End the session at a segment's boundary, and begin another."""
        self.seal_all()
        self._begin_session()

    def part(self) -> None:
        """If nobody is left, end the session: the next host's events can't be joined to it."""
        if not self._watch and self.session.is_used:
            self.renew_session()

    def forget_names(self) -> None:
        """Forget the names of those that are gone, once all of theirs has left: a last look asks for them."""
        if not (self._spool.waiting or self._writer.receipts):
            self._names.keep(self._watch)

    def report_if_due(self) -> None:
        """Write the catalog's reports, if it is time to."""
        self._reports.write_if_due(self.permission, self.session)

    def _begin_session(self) -> None:
        self.session = Session(self.permission.since_unix_seconds)
        self._catalogs.name()
        self._reports.begin()
        self._pipelines.begin(self.session)

    def _admit(self, messages: list[bytes], decode: Callable[[bytes], Frame | None]) -> list[Frame]:
        """Return the frames among messages that go on: of producers that are let in, new, with names that are known.

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
        """See that a new producer's events don't join the session of those that are gone."""
        if self.session.is_used and not producers <= self.positions.keys():
            self._watch.look(lost_seconds=0.0)
            self.part()

    def _ask_for_what_is_missing(self, frames: list[Frame]) -> None:
        """Ask the spool before a hole is counted: a shipper before this one may have it, and have sealed it since.

        The ledger of a full spool takes a while to read, and anybody can send frames with holes: once in a while.
        """
        firsts: dict[str, int] = {}
        for frame in frames:
            firsts.setdefault(frame.producer.hex(), frame.first)
        holes = {name for name, first in firsts.items() if first > self.position_of(name).settled}
        if not holes or monotonic() - self._asked_at < ASK_SECONDS:
            return
        self._asked_at = monotonic()
        with suppress(OSError):
            known = self._spool.ledger().positions
            for name in holes & known.keys():
                self.positions[name] = up_to(firsts[name], self.positions.get(name), known[name])

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
        """Take in a drain of what has come or was left, and tell whether there may be more."""
        messages = receive_waiting(self._sockets.data)
        self.take(messages)
        self._handovers.let_in()
        # Nothing comes before what was left any more once nothing comes at all.
        self.take(self._handovers.take(self.positions, at_once=not messages))
        return bool(messages) or self._handovers.waits
