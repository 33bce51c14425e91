"""Whether an upload may come in, by its headers alone. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.receipt import (
    BATCH_HEADER,
    CATALOG_HEADER,
    CONSENT_HEADER,
    LEDGER_HEADER,
    Receipt,
    parse_catalog,
    parse_receipt,
)

if TYPE_CHECKING:
    from telemetry.collector.head import Headers

_BATCH = re.compile(r"[0-9a-f]{32}")  # it becomes a file's name
_CONTENT_SUFFIXES = {"application/x-ndjson": ".ndjson", "application/x-protobuf": ".pb"}
_ENCODING_SUFFIXES = {"zstd": ".zst", "identity": ""}
_SINGLE = (
    *("authorization", "content-type", "content-encoding"),
    *(name.lower() for name in (BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER)),
)


class Upload(NamedTuple):
    """What the headers of an acceptable upload say."""

    batch: str
    suffix: str
    catalog: str
    catalog_digest: str
    receipt: Receipt
    ledger: str | None


class Refusal(NamedTuple):
    """Why an upload is not taken.

    Attributes:
        status: of HTTP.
        reason: a sentence.
        retry_after_seconds: when to come again; 0 to say nothing of it.
        held_back_seconds: how long the answer waits before it is given.
    """

    status: int
    reason: str
    retry_after_seconds: float = 0.0
    held_back_seconds: float = 0.0


def judge(headers: Headers) -> Upload | Refusal:
    """Decide by the headers whether an upload may come in; who sends it is the affair of `tokens`."""
    if twice := [name for name in _SINGLE if len(headers.get(name, ())) > 1]:
        return Refusal(400, f"{twice[0]} is there twice: which one holds, nobody can tell")
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
        known = ", ".join([*_CONTENT_SUFFIXES, *_ENCODING_SUFFIXES])
        return Refusal(415, f"Content-Type or Content-Encoding is none of {known}")
    ledger = headers.get(LEDGER_HEADER.lower(), [None])[0]
    return Upload(batch, suffix, *catalog, receipt, ledger)


def _suffix(headers: Headers) -> str | None:
    content = _CONTENT_SUFFIXES.get(_value(headers, "content-type").partition(";")[0].strip().lower())
    encoding = _ENCODING_SUFFIXES.get(_value(headers, "content-encoding", "identity").strip().lower())
    return None if content is None or encoding is None else content + encoding


def _value(headers: Headers, name: str, otherwise: str = "") -> str:
    return headers.get(name.lower(), [otherwise])[0]
