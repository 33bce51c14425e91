"""The collector's HTTP side: lets an upload in by its headers, streams its body to the store, and answers.

It never looks at who is asking: no address is read, kept or logged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from telemetry.collector.body import find_fault
from telemetry.collector.judge import Refusal, Upload, bearer_of, judge
from telemetry.collector.limits import LEAST_BYTES_PER_SECOND, LEAST_COST_BYTES, Bucket, Limits
from telemetry.collector.store import BatchRecord, Incoming, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_log = logging.getLogger(__name__)

_UPLOAD_SECONDS = 300.0  # 16 MiB at half a megabit a second
_FULL_SECONDS = 60.0  # a disk is not emptied faster
_CHECKS = 4  # bodies read at one time: each may take 32 MiB
# A refused client goes on sending. Were the connection closed at once, it would see a reset, not the answer.
_DRAIN_BYTES = 64 << 20
_DRAIN_SECONDS = 30.0


class Kept(NamedTuple):
    """A batch that is safe on disk, and whether this upload brought it."""

    batch: str
    stored: bool


def build_app(store: Store, limits: Limits, tokens: tuple[bytes, ...] = ()) -> Starlette:
    """The ASGI application: `POST` of a batch to any path, and `GET /healthz`.

    Args:
        store: where batches go.
        limits: what a client may ask for.
        tokens: what `Authorization: Bearer …` may say; none lets everybody in.
    """
    reception = Reception(store, limits, tokens)

    async def upload(request: Request) -> Response:
        body = request.stream()
        answer = await reception.take(request, body)
        if isinstance(answer, Refusal):
            await _drain(body)
            return _refuse(answer)
        return JSONResponse(answer._asdict())

    async def healthz(_: Request) -> Response:
        return JSONResponse({"ok": True})

    return Starlette(
        routes=[Route("/healthz", healthz, methods=["GET"]), Route("/{path:path}", upload, methods=["POST"])]
    )


class Reception:
    """Where uploads come in: who may, how much, how fast. What it holds is what they share."""

    def __init__(self, store: Store, limits: Limits, tokens: tuple[bytes, ...]) -> None:
        self._store = store
        self._limits = limits
        self._tokens = tokens
        self._buckets = [Bucket(limits.bytes_per_second) for _ in tokens or (b"",)]
        self._checks = asyncio.Semaphore(_CHECKS)
        self._is_refusing = False

    async def take(self, request: Request, body: AsyncIterator[bytes]) -> Kept | Refusal:
        """Take an upload in, or say why not. Never raises."""
        bearer = bearer_of(request.headers, self._tokens) if self._tokens else 0
        if bearer is None:
            return Refusal(401, "the bearer token is missing or wrong")
        judged = judge(request.headers)
        if isinstance(judged, Refusal):
            return judged
        bucket = self._buckets[bearer]
        if wait_seconds := bucket.wait_seconds(monotonic()):
            return Refusal(429, f"more than {self._limits.bytes_per_second} bytes a second came", wait_seconds)
        return await self._take_in(judged, request.scope["path"], body, bucket)

    async def _take_in(self, upload: Upload, route: str, body: AsyncIterator[bytes], bucket: Bucket) -> Kept | Refusal:
        try:
            with self._store.begin(upload.batch, upload.suffix) as incoming:
                bucket.charge(LEAST_COST_BYTES)
                answer = await self._receive(incoming, body, bucket) or await self._keep(upload, route, incoming)
        except (ClientDisconnect, TimeoutError):
            return Refusal(408, "the body did not arrive whole, or too slowly")
        except OSError as fault:
            self._say_refusing(upload.batch, fault)
            return Refusal(507, "the store's disk refuses", _FULL_SECONDS)
        if isinstance(answer, Kept):
            self._is_refusing = False
        return answer

    async def _receive(self, incoming: Incoming, body: AsyncIterator[bytes], bucket: Bucket) -> Refusal | None:
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(self._limits.stall_seconds) as patience:
            async for chunk in body:
                if incoming.bytes + len(chunk) > self._limits.body_bytes:
                    return Refusal(413, f"the body is larger than {self._limits.body_bytes} bytes")
                incoming.write(chunk)
                bucket.charge(len(chunk))
                earned_seconds = self._limits.stall_seconds + incoming.bytes / LEAST_BYTES_PER_SECOND
                patience.reschedule(begun + min(earned_seconds, _UPLOAD_SECONDS))
        return None

    async def _keep(self, upload: Upload, route: str, incoming: Incoming) -> Kept | Refusal:
        async with self._checks:
            fault = await run_in_threadpool(self._find_fault, incoming)
        if fault is not None:
            return fault
        minute = datetime.now(UTC).replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = BatchRecord(upload.batch, minute, upload.catalog, upload.receipt, upload.ledger, route, incoming.bytes)
        return Kept(upload.batch, await run_in_threadpool(self._store.commit, incoming, record))

    def _find_fault(self, incoming: Incoming) -> Refusal | None:
        with incoming.open() as body:
            return find_fault(body, incoming.suffix, self._limits.unpacked_bytes)

    def _say_refusing(self, batch: str, fault: OSError) -> None:
        """Once, until a batch is stored again: a full disk must not fill the log's disk too."""
        if not self._is_refusing:
            _log.error("batch %s is not stored: %s; until one is, no more of this is said", batch, fault.strerror)
        self._is_refusing = True


async def _drain(body: AsyncIterator[bytes]) -> None:
    drained_bytes = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in body:
                drained_bytes += len(chunk)
                if drained_bytes > _DRAIN_BYTES:
                    return


def _refuse(refusal: Refusal) -> Response:
    # RFC 9110, 15.5.2; RFC 9112, 6.1: a client that is malformed may be out of step.
    headers = {401: {"WWW-Authenticate": "Bearer"}, 400: {"Connection": "close"}}.get(refusal.status, {}).copy()
    if refusal.retry_after_seconds:
        headers["Retry-After"] = str(math.ceil(refusal.retry_after_seconds))
    return JSONResponse({"error": refusal.reason}, refusal.status, headers)
