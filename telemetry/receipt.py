"""The consent receipt that every batch carries, as its header; shipper and collector share it."""

from __future__ import annotations

import re
from typing import NamedTuple

CONSENT_HEADER = "Telemetry-Consent"
CATALOG_HEADER = "Telemetry-Catalog"
LEDGER_HEADER = "Telemetry-Ledger"
BATCH_HEADER = "Idempotency-Key"

_NOTICE = re.compile("[0-9]{1,9}")


class Receipt(NamedTuple):
    """On what ground a batch's events were collected.

    Attributes:
        level: `on` or `local`.
        basis: who said yes: `stored`, `environment`, `host` or `cloud-default`.
        notice: the version of the notice that was shown; 0 when an explicit yes needed none.
        deployment: `cloud`, `self-hosted`, `enterprise` or `unknown`.
    """

    level: str
    basis: str
    notice: int
    deployment: str


def format_receipt(receipt: Receipt) -> str:
    """The header's value: `level=on; basis=host; notice=0; deployment=cloud`."""
    return "; ".join(f"{name}={value}" for name, value in receipt._asdict().items())


def parse_receipt(header: str) -> Receipt | None:
    """Read a header's value; None when it is no receipt or does not say yes to an upload."""
    pairs = dict(part.strip().split("=", 1) for part in header.split(";") if "=" in part)
    if pairs.keys() != set(Receipt._fields) or not _NOTICE.fullmatch(pairs["notice"]) or pairs["level"] != "on":
        return None
    return Receipt(pairs["level"], pairs["basis"], int(pairs["notice"]), pairs["deployment"])
