"""Comparison of two catalogs, with the effects of the change on queries of the events. Pure.

A store holds rows of the old version beside those of the new one, under the same names: a changed type breaks queries
that are not to be changed, so it is a fault. All other changes are reported for people to judge.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from telemetry.catalog.columns import declared_types
from telemetry.catalog.compile import declared_fields
from telemetry.catalog.field_types import type_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from telemetry.catalog.model import Catalog, Event, Field

Kind = Literal["type", "unit", "enum", "name", "meaning", "version"]

_UNIT = re.compile(
    r"(.+)_(ns|us|ms|s|sec|seconds|minutes|hours|days|bytes|kb|mb|gb|kib|mib|gib|percent|ratio|per_second)"
)


class Change(NamedTuple):
    """A difference between two catalogs.

    Attributes:
        kind: the kind of change: a `type`, a `unit`, an `enum`, a `name`, the `meaning`, or the `version` that did not.
        event: the event; empty for the catalog as a whole.
        field: the field; empty for the event as a whole.
        text: the effect on queries.
        breaks: whether it is a type that changes under a name that stays.
    """

    kind: Kind
    event: str
    field: str
    text: str
    breaks: bool = False

    def line(self) -> str:
        """Write the change as one line."""
        where = ".".join(filter(None, (self.event, self.field)))
        return f"{'BREAKS ' if self.breaks else ''}{self.kind}: {where}{': ' if where else ''}{self.text}"


def find_changes(old: Catalog, new: Catalog) -> list[Change]:
    """Find the changes that matter to queries, those that break first."""
    changes = list(_catalog_changes(old, new))
    for name in old.events | new.events:
        before, after = old.events.get(name), new.events.get(name)
        if before is None:
            changes.append(Change("name", name, "", "is new: it adds a view of that name"))
        elif after is None:
            changes.append(Change("name", name, "", "is removed: no more rows of it arrive"))
        else:
            changes.extend(_event_changes(before, after))
    changes.extend(_meetings(old, new, {change.field for change in changes if change.breaks}))
    if changes and old.product == new.product and new.version <= old.version:
        text = f"stays at {new.version}: rows before and after can't be told apart; count it up"
        changes.append(Change("version", "", "", text))
    return sorted(changes, key=lambda change: not change.breaks)


def _catalog_changes(old: Catalog, new: Catalog) -> Iterator[Change]:
    if old.product != new.product:
        yield Change("name", "", "", f"the product {old.product} becomes {new.product}")
    if old.time_precision_seconds != new.time_precision_seconds:
        text = f"times are rounded to {new.time_precision_seconds} s, were to {old.time_precision_seconds} s"
        yield Change("meaning", "", "", text)


def _event_changes(old: Event, new: Event) -> Iterator[Change]:
    if old.kind != new.kind:
        yield Change("meaning", old.name, "", f"a row was of kind {old.kind}, is of kind {new.kind}")
    if old.purpose != new.purpose:
        yield Change("meaning", old.name, "", f'was to "{old.purpose}", is to "{new.purpose}"')
    if old.sensitivity != new.sensitivity:
        text = f"was {old.sensitivity}, is {new.sensitivity}: it covers other users"
        yield Change("meaning", old.name, "", text)
    if (old.sample, old.max_per_second) != (new.sample, new.max_per_second):
        count = "sum(weight)" if new.weighted else "count(*), or sum(coalesce(weight, 1)) over both versions"
        yield Change("meaning", old.name, "", f"is thinned out in another way: count with {count}")
    if old.scale != new.scale:
        yield Change(
            "meaning", old.name, "", "is counted into buckets of another width, which can be added up all the same"
        )
    yield from _field_changes(old.name, declared_fields(old), declared_fields(new))


def _field_changes(event: str, old: Mapping[str, Field], new: Mapping[str, Field]) -> Iterator[Change]:
    gone, come = [name for name in old if name not in new], [name for name in new if name not in old]
    for name in gone:
        other = next((other for other in come if _is_other_unit(name, other)), None)
        if other is None:
            yield Change("name", event, name, "goes: NULL in new rows")
        else:
            come.remove(other)
            text = f"becomes {other}, another unit: a column of its own, NULL in old rows, as {name} is in new ones"
            yield Change("unit", event, name, text)
    for name in come:
        yield Change("name", event, name, "is new: NULL in old rows")
    for name in old:
        if name in new:
            yield from (
                Change(kind, event, name, text, kind == "type") for kind, text in _value_changes(old[name], new[name])
            )


def _is_other_unit(old: str, new: str) -> bool:
    before, after = _UNIT.fullmatch(old), _UNIT.fullmatch(new)
    return before is not None and after is not None and before[1] == after[1]


def _value_changes(old: Field, new: Field) -> Iterator[tuple[Kind, str]]:
    if old.type != new.type:
        before, after = type_of(old).column, type_of(new).column
        column = f"stays {after}" if before == after else f"was {before}, is text over both versions"
        yield "type", f"was {old.type}, is {new.type}: the column {column}; give the field a new name"
        return
    if added := [value for value in new.values if value not in old.values]:
        yield "enum", f"has {', '.join(added)} besides: other before"
    if gone := [value for value in old.values if value not in new.values]:
        yield "enum", f"has {', '.join(gone)} no more: other from now on"
    if more := [template for template in new.templates if template not in old.templates]:
        yield "enum", f"has the templates {', '.join(map(repr, more))} besides: other before, or another"
    if fewer := [template for template in old.templates if template not in new.templates]:
        yield "enum", f"has the templates {', '.join(map(repr, fewer))} no more: other from now on, or another"
    if old.buckets != new.buckets:
        yield "unit", "is rounded to other bounds: old and new rows fall into different ones"
    if (old.min, old.max) != (new.min, new.max):
        yield "meaning", f"was {_range(old)}, is {_range(new)}"
    if old.max_length != new.max_length:
        yield "meaning", f"was of {old.max_length} characters at most, is of {new.max_length}"
    if old.purpose != new.purpose:
        yield "meaning", f'was to "{old.purpose}", is to "{new.purpose}"'


def _range(field: Field) -> str:
    least, most = ("any" if bound is None else str(bound) for bound in (field.min, field.max))
    return f"from {least} to {most}"


def _meetings(old: Catalog, new: Catalog, told: set[str]) -> Iterator[Change]:
    """Yield the columns of `events` that become text, because another event now has the name with another type."""
    before, both = _columns([old]), _columns([old, new])
    for name, types in before.items():
        if len(types) == 1 < len(both[name]) and name not in told:
            text = f"was {min(types)} in the view events, is text: other events have the name with another type"
            yield Change("type", "", name, text, breaks=True)


def _columns(catalogs: list[Catalog]) -> dict[str, set[str]]:
    columns: dict[str, set[str]] = {}
    for fields in declared_types(catalogs).values():
        for name, types in fields.items():
            columns.setdefault(name, set()).update(types)
    return columns
