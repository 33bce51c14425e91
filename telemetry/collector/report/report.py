"""Report: figures of each day, computed once, when nothing more of it is taken, and kept as they were published."""

from __future__ import annotations

import datetime as dt
import os
from typing import TYPE_CHECKING

from telemetry.collector.report.days import Day, Row, decode_day, decode_figure, encode_day, longer_periods, publish
from telemetry.collector.report.figures import LATE_DAYS, Reported, figures_sql, reported
from telemetry.errors import TelemetryError
from telemetry.files import private_dir, read_file, sync_directory, try_lock, write_durably

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.collector.query import Asked
    from telemetry.collector.views import Plan

    Asks = Callable[[Callable[[Plan, list[Catalog]], str], Callable[[Asked], list[str]]], list[str]]

EXPLANATION = (
    "A session is a stretch of one installation's use, of a UTC day at most; no number joins two. An installation is "
    "counted on a day by the one session that says it is its first there, and in a week and in a month likewise: it is "
    "no machine and no person. One that is erased and set up again counts anew; containers without a volume count at "
    "each start; machines that share a home count once. So installations can't be followed, and those of two days, or "
    "of two rows, can't be added up. Figures of fewer than 20 installations are withheld, and so is what would give "
    "them away; `rest` holds the values that have no row with figures. A day is reported once 8 days have passed, and "
    "stays as it was reported."
)
"""Says what a session and an installation's day are, and are not."""

_FIRST_DAY = dt.date(1970, 1, 1)


class ReportError(TelemetryError):
    """Raised for a report that can't be made; the text says why, and what to do."""


def report(ask: Asks, folder: Path, today: dt.date, note: Callable[[str], None]) -> list[Row]:
    """Return the rows of all days that were published, and of those that now can be, which are kept.

    Blocks for as long as the new days take to read.

    Args:
        ask: answers a query over a store or over tables, as `telemetry.collector.query.ask` does.
        folder: the directory of what was published, made 0700 if it is missing.
        today: the present day, UTC.
        note: receives a line if nothing can be told.

    Raises:
        ReportError: another report is being made, or what was published can't be read or kept.
        TelemetryError: raised by `ask`.
    """
    known: list[Reported] = []
    last = today - dt.timedelta(days=LATE_DAYS + 1)
    try:
        private_dir(folder)
        lock = try_lock(folder / "lock")
    except OSError as fault:
        raise ReportError(f"{folder}: {fault}; what is published has to be kept, to be told alike ever after") from None
    if lock is None:
        raise ReportError(f"another report is being made in {folder}; wait for it")
    try:
        days = dict(_kept(folder, today))

        def make_sql(made: Plan, found: list[Catalog]) -> str:
            known.extend(reported(found))
            newest = [_newest(days, product) for product in {event.product for event in known}]
            return figures_sql(made, known, min(newest, default=_FIRST_DAY), last)

        def take(asked: Asked) -> list[str]:
            return list(asked.objects())

        lines = ask(make_sql, take)
        new = publish(map(decode_figure, lines), known)
        for (product, day), done in new.items():
            if day >= _newest(days, product):
                _keep(folder, product, day, done)
        days = dict(_kept(folder, today))
    except OSError as fault:
        raise ReportError(f"{folder}: {fault.strerror}; nothing is told that can't be kept") from None
    finally:
        os.close(lock)
    if not known:
        note("no catalog is known, so no new day can be told: --catalog FILE")
    rows = [*longer_periods(days), *(row for done in days.values() for row in done.rows)]
    return sorted(rows, key=lambda row: (row.start, row.period, row.product))


def _newest(days: dict[tuple[str, dt.date], Day], product: str) -> dt.date:
    """Return the first day that was not published yet."""
    kept = [day for name, day in days if name == product]
    return max(kept) + dt.timedelta(days=1) if kept else _FIRST_DAY


def _kept(folder: Path, today: dt.date) -> Iterator[tuple[tuple[str, dt.date], Day]]:
    for path in sorted(folder.glob("*/*.json")):
        try:
            yield (path.parent.name, _past(path.stem, today)), decode_day(read_file(path))
        except ValueError as fault:
            raise ReportError(f"{path} is not what was kept there: {fault}; restore it, or move it away") from None


def _past(text: str, today: dt.date) -> dt.date:
    if (day := dt.date.fromisoformat(text)) > today:  # after which no day would be told
        raise ValueError("by this machine's clock it is of a day to come")
    return day


def _keep(folder: Path, product: str, day: dt.date, done: Day) -> None:
    place = folder / product
    private_dir(place)
    write_durably(place / f"{day}.json", encode_day(done))
    sync_directory(place)
