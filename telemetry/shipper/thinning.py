"""The requests for less that a collector has made, between delivery, which hears them, and intake, which heeds them.

A request holds for the session whose batch it answers, and for no other. A collector that asks one installation for
odd shares, to know it again, finds them in that session alone, whose batches it can tell anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.thin import Asked

_NONE: Mapping[str, float] = {}


class Thinning:
    """The last request for less, with the session that it is for.

    Attributes:
        ignored: the number of requests, and entries of requests, that were ignored since the start.
    """

    def __init__(self) -> None:
        self.ignored = 0
        self._asked = ("", _NONE)  # set as one, for two threads look at it

    def hear(self, session: str, asked: Asked) -> None:
        """Take the request of a reply to a batch of a session; it replaces the one before."""
        self.ignored += asked.ignored
        if asked.shares is not None:
            self._asked = (session, asked.shares)

    def shares_of(self, session: str) -> Mapping[str, float]:
        """Return the shares that are asked for in a session, by event."""
        asked_of, shares = self._asked
        return shares if asked_of == session else _NONE
