"""The account of one stretch of work: a drain, a segment, a session. Tallies add up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from telemetry.drops import DropReason


class Tally(msgspec.Struct, omit_defaults=True):
    """Counts of events by what became of them, of fields removed, and of redactions by rule.

    Every stage of the intake adds to the tally of the drain it works on. The law, which `balance` checks and the
    tests hold everything to: `emitted == kept + sum(dropped)`.
    """

    emitted: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    fields_dropped: dict[str, int] = {}
    redacted: dict[str, int] = {}

    def drop(self, reason: DropReason, events: int = 1) -> None:
        """Count `events` lost for `reason`."""
        _count(self.dropped, reason.value, events)

    def drop_field(self, reason: DropReason, fields: int = 1) -> None:
        """Count `fields` removed from events that went on without them."""
        _count(self.fields_dropped, reason.value, fields)

    def redact(self, rule: str, texts: int = 1) -> None:
        """Count `texts` in which `rule` replaced something."""
        _count(self.redacted, rule, texts)

    def add(self, other: Tally) -> None:
        """Add another stretch of work to this one."""
        self.emitted += other.emitted
        self.kept += other.kept
        for mine, theirs in (
            (self.dropped, other.dropped),
            (self.fields_dropped, other.fields_dropped),
            (self.redacted, other.redacted),
        ):
            for name, number in theirs.items():
                _count(mine, name, number)

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


def _count(counts: dict[str, int], name: str, number: int) -> None:
    if number:
        counts[name] = counts.get(name, 0) + number
