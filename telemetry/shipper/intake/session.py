"""Session: a stretch of the shipper's run that nothing on the wire links to another."""

from __future__ import annotations

import datetime as dt
import os
from functools import cached_property
from time import monotonic
from typing import TYPE_CHECKING

from telemetry.catalog.model import SENSITIVITIES
from telemetry.receipt import NOT_FIRST
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Sensitivity
    from telemetry.receipt import First


class Session:
    """One session's random id, its secret, and its account.

    It lasts no longer than the consent it began under, so that events collected before a no can't be linked to later
    ones; and no longer than its UTC day, so that it can be the first of one.

    Attributes:
        id: a random id on every event of the session and on no other; it holds no time and no machine.
        secret: the key of identifiers' tokens; it is never written down, so the tokens mean nothing afterwards.
        tallies: by sensitivity, the counts of the events so far that may leave; each upload carries its own.
        is_used: whether anything was collected in it.
        since_unix_seconds: the date of the stored consent, 0 for none; it stays on this machine.
        began: the monotonic time in seconds when it began.
        day: the UTC day on which it began; it stays on this machine.
    """

    def __init__(
        self,
        since_unix_seconds: float = 0.0,
        day: dt.date = dt.date.min,
        claim: Callable[[dt.date], First] = lambda _: NOT_FIRST,
    ) -> None:
        """Begin a session; `claim` is asked at most once, when the first of its events that may leave is written."""
        self.id = os.urandom(16).hex()
        self.secret = os.urandom(32)
        self.tallies: dict[Sensitivity, Tally] = {sensitivity: Tally() for sensitivity in SENSITIVITIES}
        self.is_used = False
        self.since_unix_seconds = since_unix_seconds
        self.began = monotonic()
        self.day = day
        self._claim = claim

    @cached_property
    def first(self) -> First:
        """The periods of which it is the installation's first session; claimed for it by the first look."""
        return self._claim(self.day)
