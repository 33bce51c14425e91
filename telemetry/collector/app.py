"""The collector's HTTP side: judges an upload by its headers, streams its body to the store, and answers.

It never looks at who is asking: no address is read, kept or logged. Bodies are not decompressed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from telemetry.collector.store import BatchRecord, Store
from telemetry.receipt import (
    BATCH_HEADER,
    CATALOG_HEADER,
    CONSENT_HEADER,
    LEDGER_HEADER,
    Receipt,
    parse_receipt,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_log = logging.getLogger(__name__)

_BATCH = re.compile(r"[0-9a-f]{32}")  # it becomes a file's name
_CATALOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[0-9]{1,9}")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
_CONTENT_SUFFIXES = {"application/x-ndjson": ".ndjson", "application/x-protobuf": ".pb"}
_ENCODING_SUFFIXES = {"zstd": ".zst", "identity": ""}
_UPLOAD_SECONDS = 300.0  # 16 MiB at half a megabit a second
# A refused client goes on sending. Were the connection closed at once, it would see a reset, not the answer.
_DRAIN_BYTES = 64 << 20
_DRAIN_SECONDS = 30.0


class Upload(NamedTuple):
    """What the headers of an acceptable upload say."""

    batch: str
    suffix: str
    catalog: str
    receipt: Receipt
    ledger: str | None


class Kept(NamedTuple):
    """A batch that is safe on disk, and whether this upload brought it."""

    batch: str
    stored: bool


class Refusal(NamedTuple):
    """Why an upload is not taken, as an HTTP status and a sentence."""

    status: int
    reason: str


def build_app(store: Store, *, token: str | None, max_body_bytes: int) -> Starlette:
    """The ASGI application: `POST` of a batch to any path, and `GET /healthz`.

    Args:
        store: where batches go.
        token: what `Authorization: Bearer …` must say; None lets everybody in.
        max_body_bytes: a larger body, as it comes, is refused with 413.
    """

    async def take_in(upload: Upload, route: str, body: AsyncIterator[bytes]) -> Kept | Refusal:
        try:
            async with asyncio.timeout(_UPLOAD_SECONDS):
                return await _stream_in(store, upload, route, body, max_body_bytes)
        except (ClientDisconnect, TimeoutError):
            return Refusal(408, "the body did not arrive whole")
        except OSError as fault:
            _log.error("batch %s is not stored: %s", upload.batch, fault.strerror)
            return Refusal(507, "the store's disk refuses")

    async def upload(request: Request) -> Response:
        judged = judge(request.headers, token)
        body = request.stream()
        answer = judged if isinstance(judged, Refusal) else await take_in(judged, request.scope["path"], body)
        if isinstance(answer, Refusal):
            await _drain(body)
            return _refuse(answer)
        return JSONResponse(answer._asdict())

    async def healthz(_: Request) -> Response:
        return JSONResponse({"ok": True})

    return Starlette(
        routes=[Route("/healthz", healthz, methods=["GET"]), Route("/{path:path}", upload, methods=["POST"])]
    )


def judge(headers: Mapping[str, str], token: str | None) -> Upload | Refusal:
    """Decide by the headers alone whether an upload may come in."""
    if token is not None and not _is_authorized(headers.get("authorization", ""), token):
        return Refusal(401, "the bearer token is missing or wrong")
    receipt = parse_receipt(headers.get(CONSENT_HEADER, ""))
    if receipt is None:
        return Refusal(403, f"no valid consent receipt in {CONSENT_HEADER}")
    batch = headers.get(BATCH_HEADER, "")
    if not _BATCH.fullmatch(batch):
        return Refusal(400, f"{BATCH_HEADER} must be the batch id: 32 lower-case hexadecimal digits")
    catalog = headers.get(CATALOG_HEADER, "")
    if not _CATALOG.fullmatch(catalog):
        return Refusal(400, f"{CATALOG_HEADER} must be product/version, for example acme-db/3")
    suffix = _suffix(headers)
    if suffix is None:
        known = ", ".join([*_CONTENT_SUFFIXES, *_ENCODING_SUFFIXES])
        return Refusal(415, f"Content-Type or Content-Encoding is none of {known}")
    return Upload(batch, suffix, catalog, receipt, headers.get(LEDGER_HEADER))


def _is_authorized(authorization: str, token: str) -> bool:
    scheme, _, presented = authorization.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(presented.strip().encode(), token.encode())


def _suffix(headers: Mapping[str, str]) -> str | None:
    content = _CONTENT_SUFFIXES.get(headers.get("content-type", "").partition(";")[0].strip().lower())
    encoding = _ENCODING_SUFFIXES.get(headers.get("content-encoding", "identity").strip().lower())
    return None if content is None or encoding is None else content + encoding


async def _stream_in(
    store: Store, upload: Upload, route: str, body: AsyncIterator[bytes], max_body_bytes: int
) -> Kept | Refusal:
    with store.begin(upload.batch, upload.suffix) as incoming:
        async for chunk in body:
            if incoming.bytes + len(chunk) > max_body_bytes:
                return Refusal(413, f"the body is larger than {max_body_bytes} bytes")
            incoming.write(chunk)
        if upload.suffix.endswith(".zst") and not incoming.starts_with(_ZSTD_MAGIC):
            return Refusal(400, "the body is not zstd, as its Content-Encoding says")
        minute = datetime.now(UTC).replace(second=0, microsecond=0).strftime("%Y-%m-%dT%H:%M:%SZ")
        record = BatchRecord(upload.batch, minute, upload.catalog, upload.receipt, upload.ledger, route, incoming.bytes)
        return Kept(upload.batch, await run_in_threadpool(store.commit, incoming, record))


async def _drain(body: AsyncIterator[bytes]) -> None:
    drained_bytes = 0
    with contextlib.suppress(ClientDisconnect, TimeoutError):
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for chunk in body:
                drained_bytes += len(chunk)
                if drained_bytes > _DRAIN_BYTES:
                    return


def _refuse(refusal: Refusal) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"} if refusal.status == 401 else {}  # noqa: PLR2004 RFC 9110, 15.5.2
    return JSONResponse({"error": refusal.reason}, refusal.status, challenge)
