"""Rules of redaction, and their application to a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.rules.placeholder import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.redact.allowance import Allowance

END = r"[^a-z0-9_\-]"
"""The end of a word in a prefilter. It matches the scanner's separator, so it holds at the end of a text too."""
QUOTED = r"(?:\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?|`[^`]*+`?)"  # an unfinished one runs to the end of the text


def nested(quote: str) -> str:
    """Return an expression for a quoted text on a line that may have quotes of the same kind within."""
    # A quote that a letter follows closes nothing: `value "for user "amy" failed"`.
    return rf"{quote}(?!\\*{quote})[^{quote}\n]+{quote}(?:[\w/\\@][^{quote}\n]*{quote}?)*+"


DOUBLY_QUOTED = r"(?:\"\"[\w.@\\-]+\"\"|''[\w.@\\-]+'')"
"""A name in doubled quotes, as SQL and tables with commas write quotes within quotes."""
_WRITTEN = re.compile(f"[{MARKS}](?:.*[{MARKS}])?", re.DOTALL)
_CLOSING = ".,;:!?)]}>'\"`"
_CANDIDATE_CHARACTERS = 24  # to confirm one takes about as long as to search so many characters
_LEAD = 512  # a candidate begins at most so far before the end of a hit, or at the blank before that


Span = tuple[int, int]
"""The span of a prefilter's matches in a text: the end of its first and of its last match, in characters."""

EVERYWHERE: Span = (0, 1 << 62)
"""The span of a rule whose prefilters were not asked."""

Edit = tuple[int, int, int]
"""The start and end of a replaced part of a text, and the length of its replacement."""


class Rule(NamedTuple):
    """A rule that finds and replaces one kind of private data.

    Attributes:
        name: the name of the kind in findings and counters.
        prefilters: hyperscan expressions, case-insensitive. One of them matches wherever `pattern` does, and ends
            inside the candidate or right behind it.
        pattern: a candidate. Its time is linear, or bounded by a small constant times the length. A group `value`
            says where to look on when a candidate is not confirmed; without one, behind the candidate.
        confirm: returns the replacement of a candidate, with marks for placeholders; None if it is not private.
        example: a text with a candidate, for the self-test at start and the documentation.
        becomes: the example as all rules together rewrite it.
        weight: the time to confirm a character of a candidate, in characters searched.
        pace: the number of characters searched in the time that rules take for one in a log: 1, or
            3 where most characters fail the first test.
    """

    name: str
    prefilters: tuple[str, ...]
    pattern: re.Pattern[str]
    confirm: Callable[[re.Match[str]], str | None]
    example: str
    becomes: str
    weight: int = 2
    pace: int = 1

    def apply(self, text: str, span: Span, allowance: Allowance) -> tuple[str, list[Edit]]:
        """Rewrite a text with marks; return it, and the parts that were replaced, from left to right.

        Args:
            text: what to rewrite.
            span: where the prefilters matched in it; only candidates there are looked for.
            allowance: what the reading is taken from.

        Raises:
            UnreadableError: the allowance is used up.
        """
        first, last = span
        at = _first_blank_before(text, first - _LEAD) if first > _LEAD else 0
        allowance.spend((min(len(text), last) - at) // self.pace)
        search = self.pattern.search
        parts: list[str] = []
        edits: list[Edit] = []
        copied = 0
        # Of a candidate that begins at the last match's end, or one character before it, the prefilter saw nothing.
        while at + 1 < last and (match := search(text, at)):
            start, end = match.span()
            allowance.spend(_CANDIDATE_CHARACTERS + self.weight * (end - start))
            new = self.confirm(match)
            if new is None or new == match[0]:
                at = _resume(match)
                continue
            parts += (text[copied:start], new)
            edits.append((start, end, 1) if len(new) == 1 else _edit(start, end, new))  # by far the most: a mark alone
            copied = at = end
        return ("".join([*parts, text[copied:]]), edits) if edits else (text, edits)


def always(placeholder: str) -> Callable[[re.Match[str]], str | None]:
    """Return a confirmation for a pattern that is exact already."""
    return lambda _match: placeholder


def split_closing(candidate: str) -> tuple[str, str]:
    """Split a candidate from the punctuation behind it that closes a sentence or a bracket."""
    body = candidate.rstrip(_CLOSING)
    return body, candidate[len(body) :]


def only_marks(value: str) -> bool:
    """Tell whether a value is a placeholder already."""
    return _ONLY_MARKS.fullmatch(value) is not None


_ONLY_MARKS = re.compile(rf"[\W_]*[{MARKS}][\W_{MARKS}]*", re.ASCII)


def _first_blank_before(text: str, position: int) -> int:
    return max(text.rfind(" ", 0, position), text.rfind("\n", 0, position)) + 1


def _edit(start: int, end: int, new: str) -> Edit:
    """Return the part that was really replaced: before its first mark and behind its last, `new` is as it was."""
    written = _WRITTEN.search(new)
    if written is None:
        return start, end, len(new)
    head, tail = written.start(), len(new) - written.end()
    return start + head, max(start + head, end - tail), len(new) - head - tail


def _resume(match: re.Match[str]) -> int:
    value = match.start("value") if "value" in match.re.groupindex else match.end()
    return max(value, match.start() + 1)
