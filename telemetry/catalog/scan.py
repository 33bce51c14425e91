"""Scan of many texts for all templates of a `message` field at once.

Each template is a pattern of hyperscan: its constants, with anything between them, from one edge of a text to the
other. A hole's type is no part of it, so a text that is found may still be none of the template's.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from telemetry.redact.database import open_database
from telemetry.redact.scanner import SEPARATOR, ScannerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from telemetry.catalog.template import Part

_EDGE = rb"\xff"
_ANYTHING = rb"[^\xff]*"


class TemplateScan:
    """The compiled patterns of templates. For use in one thread, as hyperscan's scratch space is not shared."""

    def __init__(self, templates: Sequence[Sequence[Part]], cache: Path | None) -> None:
        """Compile the patterns, or take them from `cache`, a directory that may hold them compiled.

        Raises:
            ScannerUnavailableError: hyperscan can't be imported or refuses a pattern.
        """
        try:
            import hyperscan  # noqa: PLC0415 - there is no wheel for every platform
        except ImportError:
            raise ScannerUnavailableError("hyperscan can't be imported") from None
        expressions, numbers = list(map(_expression, templates)), list(range(len(templates)))
        try:
            self._database = open_database(hyperscan, expressions, numbers, cache, folds_case=False)
        except hyperscan.error as error:
            raise ScannerUnavailableError(f"hyperscan refuses a template's pattern: {error}") from None

    def find(self, texts: Sequence[str]) -> tuple[list[int | None], dict[int, list[int]]]:
        """Return which templates each text may fit.

        Returns:
            For each text the index of one such template, or None; and by the index of a text those of all others.
        """
        encoded = list(map(str.encode, texts))
        by_end: dict[int, int] = {}
        more: list[tuple[int, int]] = []

        def on_hit(template: int, _start: int, end: int, _flags: int, _context: object) -> None:
            if end in by_end:
                more.append((end, template))
            else:
                by_end[end] = template

        self._database.scan(SEPARATOR.join([b"", *encoded, b""]), match_event_handler=on_hit)
        ends = [before + length for before, length in enumerate(accumulate(map(len, encoded)), 2)]
        others: dict[int, list[int]] = {}
        for end, template in more:
            others.setdefault(bisect_left(ends, end), []).append(template)
        return list(map(by_end.get, ends)), others


def _expression(parts: Sequence[Part]) -> bytes:
    pieces = [_literal(part.encode()) if isinstance(part, str) else _ANYTHING for part in parts]
    # What begins with a hole begins anywhere: it is found sooner if its beginning is not asked for.
    pieces[:1] = [_EDGE, pieces[0]] if isinstance(parts[0], str) else []
    return b"".join((*pieces, _EDGE))


def _literal(constant: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in constant)
