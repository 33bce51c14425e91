"""SQL queries over a store, by DuckDB inside this process, which reads the store alone and writes nothing to it.

DuckDB permits a place for reading and writing alike. A statement therefore runs only inside `query()`, which takes one
SELECT and, unlike a check of the statement's type, refuses a COPY hidden in a WITH clause.

Nothing that lies in the store keeps a query from its answer. An unreadable body is passed over, a value that is not of
its column's type relaxes the column, and the query runs again; each such case is reported.
"""

from __future__ import annotations

import re
import secrets
import tempfile
from typing import IO, TYPE_CHECKING, NamedTuple, Protocol, TypeVar

import duckdb

from telemetry.catalog.columns import declared_types
from telemetry.catalog.load import load
from telemetry.collector.bodies import ANSWER, EVERY_BODY, RECORDS, SCHEME, Bodies, UnreadableError
from telemetry.collector.catalogs import kept_catalogs
from telemetry.collector.declared import declared_names, is_declared
from telemetry.collector.look import look
from telemetry.collector.store import find_batches
from telemetry.collector.views import (
    LINES,
    MACROS,
    SCHEMA,
    STAMPED,
    UPLOADED,
    UPLOADS,
    Column,
    Plan,
    View,
    lines_sql,
    literal,
    plan,
    time_sql,
    unfit_sql,
    view_sql,
)
from telemetry.errors import TelemetryError
from telemetry.terminal import counted, did_you_mean, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.collector.declared import Declared

_T = TypeVar("_T")

_MEMORY = "1GiB"
_FETCH_ROWS = 1000
_NAMED = 10  # of the bodies that can't be read: the rest is counted
_OUR_LINE = re.compile(r"\n*LINE [0-9]+: [^\n]*query\([^\n]*\n[ ^]*\Z")
_NO_VIEW = re.compile(r'Table with name "?([^\s"!]+)"? does not exist')
_NO_COLUMN = re.compile(r'Referenced column "([^"]*)" (?:was )?not found')
_ALL_NAMES = "`telemetry query` without SQL lists all views and columns"
_NO_LINES = "a line of it is no object of JSON, or names a field twice"
_RECORD_COLUMNS = {
    "number": "BIGINT",
    "batch": "VARCHAR",
    "received": "VARCHAR",
    "product": "VARCHAR",
    "catalog": "VARCHAR",
    "receipt": "STRUCT(level VARCHAR, basis VARCHAR, notice BIGINT, deployment VARCHAR)",
    "ledger": "VARCHAR",
    "route": "VARCHAR",
    "bytes": "BIGINT",
    "catalog_digest": "VARCHAR",
    "aside": "VARCHAR[]",
    "first": "STRUCT(day BOOLEAN, week BOOLEAN, month BOOLEAN)",
}


class QueryError(TelemetryError):
    """Raised for a query that can't be answered: the SQL is wrong or forbidden, or the store can't be read."""


class Rows(NamedTuple):
    """Rows of an answer, each value as DuckDB writes it: text, or None for NULL. Times are UTC."""

    columns: list[str]
    rows: Iterator[tuple[str | None, ...]]


class Files(Protocol):
    """The file system from which a query reads, of the scheme `store`; it takes the answer."""

    answer: IO[bytes] | None


class Asked:
    """One SELECT, whose answer can be had in several forms. Each method runs it from the start."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: Files, sql: str) -> None:
        self._connection = connection
        self._files = files
        self._sql = sql

    def rows(self) -> Rows:
        """Return the rows, as text."""
        return self._run("SELECT COLUMNS(*)::VARCHAR FROM query(?)")

    def objects(self) -> Iterator[str]:
        """Yield each row as a JSON object; values for which JSON has no number are written as DuckDB writes them."""
        return (row for (row,) in self._run("SELECT to_json(row_)::VARCHAR FROM (FROM query(?)) AS row_").rows if row)

    def write(self, file: IO[bytes], form: str) -> None:
        """Replace a file's contents with the rows, in a format that DuckDB writes: `csv` or `parquet`."""
        self._files.answer = file
        header = ", HEADER" if form == "csv" else ""
        self._connection.execute(
            f"COPY (FROM query({literal(self._sql)})) TO {literal(ANSWER)} (FORMAT {form}{header})"
        )

    def _run(self, outer: str) -> Rows:
        self._connection.execute(outer, [self._sql])
        return Rows([column[0] for column in self._connection.description or ()], self._fetch())

    def _fetch(self) -> Iterator[tuple[str | None, ...]]:
        while rows := self._connection.fetchmany(_FETCH_ROWS):
            yield from rows


