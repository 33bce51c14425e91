"""Views that a query has of the lines in a store: `events` for all, one for each event, with typed columns. Pure.

Types come from catalogs. A name declared with two types is text. A field that no catalog names is typed from a look at
some lines, as number, truth value or text, but never as a date, whatever it looks like.

A value that does not fit its column is never rounded, cut or left out in silence: the expression fails, and the caller
relaxes the column and reports it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.field_types import TEXT
from telemetry.collector.body import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from telemetry.catalog.columns import Fields
    from telemetry.catalog.model import Catalog

TIME = "TIMESTAMP WITH TIME ZONE"
STAMPED = ("event", "time", "session")
UPLOADED = ("product", "catalog", "batch", "received")
SCHEMA = "_store"  # no event has such a name
LINES = f"{SCHEMA}.lines"
UPLOADS = f"{SCHEMA}.uploads"

MACROS = (
    "CREATE MACRO count_of(distribution) AS sum(distribution.count)",
    "CREATE MACRO mean_of(distribution) AS sum(distribution.sum) / sum(distribution.count)",
    # Each bucket by its upper bound, whatever its scale; of all rows together, in order, until enough are passed.
    """
    CREATE MACRO percentile_of(distribution, percent) AS if(sum(distribution.count) > 0, list_reduce(
        list_sort(list_prepend(
            {'bound': 0.0::DOUBLE, 'passed': coalesce(sum(distribution.zero_count), 0)::DOUBLE},
            flatten(list(list_transform(
                distribution.bucket_counts,
                lambda number, place: {
                    'bound': pow(2.0, (distribution."offset"::DOUBLE + place) * pow(2.0, -distribution.scale::DOUBLE)),
                    'passed': number::DOUBLE
                }
            )))
        )),
        lambda before, bucket: CASE
            WHEN before.passed >= greatest(percent / 100 * sum(distribution.count), 1) THEN before
            ELSE {'bound': bucket.bound, 'passed': before.passed + bucket.passed}
        END
    ).bound, NULL)
    """,
)
"""Aggregates over the rows of a distribution's view, which are passed whole: `mean_of(query_times)`."""

_TIME_FORM = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:?\d\d)"
_WEIGHT = "how many it stands for, where less is sent than happens"
_INEXACT = 2**53  # from it on, not every whole number is a DOUBLE
_VIEW_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*")  # as of an event in a catalog


class Column(NamedTuple):
    """A column that holds a field of events.

    Attributes:
        name: the column's name in SQL.
        field: the field's name in a line.
        type: the column's SQL type.
        declared: whether the type comes from a catalog.
    """

    name: str
    field: str
    type: str
    declared: bool


class View(NamedTuple):
    """A view over lines.

    Attributes:
        name: the view's name in SQL.
        event: the event whose lines it holds; None for all events.
        columns: the time, then the fields of events.
    """

    name: str
    event: str | None
    columns: tuple[Column, ...]


class Plan(NamedTuple):
    """The views that a query can use.

    Attributes:
        views: the views, `events` first.
        fields: the fields to read from each line, by their names in it.
        hidden: fields without a column, because their names differ from another's in capitals alone.
    """

    views: list[View]
    fields: list[str]
    hidden: list[str]


def plan(known: Fields, seen: Fields) -> Plan:
    """Decide on views and their columns.

    Args:
        known: types from catalogs, which override all types seen.
        seen: types from a look at lines.
    """
    names = dict.fromkeys((*STAMPED, *(field for of in (known, seen) for fields in of.values() for field in fields)))
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(_folded(name), name)
    fields = list(first.values())
    events = sorted({*known, *(event for event in seen if _VIEW_NAME.fullmatch(event))})
    views = [_view("events", None, known.values(), seen.values(), fields)]
    for event, name in zip(events, _distinct(events, {"events", "batches"}), strict=True):
        views.append(_view(name, event, [known.get(event, {})], [seen.get(event, {})], fields))
    return Plan(views, fields, [name for name in names if name not in fields])


