"""The rule by which figures of few installations, and all that would give them away, are withheld. Pure.

The smallest thing that has figures is a *cell*: an event on a day, or a value of one of its fields on that day. They
are the same in each report. The number that is protected is that of a cell's installations, and a cell is *small* if it
has events, but of fewer than `K` installations. For each cell that is withheld, every number from 1 to K - 1 stays
possible, by all figures together, for somebody who knows this rule. The proof shows, for each number t, other data that
would have been published in the very same way, in which the cell has t installations.

**An event of a day** is withheld as a whole if it has fewer than K installations, or none. Nothing else is then
computed from it: not what all events of the product have together, nor a week or a month, which are given only if the
event was published on each of their days. So the other data are the same but for this event, which t installations
emitted.

**A field of an event that is published** divides the event's occurrences by its values; one value may be absent. If no
value is small, all are published. If one is, those that remain are published; the others are the *rest*: the small
ones, those that never occurred, absent and `other`. Should the rest have fewer than K installations, the value that
comes last in the catalog (of versions: the lowest) joins it, whose K or more installations are then among it. Of the
rest only the number of its events is given, which anybody can compute.

Let a value w other than absent be withheld, so it is of the rest, which has m >= K > t installations by an event each.
In the other data, t of them have the value w in one such event, and in all other events of the rest the field is
absent. Events, sessions and installations of each published value are the same, and so are those of the event, of
every other field, and of other days. All of the rest are now w, absent, or never occurred: so w is small, nothing else
than what was published remains, and the rest needs no value to join it, since it has the same m installations. What is
published is the same. Of absent, change the roles of absent and `other`, or, where there is no `other`, of absent and
another value of the rest: the figures are the same, too, though the rule might have had another value join.

**A number** is given as its mean, to three digits, if its event is published and K installations had the field; and as
a percentile, if K of them had a number at least as great, and K one at least as small: so none is the number of a few.
How many had the field, or had not, is not given, so that no difference tells.

Parameters of messages, which occur with their template alone, are not reported. What was published is kept and never
computed again: neither late arrivals nor what is removed changes it, so that two reports have no difference but new
days. Days share no events, and each installation is counted on the one day of its session.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.model import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

K = 20
"""The least number of installations of a cell that is published."""

ABSENT = None
"""The value of a field that an event does not have."""

_ALWAYS_OF_THE_REST = (ABSENT, OTHER)


class Count(NamedTuple):
    """The figures of a cell.

    Attributes:
        events: the number of events, each with the number that it stands for.
        sessions: the number of sessions that have one of them.
        installations: the number of sessions among these that are their installation's first of the day.
    """

    events: float = 0
    sessions: int = 0
    installations: int = 0

    @property
    def is_small(self) -> bool:
        """Whether it occurred, even with a count of nothing, but on too few installations to be published."""
        return (self.events > 0 or self.sessions > 0) and self.installations < K


class Division(NamedTuple):
    """The part of a field's values that is published.

    Attributes:
        values: the values whose figures are given.
        withheld: the listed values whose figures are not.
        rest_events: the number of events with any other value; None if there is no rest.
    """

    values: list[str | None]
    withheld: list[str]
    rest_events: float | None


def divide(counts: Mapping[str | None, Count], listed: Sequence[str], rest_installations: int) -> Division:
    """Decide which values of a field are published, for an event of a day that is.

    Args:
        counts: the figures of each value that occurred, absent too.
        listed: the values that the catalog lists, in its order; none for versions.
        rest_installations: the number of installations that have an event with a small value, absent or `other`.
    """
    order = list(listed) or sorted((value for value in counts if value is not ABSENT), reverse=True)
    known = [*order, *(value for value in _ALWAYS_OF_THE_REST if value in counts and value not in order)]
    if not any(counts[value].is_small for value in known if value in counts):
        return Division(known, [], None)
    shown = [
        value for value in order if value not in _ALWAYS_OF_THE_REST and counts.get(value, Count()).installations >= K
    ]
    if rest_installations < K and shown:
        shown.pop()
    rest = sum(count.events for value, count in counts.items() if value not in shown)
    return Division([*shown], [value for value in listed if value not in shown], rest)
