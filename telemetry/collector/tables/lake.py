"""Tables in Iceberg's format, by pyiceberg: making them, adding columns, and commits that carry a loader's position.

How far a table has a partition stands in its properties, and is set in the commit that appends the rows. pyiceberg's
transaction is one swap of the table's metadata, which its catalog makes only if the table's snapshot is still the one
that the commit was built on. Its own retries would build a stale append on another loader's commit, so there are none.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
import uuid
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import load_catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
    ValidationException,
)
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import TableProperties
from pyiceberg.transforms import DayTransform
from pyiceberg.typedef import Record
from pyiceberg.types import (
    BooleanType,
    DoubleType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestamptzType,
)

from telemetry.collector.tables.decode import arrow_type
from telemetry.collector.tables.durable import DurableFiles, make_safe
from telemetry.collector.tables.layout import Made
from telemetry.errors import TelemetryError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from telemetry.collector.tables.layout import Columns

_T = TypeVar("_T")

NAMESPACE = "telemetry"
_EVENT = "telemetry.event"
_PURPOSE = "comment"  # where other engines look for it
_POSITION = "telemetry.position."
_MISSED = "telemetry.missed."
_DAY = "received_day"
_TRIES = 100  # of a commit that others come before
_WAIT_SECONDS = 60
_PROPERTIES = {
    TableProperties.COMMIT_NUM_RETRIES: "0",
    TableProperties.MANIFEST_MERGE_ENABLED: "true",
    TableProperties.METADATA_DELETE_AFTER_COMMIT_ENABLED: "true",
    TableProperties.METADATA_PREVIOUS_VERSIONS_MAX: "20",
    TableProperties.PARQUET_COMPRESSION: "zstd",
}
_TYPES: dict[str, Any] = {
    "VARCHAR": StringType(),
    "BIGINT": LongType(),
    "DOUBLE": DoubleType(),
    "BOOLEAN": BooleanType(),
    "TIMESTAMP WITH TIME ZONE": TimestamptzType(),
}
_COUNTS = "BIGINT[]"
EPOCH = date(1970, 1, 1)
"""The day from which days are counted."""


class LakeError(TelemetryError):
    """Raised when tables can't be read or written; the text says why, and what to do."""


class Place(NamedTuple):
    """The place of tables.

    Attributes:
        tables: the directory, or the `s3://` address, under which their files lie.
        catalog: the address of Iceberg's catalog, as `sqlite:///…`, `postgresql+psycopg2://…` or `https://…`.
    """

    tables: str
    catalog: str


def place_of(tables: str, catalog: str | None) -> Place:
    """Return the place of tables; the catalog of a directory is a file of SQLite in it unless another is named.

    Raises:
        LakeError: no catalog is named where one is needed, or the address is none that is known.
    """
    if "://" not in tables:
        directory = Path(tables).absolute()
        if odd := set(str(directory)) & set("#?%"):
            raise LakeError(f"{directory} has {sorted(odd)} in its name, which addresses of files can't: name another")
        return Place(f"file://{directory}", catalog or f"sqlite:///{directory}/catalog.sqlite?timeout={_WAIT_SECONDS}")
    if not tables.startswith("s3://"):
        raise LakeError(f"--tables takes a directory or s3://BUCKET/PREFIX, not {tables}")
    if catalog is None:
        raise LakeError(
            f"{tables} has no room for Iceberg's catalog: name one by --iceberg-catalog, such as sqlite:////DIR/FILE, "
            "postgresql+psycopg2://USER@HOST/DATABASE or https://HOST of a REST catalog"
        )
    return Place(tables.rstrip("/"), catalog)


