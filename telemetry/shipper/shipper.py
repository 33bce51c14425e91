"""The shipper: two loops, and the spool between them.

    sockets -> Intake -> Spool     on this thread, a drain at a time
    Spool -> Uploader -> Sink      on a thread of its own

This module composes the two, waits and ticks for the first, follows the user's choice for both, and decides when the
run is over.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from functools import partial
from threading import Thread
from time import monotonic, sleep, time
from typing import TYPE_CHECKING, Any

from telemetry.catalog import copies
from telemetry.consent import State, read_stored
from telemetry.drops import DropReason
from telemetry.endpoint import without_credentials
from telemetry.files import write_private
from telemetry.inspect.contents import catalogs_in
from telemetry.paths import ENDPOINT_FILE, spool_dir, spools_of
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.rendezvous.control import answer_all
from telemetry.rendezvous.taken import Records
from telemetry.shipper.catalogs import Catalogs
from telemetry.shipper.delivery.sink import open_sink
from telemetry.shipper.delivery.takeover import Takeover
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode import format_of
from telemetry.shipper.intake.intake import Intake
from telemetry.shipper.intake.pipelines import Pipelines
from telemetry.shipper.intake.reports import Reports
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.own_names import OwnNames
from telemetry.shipper.permission import Permission, permission_of
from telemetry.shipper.process import memory_bytes
from telemetry.shipper.questions import Questions
from telemetry.shipper.texts import Texts
from telemetry.shipper.thinning import Thinning
from telemetry.shipper.watch import HostFacts, Watch, may_live
from telemetry.spool import activity
from telemetry.spool.positions import taken_numbers
from telemetry.spool.spool import Spool
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.rendezvous.control import Message
    from telemetry.shipper.config import ShipperConfig
    from telemetry.shipper.sockets import Ready, Sockets

GRACE_SECONDS = 10.0
"""The time that a spawned shipper waits for its first producer."""

TICK_SECONDS = 0.25
"""The interval of looks at the user's choice and at due syncs and seals, while there is an active segment."""

SURVEY_SECONDS = 60.0
"""The interval of looks at this machine's names and addresses: a laptop changes networks, a host its name."""

LOOK_SECONDS = 0.5
"""The interval of all other looks, and of those at the user's choice when idle: a no takes effect within a second."""

MIN_LIFE_SECONDS = 60.0
"""The least life of a shipper, however much memory it takes: one that only starts and ends helps nobody."""

MAX_TOLD = 20
"""The number of hosts, and of undeclared names, that `telemetry status` is told of one by one."""

STOP_SECONDS = 2.0
"""The time for which a shipper that is told to stop goes on uploading; the rest waits on disk."""

FINISH_POLL_SECONDS = 0.02
"""The interval at which a stopping shipper looks whether all is uploaded, and at the user's choice."""

log = logging.getLogger("telemetry.shipper")


