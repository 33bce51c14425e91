"""A session: a stretch of the shipper's run that nothing on the wire joins to another."""

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

    It lasts no longer than the consent it began under: what was collected before a no can't be joined to what follows.

    Attributes:
        id: on every event of the session and on no other; no time in it, no machine.
        secret: keys the tokens of identifiers; it is never written down, so they mean nothing afterwards.
        tallies: by sensitivity, of what may leave of all that was collected so far; with each upload goes its own.
        is_used: whether anything was collected in it.
        since_unix_seconds: the date of that consent, 0 when none is stored; it stays on this machine.
        began: monotonic seconds.
    """

    def __init__(self, since_unix_seconds: float = 0.0) -> None:
        self.id = os.urandom(16).hex()
        self.secret = os.urandom(32)
        self.tallies: dict[Sensitivity, Tally] = {sensitivity: Tally() for sensitivity in SENSITIVITIES}
        self.is_used = False
        self.since_unix_seconds = since_unix_seconds
        self.began = monotonic()
