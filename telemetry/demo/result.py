"""What a run came to: what the ledger says, held against what the producers said and what the collector has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.demo.run import Run
    from telemetry.demo.stored import Stored

COUNTER = "tokens_seen"
_DIGITS = 2


class Result(NamedTuple):
    """A run and what came of it."""

    run: Run
    stored: Stored

    @property
    def aggregates(self) -> int:
        """Events that the counter made: what the ledger has above what the producers emitted one by one."""
        return self.run.account.tally.emitted - sum(word.emitted for word in self.run.words)

    @property
    def host_cpu_us_per_event(self) -> float | None:
        """CPU time that telemetry took in the producers; None when they were interrupted."""
        return self._per_event(sum(word.host_cpu_seconds for word in self.run.words) * 1e6)

    @property
    def own_cpu_us_per_event(self) -> float | None:
        """CPU time that the producers took for their own work."""
        return self._per_event(sum(word.own_cpu_seconds for word in self.run.words) * 1e6)

    @property
    def shipper_cpu_us_per_event(self) -> float | None:
        """CPU time of the shipper's whole life, its start among it."""
        return self._per_event(self.run.shipper_cpu_seconds * 1e6)

    @property
    def bytes_per_event(self) -> float | None:
        """Bytes of the uploads' bodies for each event delivered."""
        delivered = self.run.account.delivered
        return self.stored.body_bytes / delivered if delivered else None

    def as_json(self) -> str:
        """All of it as one object."""
        run, tally = self.run, self.run.account.tally
        return json.dumps(
            {
                "emitted": tally.emitted,
                "delivered": run.account.delivered,
                "on_disk": run.account.on_disk,
                "in_flight": 0,  # no process is left
                "dropped": tally.dropped,
                "fields_dropped": tally.fields_dropped,
                "redacted": tally.redacted,
                "aggregates": None if run.interrupted else self.aggregates,
                "seconds": _rounded(run.seconds),
                "events_per_second": _rounded(tally.emitted / run.seconds if run.seconds else None),
                "host_cpu_us_per_event": _rounded(self.host_cpu_us_per_event),
                "shipper_cpu_us_per_event": _rounded(self.shipper_cpu_us_per_event),
                "bytes_per_event": _rounded(self.bytes_per_event),
                "stored": self.stored.events,
                "store": str(run.plan.store),
            }
        )

    def faults(self) -> Iterator[str]:
        """What does not add up; nothing does not, or there is a bug. For runs that were not interrupted."""
        run, stored = self.run, sum(self.stored.events.values())
        emitted = sum(word.emitted for word in run.words)
        if run.account.balance:
            yield f"the ledger does not balance: nothing accounts for {run.account.balance:,} events"
        if emitted != run.plan.events:
            yield f"the producers emitted {emitted:,} events, not {run.plan.events:,}"
        if not all(word.confirmed for word in run.words):
            yield "a producer ended before the shipper had confirmed all it had emitted"
        unseen = self.aggregates - self.stored.events.get(COUNTER, 0)
        if not 0 <= unseen <= run.account.tally.lost:
            yield f"the ledger holds {unseen:,} events that nobody emitted"
        if stored != run.account.delivered:
            yield f"the collector holds {stored:,} events, the ledger says {run.account.delivered:,} were delivered"

    def _per_event(self, total: float) -> float | None:
        emitted = self.run.account.tally.emitted
        return total / emitted if emitted and not self.run.interrupted else None


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, _DIGITS)
