"""Counters: each call appends; the tally is made later, one event a second for each name and set of fields."""

from __future__ import annotations

from collections import Counter, deque
from threading import Lock
from typing import Any

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
        if self._lock.acquire(blocking=False):
            try:
                self._tally()
            finally:
                self._lock.release()

    def take(self) -> list[Aggregate]:
        """The totals as names and fields of events, `count` among the fields; begins again at nothing."""
        if not self._lock.acquire(blocking=False):
            return []
        try:
            self._tally()
            totals, self._totals = self._totals, Counter()
            apart, self._apart = self._apart, []
        finally:
            self._lock.release()
        return [(name, {**dict(key), "count": number}) for (name, key), number in totals.items()] + apart

    def _tally(self) -> None:
        popleft = self.calls.popleft
        for _ in range(len(self.calls)):
            name, number, fields = popleft()
            try:
                self._totals[name, tuple(sorted(fields.items()))] += number
            except TypeError:
                # No scalar: it goes on alone, to be dropped and counted where every unencodable event is.
                self._apart.append((name, {**fields, "count": number}))
