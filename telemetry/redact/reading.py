"""One spelling of a text while the exact rules go over it, each only where its prefilters matched.

A replacement is shorter or longer than the original, so the places that the scanner named move. They are followed as
long as that is certain; otherwise a rule searches the whole text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from telemetry.redact.rest import without_rests
from telemetry.redact.rules import RULES
from telemetry.redact.rules.placeholder import mark, protect, reveal
from telemetry.redact.rules.rule import EVERYWHERE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.redact.allowance import Allowance
    from telemetry.redact.rules.rule import Edit, Rule, Span

_EDITS = 32  # of one text are kept in mind
_VALUE = re.compile(
    r"(?=\S*[0-9]|\S*[a-z][A-Z]+[a-z]+[A-Z])(?=\S*[A-Za-z])\S{6,2000}|[0-9]{8,200}"
)  # a word alone may mean another thing elsewhere


class Reading:
    """One spelling of a text while the exact rules go over it.

    Attributes:
        text: the present text, with marks.
        names: the name of a rule for each candidate that was replaced.
        allowance: the allowance that pays for the reading.
    """

    def __init__(self, text: str, fired: Mapping[int, Span], allowance: Allowance) -> None:
        """Begin to read.

        Args:
            text: at most `MAX_TEXT_BYTES` long.
            fired: the rules to run, by their numbers, and where their prefilters matched.
            allowance: the allowance that pays for the reading.
        """
        self.text = protect(text)
        self.names: list[str] = []
        self.allowance = allowance
        self._original = text
        self._taken: dict[str, str] = {}  # values that stood behind a key, and their marks
        self._fired = sorted(fired.items())
        # Where in the original something was replaced, and how long that is now; None when nobody knows.
        self._edits: list[Edit] | None = [] if len(self.text) == len(text) else None
        # Marks are shorter than placeholders: until something is replaced, a hit lies at most so much further left.
        self._shorter: int | None = len(text) - len(self.text)

    def apply(self, start: int, stop: int) -> None:
        """Run the rules in a range of numbers; raise UnreadableError if the allowance is used up."""
        last = self._fired[-1][0] if self._fired else 0
        for number, span in self._fired:
            if start <= number < stop and (now := self._find(span)):
                rule, before = RULES[number], self.text
                self.text, edits = rule.apply(before, now, self.allowance)
                if edits:
                    self._take(before, edits, rule)
                    self.names += [rule.name] * len(edits)
                    self._shorter = None
                    if number < last:
                        self._note(edits)

    def replace(self, text: str) -> None:
        """Go on with a text that was changed in another way."""
        self.text, self._edits, self._shorter = text, None, None

    def result(self) -> tuple[str, list[str]]:
        """Return the rewritten text, and the names."""
        if not self.names:
            return self._original, []
        text = self.text
        for value, placeholder in self._taken.items():
            text = text.replace(value, placeholder)
        return reveal(without_rests(text)), self.names

    def _take(self, before: str, edits: list[Edit], rule: Rule) -> None:
        """Remember what was taken for a secret, because it is one wherever it stands."""
        if rule.name.startswith("secret"):
            for start, end, _ in edits[:_EDITS]:
                value = before[start:end].strip("\"'`")
                if _VALUE.fullmatch(value):
                    self._taken[value] = mark(rule.name)

    def _find(self, span: Span) -> Span | None:
        """Return the present place of a span.

        None if all the scanner saw there was replaced, as the next round reads that.
        """
        first, last = span
        if self._shorter is not None:
            return first - self._shorter, last
        if self._edits is None:
            return EVERYWHERE
        grown = shrunk = 0
        for start, end, length in self._edits:
            if start < first and last <= end + 1:
                return None
            if start < last:
                growth = start + length - end
                if growth > 0:
                    grown += growth
                else:
                    shrunk -= growth
        return first - shrunk, last + grown

    def _note(self, edits: list[Edit]) -> None:
        if self._edits == []:
            self._edits = edits
        elif self._edits is not None:
            self._edits = _merge(self._edits, edits)


def _merge(known: list[Edit], edits: list[Edit]) -> list[Edit] | None:
    """Add edits of the rewritten text to those of the original; return None if one touches a replacement."""
    if len(known) + len(edits) > _EDITS:
        return None
    moved = [(_original(known, start), _original(known, end), length) for start, end, length in edits]
    for start, end, _ in moved:
        if start < 0 or end < 0 or any(start < other[1] and other[0] < end for other in known):
            return None
    return sorted([*known, *moved])


def _original(edits: list[Edit], position: int) -> int:
    """Return where a position of the rewritten text was in the original; a negative number within a replacement."""
    for start, end, length in edits:
        if position <= start:
            break
        if position < start + length:
            return -1
        position += end - start - length
    return position
