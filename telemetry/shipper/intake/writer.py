"""The active segments, one for each receipt: drains are appended, and sealed by size and age.

When the disk refuses, a drain's events are lost and counted; its account is owed, and written with the next drain that
goes through, or alone. What could not be synced or sealed is left to recovery, which is tried again until it succeeds.
"""

from __future__ import annotations

import logging
import os
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from telemetry.drops import DropReason
from telemetry.shipper.intake.pipeline import Drain
from telemetry.spool.segment import ActiveSegment, Head
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Catalog
    from telemetry.receipt import Receipt
    from telemetry.settings import ShipperSettings
    from telemetry.shipper.encode.format import Format, Report
    from telemetry.shipper.intake.session import Session
    from telemetry.spool.spool import Spool

ROOM_BYTES = 64 << 10
"""What a drain may take beside its body: a mark, the end of the stream, the Seal, lines of the ledger."""

MAX_BODY_BYTES = 32 << 20
"""A segment is sealed at this much uncompressed: receivers bound what a body may unpack to."""

log = logging.getLogger("telemetry.shipper")


class Writer:
    """Appends drains to the spool."""

    def __init__(
        self, spool: Spool, catalog: Catalog, format_: Format, settings: ShipperSettings, sealed: Callable[[], None]
    ) -> None:
        """Write to `spool`; `sealed` is called when a segment was handed to delivery."""
        self._spool = spool
        self._catalog = catalog
        self._format = format_
        self._settings = settings
        self._sealed = sealed
        self._active: dict[Receipt, tuple[ActiveSegment, float]] = {}
        self._owed = Drain(b"", Tally(), {})
        self._noted: tuple[str, Drain] | None = None  # an account on its way to the ledger, which may have it already
        self._left = False  # whether drains that the disk took wait for recovery: they may not be durable
        self._unsynced: OSError | None = None  # why they are not; until they are, the disk is given no more
        self._disk_refuses = False  # said, and not yet taken back
        self._has_to_mend = spool.is_unfinished
        self._room_bytes = 0
        # So that the oldest segment, when it is dropped, is but a small part of what waits.
        self._segment_bytes = min(settings.segment_bytes, settings.spool_bytes // 8)
        self._synced_at = monotonic()

    def append(self, receipt: Receipt, drain: Drain, session: Session) -> None:
        """Write a drain to the active segment of its receipt; never raises, loses and counts instead."""
        tally = self._owed.tally.copy()
        tally.add(drain.tally)
        self._make_room(len(drain.body))
        try:
            if self._unsynced:
                raise self._unsynced
            active = self._active_segment(receipt, session)
            active.append(drain.body, tally, self._owed.positions | drain.positions)
        except OSError as fault:
            if receipt in self._active:
                self._leave(receipt)
            self._lose(drain, fault)
            return
        self._say_accepted()
        _enter(session, receipt, tally)
        self._owed = Drain(b"", Tally(), {})
        if active.length_bytes >= self._segment_bytes or active.body_bytes >= MAX_BODY_BYTES:
            self._seal_lane(receipt, session)

    def append_report(self, receipt: Receipt, report: Report, session: Session) -> None:
        """Write a report to a segment of its own, for its own route."""
        drain = Drain(report.body, Tally(emitted=1, kept=1), {})
        self._make_room(len(drain.body))
        try:
            active = self._spool.begin(self._head(receipt, session, report.route))
        except OSError as fault:
            self._lose(drain, fault)
            return
        try:
            active.append(drain.body, drain.tally, {})
        except OSError as fault:
            active.abandon()
            self._lose(drain, fault)
            return
        _enter(session, receipt, drain.tally)
        self._seal(active, session)

    def tick(self, session: Session) -> None:
        """What falls due with time: a sync, a seal by age; and the disk that refused is tried again."""
        now = monotonic()
        if now - self._synced_at >= self._settings.fsync_interval_seconds:
            self.sync()
        for receipt, (_, began) in list(self._active.items()):
            if now - began >= self._settings.segment_seconds:
                self._seal_lane(receipt, session)
        if self._has_to_mend:
            self._mend()

    @property
    def owes(self) -> bool:
        """Whether there is an account that the disk has refused: it is in memory alone."""
        return bool(self._noted or self._owed.tally.emitted)

    @property
    def receipts(self) -> list[Receipt]:
        """Of the active segments."""
        return list(self._active)

    def sync(self) -> bool:
        """Make durable what was appended; whether all of it is."""
        self._synced_at = monotonic()
        for receipt, (active, _) in list(self._active.items()):
            try:
                active.sync()
            except OSError as fault:
                self._say_refused(fault)
                self._leave(receipt)
                self._unsynced = fault
        if self._unsynced:
            self._mend()
        return not self._left

    def seal_all(self, session: Session) -> None:
        """Seal every active segment, so that all can be uploaded."""
        for receipt in list(self._active):
            self._seal_lane(receipt, session)

    def _make_room(self, body_bytes: int) -> None:
        """Before a drain is written, so that the spool is never beyond its limit. A body counts as if uncompressed."""
        settings = self._settings
        need_bytes = min(body_bytes + ROOM_BYTES, settings.spool_bytes // 2)
        if need_bytes > self._room_bytes:
            self._room_bytes = self._spool.enforce(
                settings.spool_bytes, settings.spool_segments, settings.spool_seconds, need_bytes
            )
        self._room_bytes -= need_bytes

    def _active_segment(self, receipt: Receipt, session: Session) -> ActiveSegment:
        if receipt not in self._active:
            head = self._head(receipt, session, self._format.route)
            self._active[receipt] = self._spool.begin(head), monotonic()
        return self._active[receipt][0]

    def _head(self, receipt: Receipt, session: Session, route: str) -> Head:
        id_ = os.urandom(16).hex()
        format_ = self._format
        suffix = format_.suffix + (".zst" if format_.compressed else "")
        return Head(
            id=id_,
            file=f"{time_ns():020d}-{id_}{suffix}",
            format=format_.name,
            compressed=format_.compressed,
            content_type=format_.content_type,
            route=route,
            catalog=f"{self._catalog.product}/{self._catalog.version}",
            session=session.id,
            receipt=receipt,
            since_unix_seconds=session.since_unix_seconds,
        )

    def _seal_lane(self, receipt: Receipt, session: Session) -> None:
        self._seal(self._active.pop(receipt)[0], session)

    def _seal(self, active: ActiveSegment, session: Session) -> None:
        try:
            self._spool.seal(active, session.tally)
        except OSError as fault:
            self._say_refused(fault)
            self._left = True
            return
        self._sealed()

    def _leave(self, receipt: Receipt) -> None:
        """Leave a segment to recovery."""
        self._active.pop(receipt)[0].abandon()
        self._left = True

    def _lose(self, drain: Drain, fault: OSError) -> None:
        self._say_refused(fault)
        lost = drain.lost(DropReason.WRITE_FAILED)
        self._owed.tally.add(lost.tally)
        self._owed = self._owed._replace(positions=self._owed.positions | drain.positions)

    def _say_refused(self, fault: OSError) -> None:
        if not self._disk_refuses:
            reason = os.strerror(fault.errno or 0)
            log.error("the spool can't be written (%s): events are dropped and counted until it can", reason)
        self._disk_refuses = self._has_to_mend = True

    def _say_accepted(self) -> None:
        if self._disk_refuses:
            log.info("the spool can be written again")
        self._disk_refuses = False

    def _mend(self) -> None:
        """Salvage what could not be sealed and write what is owed, or leave it to the next tick."""
        try:
            self._spool.salvage()
            self._left, self._unsynced = False, None
            self._note_what_is_owed()
        except OSError:
            return  # said when it began
        self._has_to_mend = False
        self._sealed()

    def _note_what_is_owed(self) -> None:
        """Under one id however often it is tried: a disk that says no may have taken it, and it counts once."""
        if self._noted is None and self._owed.tally.emitted:
            self._noted = os.urandom(16).hex(), self._owed
            self._owed = Drain(b"", Tally(), {})
        if self._noted is not None:
            key, owed = self._noted
            self._spool.note(key, owed.tally, owed.positions)
            self._noted = None


def _enter(session: Session, receipt: Receipt, tally: Tally) -> None:
    session.is_used = True
    if receipt.level == "on":  # what was collected under "local" must not show in an upload, not even as a number
        session.tally.add(tally)
