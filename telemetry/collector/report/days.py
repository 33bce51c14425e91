"""Rows of a report, and what is kept of each day so that it is told in the same way for ever. Pure."""

from __future__ import annotations

import calendar
import datetime as dt
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from telemetry.collector.report.withhold import ABSENT, Count, K, divide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from telemetry.collector.report.figures import Reported

_DIGITS = 3
_WEEK_DAYS = 7


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a report; figures that it does not have are None.

    Attributes:
        product: the product.
        period: the period that the figures are of.
        start: the first day of the period, UTC.
        event: the event; None for all published events of the product together.
        field: the field whose value, or numbers, the figures are of; None for the event as a whole.
        value: the value; None if it is absent, or the row is not about one.
        about: `product`, `event`, `value`, `absent`, `rest` (all values that have no row with figures), or `numbers`.
        events: the number of events; of a counter and of a distribution, of what they count.
        sessions: the number of sessions that have one of them.
        installations: the number of active installations.
        share: the share of the event's events.
        mean: the mean of the field's numbers.
        p50: the median, which half of the numbers do not exceed.
        p90: the number that 90 % do not exceed.
        p99: the number that 99 % do not exceed.
        withheld: whether its figures are withheld, for the sake of a cell of few installations.
    """

    product: str
    period: Literal["day", "week", "month"] = "day"
    start: dt.date
    event: str | None = None
    field: str | None = None
    value: str | None = None
    about: Literal["product", "event", "value", "absent", "rest", "numbers"]
    events: int | None = None
    sessions: int | None = None
    installations: int | None = None
    share: float | None = None
    mean: float | None = None
    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    withheld: bool = False


class Day(msgspec.Struct, frozen=True):
    """A day of a product as it was published.

    Attributes:
        rows: the rows of the day.
        weekly: by event, and by "" for all together, the installations that are the first of their week.
        monthly: the same of their month.
    """

    rows: list[Row]
    weekly: dict[str, int]
    monthly: dict[str, int]


class Figure(msgspec.Struct, frozen=True):
    """A row of the answer to `telemetry.collector.report.figures.figures_sql`; `None` where there is no figure."""

    kind: Literal["event", "value", "rest", "number", "product"]
    product: str
    event: str | None
    day: dt.date
    field: str | None
    value: str | None
    events: float | None
    sessions: int
    installations: int
    weekly: int
    monthly: int
    mean: float | None
    p50: float | None
    p90: float | None
    p99: float | None

    @property
    def count(self) -> Count:
        """The figures of a cell."""
        return Count(self.events or 0, self.sessions, self.installations)


def publish(figures: Iterable[Figure], known: Sequence[Reported]) -> dict[tuple[str, dt.date], Day]:
    """Make the days of products out of their figures, without what is withheld.

    Args:
        figures: the figures of all events and days.
        known: the events of the catalogs.
    """
    by_day: dict[tuple[str, dt.date], list[Figure]] = defaultdict(list)
    for figure in figures:
        by_day[figure.product, figure.day].append(figure)
    return {
        (product, day): _publish(product, day, found, [event for event in known if event.product == product])
        for (product, day), found in sorted(by_day.items())
    }


def _publish(product: str, day: dt.date, figures: Iterable[Figure], known: Sequence[Reported]) -> Day:
    by_event: dict[str | None, list[Figure]] = defaultdict(list)
    for figure in figures:
        by_event[figure.event].append(figure)
    done = Day([], {}, {})
    for whole in by_event[None]:
        done.rows.append(
            Row(
                product=product,
                start=day,
                about="product",
                sessions=whole.sessions,
                installations=whole.installations,
            )
        )
        done.weekly[""], done.monthly[""] = whole.weekly, whole.monthly
    for event in known:
        of_event = by_event[event.event]
        whole_event = next((figure for figure in of_event if figure.kind == "event"), None)
        if whole_event is None or whole_event.installations < K:
            done.rows.append(Row(product=product, start=day, event=event.event, about="event", withheld=True))
        else:
            done.rows.extend(_rows(event, whole_event, of_event))
            done.weekly[event.event], done.monthly[event.event] = whole_event.weekly, whole_event.monthly
    return done


def _rows(event: Reported, whole: Figure, figures: Sequence[Figure]) -> Iterator[Row]:
    def row(count: Count, field: str | None, value: str | None, about: Literal["event", "value", "absent"]) -> Row:
        return Row(
            product=event.product,
            start=whole.day,
            event=event.event,
            field=field,
            value=value,
            about=about,
            events=round(count.events),
            sessions=count.sessions,
            installations=count.installations,
            share=_share(count.events, whole) if field else None,
        )

    blank = Row(product=event.product, start=whole.day, event=event.event, about="value", withheld=True)
    yield row(whole.count, None, None, "event")
    for field, listed in event.values.items():
        counts = {figure.value: figure.count for figure in figures if figure.kind == "value" and figure.field == field}
        of_rest = [figure for figure in figures if figure.kind == "rest" and figure.field == field]
        if not counts:
            continue
        division = divide(counts, listed, of_rest[0].installations if of_rest else 0)
        for value in division.values:
            about: Literal["value", "absent"] = "absent" if value is ABSENT else "value"
            yield row(counts.get(value, Count()), field, value, about)
        for value in division.withheld:
            yield msgspec.structs.replace(blank, field=field, value=value)
        if division.rest_events is not None:
            events, share = round(division.rest_events), _share(division.rest_events, whole)
            yield msgspec.structs.replace(blank, field=field, about="rest", events=events, share=share, withheld=False)
    for figure in figures:
        if figure.kind == "number":
            yield _numbers(figure, blank)


def _numbers(figure: Figure, blank: Row) -> Row:
    row = msgspec.structs.replace(blank, field=figure.field, about="numbers")
    if figure.installations < K:
        return row
    rounded = {name: _rounded(getattr(figure, name)) for name in ("mean", "p50", "p90", "p99")}
    return msgspec.structs.replace(row, withheld=False, **rounded)


def _share(events: float, whole: Figure) -> float | None:
    return round(events / whole.events, 4) if whole.events else None


def _rounded(number: float | None) -> float | None:
    """Round to three digits."""
    return None if number is None else float(f"{number:.{_DIGITS}g}")


def longer_periods(days: Mapping[tuple[str, dt.date], Day]) -> Iterator[Row]:
    """Yield the active installations of weeks and months on each day of which their figures were published."""
    sums: dict[tuple[str, str, Literal["week", "month"], dt.date], list[int]] = defaultdict(list)
    for (product, day), done in sorted(days.items()):
        for event, number in done.weekly.items():
            sums[product, event, "week", day - dt.timedelta(days=day.weekday())].append(number)
        for event, number in done.monthly.items():
            sums[product, event, "month", day.replace(day=1)].append(number)
    for (product, event, period, start), numbers in sums.items():
        length = _WEEK_DAYS if period == "week" else calendar.monthrange(start.year, start.month)[1]
        if len(numbers) == length:
            about: Literal["event", "product"] = "event" if event else "product"
            is_small = sum(numbers) < K  # of days that are not, when uploads say otherwise of their weeks
            yield Row(
                product=product,
                period=period,
                start=start,
                event=event or None,
                about=about,
                installations=None if is_small else sum(numbers),
                withheld=is_small,
            )


def decode_figure(line: str | bytes) -> Figure:
    """Read a row of an answer, as a JSON object."""
    return msgspec.json.decode(line, type=Figure)


def decode_day(data: bytes) -> Day:
    """Read what was kept of a day. Raises ValueError."""
    try:
        return msgspec.json.decode(data, type=Day)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def encode_day(day: Day) -> bytes:
    """Write what is kept of a day."""
    return msgspec.json.encode(day)


def as_object(row: Row) -> dict[str, Any]:
    """Return a row as a JSON object."""
    found: dict[str, Any] = msgspec.to_builtins(row)
    return found
