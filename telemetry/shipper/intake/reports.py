"""Reports of a catalog, written when they are due and some host's consent lets them leave."""

from __future__ import annotations

import logging
from time import monotonic, time_ns
from typing import TYPE_CHECKING

from telemetry.catalog.facts import faults_of_report
from telemetry.shipper.intake.report import raw_report

if TYPE_CHECKING:
    from telemetry.settings import ShipperSettings
    from telemetry.shipper.catalogs import Catalogs
    from telemetry.shipper.intake.pipelines import Pipelines
    from telemetry.shipper.intake.session import Session
    from telemetry.shipper.intake.writer import Writer
    from telemetry.shipper.permission import Permission
    from telemetry.shipper.watch import Watch

log = logging.getLogger("telemetry.shipper")


class Reports:
    """The writer of the reports that the shipper's own catalog asks for.

    A new session does not continue the schedule of the one before.
    """

    def __init__(
        self, settings: ShipperSettings, catalogs: Catalogs, pipelines: Pipelines, writer: Writer, watch: Watch
    ) -> None:
        self._settings = settings
        self._catalogs = catalogs
        self._pipelines = pipelines
        self._writer = writer
        self._watch = watch
        for fault in faults_of_report(catalogs.own.catalog, settings.report):
            log.warning("%s", fault)
        self.begin()

    def begin(self) -> None:
        """Begin with a new session, whose first report is due at once."""
        self._written_at = float("-inf")

    def write_if_due(self, permission: Permission, session: Session) -> None:
        """Write the reports that are due, under the receipt of a living producer that lets any leave.

        They are written even while no host emits: an idle host runs on this machine all the same.
        """
        now = monotonic()
        if now - self._written_at < self._settings.report_seconds:
            return
        receipts = {receipt.level: receipt for receipt in map(permission.under, self._watch.receipts)}
        receipt = receipts.get("on") or receipts.get("technical")
        if receipt is None:
            return
        self._written_at = now
        own = self._catalogs.own
        raw = raw_report(own.catalog, self._settings.report, now - session.began, time_ns())
        for drain, report in self._pipelines.of(own).run_report(raw):
            ground = receipt.of(drain.sensitivity), own
            if drain.tally.emitted:
                self._writer.append(*ground, drain, session)
            if report is not None:
                self._writer.append_report(*ground, drain.sensitivity, report, session)