def ask(
    directory: Path,
    sql: str | Callable[[Plan, list[Catalog]], str],
    catalogs: Iterable[Path],
    take: Callable[[Asked], _T],
    note: Callable[[str], None],
) -> _T:
    """Answer one SELECT over the views `events`, `batches` and one for each event.

    Args:
        directory: the store's directory.
        sql: the statement, in DuckDB's dialect; or a function that writes it by the views and the catalogs there are,
            such as `telemetry.collector.views.overview_sql`.
        catalogs: files of catalogs, in addition to those kept in the store.
        take: receives the query and consumes the whole answer. It is called again when the store turns out to hold
            something unexpected, so anything taken before must be discarded.
        note: receives a line for each reason why the answer is not complete, or not of the declared types.

    Returns:
        The value that `take` returns.

    Raises:
        QueryError: the query can't be answered.
        ConfigError: the directory is no store.
        CatalogError: a file is no catalog.
    """
    batches = find_batches(directory)
    given = [load(file) for file in catalogs]
    try:
        bodies = Bodies(batches)
    except OSError as fault:
        raise QueryError(f"{batches} can't be read: {fault.strerror}") from None
    with tempfile.TemporaryDirectory(prefix="telemetry-query-") as spill, open_database(bodies, spill) as connection:
        try:
            known = [*given, *_kept(directory, note)]
            reading = _Reading(connection, bodies, known, note)
            return reading.answer(sql if isinstance(sql, str) else sql(reading.plan, known), take)
        finally:
            reading.tell()


def _kept(directory: Path, note: Callable[[str], None]) -> Iterator[Catalog]:
    for file, catalog in kept_catalogs(directory):
        if catalog is None:
            note(f"skipped: {file} is no catalog that this version knows")
        else:
            yield catalog


