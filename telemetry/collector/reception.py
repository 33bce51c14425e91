"""Reception of uploads: which may come in, how large and how fast. It knows no connection and no client's address.

An upload is let in by its head, its body goes to the store piece by piece, and its outcome is known when the body is
checked and safe on disk.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from telemetry.collector.judge import Refusal, Upload, judge
from telemetry.collector.limits import COST_SECOND_BYTES, LEAST_COST_BYTES, MOST_HELD_BACK_SECONDS, Limits
from telemetry.collector.store import BatchRecord, Incoming, Store

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from telemetry.collector.checks import Checks
    from telemetry.collector.head import Head
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.tokens import Holder, Tokens

_log = logging.getLogger(__name__)

_FULL_SECONDS = 60.0  # a disk is not emptied faster
_NOBODY = ""  # as the name of a token
_OUR_FAULT = 500  # and above


class Kept(NamedTuple):
    """A batch that is safe on disk.

    Attributes:
        batch: the batch's id.
        stored: whether this upload brought it.
    """

    batch: str
    stored: bool


class Arrival(NamedTuple):
    """An upload that was let in.

    Attributes:
        holder: the holder of its token.
        upload: its headers, parsed.
        route: the path it was posted to.
        incoming: its body.
    """

    holder: Holder
    upload: Upload
    route: str
    incoming: Incoming


class Reception:
    """The parts of a collector that take uploads in.

    Args:
        store: keeps the batches.
        limits: the bounds on clients.
        tokens: the tokens that permit uploads.
        checks: examines bodies.
        metrics: counts uploads.
    """

    def __init__(self, store: Store, limits: Limits, tokens: Tokens, checks: Checks, metrics: Metrics) -> None:
        self._store = store
        self._limits = limits
        self._tokens = tokens
        self._checks = checks
        self._metrics = metrics
        self._is_refusing = False
        self._safe: list[tuple[Incoming, Collection[str], asyncio.Future[bool]]] = []
        self._keeping: asyncio.Task[None] | None = None

    def let_in(self, head: Head) -> Arrival | Kept | Refusal:  # noqa: PLR0911 a list of reasons
        """Let an upload in by its head, refuse it, or tell that its batch is here already."""
        holder = self._tokens.holder_of(head.headers.get("authorization", [""])[0])
        if holder is None:  # its token was good a moment ago
            self._metrics.answered(_NOBODY, 401)
            return Refusal(401, "the bearer token is missing or wrong")
        upload = judge(head.headers)
        if isinstance(upload, Refusal):
            return self._refused(holder, upload)
        if wait_seconds := holder.bucket.wait_seconds(monotonic()):
            return self._refused(holder, Refusal(429, "this token has exceeded its rate of uploads", wait_seconds))
        holder.bucket.charge(LEAST_COST_BYTES)
        if head.body_bytes > self._limits.body_bytes:
            return self._refused(holder, Refusal(413, f"the body is larger than {self._limits.body_bytes} bytes"))
        if self._store.knows(upload.batch):
            self._metrics.answered(holder.name, 200)
            self._metrics.received(holder.name, head.body_bytes)
            return Kept(upload.batch, stored=False)
        try:
            return Arrival(holder, upload, head.path, self._store.begin(upload.batch, upload.suffix))
        except OSError as fault:
            return self._refused(holder, self._say_refusing(upload.batch, fault))

    def take(self, arrival: Arrival, piece: bytes) -> Refusal | None:
        """Take a piece of a body; a refusal ends the upload."""
        try:
            arrival.incoming.write(piece)
        except OSError as fault:
            return self.give_up(arrival, self._say_refusing(arrival.upload.batch, fault))
        arrival.holder.bucket.charge(len(piece))
        self._metrics.received(arrival.holder.name, len(piece))
        return None

    def give_up(self, arrival: Arrival, refusal: Refusal) -> Refusal:
        """Discard a body that will not be completed."""
        arrival.incoming.close()
        return self._refused(arrival.holder, refusal)

    async def finish(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:
        """Check and keep a body that has arrived; `is_awaited` tells whether the client still waits for the outcome."""
        try:
            with arrival.incoming:
                answer = await self._examine(arrival, is_awaited)
        except OSError as fault:
            answer = self._say_refusing(arrival.upload.batch, fault)
        if isinstance(answer, Refusal):
            return self._refused(arrival.holder, answer)
        self._is_refusing = False
        self._metrics.answered(arrival.holder.name, 200, stored=answer.stored)
        return answer

    async def _examine(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:
        holder, upload, route, incoming = arrival
        minute = datetime.now(UTC).replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
        said = (upload.catalog, upload.receipt, upload.ledger, route, incoming.bytes, upload.catalog_digest)
        incoming.describe(BatchRecord(upload.batch, minute, *said))
        finding = await self._checks.examine(incoming, holder.name, is_awaited)
        holder.bucket.charge(int(finding.cost_seconds * COST_SECOND_BYTES))
        self._metrics.checked(holder.name, finding.cost_seconds)
        if finding.refusal is not None:
            return finding.refusal
        is_stored = await self._keep(incoming, finding.sessions)
        if is_stored:
            self._metrics.stored(holder.name, finding.events)
        return Kept(upload.batch, is_stored)

    async def _keep(self, incoming: Incoming, sessions: Collection[str]) -> bool:
        """Keep a body together with all others that arrive while the disk is at work, at the cost of one sync."""
        kept: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._safe.append((incoming, sessions, kept))
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._keep_all())
        return await kept

    async def _keep_all(self) -> None:
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

    def _refused(self, holder: Holder, refusal: Refusal) -> Refusal:
        """Count a refusal, and hold its answer back if a holder has many: each refused upload costs a connection."""
        self._metrics.answered(holder.name, refusal.status)
        if refusal.status >= _OUR_FAULT:
            return refusal
        wait_seconds = holder.refusals.wait_seconds(monotonic())
        if wait_seconds < MOST_HELD_BACK_SECONDS:
            holder.refusals.charge(1)
        return refusal._replace(held_back_seconds=wait_seconds)

    def _say_refusing(self, batch: str, fault: OSError) -> Refusal:
        """Log the disk's refusal, once until a batch is stored again: a full disk must not fill the log's disk too."""
        if not self._is_refusing:
            _log.error("batch %s is not stored: %s; this is not logged again until one is", batch, fault.strerror)
        self._is_refusing = True
        return Refusal(507, "the store's disk refuses", _FULL_SECONDS)
