"""The command `telemetry report`: figures of each event and day, without those of few installations."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NoReturn

import click

from telemetry.cli.extras import not_installed
from telemetry.cli.places import asked_store, iceberg_option, store_option, tables_option
from telemetry.errors import TelemetryError
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from telemetry.catalog.model import Catalog
    from telemetry.collector.query import Asked
    from telemetry.collector.report.days import Row
    from telemetry.collector.report.report import Asks
    from telemetry.collector.views import Plan

    MakesSql = Callable[[Plan, list[Catalog]], str]

FOLDER = "reports"
"""The directory, in a store or beside tables, of what was published."""

_SQL_TYPES = {
    "start": "DATE",
    "events": "BIGINT",
    "sessions": "BIGINT",
    "installations": "BIGINT",
    "share": "DOUBLE",
    "mean": "DOUBLE",
    "p50": "DOUBLE",
    "p90": "DOUBLE",
    "p99": "DOUBLE",
    "withheld": "BOOLEAN",
}
_FIGURES = ("events", "sessions", "installations", "share", "mean", "p50", "p90", "p99")
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;margin:1rem 0}caption{text-align:left;font-weight:600;padding:.5rem 0}"
    "th,td{border-bottom:1px solid #8884;padding:.2rem .7rem;text-align:right}"
    "th:nth-child(-n+2),td:nth-child(-n+2){text-align:left}td.withheld{opacity:.6;text-align:left}"
    ":root{color-scheme:light dark}"
)


@click.command()
@store_option
@tables_option
@iceberg_option
@click.option(
    "--keep",
    "folder",
    type=click.Path(path_type=Path),
    help="Where what was told is kept; else in `reports`, in the store or the directory of tables.",
)
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A catalog's file, for its events and fields; beside those that the store keeps.",
)
@click.option("--product", help="Tell of this product alone.")
@click.option("--event", help="Tell of this event alone.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Tell of periods from this day on.")
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Tell of periods up to this day.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet", "html"]),
    help="On a terminal a table; csv into a pipe.",
)
@click.option("--json", "as_json", is_flag=True, help="--format json: an object for each row, one a line.")
def report(
    directory: Path | None,
    tables: str | None,
    iceberg_catalog: str | None,
    folder: Path | None,
    catalogs: tuple[Path, ...],
    product: str | None,
    event: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    form: str | None,
    *,
    as_json: bool,
) -> None:
    """Tell, for each event and day, how much it was used, by how many installations, and with which values.

    Figures of fewer than 20 installations are withheld, and so is what would give them away. A day is told once 8 days
    have passed, and for ever in the same way: what was told is kept. Run it every day, over one of store and tables.

    Exit codes: 0, told, with what is not complete on stderr; 1, it can't be.
    """
    directory = asked_store(directory, tables)
    if (directory is None) == (tables is None):
        _fail("give either --store DIR or --tables DIR")
    folder = folder or (directory and directory / FOLDER) or _beside(tables or "")
    try:
        # Here, for it comes with an extra, and no other command should wait for it.
        from telemetry.collector.query import ask  # noqa: PLC0415
        from telemetry.collector.report.report import report as make  # noqa: PLC0415
    except ImportError as fault:
        _fail(not_installed(fault))
    form = "json" if as_json else form or ("table" if sys.stdout.isatty() else "csv")
    if form == "parquet" and sys.stdout.isatty():
        _fail("parquet is nothing for a terminal; write it into a file: > FILE")
    try:
        if tables is not None:
            asks = _of_tables(tables, iceberg_catalog)
        elif directory is not None:
            store = directory

            def asks(sql: MakesSql, take: Callable[[Asked], list[str]]) -> list[str]:
                return ask(store, sql, catalogs, take, _note)

        rows = make(asks, folder, dt.datetime.now(dt.UTC).date(), _note)
    except TelemetryError as fault:
        _fail(str(fault))
    wanted = [
        row
        for row in rows
        if product in {None, row.product}
        and event in {None, row.event}
        and (since is None or row.start >= since.date())
        and (until is None or row.start <= until.date())
    ]
    _WRITERS[form](wanted, sys.stdout.buffer)


def _beside(tables: str) -> Path:
    if "://" in tables:
        _fail("with tables on S3, say where to keep what was told: --keep DIR; it has to be told alike ever after")
    return Path(tables) / FOLDER


def _of_tables(tables: str, iceberg_catalog: str | None) -> Asks:
    try:
        from telemetry.collector.tables.lake import Lake, place_of  # noqa: PLC0415 it comes with an extra
        from telemetry.collector.tables.read import ask_tables  # noqa: PLC0415 as above
    except ImportError as fault:
        _fail(not_installed(fault, "collector,tables"))
    lake = Lake(place_of(tables, iceberg_catalog))
    return lambda sql, take: ask_tables(lake, sql, take)


# Writers of rows, one for each format.


def _json(rows: Iterable[Row], out: IO[bytes]) -> None:
    from telemetry.collector.report.days import as_object  # noqa: PLC0415 it comes with an extra

    for row in rows:
        out.write(json.dumps(as_object(row), ensure_ascii=False).encode() + b"\n")


def _csv(rows: Iterable[Row], out: IO[bytes]) -> None:
    from telemetry.collector.report.days import Row, as_object  # noqa: PLC0415

    text = io.StringIO()
    writer = csv.DictWriter(text, Row.__struct_fields__, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = as_object(row)
        writer.writerow({**cells, "withheld": "true" if row.withheld else "false"})
    out.write(text.getvalue().encode())


def _parquet(rows: Iterable[Row], out: IO[bytes]) -> None:
    import duckdb  # noqa: PLC0415 it comes with an extra

    from telemetry.collector.report.days import Row  # noqa: PLC0415

    with tempfile.TemporaryDirectory(prefix="telemetry-report-") as directory:
        lines, written = Path(directory, "rows.ndjson"), Path(directory, "rows.parquet")
        with lines.open("wb") as file:
            _json(rows, file)
        columns = ", ".join(f"'{name}': '{_SQL_TYPES.get(name, 'VARCHAR')}'" for name in Row.__struct_fields__)
        with duckdb.connect() as connection:
            connection.execute(
                f"COPY (FROM read_json('{lines}', format = 'newline_delimited', columns = {{{columns}}})) "
                f"TO '{written}' (FORMAT parquet)"
            )
        out.write(written.read_bytes())


def _table(rows: Iterable[Row], out: IO[bytes]) -> None:
    from rich.console import Console  # noqa: PLC0415 only people need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from telemetry.collector.report.report import EXPLANATION  # noqa: PLC0415

    columns = ("start", "period", "product", "event", "field", "value", *_FIGURES)
    table = Table(*columns)
    for row in rows:
        shown = [row.start.isoformat(), row.period, row.product, row.event or "", row.field or "", _told_value(row)]
        table.add_row(*(Text(printable(cell)) for cell in [*shown, *_told_figures(row)]))
    text = io.StringIO()
    Console(file=text, width=1000, force_terminal=False, legacy_windows=False).print(table)
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    out.write("\n".join([*lines, "", EXPLANATION, ""]).encode())


def _html(rows: Iterable[Row], out: IO[bytes]) -> None:
    from telemetry.collector.report.report import EXPLANATION  # noqa: PLC0415

    tables: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        cells = "".join(f"<td>{_escaped(cell)}</td>" for cell in (row.field or "", _told_value(row)))
        figures = "".join(f"<td>{_escaped(cell)}</td>" for cell in _told_figures(row))
        if row.withheld:
            figures = f'<td class="withheld" colspan="{len(_FIGURES)}">withheld</td>'
        tables.setdefault((row.product, f"{row.period} from {row.start}", row.event or ""), []).append(
            f"<tr>{cells}{figures}</tr>"
        )
    head = "".join(f"<th>{name}</th>" for name in ("field", "value", *_FIGURES))
    body = "".join(
        f"<table><caption>{_escaped(' · '.join(filter(None, name)))}</caption><tr>{head}</tr>{''.join(lines)}</table>"
        for name, lines in tables.items()
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Report</title><style>{_STYLE}</style>'
        f"<h1>Report</h1><p>{_escaped(EXPLANATION)}</p>{body or '<p>There is no day to tell of yet.</p>'}</html>\n"
    )
    out.write(page.encode())


_WRITERS: dict[str, Callable[[Iterable[Row], IO[bytes]], None]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
    "html": _html,
}


def _told_value(row: Row) -> str:
    if row.about in {"absent", "rest"}:
        return f"({row.about})"
    return row.value or ""


def _told_figures(row: Row) -> list[str]:
    if row.withheld:
        return ["withheld", *[""] * (len(_FIGURES) - 1)]
    return [_told_number(getattr(row, name)) for name in _FIGURES]


def _told_number(number: float | None) -> str:
    return "" if number is None else f"{number:g}" if isinstance(number, float) else str(number)


def _escaped(text: str) -> str:
    return html.escape(printable(text))


def _note(text: str) -> None:
    print(f"telemetry report: {printable(text)}", file=sys.stderr)


def _fail(text: str) -> NoReturn:
    _note(text)
    raise SystemExit(1)
