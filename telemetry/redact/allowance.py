"""Bound on the cost of reading a text. It is counted, not timed, so a text is dropped on every machine or on none."""

from __future__ import annotations

from telemetry.redact.normalise import UnreadableError

PASSES = 22
"""The number of times that rules may read a text, all rounds and layers together. A log of which every line has
something private takes 8 to 17; with more, hostile text would take over 2 ms a KiB."""
_SHORTEST_CHARACTERS = 1024  # a shorter text may cost what one of this length may


class Allowance:
    """The remaining allowance of a text, in characters searched by a pattern."""

    __slots__ = ("left",)

    def __init__(self, characters: int) -> None:
        self.left = PASSES * max(characters, _SHORTEST_CHARACTERS)

    def spend(self, characters: int) -> None:
        """Spend some of it; raise UnreadableError if there is no more."""
        self.left -= characters
        if self.left < 0:
            raise UnreadableError("costly")
