"""The account of one stretch of work: a drain, a segment, a session. Tallies add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from telemetry.drops import DropReason

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

UNDECLARED_FIELD = "[field]"
"""Stands for a field that the catalog does not name: its name is data."""

UNMATCHED = "unmatched"
"""Counted as a rule: of a message that fits no template of the catalog."""


class Touched(msgspec.Struct, omit_defaults=True):
    """What was done to one field: values redacted by rule, values removed by reason."""

    redacted: dict[str, int] = {}
    dropped: dict[str, int] = {}


class Tally(msgspec.Struct, omit_defaults=True):
    """Counts of events by what became of them, of fields removed, and of redactions by rule.

    Every stage of the intake adds to the tally of the drain it works on. The law, which `balance` checks and the
    tests hold everything to: `emitted == kept + sum(dropped)`.

    `touched` says the same as `redacted` and `fields_dropped`, field by field, under `event.field`: names of the
    catalog, or `UNDECLARED_FIELD`. What was counted before it was kept, or is known of a whole segment only and not of
    its halves, is in the sums alone. No upload carries it.

    `late` is how many of those emitted had counted as lost before, when their producer was buried: see `settle_late`.
    """

    emitted: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    fields_dropped: dict[str, int] = {}
    redacted: dict[str, int] = {}
    touched: dict[str, Touched] = {}
    late: int = 0

    def drop(self, reason: DropReason, events: int = 1) -> None:
        """Count `events` lost for `reason`."""
        _count(self.dropped, reason.value, events)

    def take_back(self, reason: DropReason, events: int) -> None:
        """Count `events` no more that were counted as lost for `reason`."""
        _subtract(self.dropped, {reason.value: events})

    def settle_late(self) -> None:
        """Count what came late once: no more as emitted and lost by a producer that was buried before."""
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
        """Take out what was done to the fields of some events, by their names; it is no more counted here."""
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
        """The same counts, free to grow apart."""
        tally = Tally()
        tally.add(self)
        return tally

    @property
    def unmatched(self) -> dict[str, int]:
        """How many messages of each field fitted no template of the catalog."""
        counts = {field: touched.redacted.get(UNMATCHED, 0) for field, touched in self.touched.items()}
        return {field: number for field, number in counts.items() if number}

    @property
    def lost(self) -> int:
        """Events dropped for any reason."""
        return sum(self.dropped.values())

    @property
    def balance(self) -> int:
        """The events that nothing accounts for: 0, or there is a bug."""
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