class Table:
    """One table, as it was when it was last read.

    Attributes:
        name: its name.
        handle: pyiceberg's object.
    """

    def __init__(self, name: str, handle: Any) -> None:
        self.name = name
        self.handle = handle
        handle.metadata.properties[TableProperties.COMMIT_NUM_RETRIES] = "0"  # in memory, whoever has changed it

    @property
    def event(self) -> str | None:
        """The event whose rows it holds; None for a table of another kind."""
        event: str | None = self.handle.properties.get(_EVENT)
        return event

    @property
    def columns(self) -> Columns:
        """The SQL types of its columns."""
        return {field.name: sql_type(field.field_type) for field in self.handle.schema().fields}

    @property
    def positions(self) -> dict[str, int]:
        """The last sequence that it has of each partition."""
        return _numbers(self.handle.properties, _POSITION)

    @property
    def missed(self) -> dict[str, int]:
        """The number of sequences of each partition that were gone before they could be loaded."""
        return _numbers(self.handle.properties, _MISSED)

    def position(self, partition: str) -> int:
        """Return the last sequence of a partition that it has; 0 if it has none."""
        return self.positions.get(partition, 0)

    def files(self) -> list[DataFile]:
        """Return its data files, in the order of their names. Raises LakeError."""
        with _told(f"the table {self.name}"):
            found = [task.file for task in self.handle.scan().plan_files()]
        return sorted(found, key=lambda file: str(file.file_path))

    def remove(self, files: Iterable[DataFile]) -> None:
        """Remove files that no commit holds."""
        for file in files:
            try:
                self.handle.io.delete(file.file_path)
            except OSError:
                continue  # `upkeep.sweep` finds it


def day_of(file: DataFile) -> int:
    """Return the day of receipt of a file's rows, counted from 1970-01-01."""
    return int(file.partition[0])