def _view(
    name: str,
    event: str | None,
    known: Iterable[Mapping[str, set[str]]],
    seen: Iterable[Mapping[str, set[str]]],
    readable: list[str],
) -> View:
    declared_types = _gather(known)
    types = {**_gather(seen), **declared_types}
    fields = [field for field in readable if field in types and field not in STAMPED]
    names = _distinct(fields, {*STAMPED, *UPLOADED})
    return View(
        name,
        event,
        (
            Column("time", "time", TIME, declared=True),
            *(
                Column(column, field, merged(types[field]), field in declared_types)
                for field, column in zip(fields, names, strict=True)
            ),
        ),
    )


def _gather(events: Iterable[Mapping[str, set[str]]]) -> dict[str, set[str]]:
    types: dict[str, set[str]] = {}
    for fields in events:
        for field, kinds in fields.items():
            types.setdefault(field, set()).update(kinds)
    return types


def merged(types: set[str]) -> str:
    """Return the type of a column that holds values of all of the types."""
    if "NUMBER" in types and types <= {"BIGINT", "NUMBER"}:
        return "DOUBLE"  # only a look says NUMBER: whole ones and others under one name
    return next(iter(types)) if len(types) == 1 else TEXT


def _distinct(names: Iterable[str], taken: set[str]) -> list[str]:
    """Return the names, with underscores appended to each that is taken already."""
    result = []
    for name in names:
        free = name
        while _folded(free) in taken:
            free += "_"
        taken.add(_folded(free))
        result.append(free)
    return result


def _folded(name: str) -> str:
    """Fold a name's case as DuckDB does, for ASCII alone."""
    return "".join(letter.lower() if letter.isascii() else letter for letter in name)


def overview_sql(made: Plan, catalogs: Iterable[Catalog]) -> str:
    """Return a statement that lists the views with their columns, types and purposes, as the first catalog has them."""
    events = {event: known for catalog in reversed([*catalogs]) for event, known in catalog.events.items()}
    rows = [
        ("events", "", "", f"every event: {', '.join((*STAMPED, *UPLOADED))}, and all fields below"),
        (
            "batches",
            "",
            "",
            "every upload: batch, product, catalog, received, receipt, first, ledger, route, bytes, aside",
        ),
    ]
    for view in made.views[1:]:
        event = events.get(view.event or "")
        rows.append((view.name, "", "", event.purpose if event else "no catalog names it"))
        for column in view.columns[1:]:
            field = event.fields.get(column.field) if event else None
            stamped = _WEIGHT if event and event.may_weigh and column.field == "weight" else ""
            rows.append((view.name, column.name, column.type, field.purpose if field else stamped))
    values = ", ".join(f"({', '.join(map(literal, row))})" for row in rows)
    return f'SELECT * FROM (VALUES {values}) AS known(view, "column", type, purpose)'


def lines_sql(fields: Iterable[str], key: str, path: str, *, is_empty: bool = False) -> str:
    """Return a query for the lines of bodies: each field as text, and as `key` the number of the line's body.

    Args:
        fields: the fields to read from each line.
        key: the member of a line that holds the body's number; where it is missing, the file's name gives the number.
        path: the path of the bodies.
        is_empty: whether there are none, which DuckDB would reject.
    """
    if is_empty:
        nothing = ", ".join(f"NULL::{TEXT} AS {identifier(field)}" for field in fields)
        return f"SELECT {nothing}, NULL::BIGINT AS {identifier(key)} WHERE false"
    file = f"{key}_file"
    columns = ", ".join(f"{literal(field)}: '{TEXT}'" for field in fields)
    number = f"coalesce({identifier(key)}, TRY_CAST(parse_filename({file}, true) AS BIGINT))"
    return (
        f"SELECT * EXCLUDE ({identifier(key)}, {file}), {number} AS {identifier(key)} "
        f"FROM read_json({literal(path)}, format = 'newline_delimited', records = true, compression = 'zstd', "
        f"hive_partitioning = false, filename = {literal(file)}, maximum_object_size = {2 * MAX_LINE_BYTES}, "
        f"columns = {{{columns}, {literal(key)}: 'BIGINT'}})"
    )


