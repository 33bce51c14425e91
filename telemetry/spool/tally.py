"""The account of one stretch of work: a drain, a segment, a session. Tallies add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from telemetry.drops import DropReason


UNDECLARED_FIELD = "[field]"
"""Stands for a field that the catalog does not name: its name is data."""


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
    """

    emitted: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    fields_dropped: dict[str, int] = {}
    redacted: dict[str, int] = {}
    touched: dict[str, Touched] = {}

    def drop(self, reason: DropReason, events: int = 1) -> None:
        """Count `events` lost for `reason`."""
        _count(self.dropped, reason.value, events)

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

    def add(self, other: Tally) -> None:
        """Add another stretch of work to this one."""
        self.emitted += other.emitted
        self.kept += other.kept
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


def _count(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number
