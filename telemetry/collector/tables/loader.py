"""The loader: batches of a source's partitions into tables, each event exactly once.

A *span* is what one commit brings: the batches of a partition from one sequence to another. Its rows are written to
Parquet files as they come, and belong to the tables when these are committed: first those of events, then `aside`, at
last `batches`, so that all tables have what `batches` has. A loader that is killed between leaves some tables ahead of
`batches`; the next one reads from there, and leaves out what a table has already. Where another loader has moved a
table's position meanwhile, the span is dropped and read anew.

A batch is a repeat, and brings nothing, if its id stands in `batches` with a smaller sequence of its partition, or with
another partition, and was received at most `REPEAT_DAYS` before.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from telemetry.collector.bodies import UnreadableError
from telemetry.collector.tables.catalogs import keep_catalogs
from telemetry.collector.tables.decode import Aside, Reader, arrow_type, by_event, lines_of, session_of
from telemetry.collector.tables.forget import forgotten_sessions
from telemetry.collector.tables.known import REPEAT_DAYS, Known, find_repeats
from telemetry.collector.tables.lake import FileWriter, Lake, Table
from telemetry.collector.tables.layout import (
    ASIDE,
    ASIDE_COLUMNS,
    BATCHES,
    BATCHES_COLUMNS,
    Change,
    Layout,
    lay_out,
)
from telemetry.collector.views import TIME
from telemetry.errors import ConfigError
from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pyiceberg.manifest import DataFile

    from telemetry.catalog.model import Catalog, Event
    from telemetry.collector.tables.source import Batch, Source

_T = TypeVar("_T")

_CHUNK_BYTES = 4 << 20  # of an event's lines that are read at once
_GROUP_ROWS = 500_000
_HELD_BYTES = 192 << 20  # of rows in memory, of all files
_OPEN_FILES = 300
_SPAN_ROWS = 200_000  # of `batches` and `aside`, which are held as they are
_OLDEST_SECONDS = 12 * 3600.0
_LOOK_SECONDS = 5.0
_TOLD = 10
_READ_BATCHES = 500
_READ_BYTES = 32 << 20


class Pace(NamedTuple):
    """When a loader commits.

    Attributes:
        file_bytes: the size of a file, from which on it is committed.
        seconds: the time after which what was read is committed, however little it is.
    """

    file_bytes: int = 128 << 20
    seconds: float = 900.0


class _Upload:
    """A batch of a span, and what was found in it."""

    def __init__(self, batch: Batch) -> None:
        self.batch = batch._replace(body=b"")
        self.bytes = len(batch.body)
        self.events = 0
        self.aside = 0
        self.fault: str | None = None


class _Lines:
    """Lines of one event and one day of receipt, from several batches."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.bytes = 0
        self.runs: list[tuple[_Upload, int]] = []

    def add(self, upload: _Upload, lines: list[bytes]) -> None:
        self.lines += lines
        self.bytes += sum(map(len, lines))
        self.runs.append((upload, len(lines)))


class _File:
    """A file that is being written, with the rows that wait for a group to be full."""

    def __init__(self, table: Table, day: date) -> None:
        self.writer = FileWriter(table, day)
        self._waiting: list[pa.Table] = []
        self.waiting_bytes = 0
        self.rows = 0
        self._waiting_rows = 0

    def add(self, rows: pa.Table) -> None:
        self._waiting.append(rows)
        self.waiting_bytes += rows.nbytes
        self._waiting_rows += rows.num_rows
        self.rows += rows.num_rows
        if self._waiting_rows >= _GROUP_ROWS:
            self.write()

    def write(self) -> None:
        if self._waiting:
            self.writer.write(pa.concat_tables(self._waiting, promote_options="default").unify_dictionaries())
        self._waiting, self.waiting_bytes, self._waiting_rows = [], 0, 0

    def finish(self) -> DataFile:
        self.write()
        return self.writer.finish()


