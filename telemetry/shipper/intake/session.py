"""A session: a stretch of the shipper's run that nothing on the wire joins to another."""

from __future__ import annotations

import os
from time import monotonic

from telemetry.spool.tally import Tally


class Session:
    """One session's random id, its secret, and its account.

    Attributes:
        id: on every event of the session and on no other; no time in it, no machine.
        secret: keys the tokens of identifiers; it is never written down, so they mean nothing afterwards.
        tally: of what was collected under "on" so far; it goes with each upload.
        is_used: whether anything was collected in it.
        began: monotonic seconds.
    """

    def __init__(self) -> None:
        self.id = os.urandom(16).hex()
        self.secret = os.urandom(32)
        self.tally = Tally()
        self.is_used = False
        self.began = monotonic()
