"""Questions of hosts about their events, over the control socket: are they durable, have they left, seal them now."""

from __future__ import annotations

import os
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from telemetry.rendezvous.control import Answer, Message
    from telemetry.shipper.delivery.uploader import Uploader
    from telemetry.shipper.intake.intake import Intake
    from telemetry.spool.spool import Spool

FLUSH_SECONDS = 1.0
"""The least interval between seals without jitter for hosts that wait for a delivery: all that ask
meanwhile are served together."""

MAX_AWAITED = 1_000
"""The number of hosts whose wait for a delivery is remembered."""


class Questions:
    """The answers to questions about events, from both loops and the spool between them.

    Attributes:
        answers: the functions that answer, by operation; see telemetry/rendezvous/control.py.
    """

    def __init__(self, intake: Intake, uploader: Uploader, spool: Spool) -> None:
        self._intake = intake
        self._uploader = uploader
        self._spool = spool
        self._met_before = frozenset(intake.positions)  # producers that an earlier shipper may have segments of
        self._awaited: dict[tuple[str, int, int], frozenset[str]] = {}
        self._flushed_at = float("-inf")
        self._id = os.urandom(8)
        self.answers: dict[str, Answer] = {"confirm": self._confirm, "deliver": self._deliver, "seal": self._seal}

    def _confirm(self, request: Message) -> Message:
        """Return how many of a producer's events are on disk, or accounted for there.

        Empty until it is what was asked for.

        A waiting host asks two hundred times a second, and a sync costs a quarter of a millisecond, so nothing is
        synced before the last frame has arrived.
        """
        position = self._intake.position_of(request["producer"].hex())
        dropped = sum(position.dropped.values())
        if position.settled < request.get("accepted", 0) or dropped < request.get("dropped", 0):
            return {}
        if not self._intake.make_durable():
            return {}
        said = {"shipper": self._id} if "shipper" in request else {}
        return {"accepted": position.settled, "dropped": dropped, **said}

    def _deliver(self, request: Message) -> Message:
        """Tell whether all that a producer had emitted has left the spool; empty while that is not known.

        The segments to wait for are fixed when they are sealed: others, and the producer itself, may go on emitting.
        """
        state = self._uploader.state if self._spool.delivers else self._spool.said
        if not self._intake.permission.uploads or state == "paused":
            return {"delivered": False}
        producer = request["producer"].hex()
        question = producer, request["accepted"], request["dropped"]
        if question not in self._awaited:
            if not self._confirm(request) or not self._seal_for_flush():
                return {}
            if len(self._awaited) >= MAX_AWAITED:  # the oldest may be gone; one that is not begins anew
                del self._awaited[next(iter(self._awaited))]
            self._awaited[question] = self._spool.holding(producer, or_unknown=producer in self._met_before)
        self._awaited[question] = self._spool.awaited(self._awaited[question])
        if self._awaited[question]:
            return {}
        del self._awaited[question]
        return {"delivered": True}

    def _seal_for_flush(self) -> bool:
        """Seal and upload what is there, without jitter; False if that was done a moment ago, or the disk refuses."""
        if monotonic() - self._flushed_at < FLUSH_SECONDS:
            return False
        self._flushed_at = monotonic()
        self._intake.seal_all()
        self._uploader.hurry()
        self._spool.ask_to_hurry()
        return self._intake.make_durable()

    def _seal(self, _request: Message) -> Message:
        """Seal and upload what is there; return how many segments wait."""
        self._intake.seal_all()
        self._uploader.hurry()
        return {"waiting": self._spool.waiting}
