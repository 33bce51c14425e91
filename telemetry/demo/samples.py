"""Comments before and after redaction: as they stand in this machine's files, and as the collector has stored them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.load import load
from telemetry.demo.producer import CATALOG
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.names.name import know
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.own_names import constants_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

SAMPLES = 8
_CHARACTERS = 100
"""Longer ones are no good for showing."""


class Sample(NamedTuple):
    """One comment.

    Attributes:
        before: in the file; it exists in memory only.
        after: in the collector's store.
        rules: that made the one of the other.
    """

    before: str
    after: str
    rules: tuple[str, ...]


def take_samples(comments: Sequence[str], stored: Collection[str]) -> list[Sample]:
    """The comments in which the shipper's own code finds something: at most `SAMPLES`, of many kinds.

    Args:
        comments: as they stand in files.
        stored: the comments that the collector has; what is not among them is no sample.
    """
    found = _varied(_redacted([text for text in comments if len(text) <= _CHARACTERS]))
    return [sample for sample in found if sample.after in stored][:SAMPLES]


def _redacted(comments: list[str]) -> list[Sample]:
    try:
        redactor = FreeTextRedactor(know(names_of_this_machine(), constants_of(load(CATALOG))))
    except ScannerUnavailableError:
        return []  # the shipper has none either: all free text is dropped, and counted
    findings = redactor.redact(comments)
    return [
        Sample(comments[index], finding.text, finding.rules)
        for index, finding in findings.items()
        if finding.text is not None
    ]


def _varied(samples: Iterable[Sample]) -> list[Sample]:
    """All samples, but the first of each kind ahead, then the second of each, ..."""
    seen: dict[tuple[str, ...], int] = {}
    ranked = []
    for sample in dict.fromkeys(samples):
        rank = seen[sample.rules] = seen.get(sample.rules, -1) + 1
        ranked.append((rank, sample))
    return [sample for _, sample in sorted(ranked, key=lambda pair: pair[0])]
