"""Keeping of batches in a store on this machine: each body is checked, and safe on disk before it is confirmed."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from telemetry.collector.judge import Refusal
from telemetry.collector.keeper import Arrival, Kept
from telemetry.collector.limits import COST_SECOND_BYTES
from telemetry.collector.store import BatchRecord, Incoming, Store
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from telemetry.collector.checks import Checks
    from telemetry.collector.declared import Treatment
    from telemetry.collector.judge import Upload
    from telemetry.collector.metrics import Metrics

_log = logging.getLogger(__name__)

_LOGGED_NAMES = 1000  # in a run: anybody may send names
_DONE: dict[Treatment, str] = {
    "keep": "such batches are kept",
    "aside": "such batches are kept aside, until a catalog names it",
    "refuse": "such batches are refused",
}
_FULL_SECONDS = 60.0  # a disk is not emptied faster


class Disk:
    """A keeper that puts batches into a store.

    Args:
        store: keeps the batches.
        checks: examines bodies.
        metrics: counts what is kept.
        most_bytes: the size of the largest body.
        unknown: the treatment of a batch with an event or a field that no catalog names.
    """

    def __init__(
        self, store: Store, checks: Checks, metrics: Metrics, most_bytes: int, unknown: Treatment = "keep"
    ) -> None:
        self.most_bytes = most_bytes
        self.knows = store.knows
        self.find_refusal = store.find_refusal
        self._store = store
        self._checks = checks
        self._metrics = metrics
        self._is_refusing = False
        self._unknown = unknown
        self._logged: set[str] = set()
        self._safe: list[tuple[Incoming, Collection[str], asyncio.Future[bool]]] = []
        self._keeping: asyncio.Task[None] | None = None

    def begin(self, upload: Upload) -> Incoming:
        """Start to take in a body. Raises OSError if the disk refuses, or the store's limits do."""
        return self._store.begin(upload.batch, upload.suffix)

    async def keep(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:
        """Check a body and keep it with its record; return once both are safe on disk. Raises OSError."""
        holder, upload, route, incoming = arrival
        assert isinstance(incoming, Incoming)  # noqa: S101 it comes from `begin`
        minute = datetime.now(UTC).replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = (upload.catalog, upload.receipt, upload.ledger, route, incoming.bytes)
        told = (upload.catalog_digest, upload.first)
        record = BatchRecord(upload.batch, minute, *said, *told)
        incoming.describe(record)
        product = upload.catalog.partition("/")[0]
        finding = await self._checks.examine(incoming, product, holder.name, is_awaited)
        holder.bucket.charge(int(finding.cost_seconds * COST_SECOND_BYTES))
        self._metrics.checked(holder.name, finding.cost_seconds)
        if finding.unknown:
            self._tell_unknown(holder.name, product, finding.unknown)
        if finding.refusal is not None:
            return finding.refusal
        if finding.unknown and self._unknown == "aside":
            await asyncio.to_thread(incoming.describe_anew, record._replace(aside=(*sorted(finding.unknown),)))
        is_stored = await self._commit(incoming, finding.sessions)
        if is_stored:
            self._metrics.stored(holder.name, finding.events)
        self._is_refusing = False
        return Kept(upload.batch, is_stored)

    def _tell_unknown(self, holder: str, product: str, names: Collection[str]) -> None:
        """Count a batch with names that no catalog has, and log each name once."""
        self._metrics.unknown(holder, self._unknown)
        for name in sorted({f"{product}: {name}" for name in names} - self._logged):
            if len(self._logged) < _LOGGED_NAMES:
                self._logged.add(name)
                _log.warning("no catalog names %s: %s (--unknown)", printable(name), _DONE[self._unknown])

    def refuse(self, batch: str, fault: OSError) -> Refusal:
        """Log the disk's refusal, once until a batch is stored again: a full disk must not fill the log's disk too."""
        if not self._is_refusing:
            _log.error("batch %s is not stored: %s; this is not logged again until one is", batch, fault.strerror)
        self._is_refusing = True
        return Refusal(507, "the store's disk refuses", _FULL_SECONDS)

    async def _commit(self, incoming: Incoming, sessions: Collection[str]) -> bool:
        """Keep a body together with all others that arrive while the disk is at work, at the cost of one sync."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._safe.append((incoming, sessions, kept))
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._commit_all())
        return await kept

    async def _commit_all(self) -> None:
        while self._safe:
            safe, self._safe = self._safe, []
            outcomes = await asyncio.to_thread(self._store.keep, [entry[:2] for entry in safe])
            for (_, _, kept), outcome in zip(safe, outcomes, strict=True):
                if kept.cancelled():
                    continue
                if isinstance(outcome, OSError):
                    kept.set_exception(outcome)
                else:
                    kept.set_result(outcome)
        self._keeping = None
