"""Counters: each call appends; the tally is made later, one event a second for each name and set of fields."""

from __future__ import annotations

from collections import Counter, deque
from operator import index
from typing import TYPE_CHECKING, Any

from telemetry.producer.alone import alone
from telemetry.producer.native import Lock

if TYPE_CHECKING:
    from collections.abc import Callable

TALLY_SECONDS = 1.0
"""One aggregate a second."""

TALLY_CALLS = 4096
"""Calls that may wait for a tally; it bounds memory between two rounds of the flusher."""

Aggregate = tuple[str, dict[str, Any]]


class Counters:
    """Calls of `count`, waiting and tallied. Appending to `calls` is safe from anywhere, as in the outbox."""

    def __init__(self) -> None:
        self.calls: deque[tuple[str, int, dict[str, Any]]] = deque()
        self.renew()

    def __bool__(self) -> bool:
        return bool(self.calls or self._totals or self._apart)

    def renew(self) -> None:
        """Begin empty; in a forked child what waits is the parent's."""
        self.calls.clear()
        self._totals: Counter[tuple[str, tuple[tuple[str, Any], ...]]] = Counter()
        self._apart: list[Aggregate] = []
        self._lock = Lock()

    def tally(self) -> None:
        """Add the waiting calls to the totals, unless another thread is at it."""
        alone(self._lock, self._tally)

    def hand_over(self, receive: Callable[[list[Aggregate]], object], patience_seconds: float = 0.0) -> bool:
        """Give the totals away, as names and fields of events, `count` among the fields; begins again at nothing.

        Who finds nothing here can rely on it that `receive` has come back: else the end of a process, while a thread
        has taken the totals and not passed them on, would lose them.

        Args:
            receive: takes them; must not block.
            patience_seconds: how long to wait for another thread that has them in hand.

        Returns:
            False when that thread did not end in time.
        """
        return alone(self._lock, lambda: self._move(receive), patience_seconds)

    def _move(self, receive: Callable[[list[Aggregate]], object]) -> None:
        self._tally()
        taken: list[Aggregate] = [
            (name, {**dict(key), "count": number}) for (name, key), number in self._totals.items()
        ]
        taken += self._apart
        self._totals, self._apart = Counter(), []
        receive(taken)

    def _tally(self) -> None:
        popleft = self.calls.popleft
        for _ in range(len(self.calls)):
            name, number, fields = popleft()
            try:
                pairs = fields.items()
                # Their order does not matter, and one has none: most counters have one label or none.
                self._totals[name, tuple(sorted(pairs) if len(pairs) > 1 else pairs)] += index(number)
            except Exception:  # noqa: BLE001 a value's own __hash__ or __index__ may raise anything
                # No scalars, or no whole number: it goes on alone, to be dropped where every other such event is.
                self._apart.append((name, {**fields, "count": number}))
