"""The shipper: two loops and what they share. Intake runs from socket to spool, delivery from spool to sink.

data socket -> receive_waiting -> decode_frame -> Pipeline -> Writer -> Spool -> Uploader -> HttpSink
"""

from __future__ import annotations

import logging
import os
import random
from itertools import groupby
from threading import Thread
from time import monotonic, sleep, time, time_ns
from typing import TYPE_CHECKING, Any

import psutil
import zmq

from telemetry.catalog.load import load
from telemetry.consent import read_stored
from telemetry.drops import DropReason
from telemetry.paths import cache_dir, spool_dir
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.canaries import prove
from telemetry.shipper.control import answer, answer_all
from telemetry.shipper.day import day_written, utc_day
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode import open_format
from telemetry.shipper.intake.admission import Admission
from telemetry.shipper.intake.handovers import Handovers
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import decode_frame, decode_remote_frame, receive_waiting
from telemetry.shipper.intake.report import raw_report
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.own_names import OwnNames
from telemetry.shipper.permission import Permission, permission_of
from telemetry.shipper.remote import QUESTIONS
from telemetry.shipper.watch import Watch, may_live, remembered
from telemetry.spool.producers import MAX_POSITIONS, Position
from telemetry.spool.spool import Spool
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Catalog
    from telemetry.receipt import Receipt
    from telemetry.redact.names.name import Name
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

STOP_SECONDS = 2.0
"""How long a shipper that is told to stop goes on uploading; the rest waits on disk."""

FINISH_POLL_SECONDS = 0.02
"""How often it then looks whether all is uploaded, and what the user says."""

log = logging.getLogger("telemetry.shipper")


