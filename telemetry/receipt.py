"""The consent receipt that every batch carries, as its header; shipper and collector share it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent.product import is_product
from telemetry.ground import BASES, CLOUD_DEFAULT, DEPLOYMENTS, UNKNOWN

if TYPE_CHECKING:
    from msgspec import UnsetType

    from telemetry.catalog.model import Sensitivity

CONSENT_HEADER = "Telemetry-Consent"
CATALOG_HEADER = "Telemetry-Catalog"
LEDGER_HEADER = "Telemetry-Ledger"
FIRST_HEADER = "Telemetry-First"
BATCH_HEADER = "Idempotency-Key"

_NOTICE = re.compile("[0-9]{1,9}")
_CATALOG = re.compile(r"(([^/]*)/[0-9]{1,9})(?: *; *sha256=([0-9a-f]{64}))?")


class Receipt(NamedTuple):
    """The consent under which a batch's events were collected.

    Attributes:
        level: `on`, `technical` or `local`.
        basis: the voice that said yes: `stored`, `environment`, `host` or `cloud-default`.
        notice: the version of the notice that was shown; 0 if an explicit yes needed none.
        deployment: `cloud`, `self-hosted`, `enterprise` or `unknown`.
    """

    level: str
    basis: str
    notice: int
    deployment: str

    def of(self, sensitivity: Sensitivity | UnsetType) -> Receipt:
        """Return the receipt for events of one sensitivity."""
        return self._replace(level=level_of(self.level, sensitivity))


class First(NamedTuple):
    """The periods of which a session is the first one of its installation, by the UTC day on which it began.

    It travels beside the receipt, in a header of its own: collectors that do not know it go on taking the batch.

    Attributes:
        day: whether it is the first of its day.
        week: whether it is the first of its week, which begins on Monday.
        month: whether it is the first of its month.
    """

    day: bool = False
    week: bool = False
    month: bool = False


NOT_FIRST = First()


def format_first(first: First) -> str:
    """Return the header's value, `day, week`; empty, for no header, if the session is the first of nothing."""
    return ", ".join(name for name, is_first in first._asdict().items() if is_first)


def parse_first(header: str) -> First:
    """Parse a header's value; anything that no shipper writes is the first of nothing."""
    return _FIRSTS.get(header, NOT_FIRST)


# Whoever is the first of a week or of a month is the first of its day.
_FIRSTS = {
    format_first(first): first
    for first in (First(day=True, week=week, month=month) for week in (False, True) for month in (False, True))
}


def level_of(level: str, sensitivity: Sensitivity | UnsetType) -> str:
    """Return the level that applies to events of one sensitivity: under `technical` all but technical ones are local.

    Segments of versions that kept sensitivities together may hold either.
    """
    return "local" if level == "technical" and sensitivity != "technical" else level


def format_receipt(receipt: Receipt) -> str:
    """Return the header's value: `level=on; basis=host; notice=0; deployment=cloud`."""
    return "; ".join(f"{name}={value}" for name, value in receipt._asdict().items())


def format_catalog(label: str, digest: str) -> str:
    """Return the catalog header's value: `acme-db/3; sha256=…`, without the digest if it is not known."""
    return f"{label}; sha256={digest}" if digest else label


def parse_catalog(header: str) -> tuple[str, str] | None:
    """Parse a catalog header's value into product/version and digest, which may be empty; None for anything else."""
    found = _CATALOG.fullmatch(header)
    return (found[1], found[3] or "") if found and is_product(found[2]) else None


def parse_receipt(header: str) -> Receipt | None:
    """Parse a header's value; return None if it is no receipt or does not permit an upload."""
    parts = [part.strip().partition("=") for part in header.split(";")]
    said = {name: value for name, _, value in parts}
    if sorted(name for name, _, _ in parts) != sorted(Receipt._fields) or not _NOTICE.fullmatch(said["notice"]):
        return None
    receipt = Receipt(said["level"], said["basis"], int(said["notice"]), said["deployment"])
    return receipt if _says_yes(receipt) else None


def _says_yes(receipt: Receipt) -> bool:
    is_known = receipt.basis in BASES and receipt.deployment in {*DEPLOYMENTS, UNKNOWN}
    was_told = receipt.basis != CLOUD_DEFAULT or (receipt.notice > 0 and receipt.deployment == "cloud")
    return receipt.level in {"on", "technical"} and is_known and was_told
