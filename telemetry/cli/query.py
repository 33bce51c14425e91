"""The command `telemetry query`, which answers SQL over a collector's store."""

from __future__ import annotations

import gc
import io
import itertools
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, NoReturn

import click

from telemetry.cli.extras import not_installed
from telemetry.cli.places import asked_store, iceberg_option, store_option, tables_option
from telemetry.cli.questions import questions_option, read_question, saved_questions
from telemetry.errors import TelemetryError
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.catalog.model import Catalog
    from telemetry.collector.query import Asked
    from telemetry.collector.views import Plan

_SHOWN_ROWS = 1000  # more is for a program to read
_HELD_BYTES = 16 << 20  # of an answer, before it goes to a temporary file
_FORMATS = ["table", "vertical", "tsv", "csv", "json", "markdown", "bar", "parquet"]
_BLOCKS = " ▏▎▍▌▋▊▉█"
_LEAST_BAR = 10


@click.command()
@click.argument("sql", required=False)
@store_option
@tables_option
@iceberg_option
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A catalog's file, for the types of its fields; beside those that the store keeps.",
)
@questions_option
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="On a terminal a table, vertical where it is too wide; tsv into a pipe. bar draws the last column's numbers.",
)
@click.option("--json", "as_json", is_flag=True, help="--format json: an object for each row, one a line.")
def query(
    sql: str | None,
    directory: Path | None,
    tables: str | None,
    iceberg_catalog: str | None,
    catalogs: tuple[Path, ...],
    questions: Path,
    form: str | None,
    *,
    as_json: bool,
) -> None:
    """Answer one SELECT over `events` (a row an event), `batches` (a row an upload) and a view for each event.

    SQL may be @NAME, a saved question. Without SQL it lists these views, their columns, and the purpose of each as the
    catalogs have it, and on stderr the saved questions.

    Reads the files of a store, or of the tables that `telemetry load` makes of it, where they lie; it can neither write
    nor read anything else. Times are UTC.

    Exit codes: 0, answered, with what was passed over on stderr; 1, the question can't be answered.
    """
    directory = asked_store(directory, tables)
    if (directory is None) == (tables is None):
        _fail("give either --store DIR or --tables DIR")
    gc.disable()  # nothing that an import makes goes away: to look for it took a seventh of the time
    try:
        # Here, for it comes with an extra, and no other command should wait for it.
        from telemetry.collector.query import ask  # noqa: PLC0415
        from telemetry.collector.views import overview_sql  # noqa: PLC0415
    except ImportError as fault:
        _fail(not_installed(fault))
    finally:
        gc.enable()
    if form == "parquet" and sys.stdout.isatty():
        _fail("parquet is nothing for a terminal; write it into a file: > FILE")
    give = _GIVEN["json" if as_json else form or ("auto" if sys.stdout.isatty() else "tsv")]
    with tempfile.SpooledTemporaryFile(_HELD_BYTES) as out:

        def take(asked: Asked) -> str | None:
            out.seek(0)
            out.truncate()
            return give(asked, out)

        try:
            sql = sql and read_question(sql, questions)
            if tables is not None:
                word = _ask_tables(tables, iceberg_catalog, overview_sql if sql is None else sql, take)
            elif directory is not None:
                word = ask(directory, overview_sql if sql is None else sql, catalogs, take, _note)
        except (TelemetryError, _NoBarsError) as fault:
            _fail(str(fault))
        out.seek(0)
        shutil.copyfileobj(out, sys.stdout.buffer)
    if word:
        _note(word)
    if sql is None and (saved := saved_questions(questions)):
        _note(f"saved questions in {questions}: {', '.join(f'@{name}' for name in saved)}")


def _ask_tables(
    tables: str,
    iceberg_catalog: str | None,
    sql: str | Callable[[Plan, list[Catalog]], str],
    take: Callable[[Asked], str | None],
) -> str | None:
    try:
        from telemetry.collector.tables.lake import Lake, place_of  # noqa: PLC0415 it comes with an extra
        from telemetry.collector.tables.read import ask_tables  # noqa: PLC0415 as above
    except ImportError as fault:
        _fail(not_installed(fault, "collector,tables"))
    return ask_tables(Lake(place_of(tables, iceberg_catalog)), sql, take)


# Writers of an answer, one for each format; each returns a remark for the user, or None.


def _json(asked: Asked, out: IO[bytes]) -> None:
    for row in asked.objects():
        # DuckDB writes NaN and Infinity, which JSON does not know.
        strict = json.dumps(json.loads(row, parse_constant=lambda _: None), ensure_ascii=False) if "n" in row else row
        out.write(strict.encode() + b"\n")


def _tsv(asked: Asked, out: IO[bytes]) -> None:
    columns, rows = asked.rows()
    for row in itertools.chain([columns], rows):
        line = "\t".join("" if cell is None else printable(cell) for cell in row)
        out.write(line.encode() + b"\n")


