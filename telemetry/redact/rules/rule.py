"""What a rule is, and how one is applied to a text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.rules.placeholder import MARKS

if TYPE_CHECKING:
    from collections.abc import Callable

END = r"[^a-z0-9_\-]"
"""For prefilters: after a word. It matches the scanner's separator, so it holds at the end of a text too."""
QUOTED = r"(?:\"(?:[^\"\\]|\\.)*+\"?|'(?:[^'\\]|\\.)*+'?|`[^`]*+`?)"  # an unfinished one runs to the end of the text
_CLOSING = ".,;:!?)]}>'\"`"


class Rule(NamedTuple):
    """One kind of private data.

    Attributes:
        name: how findings and counters call it.
        prefilters: hyperscan expressions, case-insensitive. On ASCII texts one of them matches wherever `pattern`
            does; on other texts all rules are run.
        pattern: a candidate. Its time is linear, or bounded by a small constant times the length. A group `value`
            says where to look on when a candidate is not confirmed; without one, behind the candidate.
        confirm: what to write instead (marks for placeholders), or None: not private after all.
        example: a text with a candidate, for the self-test at start and the documentation.
        becomes: what all the rules together make of the example.
    """

    name: str
    prefilters: tuple[str, ...]
    pattern: re.Pattern[str]
    confirm: Callable[[re.Match[str]], str | None]
    example: str
    becomes: str

    def apply(self, text: str) -> tuple[str, int]:
        """Rewrite a text with marks; also returns how many candidates were replaced."""
        parts: list[str] = []
        copied = at = count = 0
        while match := self.pattern.search(text, at):
            new = self.confirm(match)
            if new is None or new == match[0]:
                at = _resume(match)
                continue
            parts += (text[copied : match.start()], new)
            copied = at = match.end()
            count += 1
        return "".join([*parts, text[copied:]]), count


def always(placeholder: str) -> Callable[[re.Match[str]], str | None]:
    """A confirmation for patterns that are exact already."""
    return lambda _match: placeholder


def split_closing(candidate: str) -> tuple[str, str]:
    """Split the punctuation off that closes a sentence or a bracket around a candidate."""
    body = candidate.rstrip(_CLOSING)
    return body, candidate[len(body) :]


def only_marks(value: str) -> bool:
    """Whether a value is a placeholder already."""
    return _ONLY_MARKS.fullmatch(value) is not None


_ONLY_MARKS = re.compile(rf"[\W_]*[{MARKS}][\W_{MARKS}]*", re.ASCII)


def _resume(match: re.Match[str]) -> int:
    value = match.start("value") if "value" in match.re.groupindex else match.end()
    return max(value, match.start() + 1)
