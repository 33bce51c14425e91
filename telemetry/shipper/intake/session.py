"""Session: a stretch of the shipper's run that nothing on the wire links to another."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

from telemetry.catalog.model import SENSITIVITIES
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from telemetry.catalog.model import Sensitivity


class Session:
    """One session's random id, its secret, and its account.

    It lasts no longer than the consent it began under: events collected before a no can't be linked to later ones.

    Attributes:
        id: a random id on every event of the session and on no other; it holds no time and no machine.
        secret: the key of identifiers' tokens; it is never written down, so the tokens mean nothing afterwards.
        tallies: by sensitivity, the counts of the events so far that may leave; each upload carries its own.
        is_used: whether anything was collected in it.
        since_unix_seconds: the date of the stored consent, 0 for none; it stays on this machine.
        began: the monotonic time in seconds when it began.
    """

    def __init__(self, since_unix_seconds: float = 0.0) -> None:
        self.id = os.urandom(16).hex()
        self.secret = os.urandom(32)
        self.tallies: dict[Sensitivity, Tally] = {sensitivity: Tally() for sensitivity in SENSITIVITIES}
        self.is_used = False
        self.since_unix_seconds = since_unix_seconds
        self.began = monotonic()
