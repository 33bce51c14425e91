"""Queue of waiting batches, which finds the newest that may leave. Pure: time is passed in.

A batch waits out its jitter in a heap ordered by the end of that jitter, and then in another ordered by age, so that a
look costs the same however many wait. Hurried batches are kept apart, because no pause of the backlog holds them.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from telemetry.spool.segment import id_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.shipper.delivery.pace import Pace
    from telemetry.spool.folder import Arrival

_MIN_SWEEP = 64
"""The number of batches at which those that have left are first removed; then again at twice as many as remain."""


class _Place(NamedTuple):
    """The place of a batch in a heap: ordered by `rank`, and within a rank latest first."""

    rank: float
    order: int
    arrival: Arrival


class Queue:
    """The batches that wait for their upload.

    A batch that has left meanwhile, by whatever way, is dropped when it is met.
    """

    def __init__(self, pace: Pace, awaits: Callable[[str], bool]) -> None:
        """Make an empty queue with a `pace`; `awaits` tells whether a data file still awaits delivery."""
        self._pace = pace
        self._awaits = awaits
        self._early: list[_Place] = []  # by when their jitter ends
        self._due: list[_Place] = []  # the newest first
        self._hurried: list[_Place] = []  # the same
        self._hurried_at = float("-inf")
        self._order = 0
        self._sweep_at = _MIN_SWEEP

    def add(self, arrival: Arrival) -> None:
        """Add a batch."""
        self._order -= 1
        if arrival.seen_at <= self._hurried_at:
            heappush(self._hurried, _Place(-arrival.seen_at, self._order, arrival))
        else:
            due_at = self._pace.due_at(id_of(arrival.file), arrival.seen_at)
            heappush(self._early, _Place(due_at, self._order, arrival))
        if len(self._early) + len(self._due) + len(self._hurried) >= self._sweep_at:
            self._sweep()

    def newest(self, now: float, is_doubted: Callable[[str], bool]) -> Arrival | None:
        """Return the newest batch that may leave, or None.

        Args:
            now: the present time.
            is_doubted: tells, by its id, whether a batch has to wait for another one to go through.
        """
        self._hurry()
        while self._early and self._early[0].rank <= now:
            _, order, arrival = heappop(self._early)
            heappush(self._due, _Place(-arrival.seen_at, order, arrival))
        return self._newest_of(self._due, now, is_doubted) or self._newest_of(self._hurried, now, is_doubted)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the jitter of another batch ends; infinite if none waits for that."""
        return self._early[0].rank - now if self._early else float("inf")

    def _newest_of(self, heap: list[_Place], now: float, is_doubted: Callable[[str], bool]) -> Arrival | None:
        passed_over = []
        found = None
        while heap and found is None:
            arrival = heap[0].arrival
            id_ = id_of(arrival.file)
            if not self._awaits(arrival.file):
                heappop(heap)
            elif self._pace.pauses(arrival.seen_at, now):  # and so does all that is older
                break
            elif self._pace.wait_seconds(id_, arrival.seen_at, now) > 0 or is_doubted(id_):
                passed_over.append(heappop(heap))
            else:
                found = arrival
        for place in passed_over:
            heappush(heap, place)
        return found

    def _hurry(self) -> None:
        """Set apart the batches that have been hurried since the last look."""
        if self._pace.hurried_at <= self._hurried_at:
            return
        self._hurried_at = self._pace.hurried_at
        for heap in (self._early, self._due):
            for _, order, arrival in heap:
                if arrival.seen_at <= self._hurried_at:
                    heappush(self._hurried, _Place(-arrival.seen_at, order, arrival))
            heap[:] = [place for place in heap if place.arrival.seen_at > self._hurried_at]
            heapify(heap)

    def _sweep(self) -> None:
        """Remove the batches that have left; at the bottom of a heap they would stay as long as an outage lasts."""
        heaps = (self._early, self._due, self._hurried)
        for heap in heaps:
            heap[:] = [place for place in heap if self._awaits(place.arrival.file)]
            heapify(heap)
        self._sweep_at = max(_MIN_SWEEP, 2 * sum(map(len, heaps)))
