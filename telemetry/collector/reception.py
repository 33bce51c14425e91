"""Reception of uploads: which may come in, how large and how fast. It knows no connection and no client's address.

An upload is let in by its head, its body goes to the keeper piece by piece, and its outcome is known when it is safe
there.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from telemetry.collector.judge import Refusal, judge
from telemetry.collector.keeper import Arrival, Keeper, Kept
from telemetry.collector.limits import LEAST_COST_BYTES, MOST_HELD_BACK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.collector.head import Head
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.tokens import Holder, Tokens

_NOBODY = ""  # as the name of a token
_OUR_FAULT = 500  # and above
_OTLP_ROUTE = "/v1/logs"
_LATER = {408, 507}  # which who speaks OTLP must not try again: of these it knows 503 alone


class Reception:
    """The parts of a collector that take uploads in.

    Args:
        keeper: keeps the batches.
        tokens: the tokens that permit uploads.
        metrics: counts uploads.
    """

    def __init__(self, keeper: Keeper, tokens: Tokens, metrics: Metrics) -> None:
        self._keeper = keeper
        self._tokens = tokens
        self._metrics = metrics

    def let_in(self, head: Head) -> Arrival | Kept | Refusal:  # noqa: PLR0911 a list of reasons
        """Let an upload in by its head, refuse it, or tell that its batch is here already."""
        holder = self._tokens.holder_of(head.headers.get("authorization", [""])[0])
        if holder is None:  # its token was good a moment ago
            self._metrics.answered(_NOBODY, 401)
            return Refusal(401, "the bearer token is missing or wrong")
        upload = judge(head.headers)
        if isinstance(upload, Refusal):
            return self._refused(holder, upload)
        if wait_seconds := holder.bucket.wait_seconds(monotonic()):
            return self._refused(holder, Refusal(429, "this token has exceeded its rate of uploads", wait_seconds))
        holder.bucket.charge(LEAST_COST_BYTES)
        if head.body_bytes > (most_bytes := self._keeper.most_bytes):
            return self._refused(holder, Refusal(413, f"the body is larger than {most_bytes} bytes"))
        if self._keeper.knows(upload.batch):
            self._metrics.answered(holder.name, 200)
            self._metrics.received(holder.name, head.body_bytes)
            return Kept(upload.batch, stored=False)
        try:
            return Arrival(holder, upload, head.path, self._keeper.begin(upload))
        except OSError as fault:
            return self._refused(holder, self._keeper.refuse(upload.batch, fault), head.path)

    def take(self, arrival: Arrival, piece: bytes) -> Refusal | None:
        """Take a piece of a body; a refusal ends the upload."""
        try:
            arrival.body.write(piece)
        except OSError as fault:
            return self.give_up(arrival, self._keeper.refuse(arrival.upload.batch, fault))
        arrival.holder.bucket.charge(len(piece))
        self._metrics.received(arrival.holder.name, len(piece))
        return None

    def give_up(self, arrival: Arrival, refusal: Refusal) -> Refusal:
        """Discard a body that will not be completed."""
        arrival.body.close()
        return self._refused(arrival.holder, refusal, arrival.route)

    async def finish(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:
        """Keep a body that has arrived; `is_awaited` tells whether the client still waits for the outcome."""
        try:
            try:
                answer = await self._keeper.keep(arrival, is_awaited)
            finally:
                arrival.body.close()
        except OSError as fault:
            answer = self._keeper.refuse(arrival.upload.batch, fault)
        if isinstance(answer, Refusal):
            return self._refused(arrival.holder, answer, arrival.route)
        self._metrics.answered(arrival.holder.name, 200, stored=answer.stored)
        return answer

    def _refused(self, holder: Holder, refusal: Refusal, route: str = "") -> Refusal:
        """Count a refusal, and hold its answer back if a holder has many: each refused upload costs a connection."""
        is_held_back = refusal.status < _OUR_FAULT
        if refusal.status in _LATER and route.endswith(_OTLP_ROUTE):
            refusal = refusal._replace(status=503)
        self._metrics.answered(holder.name, refusal.status)
        if not is_held_back:
            return refusal
        wait_seconds = holder.refusals.wait_seconds(monotonic())
        if wait_seconds < MOST_HELD_BACK_SECONDS:
            holder.refusals.charge(1)
        return refusal._replace(held_back_seconds=wait_seconds)