def view_sql(view: View, key: str, token: str, relaxed: Iterable[Column]) -> str:
    """Return the statement that creates a view.

    Args:
        view: the view.
        key: the column of the lines that holds the number of their body.
        token: the error text for a value that does not fit.
        relaxed: the columns where that is no error: declared ones are NULL there, others are text as a whole.
    """
    relaxed = frozenset(relaxed)
    fields = [_column_sql(view, column, token, relaxed) for column in view.columns]
    uploaded = [f"upload.{name} AS {name}" for name in UPLOADED]
    event = ["line.event AS event"] if view.event is None else []
    columns = [*event, fields[0], "line.session AS session", *uploaded, *fields[1:]]
    return (
        f"CREATE OR REPLACE VIEW {identifier(view.name)} AS SELECT {', '.join(columns)} FROM {LINES} AS line "
        f"LEFT JOIN {UPLOADS} AS upload ON upload.number = line.{identifier(key)} WHERE {_is_of(view)}"
    )


def unfit_sql(view: View, key: str) -> str:
    """Return a query that gives, for each column, the number of unfit values and the first batch that has one."""
    counts = [
        f"count(*) FILTER ({unfit}), min(upload.batch) FILTER ({unfit})"
        for unfit in (
            f"{_source(column)} IS NOT NULL AND NOT ifnull({_fits(column)}, false)" for column in view.columns
        )
    ]
    return (
        f"SELECT {', '.join(counts)} FROM {LINES} AS line "
        f"LEFT JOIN {UPLOADS} AS upload ON upload.number = line.{identifier(key)} WHERE {_is_of(view)}"
    )


def time_sql(source: str) -> str:
    """Return an expression for the time that a text denotes, or NULL if the shipper would not write it so."""
    return f"CASE WHEN regexp_full_match({source}, {literal(_TIME_FORM)}) THEN TRY_CAST({source} AS {TIME}) END"


def _column_sql(view: View, column: Column, token: str, relaxed: frozenset[Column]) -> str:
    source = _source(column)
    if column.type == TEXT or (column in relaxed and not column.declared):
        return f"{source} AS {identifier(column.name)}"
    unfit = "NULL" if column in relaxed else f"error({literal(token)})"
    return (  # in the condition: DuckDB may read a value before it looks whose line that is
        f"CASE WHEN {source} IS NULL OR NOT ({_is_of(view)}) THEN NULL WHEN {_fits(column)} "
        f"THEN {_cast(column)} ELSE {unfit} END AS {identifier(column.name)}"
    )


def _is_of(view: View) -> str:
    return "true" if view.event is None else f"line.event = {literal(view.event)}"


def _source(column: Column) -> str:
    return f"line.{identifier(column.field)}"


def _cast(column: Column) -> str:
    source = _source(column)
    return time_sql(source) if column.type == TIME else f"TRY_CAST({source} AS {column.type})"


def _fits(column: Column) -> str:
    source, cast = _source(column), _cast(column)
    match column.type:
        case "BOOLEAN":
            return f"{source} IN ('true', 'false')"
        case "BIGINT":
            return f"{cast}::VARCHAR = {source}"
        case "DOUBLE":
            exact = "" if column.declared else f" AND (abs({cast}) < {_INEXACT} OR regexp_matches({source}, '[.eE]'))"
            return f"isfinite({cast}){exact}"
        case _:
            return f"{cast} IS NOT NULL"


def identifier(name: str) -> str:
    """Quote a name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Quote a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
