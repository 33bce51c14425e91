"""SQL over the store's files where they lie, by DuckDB inside this process: reads only them, writes nothing.

DuckDB grants a directory for reading and writing alike. So a statement runs only inside `query()`: that takes
one SELECT and, unlike a look at the statement's type, refuses a COPY that hides in a WITH clause.
"""

from __future__ import annotations

import glob
from typing import TYPE_CHECKING

import duckdb

from telemetry.collector.store import NDJSON_SUFFIXES
from telemetry.errors import TelemetryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RESERVED_COLUMNS = {"event": "VARCHAR", "time": "TIMESTAMP WITH TIME ZONE", "session": "VARCHAR"}
_RECORD_COLUMNS = {
    "batch": "VARCHAR",
    "received": "TIMESTAMP WITH TIME ZONE",
    "catalog": "VARCHAR",
    "receipt": "STRUCT(level VARCHAR, basis VARCHAR, notice BIGINT, deployment VARCHAR)",
    "ledger": "VARCHAR",
    "route": "VARCHAR",
    "bytes": "BIGINT",
}
# All lines of all files count, and fields that differ from event to event stay columns: no sample, no map.
_INFER = (
    "format = 'newline_delimited', union_by_name = true, sample_size = -1, "
    "maximum_sample_files = 9223372036854775807, field_appearance_threshold = 0, map_inference_threshold = -1"
)
_NO_RECORDS = {"json"}  # the column DuckDB infers where not every line is an object, or no line is there
_FETCH_ROWS = 1000


class QueryError(TelemetryError):
    """A question that can't be answered: the SQL is wrong or forbidden, or a body can't be read."""


def query_rows(directory: Path, sql: str) -> tuple[list[str], Iterator[tuple[str | None, ...]]]:
    """Answer one SELECT over the views `events` and `batches`.

    Args:
        directory: the store's.
        sql: the statement; DuckDB's dialect.

    Returns:
        The columns' names, and the rows as DuckDB writes values: text, or None for NULL. Times are UTC.

    Raises:
        QueryError: see there. While rows are fetched, too.
    """
    return _run(directory, "SELECT COLUMNS(*)::VARCHAR FROM query(?)", sql)


def query_json(directory: Path, sql: str) -> Iterator[str]:
    """Answer one SELECT, as `query_rows` does, with a JSON object for each row."""
    _, rows = _run(directory, "SELECT to_json(row_)::VARCHAR FROM (FROM query(?)) AS row_", sql)
    return (text for (text,) in rows if text is not None)


def _run(directory: Path, outer: str, sql: str) -> tuple[list[str], Iterator[tuple[str | None, ...]]]:
    batches = directory.resolve() / "batches"
    if not batches.is_dir():
        raise QueryError(f"{directory} is no collector's store: it has no directory `batches`")
    if "?" in str(batches):  # DuckDB takes the rest for a URL's query, and misses that files are compressed
        raise QueryError(f"{batches} can't be read by DuckDB, for the question mark in it; rename the directory")
    try:
        connection = _open_locked(batches)
        _create_events(connection, batches)
        _create_view(connection, "batches", _RECORD_COLUMNS, _source(batches, (".json",)))
        connection.execute(outer, [sql])
    except duckdb.Error as fault:
        raise QueryError(_first_line(fault)) from None
    except OSError as fault:
        raise QueryError(str(fault)) from None
    return [column[0] for column in connection.description or ()], _fetch(connection)


def _open_locked(batches: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # else a table's name could be one of our variables
            "temp_directory": "",
        }
    )
    # A pattern is checked like a path, so the escaped spelling of the directory is granted too.
    granted = ", ".join(_quote(path) for path in (str(batches), glob.escape(str(batches))))
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = [{granted}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _create_events(connection: duckdb.DuckDBPyConnection, batches: Path) -> None:
    source = _source(batches, NDJSON_SUFFIXES)
    inferred = _infer_columns(connection, batches, source) if source else {}
    fields = {} if inferred.keys() == _NO_RECORDS else inferred
    _create_view(connection, "events", {**_RESERVED_COLUMNS, **fields, **_RESERVED_COLUMNS}, source)
    if not fields:
        connection.execute("SELECT count(event) FROM events")  # fails on the line that is no object


def _infer_columns(connection: duckdb.DuckDBPyConnection, batches: Path, source: str) -> dict[str, str]:
    try:
        return _describe(connection, source)
    except duckdb.Error as fault:
        for path in sorted(batches.iterdir()):  # DuckDB does not always say which file it was
            if path.name.endswith(NDJSON_SUFFIXES) and not _is_readable(connection, path):
                reason = _first_line(fault)
                raise QueryError(f"{path} can't be read; move it out of the store: {reason}") from None
        raise


def _is_readable(connection: duckdb.DuckDBPyConnection, path: Path) -> bool:
    try:
        _describe(connection, _quote(glob.escape(str(path))))
    except duckdb.Error:
        return False
    return True


def _describe(connection: duckdb.DuckDBPyConnection, source: str) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE FROM read_json({source}, {_INFER})")
    return {name: kind for name, kind, *_ in described.fetchall()}


def _create_view(connection: duckdb.DuckDBPyConnection, name: str, columns: dict[str, str], source: str) -> None:
    if source:
        typed = ", ".join(f"{_quote(column)}: {_quote(kind)}" for column, kind in columns.items())
        options = f"format = 'newline_delimited', records = true, columns = {{{typed}}}"
        rows = f"FROM read_json({source}, {options})"
    else:
        nothing = ", ".join(f"NULL::{kind} AS {column}" for column, kind in columns.items())
        rows = f"SELECT {nothing} WHERE false"
    connection.execute(f"CREATE VIEW {name} AS {rows}")


def _source(batches: Path, suffixes: tuple[str, ...]) -> str:
    present = [suffix for suffix in suffixes if any(batches.glob(f"*{suffix}"))]
    patterns = ", ".join(_quote(f"{glob.escape(str(batches))}/*{suffix}") for suffix in present)
    return f"[{patterns}]" if patterns else ""


def _quote(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _fetch(connection: duckdb.DuckDBPyConnection) -> Iterator[tuple[str | None, ...]]:
    try:
        while rows := connection.fetchmany(_FETCH_ROWS):
            yield from rows
    except duckdb.Error as fault:
        raise QueryError(_first_line(fault)) from None


def _first_line(fault: duckdb.Error) -> str:
    return str(fault).partition("\n")[0]
