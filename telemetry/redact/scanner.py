"""Scanner that finds in one hyperscan pass which patterns may match in which of many texts.

The patterns are supersets: they report too much, never too little, and own code confirms. They work on bytes, because
HS_FLAG_UTF8 is undefined on invalid input. SINGLEMATCH is never set: it would report one hit per pattern and scan, so
all texts after the first would leak.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from telemetry.errors import TelemetryError
from telemetry.redact.database import open_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from telemetry.redact.rules.rule import Span

SEPARATOR = b"\xff"
"""A byte that never occurs in UTF-8, so no text can forge it. It surrounds every text, as an edge for patterns."""


class ScannerUnavailableError(TelemetryError):
    """Raised if free text can't be redacted here: hyperscan is missing, or its self-test failed."""


class Pattern(NamedTuple):
    """A hyperscan expression, case-insensitive unless it says otherwise, and the number that a match reports."""

    number: int
    expression: str


class Scanner:
    """A compiled database. For use in one thread, as hyperscan's scratch space is not shared."""

    def __init__(self, patterns: Iterable[Pattern], cache: Path | None = None) -> None:
        """Compile the patterns, or take them from `cache`, a directory that may hold them compiled.

        Raises:
            ScannerUnavailableError: hyperscan can't be imported or refuses a pattern.
        """
        numbers, expressions = zip(*patterns, strict=True)
        try:
            import hyperscan  # noqa: PLC0415 - there is no wheel for every platform

            encoded = [expression.encode("ascii") for expression in expressions]
            self._database = open_database(hyperscan, encoded, list(numbers), cache)
        except ImportError as error:
            raise ScannerUnavailableError(
                f"hyperscan can't be imported ({error}): install a wheel of it for this platform, "
                "or do without free text, which is dropped"
            ) from None
        except hyperscan.error as error:
            raise ScannerUnavailableError(f"hyperscan refuses a pattern: {error}") from None

    def scan(self, texts: Sequence[bytes]) -> dict[int, dict[int, Span]]:
        """Scan all texts at once.

        Args:
            texts: texts without the separator's byte.

        Returns:
            For each text with a hit, by its index: the patterns that matched in it, by their numbers, and where the
            first and the last match end, in bytes.
        """
        hits: list[tuple[int, int]] = []

        def on_hit(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            hits.append((end, number))

        self._database.scan(SEPARATOR.join([b"", *texts, b""]), match_event_handler=on_hit)
        return _by_text(texts, hits) if hits else {}

    def scan_one(self, text: bytes) -> dict[int, Span]:
        """Scan one text, with the result of `scan` for it; faster if patterns match at each character."""
        first: dict[int, int] = {}
        last: dict[int, int] = {}

        def on_hit(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            last[number] = end
            if number not in first:
                first[number] = end

        self._database.scan(SEPARATOR + text + SEPARATOR, match_event_handler=on_hit)
        return {number: (end - 1, last[number] - 1) for number, end in first.items()}


def _by_text(texts: Sequence[bytes], hits: list[tuple[int, int]]) -> dict[int, dict[int, Span]]:
    # The separator belongs to the text before it; a match is never empty, so an end offset names one text.
    starts = list(accumulate((len(text) + 1 for text in texts), initial=1))
    fired: dict[int, dict[int, Span]] = {}
    start = next_start = 0
    spans: dict[int, Span] = {}
    for end, number in hits:  # in the order of their ends
        if end > next_start:
            index = bisect_left(starts, end) - 1
            start, next_start = starts[index], starts[index + 1]
            spans = fired[index] = {}
        at = end - start
        spans[number] = (spans[number][0], at) if number in spans else (at, at)
    return fired
