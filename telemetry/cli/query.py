"""`telemetry query`: SQL over what the collector keeps."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from telemetry.errors import TelemetryError
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

_TABLE_ROWS = 1000  # more is for a program to read


@click.command()
@click.argument("sql")
@click.option("--store", "directory", required=True, type=click.Path(path_type=Path), help="The collector's directory.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object for each row, one a line.")
def query(sql: str, directory: Path, *, as_json: bool) -> None:
    """Answer one SELECT over the views `events` (a row an event) and `batches` (a row an upload).

    Reads the store's files where they lie; it can neither write nor read anything else. Times are UTC.
    """
    try:
        # Here, for it comes with an extra, and no other command should wait for it.
        from telemetry.collector.query import query_json, query_rows  # noqa: PLC0415
    except ImportError as fault:
        _fail(f"{fault.name} is not installed; run: pip install 'telemetry[collector]'")
    try:
        if as_json:
            for line in query_json(directory, sql):
                print(_strict_json(line))
        else:
            _print_table(*query_rows(directory, sql))
    except TelemetryError as fault:
        _fail(str(fault))


def _strict_json(line: str) -> str:
    # DuckDB writes NaN and Infinity, which JSON does not know.
    return json.dumps(json.loads(line, parse_constant=lambda _: None), ensure_ascii=False)


def _print_table(columns: list[str], rows: Iterable[tuple[str | None, ...]]) -> None:
    from rich.console import Console  # noqa: PLC0415 only a table needs it
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    rest = iter(rows)
    table = Table()
    for column in columns:
        table.add_column(Text(printable(column)))
    for row in itertools.islice(rest, _TABLE_ROWS):
        table.add_row(*(Text("NULL", "dim") if cell is None else Text(printable(cell)) for cell in row))
    Console().print(table)
    if next(rest, None) is not None:
        print(f"more than {_TABLE_ROWS} rows: see all with --json", file=sys.stderr)


def _fail(text: str) -> NoReturn:
    print(f"telemetry query: {text}", file=sys.stderr)
    raise SystemExit(1)
