"""Writer of the active segments, one for each receipt, catalog and sensitivity, which are sealed by size and age.

If the disk refuses, a drain's events are lost and counted; their account is owed, and written with the next drain that
goes through, or alone; at the end, into room that is kept for it. Segments that could not be synced or sealed are left
to recovery, which is tried again until it succeeds.
"""

from __future__ import annotations

import logging
import os
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from msgspec import UNSET

from telemetry.drops import DropReason
from telemetry.shipper.intake.pipeline import Drain
from telemetry.spool.segment import ActiveSegment, Head
from telemetry.spool.stream import ENDINGS
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Sensitivity
    from telemetry.receipt import Receipt
    from telemetry.settings import ShipperSettings
    from telemetry.shipper.catalogs import Source
    from telemetry.shipper.encode.format import Format, Report
    from telemetry.shipper.intake.session import Session
    from telemetry.spool.spool import Spool

    Key = tuple[Receipt, Source, Sensitivity]

ROOM_BYTES = 64 << 10
"""The room that a drain may take beside its body: a mark, the end of the stream, the Seal, lines of the ledger."""

log = logging.getLogger("telemetry.shipper")


class Writer:
    """The writer of drains to the spool."""

    def __init__(self, spool: Spool, format_: Format, settings: ShipperSettings, sealed: Callable[[], None]) -> None:
        """Write to `spool`; `sealed` is called when a segment was handed to delivery."""
        self._spool = spool
        self._format = format_
        self._settings = settings
        self._sealed = sealed
        self._active: dict[Key, tuple[ActiveSegment, float]] = {}
        self._owed = Drain(b"", Tally(), {})
        self._noted: tuple[str, Drain] | None = None  # an account on its way to the ledger, which may have it already
        self._left = False  # whether drains that the disk took wait for recovery: they may not be durable
        self._unsynced: OSError | None = None  # why they are not; until they are, the disk is given no more
        self._disk_refuses = False  # said, and not yet taken back
        self._has_to_mend = spool.is_unfinished or not spool.log.has_room
        self._room_bytes = 0
        self._body_bytes = settings.body_bytes or format_.max_body_bytes
        # So that the oldest segment, when it is dropped, is but a small part of what waits.
        self._segment_bytes = min(settings.segment_bytes, settings.spool_bytes // 8)
        self._synced_at = monotonic()

    def append(self, receipt: Receipt, source: Source, drain: Drain, session: Session) -> None:
        """Append a drain to its active segment; never raises, but loses and counts events instead."""
        key = receipt, source, drain.sensitivity
        tally = self._owed.tally.copy()
        tally.add(drain.tally)
        self._make_room(len(drain.body))
        try:
            if self._unsynced:
                raise self._unsynced
            active = self._active_segment(key, session, len(drain.body))
            active.append(drain.body, tally, self._owed.positions | drain.positions)
        except OSError as fault:
            if key in self._active:
                self._leave(key)
            if self._spool.make_way(fault):
                self.append(receipt, source, drain, session)
            else:
                self._lose(receipt, drain, session, fault)
            return
        self._say_accepted()
        _enter(session, receipt, drain)
        self._owed = Drain(b"", Tally(), {})
        if self._is_full(active):
            self._seal_active(key, session)

    def append_report(
        self, receipt: Receipt, source: Source, sensitivity: Sensitivity, report: Report, session: Session
    ) -> None:
        """Write a report to a segment of its own, for its own route."""
        drain = Drain(report.body, Tally(emitted=1, kept=1), {}, sensitivity=sensitivity)
        key = receipt, source, sensitivity
        self._make_room(len(drain.body))
        try:
            active = self._spool.begin(_head(key, self._format, session, report.route))
        except OSError as fault:
            self._lose(receipt, drain, session, fault)
            return
        try:
            active.append(drain.body, drain.tally, {})
        except OSError as fault:
            active.abandon()
            self._lose(receipt, drain, session, fault)
            return
        _enter(session, receipt, drain)
        self._seal(active, session.tallies[sensitivity])

    def tick(self, session: Session) -> None:
        """Do what falls due with time: sync, seal by age, and try a disk that refused again."""
        now = monotonic()
        if now - self._synced_at >= self._settings.fsync_interval_seconds:
            self.sync()
        for key, (_, began) in list(self._active.items()):
            if now - began >= self._settings.segment_seconds:
                self._seal_active(key, session)
        if self._has_to_mend:
            self._mend()

    @property
    def owes(self) -> bool:
        """Whether there is an account that the disk has refused, which is in memory alone."""
        return self.owed_events > 0

    @property
    def owed_events(self) -> int:
        """The number of events in the account that is owed."""
        return self._owed.tally.emitted + (self._noted[1].tally.emitted if self._noted else 0)

    def settle(self) -> None:
        """Write the account that is owed before the end, if need be into the room kept for it; never raises."""
        if self._has_to_mend:
            self._mend()
        try:
            self._note_what_is_owed(is_last_chance=True)
        except OSError as fault:
            log.error("what was lost can't be counted (%s): free the disk", os.strerror(fault.errno or 0))  # noqa: TRY400 a traceback tells nothing more

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts of the active segments."""
        return [receipt for receipt, _, _ in self._active]

    def sync(self) -> bool:
        """Make all appended drains durable; return whether they are."""
        self._synced_at = monotonic()
        for key, (active, _) in list(self._active.items()):
            try:
                active.sync()
            except OSError as fault:
                self._say_refused(fault)
                self._leave(key)
                self._unsynced = fault
        if self._unsynced:
            self._mend()
        return not self._left

    def seal_all(self, session: Session) -> None:
        """Seal every active segment, so that all can be uploaded."""
        for key in list(self._active):
            self._seal_active(key, session)

    def _make_room(self, body_bytes: int) -> None:
        """Make room before a drain is written, so that the spool never exceeds its limit.

        The body counts as if it were uncompressed.
        """
        settings = self._settings
        need_bytes = min(body_bytes + ROOM_BYTES, settings.spool_bytes // 2)
        if need_bytes > self._room_bytes:
            self._room_bytes = self._spool.enforce(
                settings.spool_bytes, settings.spool_segments, settings.spool_seconds, need_bytes
            )
        self._room_bytes -= need_bytes

    def _active_segment(self, key: Key, session: Session, body_bytes: int) -> ActiveSegment:
        """Return the segment that takes `body_bytes` more: a new one, if they are too many for the present one."""
        if key in self._active and self._active[key][0].body_bytes + body_bytes > self._body_bytes:
            self._seal_active(key, session)
        if key not in self._active:
            head = _head(key, self._format, session, self._format.route)
            self._active[key] = self._spool.begin(head), monotonic()
        return self._active[key][0]

    def _is_full(self, active: ActiveSegment) -> bool:
        cap = self._format.max_events
        return (
            active.length_bytes >= self._segment_bytes
            or active.body_bytes >= self._body_bytes
            or (cap is not None and active.tally.kept >= cap)
        )

    def _seal_active(self, key: Key, session: Session) -> None:
        _, _, sensitivity = key
        self._seal(self._active.pop(key)[0], session.tallies[sensitivity])

    def _seal(self, active: ActiveSegment, session_tally: Tally) -> None:
        try:
            self._spool.seal(active, session_tally)
        except OSError as fault:
            self._say_refused(fault)
            self._left = True
            return
        self._sealed()

    def _leave(self, key: Key) -> None:
        """Leave a segment to recovery."""
        self._active.pop(key)[0].abandon()
        self._left = True

    def _lose(self, receipt: Receipt, drain: Drain, session: Session, fault: OSError) -> None:
        self._say_refused(fault)
        lost = drain.lost(DropReason.WRITE_FAILED)
        _enter(session, receipt, lost)  # now: the account that is owed may be written in another session
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
        """Salvage what could not be sealed and write what is owed, or leave both to the next tick."""
        try:
            self._spool.salvage()
            self._left, self._unsynced = False, None
            self._note_what_is_owed()
            self._spool.log.keep_room()
        except OSError as fault:  # said when it began
            if self._spool.make_way(fault):
                self._mend()
            return
        self._has_to_mend = False
        self._sealed()

    def _note_what_is_owed(self, *, is_last_chance: bool = False) -> None:
        """Write the account that is owed, under one id on every try.

        A disk that reports an error may have taken it nevertheless, and it must count once.
        """
        while self.owes:
            if self._noted is None:
                self._noted = os.urandom(16).hex(), self._owed
                self._owed = Drain(b"", Tally(), {})
            key, owed = self._noted
            self._spool.note(key, owed.tally, owed.positions, is_last_chance=is_last_chance)
            self._noted = None


def _head(key: Key, format_: Format, session: Session, route: str) -> Head:
    receipt, source, sensitivity = key
    id_ = os.urandom(16).hex()
    compression = format_.compression
    wraps = format_.envelope(source.label, source.digest) if format_.envelope and route == format_.route else UNSET
    return Head(
        id=id_,
        file=f"{time_ns():020d}-{id_}{format_.suffix}{ENDINGS[compression]}",
        format=format_.name,
        compressed=compression != "none",
        content_type=format_.content_type,
        route=route,
        catalog=source.label,
        session=session.id,
        receipt=receipt,
        since_unix_seconds=session.since_unix_seconds,
        catalog_digest=source.digest,
        sensitivity=sensitivity,
        compression=compression if compression not in {"zstd", "none"} else UNSET,  # as all versions read it
        wraps=wraps,
        first=session.first if receipt.level != "local" and any(session.first) else UNSET,
    )


def _enter(session: Session, receipt: Receipt, drain: Drain) -> None:
    session.is_used = True
    if receipt.level != "local":  # events collected under it must not show in an upload, not even as a number
        session.tallies[drain.sensitivity].add(drain.told)
