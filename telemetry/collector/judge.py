"""Judgement of an upload by its headers alone. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.receipt import (
    BATCH_HEADER,
    CATALOG_HEADER,
    CONSENT_HEADER,
    FIRST_HEADER,
    LEDGER_HEADER,
    First,
    Receipt,
    parse_catalog,
    parse_first,
    parse_receipt,
)

if TYPE_CHECKING:
    from telemetry.collector.head import Headers

_BATCH = re.compile(r"[0-9a-f]{32}")  # it becomes a file's name
CONTENT_SUFFIXES = {"application/x-ndjson": ".ndjson", "application/x-protobuf": ".pb"}
ENCODING_SUFFIXES = {"zstd": ".zst", "gzip": ".gz", "identity": ""}
_SINGLE = (
    *("authorization", "content-type", "content-encoding"),
    *(name.lower() for name in (BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER)),
)


class Upload(NamedTuple):
    """The headers of an acceptable upload, parsed."""

    batch: str
    suffix: str
    catalog: str
    catalog_digest: str
    receipt: Receipt
    ledger: str | None
    first: First


class Refusal(NamedTuple):
    """Refusal of an upload.

    Attributes:
        status: the HTTP status.
        reason: a sentence for the client.
        retry_after_seconds: the delay to ask for in Retry-After; 0 for none.
        held_back_seconds: how long the answer is held back.
    """

    status: int
    reason: str
    retry_after_seconds: float = 0.0
    held_back_seconds: float = 0.0


def judge(headers: Headers) -> Upload | Refusal:
    """Decide by the headers whether an upload may come in. The bearer's token is checked by `tokens`, not here."""
    if twice := [name for name in _SINGLE if len(headers.get(name, ())) > 1]:
        return Refusal(400, f"{twice[0]} is given twice, so it is ambiguous")
    receipt = parse_receipt(_value(headers, CONSENT_HEADER))
    if receipt is None:
        return Refusal(403, f"no valid consent receipt in {CONSENT_HEADER}")
    batch = _value(headers, BATCH_HEADER)
    if not _BATCH.fullmatch(batch):
        return Refusal(400, f"{BATCH_HEADER} must be the batch id: 32 lower-case hexadecimal digits")
    catalog = parse_catalog(_value(headers, CATALOG_HEADER))
    if catalog is None:
        return Refusal(
            400, f"{CATALOG_HEADER} must be product/version, for example acme-db/3, and may add ; sha256=..."
        )
    suffix = _suffix(headers)
    if suffix is None:
        known = ", ".join([*CONTENT_SUFFIXES, *ENCODING_SUFFIXES])
        return Refusal(415, f"Content-Type or Content-Encoding is none of {known}")
    ledger = headers.get(LEDGER_HEADER.lower(), [None])[0]
    first = parse_first(_value(headers, FIRST_HEADER))
    return Upload(batch, suffix, *catalog, receipt, ledger, first)


def _suffix(headers: Headers) -> str | None:
    content = CONTENT_SUFFIXES.get(_value(headers, "content-type").partition(";")[0].strip().lower())
    encoding = ENCODING_SUFFIXES.get(_value(headers, "content-encoding", "identity").strip().lower())
    return None if content is None or encoding is None else content + encoding


def _value(headers: Headers, name: str, otherwise: str = "") -> str:
    return headers.get(name.lower(), [otherwise])[0]