class Shipper:
    """One shipper's run; `clock` gives UNIX seconds, by which events expire.

    `keeps_place` sees that producers still find us, and says False when another shipper has taken our place.

    Attributes:
        made_way: whether it ended because of the memory that it took.

    Raises:
        ConfigError, SpoolError: it can't start; nothing was changed but the spool's recovery.
    """

    def __init__(
        self,
        config: ShipperConfig,
        sockets: Sockets,
        *,
        spawned: bool,
        clock: Callable[[], float] = time,
        keeps_place: Callable[[], bool] = lambda: True,
    ) -> None:
        settings = config.settings
        self._config = config
        self._sockets = sockets
        self._spawned = spawned
        self._clock = clock
        self._keeps_place = keeps_place
        self._catalog: Catalog = load(config.catalog)
        self._today = day_written(config.catalog)
        self._format = open_format(settings.format, settings.node)
        self._names = OwnNames(self._catalog, names_of_this_machine)
        self._tripwire = Tripwire(self._catalog, self._format)
        self._tripwire.know(self._names.known)
        self._texts = prove(self._names.known, _open_redactor(self._names.known), self._tripwire, self._format)
        self._sink = HttpSink(config.endpoint, settings, os.environ)
        self._spool, ledger = Spool.open(spool_dir(config.product, config.endpoint), may_live)
        self._positions = ledger.positions
        self._uploader = Uploader(
            self._spool, self._sink, self._format, settings, self._read_permission, self._tripwire
        )
        self._writer = Writer(self._spool, self._catalog, self._format, settings, self._uploader.nudge)
        self._delivery = Thread(target=self._uploader.run, name="delivery", daemon=True)
        self._watch = Watch()
        self._admission = Admission()
        self._handovers = Handovers(sockets.doors)
        self._process = psutil.Process()
        self._began = self._busy_at = self._surveyed_at = monotonic()
        self._ticked_at = self._looked_at = float("-inf")
        self._unreadable = 0
        self._permission = Permission(collects=True, uploads=True, erases=False)
        self._not_before_ns = 0
        self._is_owed = False
        self._stopping = False
        self.made_way = False
        self._answers = {
            "confirm": self._confirm,
            "leave": self._leave,
            "seal": self._seal,
            "status": self._status,
            "stop": self._stop,
        }
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
        while not self._done():
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
        self._sockets.hide()
        self._take_in_the_rest()
        self._writer.tick(self._session)  # the last chance of what a full disk has refused

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
        self._spool.close()

    def stop(self) -> None:
        """End the run soon: for a signal handler."""
        self._stopping = True

    # Intake.

    def _serve(self, remote: Remote) -> None:
        """What waits from other machines: frames first, since a question is about those before it."""
        messages = remote.receive_waiting()
        self._take_in([message.body for message in messages if message.is_frame], decode_remote_frame)
        answers = {name: self._answers[name] for name in QUESTIONS}
        for message in messages:
            if not message.is_frame:
                answer(remote.socket, message.peer, message.body, answers)

    def _take_in(self, messages: list[bytes], decode: Callable[[bytes], Frame | None] = decode_frame) -> None:
        """One drain: frames, receipt by receipt, through the pipeline to the spool."""
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
        for receipt, group in groupby(frames, key=self._receipt_of):
            not_before_ns = self._not_before_ns if receipt.level == "on" else 0
            drain = self._pipeline.run(group, self._positions, receipt.level, not_before_ns)
            self._unreadable += drain.unreadable
            if not self._permission.collects:
                drain = drain.lost(DropReason.CONSENT)
            self._writer.append(receipt, drain, self._session)
            self._positions |= drain.positions
            self._watch.see(drain.positions)

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

    def _receipt_of(self, frame: Frame) -> Receipt:
        """A frame's own, or a stricter one by the user's choice."""
        receipt = frame.context.receipt
        return receipt if self._permission.uploads else receipt._replace(level="local")

    def _greet(self, producers: set[str]) -> None:
        """See that a new producer's events don't join the session of those that are gone."""
        if self._session.is_used and not producers <= self._positions.keys():
            self._watch.look()
            self._part()

    def _part(self) -> None:
        """If nobody is left, end the session: the next host's events can't be joined to it."""
        if not self._watch and self._session.is_used:
            self._renew_session()

    def _begin_session(self) -> None:
        self._session = Session(self._permission.since_unix_seconds)
        self._reported_at = float("-inf")  # what is reported, and when, must not go on where the last session left off
        self._compile()

    def _compile(self) -> None:
        self._today = max(self._today, utc_day(self._clock()))
        self._pipeline = Pipeline(self._catalog, self._today, self._format, self._texts, self._session, random.random)

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
        self._look_at_the_machine()
        self._watch.look()
        if self._watch:
            self._busy_at = monotonic()
            self._report_if_due()
        if idle and not self._handovers.waits:
            bury_the_dead(self._spool, self._positions)
            self._part()
        if self._is_leaving:
            self._uploader.hurry()
        if monotonic() - self._session.began >= settings.session_seconds:
            self._renew_session()
        if utc_day(self._clock()) > self._today:
            self._compile()
        if len(self._positions) > MAX_POSITIONS:
            self._positions = remembered(self._positions)
        self._spool.enforce(settings.spool_bytes, settings.spool_segments, settings.spool_seconds)

    def _make_way(self) -> None:
        """End when it takes too much memory: all that is worth keeping is on disk, and the next one begins with little.

        Whatever made it grow, a leak or frames that came faster than a slow disk takes them, this bounds it. What
        waited in the sockets is counted by the next one as a hole in the producers' numbers.
        """
        limit_bytes = self._config.settings.memory_limit_bytes
        if not limit_bytes or monotonic() - self._began < MIN_LIFE_SECONDS:
            return
        if (taken_bytes := self._process.memory_info().rss) > limit_bytes:
            log.error(
                "%d bytes of memory are more than %d: this shipper makes way for another", taken_bytes, limit_bytes
            )
            self.made_way = True
            self.stop()

    def _look_at_the_machine(self) -> None:
        """Its addresses and names may have changed."""
        if monotonic() - self._surveyed_at >= SURVEY_SECONDS:
            self._surveyed_at = monotonic()
            if self._names.look():
                self._know_names()

    def _renew_session(self) -> None:
        self._writer.seal_all(self._session)
        self._begin_session()

    def _obey_the_user(self) -> None:
        """Follow the user's choice within a second. Delivery asks for itself before each upload, so it stops first."""
        before, self._permission = self._permission, self._read_permission()
        if not self._permission.uploads:
            self._sink.abort()
        if self._permission != before:
            self._change_consent()
        if self._is_owed:
            self._is_owed = not self._carry_out()

    def _change_consent(self) -> None:
        """A session ends with its consent. A date in the future is one that the clock was set back from: it is now."""
        permission = self._permission
        self._not_before_ns = min(int(permission.since_unix_seconds * 1e9), time_ns()) if permission.is_chosen else 0
        self._renew_session()
        self._uploader.nudge()
        self._is_owed = permission.erases or (permission.collects and not permission.uploads)
        if permission.erases:
            log.info("the user said no: what was collected is erased")
        elif self._is_owed:
            log.info("the user said local: what waits stays on this machine")

    def _carry_out(self) -> bool:
        """What a no, or a "local", asks of the spool; False when the disk refuses: it is tried again at each look."""
        try:
            if self._permission.erases:
                self._spool.wipe(DropReason.CONSENT)
            else:
                self._spool.keep_local()
        except OSError:
            return False
        return True

    def _read_permission(self) -> Permission:
        """Also for the delivery thread."""
        return permission_of(read_stored(self._config.product))

    def _report_if_due(self) -> None:
        """Write the catalog's reports, under the receipt of the producers of the moment if that is a yes."""
        now = monotonic()
        receipt = next((receipt for receipt in self._writer.receipts if receipt.level == "on"), None)
        if (
            receipt is None
            or not self._permission.uploads
            or now - self._reported_at < self._config.settings.report_seconds
        ):
            return
        self._reported_at = now
        drain, reports = self._pipeline.run_report(raw_report(self._catalog, now - self._session.began, time_ns()))
        if drain.tally.emitted:
            self._writer.append(receipt, drain, self._session)
        for report in reports:
            self._writer.append_report(receipt, report, self._session)

    @property
    def _is_leaving(self) -> bool:
        """Whether nobody needs this shipper any more."""
        return self._spawned and self._watch.has_seen_any and not self._watch

    def _done(self) -> bool:
        if self._stopping:
            return True
        if not self._spawned or self._watch or self._handovers.waits:
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
        if position.next < request.get("accepted", 0) or dropped < request.get("dropped", 0):
            return {}
        is_durable = self._writer.sync() and not self._writer.owes
        return {"accepted": position.next, "dropped": dropped} if is_durable else {}

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
        process, used = self._process, self._process.cpu_times()
        return {
            "pid": process.pid,
            "product": self._config.product,
            "spool": str(self._spool.directory),
            "spawned": self._spawned,
            "uptime_seconds": round(monotonic() - self._began, 1),
            "memory_bytes": process.memory_info().rss,
            "cpu_seconds": used.user + used.system,
            "producers": len(self._watch),
            "unreadable_frames": self._unreadable,
            "refused_frames": self._admission.refused,
            "remote": self._sockets.remote and self._sockets.remote.state,
            "text_redaction": self._texts is not None,
            "tripwire": {"hits": self._tripwire.hits, "state": self._tripwire.state},
            "upload": self._uploader.state,
            "cause": self._uploader.cause,
            "in_flight": self._uploader.in_flight,
            "waiting_segments": self._spool.waiting,
        }


def _open_redactor(names: frozenset[Name]) -> FreeTextRedactor | None:
    """The scanner of free text; without one, free text is dropped and counted."""
    try:
        return FreeTextRedactor(names, cache_dir())
    except ScannerUnavailableError as fault:
        log.warning("free text is dropped: %s", fault)
        return None
