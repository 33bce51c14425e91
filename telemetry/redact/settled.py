"""Memory of redacted texts that a further look has left unchanged, so that they need not be looked at again.

Programs say the same sentences over and over, and the parts that differ are mostly those that were replaced. Nothing
private is remembered: these texts leave.
"""

from __future__ import annotations

MAX_TEXTS = 4096
"""The number of texts remembered: half a megabyte of sentences of a hundred characters."""

MAX_CHARACTERS = 256
"""The length of the longest text remembered: a longer one is not likely to come again."""


class Settled:
    """The texts that are settled, each with the cost of looking at it; beyond the limit it starts again, empty."""

    def __init__(self) -> None:
        self._costs: dict[str, int] = {}
        self.cost = self._costs.get  # None when the text has to be looked at

    def add(self, text: str, cost: int = 0) -> None:
        """Remember a text that was not changed."""
        if len(text) > MAX_CHARACTERS:
            return
        if len(self._costs) >= MAX_TEXTS:
            self._costs.clear()
        self._costs[text] = cost

    def clear(self) -> None:
        """Forget all texts, because different things are looked for."""
        self._costs.clear()