def _csv(asked: Asked, out: IO[bytes]) -> None:
    asked.write(out, "csv")


def _parquet(asked: Asked, out: IO[bytes]) -> None:
    asked.write(out, "parquet")


def _markdown(asked: Asked, out: IO[bytes]) -> str | None:
    shown = _first_rows(asked)
    for row in [shown.columns, ["---"] * len(shown.columns), *shown.rows]:
        cells = ("" if cell is None else printable(cell).replace("\\", "\\\\").replace("|", "\\|") for cell in row)
        out.write(f"| {' | '.join(cells)} |\n".encode())
    return shown.word


class _NoBarsError(Exception):
    """Raised for an answer that can't be drawn."""


def _bar(asked: Asked, out: IO[bytes]) -> str | None:
    shown = _first_rows(asked)
    try:
        numbers = [float(row[-1] or 0) for row in shown.rows]
    except ValueError:
        raise _NoBarsError(f"bar draws the numbers of the last column, and {shown.columns[-1]} holds others") from None
    if not all(0 <= number < float("inf") for number in numbers):
        raise _NoBarsError(f"bar draws numbers of 0 or more, and {shown.columns[-1]} holds others")
    labels = ["  ".join("" if cell is None else printable(cell) for cell in row[:-1]) for row in shown.rows]
    told = ["" if row[-1] is None else row[-1] for row in shown.rows]
    beside = max(map(len, labels), default=0) + max(map(len, told), default=0) + 2
    width, most = max(_LEAST_BAR, shutil.get_terminal_size().columns - beside), max(numbers, default=0) or 1
    for label, number, text in zip(labels, numbers, told, strict=True):
        whole, part = divmod(round(8 * width * number / most), 8)
        drawn = "█" * whole + _BLOCKS[part].strip()
        out.write(f"{label:<{max(map(len, labels))}} {drawn} {text}\n".encode())
    return shown.word


def _table(asked: Asked, out: IO[bytes]) -> str | None:
    return _show(_first_rows(asked), out, is_vertical=lambda _: False)


def _vertical(asked: Asked, out: IO[bytes]) -> str | None:
    return _show(_first_rows(asked), out, is_vertical=lambda _: True)


def _auto(asked: Asked, out: IO[bytes]) -> str | None:
    return _show(_first_rows(asked), out, is_vertical=lambda width: width > shutil.get_terminal_size().columns)


_GIVEN: dict[str, Callable[[Asked, IO[bytes]], str | None]] = {
    "auto": _auto,
    "table": _table,
    "vertical": _vertical,
    "tsv": _tsv,
    "csv": _csv,
    "json": _json,
    "markdown": _markdown,
    "bar": _bar,
    "parquet": _parquet,
}


class _Shown(NamedTuple):
    columns: list[str]
    rows: list[tuple[str | None, ...]]
    word: str | None


def _first_rows(asked: Asked) -> _Shown:
    columns, rows = asked.rows()
    first = list(itertools.islice(rows, _SHOWN_ROWS + 1))
    word = f"more than {_SHOWN_ROWS} rows: see all with --format csv or --json" if len(first) > _SHOWN_ROWS else None
    return _Shown(columns, first[:_SHOWN_ROWS], word)


def _show(shown: _Shown, out: IO[bytes], *, is_vertical: Callable[[int], bool]) -> str | None:
    from rich.console import Console  # noqa: PLC0415 only people need it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    columns = [Text(printable(column)) for column in shown.columns]
    rows = [[Text("NULL", "dim") if cell is None else Text(printable(cell)) for cell in row] for row in shown.rows]
    widths = [max(cell.cell_len for cell in cells) for cells in zip(columns, *rows, strict=True)]
    table_width = sum(widths) + 3 * len(widths) + 1
    if is_vertical(table_width):
        tables = [Table(show_header=False) for _ in rows]
        for table, row in zip(tables, rows, strict=True):
            for pair in zip(columns, row, strict=True):
                table.add_row(*pair)
    else:
        tables = [Table()]
        for column in columns:
            tables[0].add_column(column)
        for row in rows:
            tables[0].add_row(*row)
    text = io.StringIO()
    # As wide as it is: a terminal folds lines, where a narrow table would leave cells blank.
    console = Console(file=text, width=table_width, force_terminal=sys.stdout.isatty())
    for table in tables:
        console.print(table)
    out.write(text.getvalue().encode())
    return shown.word


def _note(text: str) -> None:
    print(f"telemetry query: {_lines(text)}", file=sys.stderr)


def _fail(text: str) -> NoReturn:
    _note(text)
    raise SystemExit(1)


def _lines(text: str) -> str:
    """Escape control sequences in a text that may have several lines."""
    return "\n".join(map(printable, text.expandtabs(4).split("\n")))
