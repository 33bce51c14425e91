"""Counters: each call appends; the tally is made later, one event a second for each name and set of fields."""

from __future__ import annotations

from collections import Counter, deque
from operator import index
from typing import Any

from telemetry.producer.alone import alone
from telemetry.producer.native import Lock

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

    def take(self, patience_seconds: float = 0.0) -> list[Aggregate] | None:
        """The totals as names and fields of events, `count` among the fields; begins again at nothing.

        Args:
            patience_seconds: how long to wait for another thread's tally; None when that did not end.
        """
        taken: list[Aggregate] = []
        return taken if alone(self._lock, lambda: self._move(taken), patience_seconds) else None

    def _move(self, taken: list[Aggregate]) -> None:
        self._tally()
        taken += [(name, {**dict(key), "count": number}) for (name, key), number in self._totals.items()]
        taken += self._apart
        self._totals, self._apart = Counter(), []

    def _tally(self) -> None:
        popleft = self.calls.popleft
        for _ in range(len(self.calls)):
            name, number, fields = popleft()
            try:
                self._totals[name, tuple(sorted(fields.items()))] += index(number)
            except Exception:  # noqa: BLE001 a value's own __hash__ or __index__ may raise anything
                # No scalars, or no whole number: it goes on alone, to be dropped where every other such event is.
                self._apart.append((name, {**fields, "count": number}))
