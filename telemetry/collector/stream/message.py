"""Headers of a message: what an upload's headers said of a batch, in the same words. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.collector.judge import CONTENT_SUFFIXES, ENCODING_SUFFIXES
from telemetry.receipt import (
    BATCH_HEADER,
    CATALOG_HEADER,
    CONSENT_HEADER,
    FIRST_HEADER,
    LEDGER_HEADER,
    format_catalog,
    format_first,
    format_receipt,
)

if TYPE_CHECKING:
    from telemetry.collector.judge import Upload

ROUTE_HEADER = "Telemetry-Route"
MESSAGE_ID = "Nats-Msg-Id"

_CONTENTS = {suffix: name for name, suffix in CONTENT_SUFFIXES.items()}
_ENCODINGS = {suffix: name for name, suffix in ENCODING_SUFFIXES.items()}


def headers_of(upload: Upload, route: str) -> dict[str, str]:
    """Return the headers of an upload's message."""
    content, dot, encoding = upload.suffix[1:].partition(".")
    ledger = {} if upload.ledger is None else {LEDGER_HEADER: upload.ledger}
    first = {FIRST_HEADER: format_first(upload.first)} if any(upload.first) else {}
    return {
        MESSAGE_ID: upload.batch,
        BATCH_HEADER: upload.batch,
        CONSENT_HEADER: format_receipt(upload.receipt),
        CATALOG_HEADER: format_catalog(upload.catalog, upload.catalog_digest),
        **ledger,
        **first,
        "Content-Type": _CONTENTS[f".{content}"],
        "Content-Encoding": _ENCODINGS[dot + encoding],
        ROUTE_HEADER: route,
    }