class Lake:
    """The tables of one place.

    Args:
        place: the place, which is made if it is a directory that is missing.
        is_new: whether tables may be made.

    Raises:
        LakeError: it can't be opened.
    """

    def __init__(self, place: Place, *, is_new: bool = False) -> None:
        self.place = place
        directory = Path(place.tables.removeprefix("file://")) if place.tables.startswith("file://") else None
        if directory is not None:
            if not is_new and not directory.is_dir():
                raise LakeError(f"{directory} is no directory of tables: `telemetry load` makes one")
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._catalog = self._patiently(lambda: load_catalog(NAMESPACE, **self._settings()))
        if is_new:
            self._patiently(self._make_namespace)

    def _settings(self) -> dict[str, str]:
        settings = {"uri": self.place.catalog, "warehouse": self.place.tables}
        if self.place.tables.startswith("file://"):
            settings["py-io-impl"] = f"{DurableFiles.__module__}.{DurableFiles.__qualname__}"
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        return settings | ({"s3.endpoint": endpoint} if endpoint else {}) | ({"s3.region": region} if region else {})

    def _make_namespace(self) -> None:
        try:
            self._catalog.create_namespace_if_not_exists(NAMESPACE)
        except NamespaceAlreadyExistsError:
            return

    def _patiently(self, act: Callable[[], _T]) -> _T:
        """Do what several that start at one time may get into each other's way with."""
        for left in reversed(range(5)):
            try:
                return act()
            except Exception as fault:
                if not left:
                    raise LakeError(f"Iceberg's catalog can't be used: {_reason(fault)}") from fault
                time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 it keeps no secret
        raise AssertionError

    def tables(self) -> dict[str, Table]:
        """Return all tables by name; raise LakeError if they can't be read."""
        with _told("Iceberg's catalog"):
            try:
                names = [name[-1] for name in self._catalog.list_tables(NAMESPACE)]
            except NoSuchNamespaceError:
                return {}
        found = {name: self.find(name) for name in names}
        return {name: table for name, table in found.items() if table is not None}

    def find(self, name: str) -> Table | None:
        """Return a table as it is now, or None if there is none; raise LakeError if it can't be read."""
        with _told(f"the table {name}"):
            try:
                found = Table(name, self._catalog.load_table((NAMESPACE, name)))
            except NoSuchTableError:
                return None
        location = found.handle.location()
        if not location.startswith(f"{self.place.tables}/"):
            raise LakeError(
                f"Iceberg's catalog has the table {name} in {location}, not below {self.place.tables}: "
                "name its place by --tables, or another catalog"
            )
        return found

    def read(self, name: str, column: str) -> list[Any]:
        """Return all values of a column of a small table; none if there is no such table."""
        table = self.find(name)
        with _told(f"the table {name}"):
            return table.handle.scan(selected_fields=(column,)).to_arrow()[column].to_pylist() if table else []

    def require(
        self,
        name: str,
        columns: Mapping[str, str | Columns],
        event: str | None = None,
        purposes: Mapping[str, str] | None = None,
    ) -> Table:
        """Return a table that has all of the columns, making it or adding them.

        Args:
            name: the table.
            columns: the columns.
            event: the event whose rows it holds, if it is one's.
            purposes: the purposes of columns, and of the event under the empty name.

        Raises:
            LakeError: others change the table without end.
        """
        for _ in range(_TRIES):
            table = self.find(name)
            with _told(f"the table {name}"):
                table = table or self._make(name, columns, event, purposes or {})
                missing = {column: kind for column, kind in columns.items() if column not in table.columns}
                if not missing:
                    return table
                try:
                    with table.handle.update_schema() as change:
                        for column, kind in missing.items():
                            change.add_column(column, _iceberg_type(kind), doc=(purposes or {}).get(column))
                except (CommitFailedException, ValueError):  # another has added it
                    continue
        raise LakeError(f"the table {name} is changed by others all the time")

    def _make(
        self, name: str, columns: Mapping[str, str | Columns], event: str | None, purposes: Mapping[str, str]
    ) -> Table:
        fields = [
            NestedField(number, column, _iceberg_type(kind, 1000 * number), required=False, doc=purposes.get(column))
            for number, (column, kind) in enumerate(columns.items(), 1)
        ]
        received = list(columns).index("received") + 1
        spec = PartitionSpec(PartitionField(received, 1000, DayTransform(), _DAY))
        properties = _PROPERTIES | ({_EVENT: event, _PURPOSE: purposes.get("", "")} if event else {})
        try:
            made = self._catalog.create_table(
                (NAMESPACE, name), Schema(*fields), partition_spec=spec, properties=properties
            )
            return Table(name, made)
        except TableAlreadyExistsError:
            return Table(name, self._catalog.load_table((NAMESPACE, name)))

    def made(self) -> dict[str, Made]:
        """Return the tables of events that are there, by event."""
        return {table.event: Made(name, table.columns) for name, table in self.tables().items() if table.event}

    def append(
        self, name: str, files: Sequence[DataFile], partition: str, after: int, to: int, missed: int = 0
    ) -> bool:
        """Commit files with the rows of a partition's sequences `after` to `to`, and the new position.

        Args:
            name: the table.
            files: the files, written for it.
            partition: the partition.
            after: the position that the table had when the rows were chosen.
            to: its new position.
            missed: the number of sequences before the rows that were gone.

        Returns:
            Whether the commit was made: another loader may have moved the position, so that these rows are not wanted.
        """

        def change(table: Table) -> bool:
            if table.position(partition) != after:
                return False
            properties = {f"{_POSITION}{partition}": str(to)}
            if missed:
                properties[f"{_MISSED}{partition}"] = str(table.missed.get(partition, 0) + missed)
            with table.handle.transaction() as transaction:
                transaction.set_properties(properties)
                with transaction.update_snapshot().merge_append() as snapshot:
                    for file in files:
                        snapshot.append_data_file(file)
            return True

        return self._commit(name, change)

    def add(self, name: str, files: Sequence[DataFile]) -> None:
        """Commit files whose rows belong to no partition of a source."""

        def change(table: Table) -> bool:
            with table.handle.transaction() as transaction, transaction.update_snapshot().merge_append() as snapshot:
                for file in files:
                    snapshot.append_data_file(file)
            return True

        self._commit(name, change)

    def replace(self, name: str, old: Sequence[DataFile], new: Sequence[DataFile]) -> bool:
        """Commit files in the place of others; return False if one of those is there no more."""

        def change(table: Table) -> bool:
            with table.handle.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
                for file in old:
                    snapshot.delete_data_file(file)
                for file in new:
                    snapshot.append_data_file(file)
            return True

        try:
            return self._commit(name, change)
        except ValidationException:
            return False

    def _commit(self, name: str, change: Callable[[Table], bool]) -> bool:
        for _ in range(_TRIES):
            table = self.find(name)
            if table is None:
                raise LakeError(f"the table {name} was dropped meanwhile: load into other tables")
            try:
                with _told(f"the table {name}"):
                    return change(table)
            except CommitFailedException:
                time.sleep(random.uniform(0, 0.1))  # noqa: S311 it keeps no secret
        raise LakeError(f"the table {name} is changed by others all the time")


