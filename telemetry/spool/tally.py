"""The tally: an account of one stretch of work, be it a drain, a segment or a session. Tallies add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from telemetry.drops import DropReason

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

UNDECLARED_FIELD = "[field]"
"""A stand-in for any field that the catalog does not name: the field's own name is data."""

UNMATCHED = "unmatched"
"""The name under which a message that fits no template of the catalog is counted, as if it were a rule."""


class Touched(msgspec.Struct, omit_defaults=True):
    """Changes to one field: values redacted by rule, values removed by reason."""

    redacted: dict[str, int] = {}
    dropped: dict[str, int] = {}


class Tally(msgspec.Struct, omit_defaults=True):
    """Counts of events by their fate, of fields removed, and of redactions by rule.

    Every stage of the intake adds to the tally of the drain it works on. The law, which `balance` checks and the tests
    hold everything to: `emitted == kept + sum(dropped)`.

    `touched` repeats `redacted` and `fields_dropped` field by field, under `event.field`: names of the catalog, or
    `UNDECLARED_FIELD`. Counts of older versions, and those known of a whole segment but not of its halves, are in the
    sums alone. No upload carries `touched`.

    `late` is the number of emitted events that had counted as lost before, when their producer was buried: see
    `settle_late`.
    """

    emitted: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    fields_dropped: dict[str, int] = {}
    redacted: dict[str, int] = {}
    touched: dict[str, Touched] = {}
    late: int = 0

    def drop(self, reason: DropReason, events: int = 1) -> None:
        """Count `events` as lost for `reason`."""
        _count(self.dropped, reason.value, events)

    def take_back(self, reason: DropReason, events: int) -> None:
        """Stop counting `events` as lost for `reason`."""
        _subtract(self.dropped, {reason.value: events})

    def settle_late(self) -> None:
        """Count late events once: no longer also as emitted and lost by a producer that was buried before."""
        events = min(self.late, self.dropped.get(DropReason.EXIT_UNCONFIRMED.value, 0))
        self.take_back(DropReason.EXIT_UNCONFIRMED, events)
        self.emitted -= events
        self.late = 0

    def drop_field(self, field: str, reason: DropReason, values: int = 1) -> None:
        """Count `values` of `field`, named as in `touched`, that were removed from events that went on without them."""
        if values:
            _count(self.fields_dropped, reason.value, values)
            _count(self._touched(field).dropped, reason.value, values)

    def redact(self, field: str, rule: str, values: int = 1) -> None:
        """Count `values` of `field`, named as in `touched`, in which `rule` replaced something."""
        if values:
            _count(self.redacted, rule, values)
            _count(self._touched(field).redacted, rule, values)

    def take_fields(self, events: Container[str]) -> Tally:
        """Move the counts for the fields of some events, given by name, into a new tally."""
        taken = Tally()
        for label in [label for label in self.touched if label.partition(".")[0] in events]:
            touched = self.touched.pop(label)
            taken.touched[label] = touched
            for sums, of_taken, values in (
                (self.redacted, taken.redacted, touched.redacted),
                (self.fields_dropped, taken.fields_dropped, touched.dropped),
            ):
                _add(of_taken, values)
                _subtract(sums, values)
        return taken

    def add(self, other: Tally) -> None:
        """Add another stretch of work to this one."""
        self.emitted += other.emitted
        self.kept += other.kept
        self.late += other.late
        _add(self.dropped, other.dropped)
        _add(self.fields_dropped, other.fields_dropped)
        _add(self.redacted, other.redacted)
        for field, theirs in other.touched.items():
            mine = self._touched(field)
            _add(mine.redacted, theirs.redacted)
            _add(mine.dropped, theirs.dropped)

    def copy(self) -> Tally:
        """Return an independent copy."""
        tally = Tally()
        tally.add(self)
        return tally

    @property
    def unmatched(self) -> dict[str, int]:
        """The number of messages of each field that fitted no template of the catalog."""
        counts = {field: touched.redacted.get(UNMATCHED, 0) for field, touched in self.touched.items()}
        return {field: number for field, number in counts.items() if number}

    @property
    def lost(self) -> int:
        """The number of events dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def balance(self) -> int:
        """The number of events that are unaccounted for: 0, or there is a bug."""
        return self.emitted - self.kept - self.lost

    def _touched(self, field: str) -> Touched:
        touched = self.touched.get(field)
        if touched is None:
            touched = self.touched[field] = Touched()
        return touched


def _add(counts: dict[str, int], others: dict[str, int]) -> None:
    for name, number in others.items():
        _count(counts, name, number)


def _subtract(counts: dict[str, int], others: Mapping[str, int]) -> None:
    for name, number in others.items():
        if (left := counts.get(name, 0) - number) > 0:
            counts[name] = left
        else:
            counts.pop(name, None)


def _count(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number
