"""Sampling and capping of events as the catalog asks; the weights of the events kept add up to a fair count.

With `sample = p` an event is kept with probability p and weighs 1/p. With `max_per_second = n` the first n of a second
are kept, and the weight of the events dropped is added to that of the next one kept. Where several shippers run side by
side, each keeps its share of them, and all together no more in any second.

A second is one of the events' own time, not of the shipper's clock: the same events are kept whether they come one by
one or all at once after a stall. Threads and processes mix, so an event that is a little late counts to the newest
second. A larger step back means that a clock was set, or that the event is another host's: it begins a second of its
own, lest a time in the far future starve all events after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.drops import DropReason
from telemetry.shipper.lane import ONLY, Lane

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.compile import Compiled, Envelope
    from telemetry.catalog.model import Event
    from telemetry.spool.tally import Tally

_LATE_SECONDS = 2  # producers flush every 0.05 s; a loaded machine may take longer
_NS = 1_000_000_000


class Sampler:
    """The decision to keep or drop each event; holds the count of the running second of each capped event."""

    def __init__(self, compiled: Compiled, random: Callable[[], float], lane: Lane = ONLY) -> None:
        """Sample the events of `compiled`; `random` returns numbers from 0 up to, not including, 1."""
        self._limits = {
            fields: _Limit(plan.event, random, lane) for fields, plan in compiled.plans.items() if plan.event.weighted
        }

    def sample(self, events: list[Envelope], tally: Tally) -> list[Envelope]:
        """Return the events that are kept, in order, with `fields.weight` set if the catalog thins them out.

        The others are counted in `tally` as dropped: `sampled`. If the catalog thins out nothing, `events` is returned.
        """
        limits = self._limits
        if not limits:
            return events
        kept = [event for event in events if (limit := limits.get(type(event.fields))) is None or limit.keeps(event)]
        tally.drop(DropReason.SAMPLED, len(events) - len(kept))
        return kept


class _Limit:
    """The share and the cap of one event."""

    def __init__(self, event: Event, random: Callable[[], float], lane: Lane) -> None:
        self._share = event.sample
        self._weight = 1.0 / event.sample
        self._max_per_second = event.max_per_second
        self._random = random
        self._lane = lane
        self._most = lane.share_of(event.max_per_second or 0)
        self._second = 0
        self._seen = 0
        self._carried = 0.0

    def keeps(self, event: Envelope) -> bool:
        """Tell whether to keep `event`; if so, set its weight."""
        if self._share < 1.0 and self._random() >= self._share:
            return False
        if self._max_per_second is not None and self._is_beyond(self._max_per_second, event.time_ns // _NS):
            self._carried += self._weight
            return False
        event.fields.weight = self._weight + self._carried
        self._carried = 0.0
        return True

    def _is_beyond(self, max_per_second: int, second: int) -> bool:
        """Count an event within its second, and tell whether as many as may be kept were counted before."""
        if not self._second - _LATE_SECONDS <= second <= self._second:
            self._second = second
            self._seen = 0
            self._most = self._lane.share_of(max_per_second, second)
        self._seen += 1
        return self._seen > self._most
