"""Thinning of events as the collector asks: a share of an event is kept, with weights, or nothing of it.

Counters, distributions and reports are kept whole or not at all: a share of sums would be none of anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.drops import DropReason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry.catalog.compile import Compiled, Envelope
    from telemetry.spool.tally import Tally


class Thinner:
    """The decision to keep or drop each event by the present shares."""

    def __init__(self, compiled: Compiled, random: Callable[[], float]) -> None:
        """Thin the events of `compiled`; `random` returns numbers from 0 up to, not including, 1."""
        self._plans = compiled.plans
        self._random = random
        self._shares: Mapping[str, float] = {}
        self._by_type: dict[type, float] = {}

    def thin(self, events: list[Envelope], shares: Mapping[str, float], tally: Tally) -> list[Envelope]:
        """Return the events that are kept, in order, with `fields.weight` set where only a share is.

        The others are counted in `tally` as dropped: `thinned`.
        """
        if not shares:
            return events
        if shares is not self._shares:
            self._shares = shares
            self._by_type = {
                fields: share
                for fields, plan in self._plans.items()
                if (share := shares.get(plan.name)) is not None and (share == 0 or plan.event.may_weigh)
            }
        kept = [event for event in events if self._keeps(event)]
        tally.drop(DropReason.THINNED, len(events) - len(kept))
        return kept

    def _keeps(self, event: Envelope) -> bool:
        share = self._by_type.get(type(event.fields))
        if share is None:
            return True
        if self._random() >= share:
            return False
        event.fields.weight = (event.fields.weight or 1.0) / share
        return True