class FileWriter:
    """One Parquet file of a table, with rows of one day of receipt. It belongs to the table when a commit holds it.

    Args:
        table: the table; its columns are those of the file.
        day: the day.
    """

    def __init__(self, table: Table, day: date) -> None:
        self.table = table
        self._day = day
        self._schema: Schema = table.handle.schema()
        name = f"{_DAY}={day.isoformat()}/{uuid.uuid4()}.parquet"
        self.path: str = table.handle.location_provider().new_data_location(name)
        self._output = table.handle.io.new_output(self.path)
        self._stream: Any = None
        self._writer: Any = None

    @property
    def written_bytes(self) -> int:
        """The bytes written so far."""
        return int(self._stream.tell()) if self._stream is not None else 0

    def write(self, rows: pa.Table) -> None:
        """Write rows as one group; a column that they lack is NULL."""
        rows = _with_ids(self._schema, rows)
        if self._writer is None:
            self._stream = self._output.create()
            self._writer = pq.ParquetWriter(
                self._stream, rows.schema, compression="zstd", compression_level=3, store_schema=False
            )
        self._writer.write_table(rows, row_group_size=rows.num_rows)

    def finish(self) -> DataFile:
        """Complete the file and make it safe on disk, which blocks; return its description for a commit."""
        self._writer.close()
        self._stream.close()
        if self.path.startswith("file://"):
            make_safe(Path(self.path.removeprefix("file://")))
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=self._writer.writer.metadata,
            stats_columns=compute_statistics_plan(self._schema, self.table.handle.properties),
            parquet_column_mapping=parquet_path_to_id_mapping(self._schema),
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self.path,
            file_format=FileFormat.PARQUET,
            partition=Record((self._day - EPOCH).days),
            file_size_in_bytes=len(self._output),
            sort_order_id=None,
            spec_id=self.table.handle.metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def discard(self) -> None:
        """Remove the file, as far as it was written."""
        for part in (self._writer, self._stream):
            try:
                if part is not None:
                    part.close()
            except OSError:
                continue
        try:
            self.table.handle.io.delete(self.path)
        except OSError:
            return


def _with_ids(schema: Schema, rows: pa.Table) -> pa.Table:
    """Return rows with all columns of a schema, and in each field its number, by which Iceberg knows it."""
    fields = []
    columns = []
    for field in schema.fields:
        there = field.name in rows.column_names
        column = rows[field.name] if there else pa.nulls(rows.num_rows, _arrow_type(field.field_type))
        kind = column.type if pa.types.is_dictionary(column.type) else _arrow_type(field.field_type)
        columns.append(column if column.type == kind else column.cast(kind))
        fields.append(pa.field(field.name, kind, metadata=_id(field.field_id)))
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def _id(number: int) -> dict[bytes, bytes]:
    return {b"PARQUET:field_id": str(number).encode()}


def _arrow_type(kind: Any) -> pa.DataType:
    match kind:
        case ListType():
            return pa.list_(pa.field("element", _arrow_type(kind.element_type), metadata=_id(kind.element_id)))
        case StructType():
            return pa.struct(
                [pa.field(f.name, _arrow_type(f.field_type), metadata=_id(f.field_id)) for f in kind.fields]
            )
        case _:
            return arrow_type(sql_type(kind))


def _iceberg_type(kind: str | Columns, number: int = 1000) -> Any:
    if isinstance(kind, dict):
        return StructType(
            *(NestedField(number + n, name, _TYPES[of], required=False) for n, (name, of) in enumerate(kind.items()))
        )
    return ListType(number, LongType(), element_required=False) if kind == _COUNTS else _TYPES[kind]


def sql_type(kind: Any) -> str:
    """Return the type in SQL of a column, given by its type in Iceberg."""
    if isinstance(kind, ListType):
        return f"{sql_type(kind.element_type)}[]"
    if isinstance(kind, StructType):
        return f"STRUCT({', '.join(f'{field.name} {sql_type(field.field_type)}' for field in kind.fields)})"
    return next((name for name, known in _TYPES.items() if known == kind), str(kind).upper())


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn the errors of pyiceberg, and of what lies below it, into ours."""
    try:
        yield
    except (TelemetryError, CommitFailedException, ValidationException):
        raise
    except Exception as fault:
        raise LakeError(f"{what} can't be read or written: {_reason(fault)}") from fault


def _numbers(properties: Mapping[str, str], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix): int(value) for name, value in properties.items() if name.startswith(prefix)}


def _reason(fault: Exception) -> str:
    return str(fault).split("\n", 1)[0] or type(fault).__name__