class Span:
    """The content of one commit: some batches of a partition, as rows in files.

    Args:
        partition: the partition.
        tables: the tables of events, with `aside` and `batches`, as they are before it.
        layouts: the layouts of the tables of events.
        forgotten: the sessions that were erased, whose lines are left out.
    """

    def __init__(
        self, partition: str, tables: dict[str, Table], layouts: Iterable[Layout], forgotten: frozenset[str]
    ) -> None:
        self.partition = partition
        self.forgotten = forgotten
        self.after = tables[BATCHES].position(partition)
        self.to = self.after
        self.uploads: list[_Upload] = []
        self.since = time.monotonic()
        self.begun_unix = time.time()
        self._tables = tables
        self._layouts = {layout.event: layout for layout in layouts}
        self._readers: dict[str, Reader] = {}
        self._lines: dict[tuple[str, date], _Lines] = {}
        self._files: dict[tuple[str, date], _File] = {}
        self._aside: list[tuple[_Upload, Aside]] = []
        self._aside_bytes = 0
        self._ids: set[str] = set()
        self._finished: dict[str, list[DataFile]] = {}

    def holds(self, batch: str) -> bool:
        """Tell whether a batch of this id is in the span."""
        return batch in self._ids

    def pass_over(self, batch: Batch) -> None:
        """Take a batch's place in the order, and nothing else."""
        self.to = batch.sequence

    def add(self, batch: Batch) -> None:
        """Take in a batch's rows."""
        self.to = batch.sequence
        self._ids.add(batch.batch)
        upload = _Upload(batch)
        self.uploads.append(upload)
        try:
            body = lines_of(batch)
            if self.forgotten:
                body = b"\n".join(line for line in body.split(b"\n") if session_of(line) not in self.forgotten)
            events = by_event(body)
        except UnreadableError as fault:
            upload.fault = str(fault)
            return
        if batch.receipt is None:
            unsaid = "its batch has no receipt of consent"
            self._put_aside(
                upload,
                [Aside(event, unsaid, loaded=False, line=line) for event, some in events.items() for line in some],
            )
            return
        day = day_of_receipt(batch)
        for event, lines in events.items():
            if event in self._layouts:
                waiting = self._lines.setdefault((event, day), _Lines())
                waiting.add(upload, lines)
                if waiting.bytes >= _CHUNK_BYTES:
                    self._read(event, day)
            else:
                reason = "it is no object of JSON with an event" if event is None else "no catalog names its event"
                self._put_aside(upload, [Aside(event, reason, loaded=False, line=line) for line in lines])

    def _put_aside(self, upload: _Upload, aside: list[Aside]) -> None:
        upload.aside += len(aside)
        self._aside_bytes += sum(len(line.line) for line in aside)
        self._aside += [(upload, line) for line in aside]

    def _read(self, event: str, day: date) -> None:
        """Turn the lines of an event that wait into rows."""
        waiting = self._lines.pop((event, day))
        layout = self._layouts[event]
        reader = self._readers.get(event) or self._readers.setdefault(event, Reader(layout))
        at = self.position(layout.table)
        rows = reader.read_all(waiting.lines)
        if rows is not None and waiting.runs[0][0].batch.sequence > at:
            for upload, number in waiting.runs:
                upload.events += number
            self._put(layout.table, day, _stamped(rows, waiting.runs))
            return
        start = 0
        for upload, number in waiting.runs:
            lines = waiting.lines[start : start + number]
            start += number
            whole = reader.read_all(lines)
            if whole is None:
                whole, aside = reader.read_each(lines)
                self._put_aside(upload, aside)
            upload.events += whole.num_rows
            if whole.num_rows and upload.batch.sequence > at:
                self._put(layout.table, day, _stamped(whole, [(upload, whole.num_rows)]))

    def _put(self, table: str, day: date, rows: pa.Table) -> None:
        file = self._files.get((table, day))
        if file is None:
            file = self._files[table, day] = _File(self._tables[table], day)
        file.add(rows)
        while sum(file.waiting_bytes for file in self._files.values()) > _HELD_BYTES:
            max(self._files.values(), key=lambda file: file.waiting_bytes).write()

    def is_due(self, pace: Pace) -> bool:
        """Tell whether it should be committed now."""
        largest = max(self._sizes().values(), default=0)
        many = (
            len(self._files) > _OPEN_FILES
            or len(self.uploads) + len(self._aside) > _SPAN_ROWS
            or self._aside_bytes > _HELD_BYTES
        )
        return self.to > self.after and (largest >= pace.file_bytes or many or self.age_seconds >= pace.seconds)

    def _sizes(self) -> dict[tuple[str, date], int]:
        """Return the bytes of each file, by table and day; of what is not written yet, an eighth counts."""
        sizes = {name: file.writer.written_bytes + file.waiting_bytes // 8 for name, file in self._files.items()}
        for (event, day), waiting in self._lines.items():
            name = self._layouts[event].table, day
            sizes[name] = sizes.get(name, 0) + waiting.bytes // 8
        return sizes

    def position(self, table: str) -> int:
        """Return the position that a table had before it."""
        return self._tables[table].position(self.partition)

    @property
    def age_seconds(self) -> float:
        """The time since it was begun."""
        return time.monotonic() - self.since

    def finish(self) -> dict[str, list[DataFile]]:
        """Complete all files; return them by table, `batches` last."""
        for event, day in list(self._lines):
            self._read(event, day)
        at = self.position(ASIDE)
        for day, aside in _by_day([(u, line) for u, line in self._aside if u.batch.sequence > at], lambda row: row[0]):
            self._put(ASIDE, day, _aside_rows(aside))
        for day, uploads in _by_day(self.uploads, lambda upload: upload):
            self._put(BATCHES, day, _upload_rows(self.partition, uploads))
        last = {ASIDE: 1, BATCHES: 2}
        for name, day in sorted(self._files, key=lambda of: (last.get(of[0], 0), of)):
            self._finished.setdefault(name, []).append(self._files.pop((name, day)).finish())
        self._finished.setdefault(BATCHES, [])
        return self._finished

    def remarks(self) -> Iterator[str]:
        """Yield a line for each kind of thing that did not become a row as it came."""
        for upload in self.uploads:
            if upload.fault:
                yield f"batch {upload.batch.batch} can't be read: {upload.fault}; `batches` says so, too"
        kinds = Counter((line.event, line.reason) for _, line in self._aside)
        for (event, reason), number in kinds.most_common(_TOLD):
            of = f" of {printable(event)}" if event else ""
            yield f"{counted(number, 'line')}{of} kept in the table {ASIDE}: {reason}"
        if len(kinds) > _TOLD:
            yield f"lines of {len(kinds) - _TOLD} more kinds are kept in the table {ASIDE}"

    def discard(self, *, but: Iterable[str] = ()) -> None:
        """Remove its files, apart from those of tables that have them."""
        for file in self._files.values():
            file.writer.discard()
        self._files.clear()
        for name, files in self._finished.items():
            if name not in but:
                self._tables[name].remove(files)


class Loader:
    """Loads one partition of a source into tables.

    Args:
        lake: the tables.
        source: the source.
        partition: the partition.
        catalogs: returns the catalogs that are known now.
        pace: when to commit.
        note: receives a line for each thing that the user should know.
        keep_types: whether a field of a changed type is no reason to stop.

    Attributes:
        rows: the rows that were committed, by table.
        batches: the number of batches that were committed.
    """

    def __init__(
        self,
        lake: Lake,
        source: Source,
        partition: str,
        catalogs: Callable[[], list[Catalog]],
        pace: Pace,
        note: Callable[[str], None],
        *,
        keep_types: bool = False,
    ) -> None:
        self._lake = lake
        self._source = source
        self._partition = partition
        self._catalogs = catalogs
        self._pace = pace
        self._note = note
        self._keep_types = keep_types
        self._labels: set[str] = set()
        self._look_again = 0.0
        self._known = Known()
        self._span: Span | None = None
        self._missed = 0
        self.rows: dict[str, int] = {}
        self.batches = 0

    def advance(self, is_stopped: Callable[[], bool]) -> None:
        """Read what the partition has, and commit whenever that is due; the rest waits for `commit`, or more.

        Args:
            is_stopped: asked before each batch; ends the reading.

        Raises:
            ConfigError: a catalog declares another type for a column.
            SourceError: the source can't be read now.
            LakeError: the tables can't be read or written.
            OSError: the disk refuses.
        """
        try:
            while not is_stopped() and not self._advance(is_stopped):
                continue
        except BaseException:
            self.abandon()
            raise

    def _advance(self, is_stopped: Callable[[], bool]) -> bool:
        """Read until the end, which is True, or until the position was moved by another."""
        span = self._span = self._span or self._begin()
        for chunk in _chunks(self._source.read(self._partition, span.to)):
            repeats = self._repeats(chunk)
            for batch in chunk:
                if is_stopped():
                    return True
                if self._is_new(batch.catalog):
                    if not self.commit():
                        return False
                    span = self._span = self._begin()
                if batch.sequence in repeats or span.holds(batch.batch):
                    span.pass_over(batch)
                else:
                    self._known.add(batch.batch)
                    span.add(batch)
                if span.is_due(self._pace):
                    if not self.commit():
                        return False
                    span = self._span = self._begin()
        if span.is_due(self._pace):
            self.commit()
        return True

    def commit(self) -> bool:
        """Commit what was read; return False if another loader was before, so that it is read anew.

        Raises:
            LakeError: the tables can't be written.
            OSError: the disk refuses.
        """
        span, self._span = self._span, None
        if span is None or span.to == span.after:
            return True
        if time.time() - span.begun_unix > _OLDEST_SECONDS:  # this process was stopped for long: its files may be swept
            span.discard()
            return False
        if forgotten_sessions(self._lake) != span.forgotten:
            span.discard()
            return False
        try:
            finished = span.finish()
        except BaseException:
            span.discard()
            raise
        done: list[str] = []
        for name, files in finished.items():
            missed = self._missed if name == BATCHES else 0
            if not self._lake.append(name, files, self._partition, span.position(name), span.to, missed):
                span.discard(but=done)
                return False
            done.append(name)
            self.rows[name] = self.rows.get(name, 0) + sum(int(file.record_count) for file in files)
        self.batches += len(span.uploads)
        for line in span.remarks():
            self._note(line)
        return True

    @property
    def read(self) -> int:
        """The number of batches that were read, with those that are not committed yet."""
        return self.batches + (len(self._span.uploads) if self._span else 0)

    def abandon(self) -> None:
        """Give up what was read and is not committed."""
        if self._span is not None:
            self._span.discard()
            self._span = None

    def _begin(self) -> Span:
        layouts, changes = lay_out(catalogs := self._catalogs(), self._lake.made())
        self._labels = {label_of(catalog) for catalog in catalogs}
        if changes and not self._keep_types:
            raise ConfigError(_refusal(changes))
        keep_catalogs(self._lake, catalogs, datetime.now(UTC))
        why = {event.name: event for catalog in catalogs for event in catalog.events.values()}
        tables = {
            layout.table: self._lake.require(layout.table, layout.columns, layout.event, _purposes(layout, why))
            for layout in layouts
        }
        tables[ASIDE] = self._lake.require(ASIDE, ASIDE_COLUMNS)
        tables[BATCHES] = batches = self._lake.require(BATCHES, BATCHES_COLUMNS)
        after, first = batches.position(self._partition), self._source.first(self._partition)
        is_other = not after and bool(batches.positions)  # perhaps what is there already, by another name
        self._known.update(
            batches, date.min if is_other else datetime.now(UTC).date() - timedelta(days=2 * REPEAT_DAYS)
        )
        self._missed = max(0, first - after - 1) if after else 0
        if self._missed:
            lost = counted(self._missed, "batch", "batches")
            self._note(f"{self._partition}: at most {lost} after {after} gone before loading")
        return Span(self._partition, tables, layouts, forgotten_sessions(self._lake))

    def _repeats(self, chunk: list[Batch]) -> set[int]:
        """Return the sequences of those batches that came before, by what is committed now."""
        doubtful = [batch for batch in chunk if self._known.may_hold(batch.batch)]
        return (
            find_repeats(self._lake.require(BATCHES, BATCHES_COLUMNS), self._partition, doubtful) if doubtful else set()
        )

    def _is_new(self, label: str) -> bool:
        """Tell whether there are catalogs that were not there when the span was begun, once a batch names one."""
        if label in self._labels or time.monotonic() < self._look_again:  # anybody may upload under any name
            return False
        self._labels.add(label)
        self._look_again = time.monotonic() + _LOOK_SECONDS
        return any(label_of(catalog) == label for catalog in self._catalogs())


def label_of(catalog: Catalog) -> str:
    """Return a catalog's product and version, as batches name them."""
    return f"{catalog.product}/{catalog.version}"


def _purposes(layout: Layout, why: Mapping[str, Event]) -> dict[str, str]:
    """Return the purposes of a table's columns, and of its event under the empty name."""
    event = why[layout.event]
    fields = {
        column.name: event.fields[column.field].purpose for column in layout.fields if column.field in event.fields
    }
    return {"": event.purpose, **fields}


def _chunks(batches: Iterable[Batch]) -> Iterator[list[Batch]]:
    chunk: list[Batch] = []
    held_bytes = 0
    for batch in batches:
        chunk.append(batch)
        held_bytes += len(batch.body)
        if len(chunk) == _READ_BATCHES or held_bytes > _READ_BYTES:
            yield chunk
            chunk, held_bytes = [], 0
    if chunk:
        yield chunk


def _refusal(changes: Sequence[Change]) -> str:
    found = "; ".join(
        f"{change.event}.{change.field} is {change.had} in the tables, and {change.catalog} declares {change.has}"
        for change in changes
    )
    return (
        f"{found}: give such a field another name in the catalog, load into other tables, or say --keep-types, "
        f"by which what does not fit is kept in the table {ASIDE}"
    )


def _by_day(rows: Sequence[_T], upload_of: Callable[[_T], _Upload]) -> Iterator[tuple[date, list[_T]]]:
    days: dict[date, list[_T]] = {}
    for row in rows:
        days.setdefault(day_of_receipt(upload_of(row).batch), []).append(row)
    yield from days.items()


def day_of_receipt(batch: Batch) -> date:
    """Return the day on which a batch was received, in UTC."""
    return batch.received.astimezone(UTC).date()


def _stamped(rows: pa.Table, runs: Sequence[tuple[_Upload, int]]) -> pa.Table:
    """Return rows with the columns that tell of their batches, which come in runs."""
    ends = list(itertools.accumulate(number for _, number in runs))
    of = pc.run_end_decode(
        pa.RunEndEncodedArray.from_arrays(pa.array(ends, pa.int32()), pa.array(range(len(runs)), pa.int32()))
    )
    batches = [upload.batch for upload, _ in runs]
    for name, values in (
        ("product", [_product(batch) for batch in batches]),
        ("catalog", [batch.catalog or None for batch in batches]),
        ("batch", [batch.batch for batch in batches]),
    ):
        rows = rows.append_column(name, pa.DictionaryArray.from_arrays(of, pa.array(values, pa.string())))
    return rows.append_column("received", pa.array([batch.received for batch in batches], arrow_type(TIME)).take(of))


def _aside_rows(aside: Sequence[tuple[_Upload, Aside]]) -> pa.Table:
    schema = pa.schema([(name, arrow_type(kind)) for name, kind in ASIDE_COLUMNS.items()])
    return pa.Table.from_pylist(
        [
            {
                "batch": upload.batch.batch,
                "received": upload.batch.received,
                "product": _product(upload.batch),
                "catalog": upload.batch.catalog or None,
                "event": line.event,
                "reason": line.reason,
                "loaded": line.loaded,
                "line": line.line.decode(errors="backslashreplace"),
            }
            for upload, line in aside
        ],
        schema=schema,
    )


def _upload_rows(partition: str, uploads: Sequence[_Upload]) -> pa.Table:
    kinds = {
        name: pa.struct([(part, arrow_type(of)) for part, of in kind.items()])
        if isinstance(kind, dict)
        else arrow_type(kind)
        for name, kind in BATCHES_COLUMNS.items()
    }
    return pa.Table.from_pylist(
        [
            {
                "batch": upload.batch.batch,
                "product": _product(upload.batch),
                "catalog": upload.batch.catalog or None,
                "received": upload.batch.received,
                "receipt": upload.batch.receipt._asdict() if upload.batch.receipt else None,
                "ledger": upload.batch.ledger,
                "route": upload.batch.route or None,
                "bytes": upload.bytes,
                "catalog_digest": upload.batch.catalog_digest or None,
                "first": upload.batch.first._asdict(),
                "partition": partition,
                "sequence": upload.batch.sequence,
                "events": upload.events,
                "lines_aside": upload.aside,
                "fault": upload.fault,
            }
            for upload in uploads
        ],
        schema=pa.schema(list(kinds.items())),
    )


def _product(batch: Batch) -> str | None:
    return batch.catalog.partition("/")[0] or None
