"""Whether an upload may come in, by its headers alone. Pure."""

from __future__ import annotations

import hmac
import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.receipt import (
    BATCH_HEADER,
    CATALOG_HEADER,
    CONSENT_HEADER,
    LEDGER_HEADER,
    Receipt,
    parse_receipt,
)

if TYPE_CHECKING:
    from starlette.datastructures import Headers

_BATCH = re.compile(r"[0-9a-f]{32}")  # it becomes a file's name
_CATALOG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[0-9]{1,9}")
_CONTENT_SUFFIXES = {"application/x-ndjson": ".ndjson", "application/x-protobuf": ".pb"}
_ENCODING_SUFFIXES = {"zstd": ".zst", "identity": ""}
_SINGLE = ("authorization", "content-type", "content-encoding", BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER)
_MAX_HEADERS = 100  # what Apache takes
_MAX_HEADER_BYTES = 16 << 10  # what nginx and Apache take, or more


class Upload(NamedTuple):
    """What the headers of an acceptable upload say."""

    batch: str
    suffix: str
    catalog: str
    receipt: Receipt
    ledger: str | None


class Refusal(NamedTuple):
    """Why an upload is not taken, as an HTTP status and a sentence, and when to come again."""

    status: int
    reason: str
    retry_after_seconds: float = 0.0


def bearer_of(headers: Headers, tokens: tuple[bytes, ...]) -> int | None:
    """Which of the tokens an upload bears, as their index; None for none of them. Takes equally long for each."""
    scheme, _, presented = headers.get("authorization", "").partition(" ")
    given = presented.strip().encode()
    same = [hmac.compare_digest(given, token) for token in tokens]
    return same.index(True) if scheme.lower() == "bearer" and any(same) else None


def judge(headers: Headers) -> Upload | Refusal:
    """Decide by the headers whether an upload may come in; who sends it is `bearer_of`'s affair."""
    malformed = _malformed(headers)
    if malformed is not None:
        return malformed
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


def _malformed(headers: Headers) -> Refusal | None:
    if (
        len(headers.raw) > _MAX_HEADERS
        or sum(len(name) + len(value) for name, value in headers.raw) > _MAX_HEADER_BYTES
    ):
        return Refusal(431, f"the headers are more than {_MAX_HEADERS}, or {_MAX_HEADER_BYTES} bytes")
    if twice := [name for name in _SINGLE if len(headers.getlist(name)) > 1]:
        return Refusal(400, f"{twice[0]} is there twice: which one holds, nobody can tell")
    if "transfer-encoding" in headers and "content-length" in headers:  # RFC 9112, 6.1: how requests are smuggled
        return Refusal(400, "Transfer-Encoding and Content-Length exclude each other")
    return None


def _suffix(headers: Headers) -> str | None:
    content = _CONTENT_SUFFIXES.get(headers.get("content-type", "").partition(";")[0].strip().lower())
    encoding = _ENCODING_SUFFIXES.get(headers.get("content-encoding", "identity").strip().lower())
    return None if content is None or encoding is None else content + encoding
