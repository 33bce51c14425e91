"""SQL for the figures of events and days, over the views that a query has. Pure.

A day is that of an event's own time, UTC. It takes what was received up to `LATE_DAYS` after it, or on the day before,
by a clock that is slow. A session that is its installation's first of a day counts for one installation on the latest
day that its events have, and on no other: a session ends with its day, and what waited longer is of an earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.field_types import type_of
from telemetry.catalog.model import OTHER
from telemetry.collector.report.withhold import K
from telemetry.collector.views import identifier, literal

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator, Sequence

    from telemetry.catalog.model import Catalog, Event, Field, Kind
    from telemetry.collector.views import Column, Plan

LATE_DAYS = 8
"""How long after a day its events may be received: what waits longer than 7 days a shipper drops."""

PERCENTS = (50, 90, 99)

_DAY = "(v.time AT TIME ZONE 'UTC')::DATE"
_RECEIVED = "(v.received AT TIME ZONE 'UTC')::DATE"
_NUMBERS = ("BIGINT", "DOUBLE")
_NUMBER_COLUMNS = ("mean", "p50", "p90", "p99")
_COLUMNS = (
    *("kind", "product", "event", "day", "field", "value"),
    *("events", "sessions", "installations", "weekly", "monthly"),
    *_NUMBER_COLUMNS,
)
_MAX_WEIGHT = 10**12  # sums of what uploads say stay numbers, and no weight hides others or a cell's smallness
_TIMES = "count(DISTINCT session) FILTER (is_first"
_COUNTS = (
    f"sum(weight) AS events, count(DISTINCT session) AS sessions, {_TIMES}) AS installations, "
    f"{_TIMES} AND is_weekly) AS weekly, {_TIMES} AND is_monthly) AS monthly"
)
_NO_NUMBERS = "NULL::DOUBLE, NULL::DOUBLE, NULL::DOUBLE, NULL::DOUBLE"
_OF_DISTRIBUTION = {
    **dict.fromkeys(("count", "zero_count", "scale", "offset"), "BIGINT"),
    **dict.fromkeys(("sum", "min", "max"), "DOUBLE"),
    "bucket_counts": "BIGINT[]",
}


class Reported(NamedTuple):
    """An event of a product with the fields that a report can tell of.

    Attributes:
        product: the product.
        event: the event's name.
        kind: the event's kind.
        weighted: whether one may stand for several.
        values: by the name of a field whose values are counted, the values that the catalogs list; none for versions.
        numbers: the names of the fields with numbers.
    """

    product: str
    event: str
    kind: Kind
    weighted: bool
    values: dict[str, tuple[str, ...]]
    numbers: tuple[str, ...]


def reported(catalogs: Iterable[Catalog]) -> list[Reported]:
    """Return the events of catalogs; of several versions of one, all fields and all values that any of them lists."""
    found: dict[tuple[str, str], list[Event]] = {}
    for catalog in sorted(catalogs, key=lambda catalog: (catalog.product, catalog.version)):
        for event in catalog.events.values():
            found.setdefault((catalog.product, event.name), []).append(event)
    return [_reported(product, versions) for (product, _), versions in found.items()]


def _reported(product: str, versions: Sequence[Event]) -> Reported:
    values: dict[str, tuple[str, ...]] = {}
    numbers: dict[str, None] = {}
    for event in versions:
        for name, field in event.fields.items():
            if field.parameter_of:
                continue
            if type_of(field).column in _NUMBERS:
                numbers[name] = None
            elif type_of(field).is_counted:
                values[name] = (*dict.fromkeys((*values.get(name, ()), *_listed(field))),)
    newest = versions[-1]
    weighted = any(event.may_weigh for event in versions)
    return Reported(product, newest.name, newest.kind, weighted, values, tuple(numbers))


def _listed(field: Field) -> tuple[str, ...]:
    schema = type_of(field).schema(field)
    return ("true", "false") if schema.get("type") == "boolean" else tuple(schema.get("enum", ()))


def figures_sql(made: Plan, events: Iterable[Reported], first: dt.date, last: dt.date) -> str:
    """Return a query for the figures of days, a row each.

    Its columns are `kind` (`event`, `value`, `rest`, `number` or `product`), `product`, `event`, `day`, `field`,
    `value`, `events`, `sessions`, `installations`, `weekly`, `monthly` (the first of their week, and month), `mean`,
    `p50`, `p90` and `p99`. A `rest` has the number of installations with a value that is small, absent or `other`.

    Args:
        made: the views.
        events: the events to tell of.
        first: the first day.
        last: the last day.
    """
    views = {view.event: view for view in made.views if view.event}
    within = (
        f"{_DAY} BETWEEN DATE '{first}' AND DATE '{last}' AND {_RECEIVED} BETWEEN {_DAY} - 1 AND {_DAY} + {LATE_DAYS}"
    )
    tables = [_own(within)]
    parts: list[str] = []
    totals = []
    for number, event in enumerate(events):
        if event.event in views:
            view = views[event.event]
            columns = {column.field: column for column in view.columns}
            table = f"e{number}"
            tables.append(_table(table, view.name, columns, event, within))
            parts += _parts(table, columns, event)
            totals.append(_total(table, event))
    if not totals:
        return f"SELECT {', '.join(f'NULL AS {name}' for name in _COLUMNS)} WHERE false"
    tables += [f"totals({', '.join(_COLUMNS)}) AS MATERIALIZED ({' UNION ALL '.join(totals)})"]
    parts = ["SELECT * FROM totals", *parts, _of_product(within)]
    numbers = ", ".join(f"CASE WHEN isfinite({name}) THEN {name} END AS {name}" for name in _NUMBER_COLUMNS)
    return f"WITH {', '.join(tables)} SELECT * REPLACE ({numbers}) FROM ({' UNION ALL '.join(parts)})"


def _own(within: str) -> str:
    return (
        "own AS MATERIALIZED (SELECT v.product AS product, v.session AS session, "
        f"max({_DAY}) AS day, bool_or(b.first.week) AS is_weekly, bool_or(b.first.month) AS is_monthly "
        f"FROM events AS v JOIN batches AS b USING (batch) WHERE b.first.day AND {within} GROUP BY ALL)"
    )


_JOINED = f"LEFT JOIN own ON own.product = v.product AND own.session = v.session AND own.day = {_DAY}"
_OF_INSTALLATION = (
    "own.session IS NOT NULL AS is_first, coalesce(own.is_weekly, false) AS is_weekly, "
    "coalesce(own.is_monthly, false) AS is_monthly"
)


def _table(table: str, view: str, columns: dict[str, Column], event: Reported, within: str) -> str:
    weight = _weight(columns, event)
    taken = [
        f"{_DAY} AS day",
        "v.session AS session",
        f"{weight} AS weight",
        _OF_INSTALLATION,
        *(f"{_cell(columns[field], listed)} AS s{at}" for at, field, listed in _value_fields(columns, event)),
        *(f"v.{identifier(columns[field].name)} AS n{at}" for at, field in _number_fields(columns, event)),
    ]
    if _has_buckets(columns, event):
        taken += [f"v.{identifier(columns[name].name)} AS {identifier(name)}" for name in _OF_DISTRIBUTION]
    return (
        f"{table} AS MATERIALIZED (SELECT {', '.join(taken)} FROM {identifier(view)} AS v {_JOINED} "
        f"WHERE v.product = {literal(event.product)} AND {within})"
    )


def _weight(columns: dict[str, Column], event: Reported) -> str:
    """Return an expression for the number that an event stands for, none that an upload has no right to say."""
    weight = "1"
    if event.weighted:
        said = f"TRY_CAST(v.{identifier(columns['weight'].name)} AS DOUBLE)"
        weight = f"CASE WHEN {said} BETWEEN 1 AND {_MAX_WEIGHT} THEN {said} ELSE 1 END"
    if event.kind in {"counter", "distribution"}:
        weight += f" * greatest(TRY_CAST(v.{identifier(columns['count'].name)} AS BIGINT), 0)"
    return weight


def _value_fields(columns: dict[str, Column], event: Reported) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    for at, (field, listed) in enumerate(event.values.items()):
        wanted = "BOOLEAN" if listed == ("true", "false") else "VARCHAR"
        if field in columns and columns[field].type == wanted:  # one that versions type differently has no figures
            yield at, field, listed


def _number_fields(columns: dict[str, Column], event: Reported) -> Iterator[tuple[int, str]]:
    for at, field in enumerate(event.numbers):
        if field in columns and columns[field].type in _NUMBERS:
            yield at, field


def _has_buckets(columns: dict[str, Column], event: Reported) -> bool:
    return event.kind == "distribution" and all(columns[name].type == of for name, of in _OF_DISTRIBUTION.items())


def _cell(column: Column, listed: Sequence[str]) -> str:
    """Return an expression for the cell of a value: what no catalog lists is another value."""
    source = f"v.{identifier(column.name)}::VARCHAR"
    if not listed:
        return source
    known = ", ".join(map(literal, listed))
    return f"CASE WHEN {source} IS NULL OR {source} IN ({known}) THEN {source} ELSE {literal(OTHER)} END"


def _of(kind: str, event: Reported, field: str = "") -> str:
    name = literal(field) if field else "NULL::VARCHAR"
    return f"{literal(kind)}, {literal(event.product)}, {literal(event.event)}, day, {name}"


def _total(table: str, event: Reported) -> str:
    return f"SELECT {_of('event', event)}, NULL::VARCHAR, {_COUNTS}, {_NO_NUMBERS} FROM {table} GROUP BY day"


def _parts(table: str, columns: dict[str, Column], event: Reported) -> Iterator[str]:
    for at, field, _ in _value_fields(columns, event):
        cells = f"SELECT day, s{at} AS value, {_COUNTS} FROM {table} GROUP BY day, s{at}"
        yield f"SELECT {_of('value', event, field)}, * EXCLUDE (day), {_NO_NUMBERS} FROM ({cells})"
        yield (
            f"SELECT {_of('rest', event, field)}, NULL, {_COUNTS}, {_NO_NUMBERS} FROM (SELECT e.* FROM {table} AS e "
            f"JOIN ({cells}) AS c ON c.day = e.day AND c.value IS NOT DISTINCT FROM e.s{at} "
            f"WHERE c.installations < {K} OR c.value IS NULL OR c.value = {literal(OTHER)}) GROUP BY day"
        )
    for at, field in _number_fields(columns, event):
        yield _numbers(table, f"n{at}", _of("number", event, field))
    if _has_buckets(columns, event):
        found = ", ".join(f"percentile_of({table}, {percent}) AS p{percent}" for percent in PERCENTS)
        told = f"SELECT day, mean_of({table}) AS mean, {found} FROM {table} GROUP BY day"
        yield _told(f"SELECT * FROM {table}", told, '"min"', '"max"', _of("number", event, "value"))


def _numbers(table: str, number: str, of: str) -> str:
    """Return a query for mean and percentiles, each number counted as often as it stands for."""
    found = ", ".join(f"min(number) FILTER (passed >= {percent / 100} * total) AS p{percent}" for percent in PERCENTS)
    distinct = (
        f"SELECT day, {number} AS number, sum(weight)::DOUBLE AS weight FROM {table} "
        f"WHERE {number} IS NOT NULL GROUP BY ALL"
    )
    passed = (
        "SELECT *, sum(weight) OVER (PARTITION BY day ORDER BY number) AS passed, "
        f"sum(weight) OVER (PARTITION BY day) AS total FROM ({distinct})"
    )
    told = f"SELECT day, sum(number * weight) / sum(weight) AS mean, {found} FROM ({passed}) GROUP BY day"
    return _told(f"SELECT * FROM {table} WHERE {number} IS NOT NULL", told, number, number, of)


def _told(having: str, told: str, least: str, most: str, of: str) -> str:
    """Return a query for a number's figures, a percentile only if K installations reach up to it, and K down to it.

    Args:
        having: a query for the events that have the number.
        told: a query for the mean and the percentiles of each day.
        least: the least number of an event.
        most: the greatest one.
        of: what the row is of.
    """
    counts = f"SELECT day, {_COUNTS} FROM ({having}) GROUP BY day"
    extremes = (
        f"SELECT day, session, min({least}) AS least, max({most}) AS most FROM ({having}) WHERE is_first GROUP BY ALL"
    )
    beyond = ", ".join(
        f"count(*) FILTER (most >= p{percent}) AS up{percent}, count(*) FILTER (least <= p{percent}) AS down{percent}"
        for percent in PERCENTS
    )
    reached = f"SELECT day, {beyond} FROM ({extremes}) JOIN ({told}) USING (day) GROUP BY day"
    percentiles = ", ".join(
        f"CASE WHEN least(up{percent}, down{percent}) >= {K} THEN p{percent} END AS p{percent}" for percent in PERCENTS
    )
    return (
        f"SELECT {of}, NULL, c.* EXCLUDE (day), n.mean, {percentiles} "
        f"FROM ({counts}) AS c JOIN ({told}) AS n USING (day) LEFT JOIN ({reached}) USING (day)"
    )


def _of_product(within: str) -> str:
    """Return a query for what the published events of a product have together; no other event counts in it."""
    return (
        "SELECT 'product', product, NULL, day, NULL, NULL, NULL, count(DISTINCT session), "
        f"{_TIMES}), {_TIMES} AND is_weekly), {_TIMES} AND is_monthly), {_NO_NUMBERS} FROM ("
        f"SELECT v.product AS product, {_DAY} AS day, v.session AS session, {_OF_INSTALLATION} FROM events AS v "
        f"JOIN totals AS t ON t.product = v.product AND t.event = v.event AND t.day = {_DAY} "
        f"AND t.installations >= {K} {_JOINED} WHERE {within}) GROUP BY product, day"
    )
