"""Redacted texts that a further look has left as they are: they need not be looked at again.

Programs say the same sentences over and over, and what differs in them is mostly what was replaced. Nothing private is
kept in mind: these texts leave.
"""

from __future__ import annotations

MAX_TEXTS = 4096
"""Of sentences of a hundred characters, half a megabyte."""

MAX_CHARACTERS = 256
"""A longer text is not likely to come again."""


class Settled:
    """The texts, and what it cost to look at them; with too many of them it begins anew."""

    def __init__(self) -> None:
        self._costs: dict[str, int] = {}
        self.cost = self._costs.get  # None when the text has to be looked at

    def add(self, text: str, cost: int = 0) -> None:
        """Take note of a text that was not changed."""
        if len(text) > MAX_CHARACTERS:
            return
        if len(self._costs) >= MAX_TEXTS:
            self._costs.clear()
        self._costs[text] = cost

    def clear(self) -> None:
        """Forget all: what is looked for has changed."""
        self._costs.clear()
