"""SQL over tables, by DuckDB inside this process: the views that a query over a store has, of the tables' files.

DuckDB's own reader of Iceberg is an extension that no package brings, so pyiceberg lists the files and DuckDB reads
them by the numbers of their columns: a file from before a column was added has NULL there.
"""

from __future__ import annotations

import contextlib
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import duckdb
import fsspec

from telemetry.collector.bodies import ANSWER, SCHEME, Kept
from telemetry.collector.query import Asked, QueryError, explained, open_database, require_sql
from telemetry.collector.tables.catalogs import kept_catalogs
from telemetry.collector.tables.lake import LakeError
from telemetry.collector.tables.layout import ASIDE, ASIDE_COLUMNS, BATCHES, BATCHES_COLUMNS, STAMPS
from telemetry.collector.views import STAMPED, UPLOADED, Column, Plan, View, identifier, literal, merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from telemetry.catalog.model import Catalog
    from telemetry.collector.tables.lake import Lake, Table
    from telemetry.collector.tables.layout import Columns

_T = TypeVar("_T")

_LOCAL = "file://"


def ask_tables(lake: Lake, sql: str | Callable[[Plan, list[Catalog]], str], take: Callable[[Asked], _T]) -> _T:
    """Answer one SELECT over the views `events`, `batches`, `aside` and one for each event.

    Args:
        lake: the tables.
        sql: the statement, in DuckDB's dialect; or a function that writes it by the views and the catalogs there are,
            such as `telemetry.collector.views.overview_sql`.
        take: receives the query and consumes the whole answer.

    Returns:
        The value that `take` returns.

    Raises:
        QueryError: the query can't be answered.
        LakeError: the tables can't be read.
    """
    tables = lake.tables()
    with open_tables(lake, tables) as (connection, files):
        asked = sql if isinstance(sql, str) else sql(plan_of(tables), kept_catalogs(lake))
        require_sql(asked)
        try:
            return take(Asked(connection, files, asked))
        except duckdb.Error as fault:
            columns = {column for table in tables.values() for column in table.columns}
            raise QueryError(explained(fault, ["events", *tables], {*columns, *STAMPED, *UPLOADED})) from None


@contextlib.contextmanager
def open_tables(
    lake: Lake, tables: dict[str, Table] | None = None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, TableFiles]]:
    """Open a database with a view of each table by its name, and `events`, all events; as they are now.

    The views have the columns that those over a store have. The database reads these tables' files and nothing else.

    Args:
        lake: the tables.
        tables: the tables as they were read before; None to read them.

    Raises:
        LakeError: the tables can't be read.
    """
    tables = lake.tables() if tables is None else tables
    files = TableFiles()
    paths = {name: [files.add(table, str(file.file_path)) for file in table.files()] for name, table in tables.items()}
    local = [path for some in paths.values() for path in some if not path.startswith(f"{SCHEME}://")]
    with (
        tempfile.TemporaryDirectory(prefix="telemetry-query-") as spill,
        open_database(files, spill, local) as connection,
    ):
        for name, columns in ((BATCHES, BATCHES_COLUMNS), (ASIDE, ASIDE_COLUMNS)):
            connection.execute(f"CREATE VIEW {identifier(name)} AS {_empty_sql(columns)}")  # until one is made
        for name, table in tables.items():
            try:
                connection.execute(f"CREATE OR REPLACE VIEW {identifier(name)} AS {_table_sql(table, paths[name])}")
            except duckdb.Error as fault:
                raise LakeError(_unreadable(name, paths[name], fault)) from None
        connection.execute(f"CREATE VIEW events AS {_events_sql([table for table in tables.values() if table.event])}")
        yield connection, files


def _unreadable(name: str, paths: Iterable[str], fault: duckdb.Error) -> str:
    gone = [path for path in paths if path.startswith("/") and not Path(path).exists()]
    why = f"{gone[0]} is not there" if gone else str(fault).split("\n", 1)[0]
    return f"the table {name} can't be read: {why}; restore its files, or load into other tables"


def _table_sql(table: Table, paths: list[str]) -> str:
    columns = ", ".join(map(identifier, table.columns))
    if not paths:
        return _empty_sql(table.columns)
    schema = ", ".join(
        f"{field.field_id}: {{name: {literal(field.name)}, type: {literal(kind)}, default_value: NULL}}"
        for field, kind in zip(table.handle.schema().fields, table.columns.values(), strict=True)
    )
    return (
        f"SELECT {columns} FROM read_parquet([{', '.join(map(literal, paths))}], schema = MAP {{{schema}}}, "
        "hive_partitioning = false)"
    )


