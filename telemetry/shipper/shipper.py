"""The shipper: two loops and what they share. Intake runs from socket to spool, delivery from spool to sink.

data socket -> receive_waiting -> decode_frame -> Pipeline -> Writer -> Spool -> Uploader -> HttpSink
"""

from __future__ import annotations

import logging
import os
import random
from contextlib import suppress
from functools import partial
from itertools import groupby
from threading import Thread
from time import monotonic, sleep, time, time_ns
from typing import TYPE_CHECKING, Any

import zmq

from telemetry.catalog import copies
from telemetry.catalog.facts import faults_of_report
from telemetry.catalog.model import SENSITIVITIES
from telemetry.consent import State, read_stored
from telemetry.drops import DropReason
from telemetry.endpoint import without_credentials
from telemetry.files import write_private
from telemetry.paths import ENDPOINT_FILE, cache_dir, product_dir, spool_dir
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.rendezvous.control import REMOTE_OPERATIONS, answer, answer_all
from telemetry.shipper.canaries import prove
from telemetry.shipper.catalogs import Catalogs
from telemetry.shipper.day import utc_day
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode import open_format
from telemetry.shipper.intake.admission import Admission
from telemetry.shipper.intake.handovers import Handovers
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import REMOTE_PID, decode_frame, decode_remote_frame, receive_waiting
from telemetry.shipper.intake.report import raw_report
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.own_names import OwnNames
from telemetry.shipper.permission import Permission, permission_of
from telemetry.shipper.process import memory_bytes
from telemetry.shipper.watch import Ground, Watch, may_live, remembered
from telemetry.spool.contents import catalogs_in
from telemetry.spool.producers import MAX_POSITIONS, Position, up_to
from telemetry.spool.spool import Spool
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.catalog.model import Catalog, Sensitivity
    from telemetry.receipt import Receipt
    from telemetry.redact.names.name import Name
    from telemetry.shipper.catalogs import Source
    from telemetry.shipper.config import ShipperConfig
    from telemetry.shipper.intake.receiver import Frame
    from telemetry.shipper.remote import Remote
    from telemetry.shipper.sockets import Sockets

GRACE_SECONDS = 10.0
"""How long a spawned shipper waits for its first producer."""

TICK_SECONDS = 0.25
"""How often it is asked what the user says, and whether a sync or a seal is due, while there is an active segment."""

SURVEY_SECONDS = 60.0
"""How often this machine is asked for its names and addresses: a laptop changes networks, a host its name."""

LOOK_SECONDS = 0.5
"""How often the world is looked at, and the user's choice when nothing else is to do: a no acts within a second."""

MIN_LIFE_SECONDS = 60.0
"""A shipper lives at least this long, however much memory it takes: one that only starts and ends helps nobody."""

REST_SECONDS = 0.5
"""How long a shipper that leaves takes in what still comes."""

FLUSH_SECONDS = 1.0
"""Segments are sealed, and jitter is waived, at most so often for hosts that wait for the delivery: all that ask
meanwhile are served together."""

MAX_TOLD = 20
"""Hosts that `telemetry status` is told of one by one."""

MAX_AWAITED = 1_000
"""Hosts whose wait for a delivery is remembered."""

UNSURE_NS = 60_000_000_000
"""How old an event may be where no clock tells whether it is older than the consent."""

STOP_SECONDS = 2.0
"""How long a shipper that is told to stop goes on uploading; the rest waits on disk."""

FINISH_POLL_SECONDS = 0.02
"""How often it then looks whether all is uploaded, and what the user says."""

log = logging.getLogger("telemetry.shipper")


