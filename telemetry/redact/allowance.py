"""How much reading a text may cost. Counted, not timed: what is dropped today is dropped on every machine."""

from __future__ import annotations

from telemetry.redact.normalise import UnreadableError

PASSES = 22
"""A text may be read so often by one rule or another, all rounds and layers together. A log of which every line has
something private takes 8 to 17; with more, hostile text would take over 2 ms a KiB."""
_SHORTEST_CHARACTERS = 1024  # a shorter text may cost what one of this length may


class Allowance:
    """What is left of it, in characters searched by a pattern."""

    __slots__ = ("left",)

    def __init__(self, characters: int) -> None:
        self.left = PASSES * max(characters, _SHORTEST_CHARACTERS)

    def spend(self, characters: int) -> None:
        """Take it; raises UnreadableError when there is no more."""
        self.left -= characters
        if self.left < 0:
            raise UnreadableError("costly")