def open_database(files: Files, spill: str, beside: Iterable[str] = ()) -> duckdb.DuckDBPyConnection:
    """Return a database that reads from one file system, and files beside it, and nothing else; with our aggregates.

    Args:
        files: the file system.
        spill: the directory for what needs more memory.
        beside: the paths of further files.
    """
    connection = duckdb.connect(
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "python_enable_replacements": False,  # else a table's name could be one of our variables
            "memory_limit": _MEMORY,
            "temp_directory": spill,
            "preserve_insertion_order": False,  # it costs memory; who wants an order says so
        }
    )
    connection.register_filesystem(files)
    for macro in MACROS:
        connection.execute(macro)
    connection.execute("SET enable_progress_bar = false")  # it would stand in the answer of a query of some seconds
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET allowed_directories = ['{SCHEME}://']")
    connection.execute(f"SET allowed_paths = [{', '.join(map(literal, beside))}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def require_sql(sql: str) -> None:
    """Raise QueryError for a text that is no SQL: inside `query()`, DuckDB would show our line for the one at fault."""
    try:
        duckdb.extract_statements(sql)
    except duckdb.Error as fault:
        raise QueryError(str(fault)) from None


def explained(fault: duckdb.Error, views: Iterable[str], columns: Iterable[str]) -> str:
    """Return the text of a fault; of an unknown name with ours, since DuckDB suggests its own tables as well."""
    text = _OUR_LINE.sub("", str(fault))
    for form, what, known in ((_NO_VIEW, "view", views), (_NO_COLUMN, "column", sorted(columns))):
        if found := form.search(text):
            name, quoted = f'"{found[1]}"', [f'"{name}"' for name in known]
            hint = did_you_mean(name, quoted)
            return f"there is no {what} {name}{hint}" if hint else f"{text}\n{_ALL_NAMES}"
    return text


class _Reading:
    """The views over a store, created again whenever its contents do not fit them.

    Attributes:
        plan: the views and their columns.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        bodies: Bodies,
        catalogs: list[Catalog],
        note: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._bodies = bodies
        self._note = note
        self._token = secrets.token_hex(8)
        self._passed_over = 0
        self._relaxed: dict[View, frozenset[Column]] = {}
        self._read_records()
        self._pass_over_aside(declared_names(catalogs))
        self.plan = self._make_plan(catalogs)

    def answer(self, sql: str, take: Callable[[Asked], _T]) -> _T:
        require_sql(sql)
        while True:
            self._passed_over = len(self._bodies.unreadable)
            try:
                self._create_views(sql)
                return take(Asked(self._connection, self._bodies, sql))
            except duckdb.Error as fault:
                if not self._mend(fault):
                    views = [*(view.name for view in self.plan.views), "batches"]
                    columns = {column.name for view in self.plan.views for column in view.columns}
                    raise QueryError(explained(fault, views, {*columns, *STAMPED, *UPLOADED})) from None

    def tell(self) -> None:
        """Report the bodies that were passed over."""
        for name in self._bodies.strange:
            self._note(f"skipped: {self._bodies.directory / name} is no file")
        unreadable = sorted(self._bodies.unreadable.items())
        for number, reason in unreadable[:_NAMED]:
            self._note(f"skipped: {self._bodies.path_of(self._bodies.bodies[number])}: {reason}")
        if len(unreadable) > _NAMED:
            self._note(f"skipped: {len(unreadable) - _NAMED} more that can't be read")
        if self._bodies.gone:
            self._note(
                f"{counted(len(self._bodies.gone), 'batch was', 'batches were')} removed from the store meanwhile"
            )

    def _read_records(self) -> None:
        typed = ", ".join(f"{name}: {literal(kind)}" for name, kind in _RECORD_COLUMNS.items())
        records = (
            f"read_json({literal(RECORDS)}, format = 'newline_delimited', compression = 'zstd', columns = {{{typed}}})"
        )
        self._connection.execute(f"CREATE SCHEMA {SCHEMA}")
        self._connection.execute(
            f"CREATE VIEW {SCHEMA}.records AS SELECT * REPLACE ({time_sql('received')} AS received) FROM {records}"
        )
        self._connection.execute(
            f"CREATE TABLE {UPLOADS} AS SELECT number, batch, product, catalog, received FROM {SCHEMA}.records"
        )
        self._connection.execute(f"CREATE VIEW batches AS SELECT * EXCLUDE (number) FROM {SCHEMA}.records")

    def _pass_over_aside(self, declared: dict[str, Declared]) -> None:
        """Leave out the batches that are kept aside for names that no catalog has, as yet."""
        found = self._connection.execute(
            f"SELECT number, product, aside FROM {SCHEMA}.records WHERE len(aside) > 0 ORDER BY number"
        ).fetchall()
        for number, product, names in found:
            unknown = [name for name in names if not is_declared(name, declared.get(product, {}))]
            if unknown:
                self._bodies.unreadable[number] = f"kept aside: no catalog names {printable(unknown[0])}"

    def _make_plan(self, catalogs: list[Catalog]) -> Plan:
        versions = sorted({f"{catalog.product}/{catalog.version}" for catalog in catalogs})
        found = self._connection.execute(
            f"SELECT number FROM {UPLOADS} WHERE catalog IS NULL OR NOT list_contains(?::VARCHAR[], catalog) "
            "ORDER BY received NULLS FIRST, number",
            [versions],
        ).fetchall()
        unknown = [self._bodies.bodies[number] for (number,) in found]
        seen = look(self._bodies, unknown)
        if not seen.complete:
            batches = counted(len(unknown), "batch", "batches")
            self._note(f"columns are from a look at some of {batches} whose catalog nobody gave: --catalog")
        made = plan(declared_types(catalogs), seen.types)
        if made.hidden:
            self._note(
                f"without a column: {counted(len(made.hidden), 'field')} that differ from others in capitals alone"
            )
        return made

    def _create_views(self, sql: str) -> None:
        lines = lines_sql(self.plan.fields, self._bodies.key, EVERY_BODY, is_empty=not self._bodies.files())
        self._connection.execute(f"CREATE OR REPLACE VIEW {LINES} AS {lines}")
        # DuckDB takes some milliseconds for each, and a catalog may have hundreds.
        named = [view for view in self.plan.views if view.name.lower() in sql.lower()]
        for view in named or self.plan.views:
            token = self._token_of(view)
            self._connection.execute(view_sql(view, self._bodies.key, token, self._relaxed.get(view, ())))

    def _token_of(self, view: View) -> str:
        return f"{self._token}-{self.plan.views.index(view)}-"

    def _mend(self, fault: duckdb.Error) -> bool:
        """Remove the obstacle that stopped an answer; return False if it was the query itself."""
        text = str(fault)
        # What zstd finds damaged, DuckDB says without the file's name.
        if isinstance(fault, duckdb.IOException) or f"{SCHEME}://" in text or UnreadableError.__name__ in text:
            return self._pass_over_unreadable()
        if found := re.search(f"{self._token}-([0-9]+)-", text):
            return self._relax(self.plan.views[int(found[1])])
        return False

    def _pass_over_unreadable(self) -> bool:
        """Find all unreadable bodies at once: each one met during an answer would cost a new start."""
        for path, bodies in self._bodies.files().items():
            if not self._is_readable(path):
                for body in bodies:
                    if not self._is_readable(self._bodies.path_alone(body)):
                        self._bodies.unreadable.setdefault(body.number, _NO_LINES)
        return len(self._bodies.unreadable) > self._passed_over

    def _is_readable(self, path: str) -> bool:
        lines = lines_sql(self.plan.fields, self._bodies.key, path)
        try:
            self._connection.execute(f"SELECT count(COLUMNS(*)) FROM ({lines})")
        except duckdb.Error:
            return False
        return True

    def _relax(self, view: View) -> bool:
        try:
            tallied = self._connection.execute(unfit_sql(view, self._bodies.key)).fetchone() or ()
        except duckdb.Error as fault:
            return self._mend(fault)
        relaxed = self._relaxed.get(view, frozenset())
        for column, unfit, batch in zip(view.columns, tallied[::2], tallied[1::2], strict=True):
            if unfit and column not in relaxed:
                relaxed |= {column}
                values = counted(unfit, "value is", "values are")
                effect = "read as NULL" if column.declared else "the column is text"
                self._note(f"{view.name}.{column.name}: {values} no {column.type} ({effect}), first in {batch}")
        is_new = relaxed != self._relaxed.get(view, frozenset())
        self._relaxed[view] = relaxed
        return is_new