class Shipper:
    """One shipper's run; `clock` gives UNIX seconds, by which events expire.

    Producers meet it in `rendezvous`; `keeps_place` sees that they still find us there, and says False when another
    shipper has taken our place.

    Attributes:
        made_way: whether it ended because of the memory that it took.

    Raises:
        ConfigError, SpoolError: it can't start; nothing was changed but the spool's recovery.
    """

    def __init__(
        self,
        config: ShipperConfig,
        sockets: Sockets,
        rendezvous: Path,
        *,
        spawned: bool,
        clock: Callable[[], float] = time,
        keeps_place: Callable[[], bool] = lambda: True,
    ) -> None:
        settings = config.settings
        self._config = config
        self._sockets = sockets
        self._rendezvous = rendezvous
        self._spawned = spawned
        self._clock = clock
        self._keeps_place = keeps_place
        self._catalogs = Catalogs(config)
        self._today = self._catalogs.own.written
        self._format = open_format(settings.format, settings.node, is_test=settings.is_test)
        self._names = OwnNames(map(_catalog_of, self._catalogs), names_of_this_machine)
        self._tripwire = Tripwire(self._catalogs.of_segment)
        self._tripwire.know(self._names.known)
        self._texts = prove(self._names.known, _open_redactor(self._names.known), self._tripwire, self._format)
        self._sink = HttpSink(config.endpoint, settings, os.environ)
        spool = spool_dir(config.product, config.endpoint)
        self._spool, ledger = Spool.open(spool, partial(may_live, spool))
        with suppress(OSError):  # it is only told
            write_private(spool / ENDPOINT_FILE, without_credentials(config.endpoint).encode())
        self._positions = ledger.positions
        self._met_before = frozenset(ledger.positions)  # the producers that an earlier shipper may have segments of
        self._uploader = Uploader(self._spool, self._sink, settings, self._read_permission, self._tripwire)
        self._writer = Writer(self._spool, self._format, settings, self._uploader.nudge)
        self._delivery = Thread(target=self._uploader.run, name="delivery", daemon=True)
        self._watch = Watch(spool)
        self._admission = Admission()
        self._handovers = Handovers(sockets.doors)
        self._began = self._busy_at = self._surveyed_at = monotonic()
        self._ticked_at = self._looked_at = self._asked_at = float("-inf")
        self._unreadable = 0
        self._permission = Permission(State.ON)
        self._is_owed = False
        self._awaited: dict[tuple[str, int, int], frozenset[str]] = {}
        self._flushed_at = float("-inf")
        self._stopping = False
        self.made_way = False
        self._answers = {
            "confirm": self._confirm,
            "deliver": self._deliver,
            "leave": self._leave,
            "seal": self._seal,
            "status": self._status,
            "stop": self._stop,
        }
        for fault in faults_of_report(self._catalogs.own.catalog, settings.report):
            log.warning("%s", fault)
        self._begin_session()

    def run(self) -> None:
        """Both loops, until told to stop or, when spawned, until nobody needs a shipper; blocks.

        When it returns, everything taken in is sealed, and nothing more is taken in; delivery goes on until `finish`.
        """
        self._obey_the_user()
        self._delivery.start()
        poller = zmq.Poller()
        poller.register(self._sockets.data, zmq.POLLIN)
        poller.register(self._sockets.control, zmq.POLLIN)
        remote = self._sockets.remote
        if remote:
            poller.register(remote.socket, zmq.POLLIN)
            poller.register(remote.door, zmq.POLLIN)
        while not self._has_left():
            ready = dict(poller.poll(int(self._patience_seconds() * 1000)))
            self._handovers.let_in()
            # First, so that nothing is taken in on a consent that was looked at long ago.
            self._tick(idle=self._sockets.data not in ready and not (remote and remote.socket in ready))
            if self._sockets.data in ready:
                self._take_in(receive_waiting(self._sockets.data))
            if left := self._handovers.take(self._positions):
                self._take_in(left)
            if self._sockets.control in ready:
                answer_all(self._sockets.control, self._answers)
            if remote and remote.door in ready:
                remote.let_in()
            if remote and remote.socket in ready:
                self._serve(remote)
        self._writer.settle()

    def finish(self) -> None:
        """Upload what waits, for a while and as long as it goes well; blocks. Another shipper may run already."""
        self._uploader.hurry()
        deadline = monotonic() + STOP_SECONDS
        while self._uploader.goes_well and monotonic() < deadline:
            sleep(FINISH_POLL_SECONDS)
            self._obey_the_user()
        self._uploader.stop()
        self._delivery.join(STOP_SECONDS)
        self._sink.close()
        if self._writer.owes:  # what was uploaded has made room, perhaps
            self._writer.settle()
        self._spool.sweep()
        self._spool.close()
        self._catalogs.close()
        copies.drop_unnamed(self._config.product, partial(_catalogs_named, self._config.product))

    def stop(self) -> None:
        """End the run soon: for a signal handler."""
        self._stopping = True

    # Intake.

    def _serve(self, remote: Remote) -> None:
        """What waits from other machines: frames first, since a question is about those before it."""
        messages = remote.receive_waiting()
        self._take_in([message.body for message in messages if message.is_frame], decode_remote_frame)
        answers = {name: self._answers[name] for name in REMOTE_OPERATIONS}
        for message in messages:
            if not message.is_frame:
                answer(remote.socket, message.peer, message.body, answers)

    def _take_in(self, messages: list[bytes], decode: Callable[[bytes], Frame | None] = decode_frame) -> None:
        """What has come: frames, receipt by receipt, through the pipeline to the spool."""
        frames = [frame for message in messages if (frame := decode(message)) is not None]
        self._unreadable += len(messages) - len(frames)
        frames = self._admission.admit(frames, self._positions)
        frames = self._handovers.without_repeats(frames, self._positions)
        if self._names.hear(frames):
            self._know_names()
        readable = [frame for frame in frames if self._names.covers(frame)]
        self._admission.refused += len(frames) - len(readable)
        frames = readable
        self._greet({frame.producer.hex() for frame in frames})
        self._ask_for_what_is_missing(frames)
        for (receipt, source, not_before_ns, is_earlier), group in groupby(frames, key=self._ground_of):
            drains = self._pipeline(source).run(group, self._positions, receipt.level, not_before_ns)
            for drain in drains:
                self._unreadable += drain.unreadable
                kept = drain if self._permission.collects else drain.lost(DropReason.CONSENT)
                ground = receipt.of(drain.sensitivity), source
                self._writer.append(*ground, kept._replace(is_earlier=is_earlier), self._session)
            positions = drains[-1].positions
            self._positions |= positions
            self._watch.see(positions, receipt, source.label)

    def _ask_for_what_is_missing(self, frames: list[Frame]) -> None:
        """Ask the spool before a hole is counted: a shipper before this one may have it, and have sealed it since.

        The ledger of a full spool takes a while to read, and anybody can send frames with holes: once in a while.
        """
        firsts: dict[str, int] = {}
        for frame in frames:
            firsts.setdefault(frame.producer.hex(), frame.first)
        holes = {name for name, first in firsts.items() if first > self._positions.get(name, Position(0)).settled}
        if not holes or monotonic() - self._asked_at < LOOK_SECONDS:
            return
        self._asked_at = monotonic()
        with suppress(OSError):
            known = self._spool.ledger().positions
            for name in holes & known.keys():
                self._positions[name] = up_to(firsts[name], self._positions.get(name), known[name])

    def _take_in_the_rest(self) -> None:
        """Seal all that has come, also while the disk took its time: a newcomer may have sent its first frame to us.

        Who sends on and on ends up with the next shipper, and what fell between the two is a hole in its numbers.
        """
        deadline = monotonic() + REST_SECONDS
        coming = True
        while coming and monotonic() < deadline:
            coming = False
            while self._take_in_more() and monotonic() < deadline:
                coming = True
            self._writer.seal_all(self._session)

    def _take_in_more(self) -> bool:
        """Take in a drain of what has come or was left; whether there may be more."""
        messages = receive_waiting(self._sockets.data)
        self._take_in(messages)
        self._handovers.let_in()
        # Nothing comes before what was left any more once nothing comes at all.
        self._take_in(self._handovers.take(self._positions, at_once=not messages))
        return bool(messages) or self._handovers.waits

    def _know_names(self) -> None:
        """Before the first text that may hold them is read. What can't be looked for is dropped with all free text."""
        self._tripwire.know(self._names.known)
        if self._texts is not None:
            self._texts.know(self._names.known)

    def _ground_of(self, frame: Frame) -> tuple[Receipt, Source, dict[Sensitivity, int], bool]:
        """What the events of a frame have in common.

        Its own receipt, or a stricter one by the user's choice; the catalog that they are read by; the moments, in UNIX
        nanoseconds and by sensitivity, that they must not be older than; and whether they were emitted under another
        consent than this session's, as far as their producer says.
        """
        context = frame.context
        receipt = self._permission.under(context.receipt)
        source = self._catalogs.find(context.catalog, is_remote=context.pid == REMOTE_PID)
        is_earlier = context.since not in {0.0, self._session.since_unix_seconds}
        not_before_ns = {each: self._not_before_ns(receipt.of(each), context.since, each) for each in SENSITIVITIES}
        return receipt, source, not_before_ns, is_earlier

    def _not_before_ns(self, receipt: Receipt, since: float, sensitivity: Sensitivity) -> int:
        """What a host emitted before it had heard the user's yes must be younger than it.

        What it emitted under this very yes is not asked for its time, for a clock may have been set. Where the yes lies
        in the future, since the clock was set back, nobody can tell; what is a minute old or less is taken.
        """
        permission = self._permission
        if receipt.level == "local" or not permission.is_chosen or permission.covers(since, sensitivity):
            return 0
        since_ns, now_ns = int(permission.begins_unix_seconds(sensitivity) * 1e9), time_ns()
        return since_ns if since_ns <= now_ns else now_ns - UNSURE_NS

    def _forget_names(self) -> None:
        """Of those that are gone, once all of theirs has left: a last look asks for them."""
        if not (self._spool.waiting or self._writer.receipts) and self._names.keep(self._watch):
            self._know_names()

    def _greet(self, producers: set[str]) -> None:
        """See that a new producer's events don't join the session of those that are gone."""
        if self._session.is_used and not producers <= self._positions.keys():
            self._watch.look(lost_seconds=0.0)
            self._part()

    def _part(self) -> None:
        """If nobody is left, end the session: the next host's events can't be joined to it."""
        if not self._watch and self._session.is_used:
            self._renew_session()

    def _begin_session(self) -> None:
        self._session = Session(self._permission.since_unix_seconds)
        self._catalogs.name()
        self._reported_at = float("-inf")  # what is reported, and when, must not go on where the last session left off
        self._compile()

    def _compile(self) -> None:
        self._today = max(self._today, utc_day(self._clock()))
        self._pipelines: dict[str, Pipeline] = {}
        self._pipeline(self._catalogs.own)

    def _pipeline(self, source: Source) -> Pipeline:
        """The stages for a catalog; made when its first event comes."""
        if (pipeline := self._pipelines.get(source.digest)) is None:
            if self._names.allow(source.catalog):
                self._know_names()
            today = max(self._today, source.written)
            pipeline = Pipeline(source.catalog, today, self._format, self._texts, self._session, random.random)
            self._pipelines[source.digest] = pipeline
        return pipeline

    # The clock.

    def _patience_seconds(self) -> float:
        look_seconds = max(0.0, self._looked_at + LOOK_SECONDS - monotonic())
        return min(TICK_SECONDS, look_seconds) if self._writer.receipts else look_seconds

    def _tick(self, *, idle: bool) -> None:
        """What falls due with time."""
        now = monotonic()
        if now - self._ticked_at >= TICK_SECONDS:
            self._ticked_at = now
            self._obey_the_user()
            self._writer.tick(self._session)
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look_around(idle=idle)

    def _look_around(self, *, idle: bool) -> None:
        """Who is left, what day it is, how full the disk is."""
        settings = self._config.settings
        self._make_way()
        if not self._keeps_place():
            log.info("another shipper has taken this one's place: leaving")
            self.stop()
        if self._spool.is_removed:
            log.error(
                "%s was removed, and what waited in it is lost: the next shipper begins anew", self._spool.directory
            )
            self.stop()
        self._look_at_the_machine()
        if not self._spawned and self._catalogs.renew_own(self._config.catalog):
            self._renew_session()
        self._watch.look()
        if self._watch:
            self._busy_at = monotonic()
            self._report_if_due()
        if idle and not self._handovers.waits:
            bury_the_dead(self._spool, self._positions, self._rendezvous)
            self._part()
            self._forget_names()
        self._spool.say(self._uploader.state)
        if self._spool.is_asked_to_hurry() or self._is_leaving:
            self._uploader.hurry()
        if monotonic() - self._session.began >= settings.session_seconds:
            self._renew_session()
        if utc_day(self._clock()) > self._today:
            self._compile()
        if len(self._positions) > MAX_POSITIONS:
            self._positions = remembered(self._spool.directory, self._positions)
        self._spool.enforce(settings.spool_bytes, settings.spool_segments, settings.spool_seconds)

    def _make_way(self) -> None:
        """End when it takes too much memory: all that is worth keeping is on disk, and the next one begins with little.

        Whatever made it grow, a leak or frames that came faster than a slow disk takes them, this bounds it. What
        waited in the sockets is counted by the next one as a hole in the producers' numbers.
        """
        limit_bytes = self._config.settings.memory_limit_bytes
        if not limit_bytes or monotonic() - self._began < MIN_LIFE_SECONDS:
            return
        if (taken_bytes := memory_bytes()) > limit_bytes:
            log.error(
                "%d bytes of memory are more than %d: this shipper makes way for another", taken_bytes, limit_bytes
            )
            self.made_way = True
            self.stop()

    def _look_at_the_machine(self) -> None:
        """Its addresses and names may have changed, and producers have gone."""
        if monotonic() - self._surveyed_at >= SURVEY_SECONDS:
            self._surveyed_at = monotonic()
            self._spool.sweep()
            if self._names.look():
                self._know_names()

    def _renew_session(self) -> None:
        self._writer.seal_all(self._session)
        self._begin_session()

    def _obey_the_user(self) -> None:
        """Follow the user's choice within a second. Delivery asks for itself before each upload, so it stops first."""
        before, self._permission = self._permission, self._read_permission()
        sending = self._uploader.sending
        if not self._permission.uploads or (sending and not self._permission.lets_leave(sending)):
            self._sink.abort()
        if self._permission != before:
            self._change_consent()
        if self._is_owed:
            self._is_owed = not self._carry_out()

    def _change_consent(self) -> None:
        """A session ends with its consent."""
        permission = self._permission
        self._renew_session()
        self._uploader.nudge()
        self._is_owed = permission.erases or (permission.collects and permission.state is not State.ON)
        if permission.erases:
            log.info("the user said no: what was collected is erased")
        elif self._is_owed:
            log.info("the user said %s: what waits and may not leave stays on this machine", permission.state)

    def _carry_out(self) -> bool:
        """What anything but a yes asks of the spool; False when the disk refuses: it is tried again at each look."""
        try:
            if self._permission.erases:
                self._spool.wipe(DropReason.CONSENT)
            else:
                self._spool.keep_local(self._permission.lets_leave if self._permission.uploads else None)
        except OSError:
            return False
        return True

    def _read_permission(self) -> Permission:
        """Also for the delivery thread."""
        return permission_of(read_stored(self._config.product))

    def _report_if_due(self) -> None:
        """Write the catalog's reports, under the receipt of a producer that lives, if one lets any leave.

        Also while none of them emits: the machine is reported on, and a host that has nothing to say runs on it.
        """
        now = monotonic()
        if now - self._reported_at < self._config.settings.report_seconds:
            return
        receipts = {receipt.level: receipt for receipt in map(self._permission.under, self._watch.receipts)}
        receipt = receipts.get("on") or receipts.get("technical")
        if receipt is None:
            return
        self._reported_at = now
        own = self._catalogs.own
        raw = raw_report(own.catalog, self._config.settings.report, now - self._session.began, time_ns())
        for drain, report in self._pipeline(own).run_report(raw):
            ground = receipt.of(drain.sensitivity), own
            if drain.tally.emitted:
                self._writer.append(*ground, drain, self._session)
            if report is not None:
                self._writer.append_report(*ground, drain.sensitivity, report, self._session)

    @property
    def _is_leaving(self) -> bool:
        """Whether nobody needs this shipper any more."""
        return self._spawned and self._watch.has_seen_any and not self._watch

    def _has_left(self) -> bool:
        """Leave when it is time: take in what has come, where nobody finds this shipper any more.

        A host that found it a moment before goes on sending here, and what it sends after the last look would be lost:
        for such a host the shipper comes back, if no other one has taken its place.
        """
        if not self._done():
            return False
        self._sockets.hide()
        self._take_in_the_rest()
        return self._done() or not self._keeps_place()

    def _done(self) -> bool:
        if self._stopping:
            return True
        if not self._spawned or self._watch or self._handovers.waits or self._watch.expects_more:
            return False
        idle_seconds = monotonic() - self._busy_at
        if not self._watch.has_seen_any:
            return idle_seconds > GRACE_SECONDS
        finished = not (self._spool.waiting or self._writer.receipts or self._writer.owes)
        return finished or idle_seconds > self._config.settings.linger_seconds

    # Control.

    def _confirm(self, request: dict[str, Any]) -> dict[str, Any]:
        """How much of a producer's events is on disk, or accounted for there; empty while that is less than asked for.

        Who waits asks two hundred times a second, and a sync costs a quarter of a millisecond: so not before the last
        frame has come.
        """
        position = self._positions.get(request["producer"].hex(), Position(0))
        dropped = sum(position.dropped.values())
        if position.settled < request.get("accepted", 0) or dropped < request.get("dropped", 0):
            return {}
        is_durable = self._writer.sync() and not self._writer.owes
        return {"accepted": position.settled, "dropped": dropped} if is_durable else {}

    def _deliver(self, request: dict[str, Any]) -> dict[str, Any]:
        """Whether all that a producer had emitted has left the spool; empty while that is not known.

        What to wait for is fixed when it is sealed: others, and it itself, may emit on and on.
        """
        state = self._uploader.state if self._spool.delivers else self._spool.said
        if not self._permission.uploads or state == "paused":
            return {"delivered": False}
        producer = request["producer"].hex()
        question = producer, request["accepted"], request["dropped"]
        if question not in self._awaited:
            if not self._confirm(request) or not self._seal_for_flush():
                return {}
            if len(self._awaited) >= MAX_AWAITED:  # who asked may be gone; who is not begins anew
                del self._awaited[next(iter(self._awaited))]
            self._awaited[question] = self._spool.holding(producer, or_unknown=producer in self._met_before)
        self._awaited[question] = self._spool.awaited(self._awaited[question])
        if self._awaited[question]:
            return {}
        del self._awaited[question]
        return {"delivered": True}

    def _seal_for_flush(self) -> bool:
        """Seal and upload what is there, without jitter; False when that was done a moment ago, or the disk refuses."""
        if monotonic() - self._flushed_at < FLUSH_SECONDS:
            return False
        self._flushed_at = monotonic()
        self._writer.seal_all(self._session)
        self._uploader.hurry()
        self._spool.ask_to_hurry()
        return self._writer.sync() and not self._writer.owes

    def _leave(self, request: dict[str, Any]) -> dict[str, Any]:
        self._watch.leave(request["producer"].hex())
        self._part()
        if self._is_leaving:
            self._uploader.hurry()
        return {}

    def _seal(self, _request: dict[str, Any]) -> dict[str, Any]:
        self._writer.seal_all(self._session)
        self._uploader.hurry()
        return {"waiting": self._spool.waiting}

    def _stop(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.stop()
        return {"pid": os.getpid()}

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        used = os.times()
        return {
            "pid": os.getpid(),
            "product": self._config.product,
            "spool": str(self._spool.directory),
            "spawned": self._spawned,
            "uptime_seconds": round(monotonic() - self._began, 1),
            "memory_bytes": memory_bytes(),
            "cpu_seconds": used.user + used.system,
            "producers": len(self._watch),
            "hosts": [_as_host(ground) for ground in self._watch.grounds(MAX_TOLD)],
            "unreadable_frames": self._unreadable,
            "refused_frames": self._admission.refused,
            "remote": self._sockets.remote and self._sockets.remote.state,
            "text_redaction": self._texts is not None,
            "tripwire": {"hits": self._tripwire.hits, "state": self._tripwire.state},
            "upload": self._uploader.state,
            "cause": self._uploader.cause,
            "in_flight": self._uploader.in_flight,
            "owed": self._writer.owed_events,
            "waiting_segments": self._spool.waiting,
        }


def _as_host(ground: Ground) -> dict[str, Any]:
    level, basis, notice, deployment = ground.receipt
    said = {"consent": level, "basis": basis, "notice": notice, "deployment": deployment}
    return {"pid": ground.pid, **said, "catalog": ground.catalog}


def _catalogs_named(product: str) -> set[str] | None:
    """The digests that segments of any spool name; None when that can't be told."""
    named: set[str] = set()
    for spool in product_dir(product).glob("spool-*"):
        if (found := catalogs_in(spool)) is None:
            return None
        named |= found
    return named


def _catalog_of(source: Source) -> Catalog:
    return source.catalog


def _open_redactor(names: frozenset[Name]) -> FreeTextRedactor | None:
    """The scanner of free text; without one, free text is dropped and counted."""
    try:
        return FreeTextRedactor(names, cache_dir())
    except ScannerUnavailableError as fault:
        log.warning("free text is dropped: %s", fault)
        return None
