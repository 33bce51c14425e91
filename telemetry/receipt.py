"""The consent receipt that every batch carries, as its header; shipper and collector share it."""

from __future__ import annotations

import re
from typing import NamedTuple

CONSENT_HEADER = "Telemetry-Consent"
CATALOG_HEADER = "Telemetry-Catalog"
LEDGER_HEADER = "Telemetry-Ledger"
BATCH_HEADER = "Idempotency-Key"

_NOTICE = re.compile("[0-9]{1,9}")
_BASES = {"stored", "environment", "host", "cloud-default"}
_DEPLOYMENTS = {"cloud", "self-hosted", "enterprise", "unknown"}


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
    parts = [part.strip().partition("=") for part in header.split(";")]
    said = {name: value for name, _, value in parts}
    if sorted(name for name, _, _ in parts) != sorted(Receipt._fields) or not _NOTICE.fullmatch(said["notice"]):
        return None
    receipt = Receipt(said["level"], said["basis"], int(said["notice"]), said["deployment"])
    return receipt if _says_yes(receipt) else None


def _says_yes(receipt: Receipt) -> bool:
    is_known = receipt.basis in _BASES and receipt.deployment in _DEPLOYMENTS
    was_told = receipt.basis != "cloud-default" or (receipt.notice > 0 and receipt.deployment == "cloud")
    return receipt.level == "on" and is_known and was_told