def _events_sql(tables: list[Table]) -> str:
    columns = _event_columns(tables)
    parts = []
    for table in tables:
        values = ", ".join(_cast(table, *column) for column in columns.items())
        parts.append(f"SELECT {literal(table.event or '')} AS event, {values} FROM {identifier(table.name)}")
    return " UNION ALL ".join(parts) or _empty_sql({"event": "VARCHAR", **columns})


def _event_columns(tables: list[Table]) -> Columns:
    """Return the columns of all events; one that has two types is text."""
    types: dict[str, set[str]] = {}
    for table in tables:
        for name, kind in table.columns.items():
            types.setdefault(name, set()).add(kind)
    return {**STAMPS, **{name: merged(kinds) for name, kinds in types.items()}}


def _empty_sql(columns: Mapping[str, str | Columns]) -> str:
    nothing = ", ".join(f"NULL::{_kind(kind)} AS {identifier(name)}" for name, kind in columns.items())
    return f"SELECT {nothing} WHERE false"


def _kind(kind: str | Columns) -> str:
    if isinstance(kind, str):
        return kind
    return f"STRUCT({', '.join(f'{identifier(name)} {of}' for name, of in kind.items())})"


def _cast(table: Table, name: str, kind: str) -> str:
    there = table.columns.get(name)
    return f"{'NULL' if there is None else identifier(name)}::{kind} AS {identifier(name)}"


def plan_of(tables: dict[str, Table]) -> Plan:
    """Return the views of events over tables, as over a store."""
    of_events = [(table.event, name, table) for name, table in sorted(tables.items()) if table.event]
    views = [View(name, event, _columns(table.columns)) for event, name, table in of_events]
    events = View("events", None, _columns(_event_columns([table for _, _, table in of_events])))
    return Plan([events, *views], [column.field for column in events.columns], [])


def _columns(columns: Mapping[str, str]) -> tuple[Column, ...]:
    own = {"time": columns["time"], **{name: kind for name, kind in columns.items() if name not in STAMPS}}
    return tuple(Column(name, _field_of(name), kind, declared=True) for name, kind in own.items())


def _field_of(column: str) -> str:
    """Return the field that a column holds: one that is named like a stamp has an underscore there."""
    bare = column.rstrip("_")
    return bare if bare in STAMPS else column


class TableFiles(fsspec.AbstractFileSystem):  # type: ignore[misc] # it ships no types
    """The files of tables that do not lie on this machine, as DuckDB reads them; and the answer, which it writes."""

    protocol = SCHEME
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.answer: IO[bytes] | None = None
        self._inputs: dict[str, Any] = {}

    def add(self, table: Table, path: str) -> str:
        """Return the path by which DuckDB reads a file of a table."""
        if path.startswith(_LOCAL):
            return path.removeprefix(_LOCAL)
        name = f"{SCHEME}://tables/{len(self._inputs)}.parquet"
        self._inputs[name] = table.handle.io.new_input(path)
        return name

    def open(self, path: str, mode: str = "rb", **options: Any) -> Any:  # noqa: ARG002 fsspec's
        """Open a file for reading, or the answer for writing."""
        if path == ANSWER and self.answer is not None and mode != "rb":
            self.answer.seek(0)
            self.answer.truncate()
            return Kept(self.answer)
        return self._inputs[path].open()

    def glob(self, path: str, **options: Any) -> list[str]:  # noqa: ARG002 fsspec's
        """Return the one file that a path names."""
        return [path]

    def size(self, path: str) -> int:
        """Return the size of a file."""
        return len(self._inputs[path])

    def modified(self, path: str) -> datetime:  # noqa: ARG002 fsspec's
        """Return one time for all: a table's files never change."""
        return datetime.fromtimestamp(0, UTC)

    def isfile(self, path: str) -> bool:
        """Tell whether a path is that of a table's file; the answer never counts as one that is replaced."""
        return path in self._inputs

    def isdir(self, path: str) -> bool:  # noqa: ARG002 fsspec's
        """Return False: this file system has no directories."""
        return False
