"""Layout of tables: one for each event, its columns typed as catalogs declare them. Pure.

A column keeps the type that it got first, because what is written can't be typed anew. A catalog that declares another
one for the field is a change, which the caller refuses or passes over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.columns import declared_types
from telemetry.catalog.field_types import TEXT
from telemetry.collector.views import TIME, Column, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from telemetry.catalog.columns import Fields
    from telemetry.catalog.model import Catalog

BATCHES = "batches"
ASIDE = "aside"
CATALOGS = "catalogs"
FORGOTTEN = "forgotten"

STAMPS = {"time": TIME, "session": TEXT, "product": TEXT, "catalog": TEXT, "batch": TEXT, "received": TIME}
"""The columns that the table of every event has, before those of its fields."""

Columns = dict[str, str]
"""The SQL types of columns, by name."""

ASIDE_COLUMNS: Columns = {
    "batch": TEXT,
    "received": TIME,
    "product": TEXT,
    "catalog": TEXT,
    "event": TEXT,
    "reason": TEXT,
    "loaded": "BOOLEAN",
    "line": TEXT,
}
"""The columns of `aside`: lines that fit no table, or not whole; `loaded` if the rest of it is a row of its event."""

RECEIPT: Columns = {"level": TEXT, "basis": TEXT, "notice": "BIGINT", "deployment": TEXT}
FIRST: Columns = {"day": "BOOLEAN", "week": "BOOLEAN", "month": "BOOLEAN"}

BATCHES_COLUMNS: dict[str, str | Columns] = {
    "batch": TEXT,
    "product": TEXT,
    "catalog": TEXT,
    "received": TIME,
    "receipt": RECEIPT,
    "ledger": TEXT,
    "route": TEXT,
    "bytes": "BIGINT",
    "catalog_digest": TEXT,
    "first": FIRST,
    "partition": TEXT,
    "sequence": "BIGINT",
    "events": "BIGINT",
    "lines_aside": "BIGINT",
    "fault": TEXT,
}
"""The columns of `batches`: those of the view of that name over a store, then the place and what was found there."""


CATALOGS_COLUMNS: Columns = {"product": TEXT, "version": "BIGINT", "received": TIME, "content": TEXT}
"""The columns of `catalogs`: each catalog that a loader knew, as JSON, with the time when one first did."""


FORGOTTEN_COLUMNS: Columns = {"session": TEXT, "received": TIME}
"""The columns of `forgotten`: the sessions that were erased, with the time when each was."""


class Layout(NamedTuple):
    """The table of one event.

    Attributes:
        event: the event's name.
        table: the table's name, the same unless a table of ours has it.
        fields: a column for each field of the event.
    """

    event: str
    table: str
    fields: tuple[Column, ...]

    @property
    def columns(self) -> Columns:
        """The SQL types of all columns, in order."""
        return {**STAMPS, **{column.name: column.type for column in self.fields}}


class Made(NamedTuple):
    """A table that is there already.

    Attributes:
        table: its name.
        columns: the SQL types of its columns.
    """

    table: str
    columns: Columns


class Change(NamedTuple):
    """A field whose type in a catalog is not that of its column.

    Attributes:
        event: the event.
        field: the field.
        had: the type of the column, in SQL.
        has: the type that the catalog declares.
        catalog: the catalog, as `acme-db/4`.
    """

    event: str
    field: str
    had: str
    has: str
    catalog: str


def lay_out(catalogs: Iterable[Catalog], made: Mapping[str, Made]) -> tuple[list[Layout], list[Change]]:
    """Decide on the tables of events, and tell the changes of type.

    Args:
        catalogs: the catalogs that are known.
        made: the tables that are there already, by event; their columns keep their types.
    """
    by_age = sorted(catalogs, key=lambda catalog: (catalog.product, catalog.version))
    layouts = _layouts(_first_types(by_age), made)
    return layouts, list(_changes(layouts, by_age))


def _first_types(catalogs: Iterable[Catalog]) -> Fields:
    """Collect the types of fields; where catalogs disagree, that of the first."""
    types: Fields = {}
    for catalog in catalogs:
        for event, fields in declared_types([catalog]).items():
            known = types.setdefault(event, {})
            for field, kinds in fields.items():
                known.setdefault(field, kinds)
    return types


def _layouts(types: Fields, made: Mapping[str, Made]) -> list[Layout]:
    taken = {"events", BATCHES, ASIDE, CATALOGS, FORGOTTEN, *(table.table.lower() for table in made.values())}
    layouts = []
    for view in plan(types, {}).views[1:]:
        event = view.event or ""
        there = made.get(event)
        table = there.table if there else event
        while there is None and table.lower() in taken:
            table += "_"
        taken.add(table.lower())
        kept = there.columns if there else {}
        layouts.append(
            Layout(
                event,
                table,
                tuple(column._replace(type=kept.get(column.name, column.type)) for column in view.columns[1:]),
            )
        )
    return layouts


def _changes(layouts: Iterable[Layout], catalogs: Iterable[Catalog]) -> Iterator[Change]:
    types = {(layout.event, column.field): column.type for layout in layouts for column in layout.fields}
    told = set()
    for catalog in catalogs:
        for event, fields in declared_types([catalog]).items():
            for field, (has,) in fields.items():
                had = types.get((event, field), has)
                if had != has and (event, field, has) not in told:
                    told.add((event, field, has))
                    yield Change(event, field, had, has, f"{catalog.product}/{catalog.version}")