class Shipper:
    """The run of one shipper; `clock` returns UNIX seconds, by which events expire.

    Producers meet it in `rendezvous`; `keeps_place` makes sure that they still find it there, and returns False if
    another shipper has taken its place.

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
        self._settings = settings = config.lane.settings_of(config.settings)
        self._config = config
        self._sockets = sockets
        self._rendezvous = rendezvous
        self._spawned = spawned
        self._keeps_place = keeps_place
        # What both loops read by.
        self._catalogs = Catalogs(config)
        self._names = OwnNames((source.catalog for source in self._catalogs), names_of_this_machine)
        self._tripwire = Tripwire(self._catalogs.of_segment)
        self._tripwire.look_for(self._names.known)
        self._names.tell(self._tripwire.look_for)
        format_ = format_of(settings, config.product)
        self._texts = Texts(self._names, self._tripwire, format_)
        self._sink = open_sink(config.endpoint, settings, os.environ)  # first, for it may refuse its settings
        # Between them.
        spool = spool_dir(config.product, config.endpoint, config.lane.number)
        self._spool, ledger = Spool.open(spool, partial(may_live, spool))
        with suppress(OSError):  # it is only told
            write_private(spool / ENDPOINT_FILE, without_credentials(config.endpoint).encode())
        # Delivery.
        self._thinning = Thinning()
        self._uploader = Uploader(
            self._spool, self._sink, settings, self._read_permission, self._tripwire, hear=self._thinning.hear
        )
        self._takeover = Takeover(self._uploader, spool, rendezvous, monotonic)
        deliver = partial(self._uploader.run, self._takeover.turn)
        self._delivery = Thread(target=deliver, name="delivery", daemon=True)
        # Intake.
        self._watch = Watch(spool)
        self._records = Records(rendezvous, taken_numbers(ledger.positions))
        self._writer = Writer(self._spool, format_, settings, self._uploader.nudge)
        self._pipelines = pipelines = Pipelines(
            self._catalogs, self._names, format_, self._texts, clock, self._thinning.shares_of, config.lane
        )
        self._intake = Intake(
            sockets,
            self._spool,
            ledger.positions,
            self._catalogs,
            self._names,
            pipelines,
            self._writer,
            Reports(settings, self._catalogs, pipelines, self._writer, self._watch),
            self._watch,
            Permission(State.ON),
            self._records,
            clock,
            partial(activity.claim, config.product, config.endpoint),
        )
        self._answers = {
            **Questions(self._intake, self._uploader, self._spool).answers,
            "leave": self._leave,
            "status": self._status,
            "stop": self._stop,
        }
        self._began = self._busy_at = self._surveyed_at = monotonic()
        self._ticked_at = self._looked_at = float("-inf")
        self._is_owed = False  # what the user's choice asks of the spool
        self._stopping = False
        self._uploads_at_end = True
        self.made_way = False

    def run(self) -> None:
        """Run both loops until told to stop or, if spawned, until nobody needs a shipper; blocks.

        When it returns, everything taken in is sealed, and nothing more is taken in; delivery goes on until `finish`.
        """
        self._obey_the_user()
        self._delivery.start()
        while not self._has_left():
            ready = self._intake.wait(self._patience_seconds())
            # First, so that nothing is taken in on a consent that was looked at long ago.
            self._tick(idle=ready.is_idle)
            self._intake.take_in(ready)
            self._answer(ready)
        self._writer.settle()
        self._records.close()

    def finish(self) -> None:
        """Upload what waits, for a while and as long as it goes well; blocks. Another shipper may run already."""
        self._hurry()
        deadline = monotonic() + STOP_SECONDS
        while self._has_more_to_upload and monotonic() < deadline:
            sleep(FINISH_POLL_SECONDS)
            self._obey_the_user()
        self._uploader.stop()
        self._delivery.join(STOP_SECONDS)
        self._sink.close()
        if self._writer.owes:  # uploads may have made room
            self._writer.settle()
        self._takeover.let_go()
        self._spool.sweep()
        self._spool.close()
        self._catalogs.close()
        copies.drop_unnamed(self._config.product, partial(_catalogs_named, self._config.product))

    @property
    def _has_more_to_upload(self) -> bool:
        return self._uploads_at_end and (self._uploader.goes_well or self._takeover.goes_well)

    def stop(self) -> None:
        """End the run soon; for use in a signal handler."""
        self._stopping = True

    # Clock.

    def _patience_seconds(self) -> float:
        look_seconds = max(0.0, self._looked_at + LOOK_SECONDS - monotonic())
        return min(TICK_SECONDS, look_seconds) if self._writer.receipts else look_seconds

    def _tick(self, *, idle: bool) -> None:
        """Do what falls due with time."""
        now = monotonic()
        if now - self._ticked_at >= TICK_SECONDS:
            self._ticked_at = now
            self._obey_the_user()
            self._intake.tick()
        if now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            self._look_around(idle=idle)

    def _look_around(self, *, idle: bool) -> None:
        """Look at the producers that are left, the day, and the disk."""
        settings = self._settings
        self._make_way()
        if not self._keeps_place():
            log.info("another shipper has taken over: leaving")
            self.stop()
        else:
            self._records.keep()
        if self._spool.is_removed:
            log.error(
                "%s was removed, and what waited in it is lost: the next shipper starts with an empty one",
                self._spool.directory,
            )
            self.stop()
        self._look_at_the_machine()
        if not self._spawned and self._catalogs.renew_own(self._config.catalog):
            self._intake.renew_session()
        self._watch.look()
        if self._watch:
            self._busy_at = monotonic()
            if not self._config.lane.number:  # once for the product: the same facts in several sessions would link them
                self._intake.report_if_due()
        if idle and not self._intake.waits:
            bury_the_dead(self._spool, self._intake.positions, self._rendezvous)
            self._intake.part()
            self._intake.forget_names()
        self._spool.say(self._uploader.state)
        if self._spool.is_asked_to_hurry() or self._is_leaving:
            self._hurry()
        self._intake.look_around(settings.session_seconds)
        left_bytes = self._spool.enforce(settings.spool_bytes, settings.spool_segments, settings.spool_seconds)
        self._takeover.enforce(left_bytes, settings.spool_segments, settings.spool_seconds)

    def _make_way(self) -> None:
        """End if the process takes too much memory.

        Everything worth keeping is on disk, and the next shipper starts small.

        This bounds any growth, by a leak or by frames that came faster than a slow disk takes them. Frames that waited
        in the sockets are counted by the next shipper as a hole in the producers' numbers.
        """
        limit_bytes = self._settings.memory_limit_bytes
        if not limit_bytes or monotonic() - self._began < MIN_LIFE_SECONDS:
            return
        if (taken_bytes := memory_bytes()) > limit_bytes:
            log.error(
                "%d bytes of memory are more than %d: this shipper makes room for another", taken_bytes, limit_bytes
            )
            self.made_way = True
            self.stop()

    def _look_at_the_machine(self) -> None:
        """Look at what changes seldom: the machine's addresses and names, and producers that have gone."""
        if monotonic() - self._surveyed_at >= SURVEY_SECONDS:
            self._surveyed_at = monotonic()
            self._spool.sweep()
            self._names.look()

    # User's choice.

    def _obey_the_user(self) -> None:
        """Follow the user's choice within a second. Delivery checks it before each upload, so it stops first."""
        permission = self._read_permission()
        sending = self._uploader.sending or self._takeover.sending
        if not permission.uploads or (sending and not permission.lets_leave(sending)):
            self._sink.abort()
        if permission != self._intake.permission:
            self._change_consent(permission)
        if self._is_owed:
            self._is_owed = not self._carry_out(permission)
        self._takeover.obey(permission, partial(_follow, permission))

    def _change_consent(self, permission: Permission) -> None:
        self._intake.obey(permission)
        self._uploader.nudge()
        self._is_owed = _demands(permission)
        if permission.erases:
            log.info("the user said no: what was collected is erased")
        elif self._is_owed:
            log.info("the user said %s: what waits and may not leave stays on this machine", permission.state)

    def _carry_out(self, permission: Permission) -> bool:
        """Do with the spool what a choice other than yes demands.

        False if the disk refuses, and each look tries again.
        """
        try:
            if permission.erases:
                activity.forget(self._config.product)
            _follow(permission, self._spool)
        except OSError:
            return False
        return True

    def _read_permission(self) -> Permission:
        """Return the user's permission at this moment. May be called from either thread."""
        return permission_of(read_stored(self._config.product))

    # End.

    @property
    def _is_leaving(self) -> bool:
        """Whether nobody needs this shipper any more."""
        return self._spawned and self._watch.has_seen_any and not self._watch

    def _has_left(self) -> bool:
        """Leave when it is time, hiding first, and taking in what has arrived.

        A host that found this shipper a moment before goes on sending here, and frames sent after the last look would
        be lost: for such a host the shipper comes back, if no other one has taken its place.
        """
        if not self._done():
            return False
        self._sockets.hide()
        self._intake.take_in_the_rest()
        return self._done() or not self._keeps_place()

    def _done(self) -> bool:
        if self._stopping:
            return True
        if not self._spawned or self._watch or self._intake.waits or self._watch.expects_more:
            return False
        idle_seconds = monotonic() - self._busy_at
        if not self._watch.has_seen_any:
            return idle_seconds > GRACE_SECONDS
        finished = not (self._spool.waiting or self._takeover.waits or self._writer.receipts or self._writer.owes)
        return finished or idle_seconds > self._settings.linger_seconds

    # Questions.

    def _answer(self, ready: Ready) -> None:
        """Answer questions, of this machine and then of others, once the frames before them are taken in."""
        if ready.questions:
            answer_all(self._sockets.control, self._answers)
        if ready.remote and self._sockets.remote:
            self._sockets.remote.answer_all(self._answers)

    def _leave(self, request: Message) -> Message:
        """Note a producer's goodbye."""
        self._watch.leave(request["producer"].hex())
        self._intake.part()
        if self._is_leaving:
            self._hurry()
        return {}

    def _hurry(self) -> None:
        """Upload what waits without jitter."""
        self._uploader.hurry()
        self._takeover.hurry()

    def _stop(self, request: Message) -> Message:
        """Stop; with `uploads` false, for a purge, nothing more leaves, and what is on its way is cut off."""
        self._uploads_at_end = request.get("uploads", True) is not False
        if not self._uploads_at_end:
            self._uploader.stop()
            self._sink.abort()
        self.stop()
        return {"pid": os.getpid()}

    def _status(self, _request: Message) -> Message:
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
            "hosts": [_as_host(facts) for facts in self._watch.hosts(MAX_TOLD)],
            "unreadable_frames": self._intake.unreadable,
            "refused_frames": self._intake.refused,
            "undeclared": dict(self._pipelines.undeclared.most_common(MAX_TOLD)),
            "remote": self._sockets.remote and self._sockets.remote.state,
            "text_redaction": not self._texts.are_dropped,
            "tripwire": {"hits": self._tripwire.hits, "state": self._tripwire.state},
            "thin": self._thinning.shares_of(self._intake.session.id),
            "thin_ignored": self._thinning.ignored,
            "upload": self._uploader.state,
            "cause": self._uploader.cause,
            "in_flight": self._uploader.in_flight + self._takeover.in_flight,
            "owed": self._writer.owed_events,
            "waiting_segments": self._spool.waiting,
        }


def _demands(permission: Permission) -> bool:
    """Tell whether a choice asks anything of what waits in a spool."""
    return permission.erases or (permission.collects and permission.state is not State.ON)


def _follow(permission: Permission, spool: Spool) -> None:
    """Do with a spool what a choice demands. Raises OSError."""
    if permission.erases:
        spool.wipe(DropReason.CONSENT)
    elif _demands(permission):
        spool.keep_local(permission.lets_leave if permission.uploads else None)


def _as_host(facts: HostFacts) -> dict[str, Any]:
    level, basis, notice, deployment = facts.receipt
    said = {"consent": level, "basis": basis, "notice": notice, "deployment": deployment}
    return {"pid": facts.pid, **said, "catalog": facts.catalog}


def _catalogs_named(product: str) -> set[str] | None:
    """Return the digests that segments of any spool name; None if that can't be known."""
    named: set[str] = set()
    for spool in spools_of(product):
        if (found := catalogs_in(spool)) is None:
            return None
        named |= found
    return named
