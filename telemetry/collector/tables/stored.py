"""The store of a one-machine collector as a source of the loader: one partition, in the order of arrival.

Files have no order of their own: a listing gives them as it likes, times of receipt are rounded, and a clock may be set
back. So the store's `sequences.sqlite` numbers each body once, when a loader first sees it. If that file is lost, the
store is a new partition; its batches are then recognised by their ids.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import stat
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from telemetry.collector.store import BODY_SUFFIXES, find_batches
from telemetry.collector.tables.source import Batch, SourceError
from telemetry.files import private_file
from telemetry.receipt import First, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS identity (one INTEGER PRIMARY KEY CHECK (one = 1), name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS bodies (sequence INTEGER PRIMARY KEY AUTOINCREMENT, file BLOB NOT NULL UNIQUE);
"""
_WAIT_SECONDS = 60.0
_SETTLED_NS = 2_000_000_000  # a directory's time of change is that of a coarse clock: one so young may hide a change
_READ_ROWS = 1000
_MAX_RECORD_BYTES = 64 << 10
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


class _Receipt(msgspec.Struct):
    level: str
    basis: str
    notice: int
    deployment: str


class _First(msgspec.Struct, frozen=True):
    day: bool = False
    week: bool = False
    month: bool = False


class _Record(msgspec.Struct):
    """The part of a batch's record that a loader reads; `telemetry.collector.store.BatchRecord` is the whole."""

    received: str = ""
    catalog: str = ""
    catalog_digest: str = ""
    receipt: _Receipt | None = None
    ledger: str | None = None
    first: _First = _First()
    route: str = ""


_decode_record = msgspec.json.Decoder(_Record).decode


class StoreSource:
    """The batches of a store, while a collector writes there or not.

    Args:
        directory: the store's directory, in which `sequences.sqlite` is made if it is missing.

    Raises:
        ConfigError: the directory is no store.
        SourceError: the file there is no such database, or can't be written.
    """

    def __init__(self, directory: Path) -> None:
        self._batches = find_batches(directory)
        path = self._batches.parent / "sequences.sqlite"
        try:
            os.close(private_file(path, os.O_RDWR | os.O_CREAT))  # SQLite gives its other files the mode of this one
            self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_TABLES)
            self._database.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", [f"store-{secrets.token_hex(8)}"])
            self._partition = str(self._database.execute("SELECT name FROM identity").fetchone()[0])
        except (sqlite3.Error, OSError) as fault:
            raise SourceError(
                f"{path} can't be used: {fault}; run as the store's owner, with room on the disk"
            ) from None
        self._listed_ns = -1

    def close(self) -> None:
        """Close the files."""
        self._database.close()

    def partitions(self) -> tuple[str]:
        """Return the name of the one partition."""
        return (self._partition,)

    def first(self, partition: str) -> int:  # noqa: ARG002 there is but one
        """Return the first sequence whose body is here, or the next to be given."""
        self._number()
        (lowest,) = self._select("SELECT min(sequence) FROM bodies")[0]
        return int(lowest or self._last() + 1)

    def _last(self) -> int:
        found = self._select("SELECT seq FROM sqlite_sequence WHERE name = 'bodies'")
        return int(found[0][0]) if found else 0

    def read(self, partition: str, after: int) -> Iterator[Batch]:  # noqa: ARG002
        """Yield the batches beyond a sequence, in order; one that is erased meanwhile is passed over.

        Raises SourceError, also if so many were never numbered here.
        """
        self._number()
        if (last := self._last()) < after:
            raise SourceError(
                f"{self._batches.parent / 'sequences.sqlite'} ends at {last}, and {after} was read by it before: it is "
                "of an earlier time, as from a backup. Remove it: batches that are loaded are known by their ids"
            )
        while rows := self._select(
            "SELECT sequence, file FROM bodies WHERE sequence > ? ORDER BY sequence LIMIT ?", after, _READ_ROWS
        ):
            for sequence, file in rows:
                if batch := self._batch(sequence, os.fsdecode(file)):
                    yield batch
            after = rows[-1][0]

    def _batch(self, sequence: int, file: str) -> Batch | None:
        suffix = next(suffix for suffix in BODY_SUFFIXES if file.endswith(suffix))
        stem = file.removesuffix(suffix)
        try:
            body, changed = _read(self._batches / file)
        except FileNotFoundError:
            return None
        except OSError as fault:
            path = self._batches / file
            raise SourceError(f"{path} can't be read: {fault.strerror}; the next run goes on with it") from None
        record = self._record(stem)
        received = _time(record.received) or datetime.fromtimestamp(changed, UTC)
        receipt = Receipt(*msgspec.structs.astuple(record.receipt)) if record.receipt else None
        said = (record.catalog, record.catalog_digest, receipt, record.ledger, record.route)
        first = First(*msgspec.structs.astuple(record.first))
        return Batch(_well_formed(stem), sequence, received, *said, suffix, body, first)

    def _record(self, stem: str) -> _Record:
        try:
            return _decode_record(_read(self._batches / f"{stem}.json")[0][:_MAX_RECORD_BYTES])
        except (OSError, ValueError, RecursionError):  # gone, or not of ours; msgspec's errors are ValueErrors
            return _Record()

    def _number(self) -> None:
        """Give a sequence to each body that has none, the oldest first, and forget the bodies that are gone."""
        try:
            changed = self._batches.stat().st_mtime_ns
            if changed == self._listed_ns:
                return
            now = time.time_ns()
            with self._writing():  # the listing too: by an older one, what others have numbered since would be gone
                here = _bodies(self._batches)
                known = {file for (file,) in self._database.execute("SELECT file FROM bodies")}
                gone = [(file,) for file in known - here.keys()]
                new = sorted(here.keys() - known, key=lambda file: (here[file], file))
                self._database.executemany("DELETE FROM bodies WHERE file = ?", gone)
                self._database.executemany("INSERT INTO bodies (file) VALUES (?)", [(file,) for file in new])
        except (sqlite3.Error, OSError) as fault:
            raise SourceError(f"{self._batches.parent} can't be listed: {fault}") from None
        self._listed_ns = changed if abs(now - changed) > _SETTLED_NS else -1

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _select(self, sql: str, *values: int) -> list[Any]:
        try:
            return self._database.execute(sql, values).fetchall()
        except sqlite3.Error as fault:
            raise SourceError(f"{self._batches.parent / 'sequences.sqlite'} can't be read: {fault}") from None


def _bodies(batches: Path) -> dict[bytes, int]:
    """List the bodies of a store, each with its time of change."""
    found = {}
    with os.scandir(batches) as entries:
        for entry in entries:
            if entry.name.endswith(BODY_SUFFIXES) and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(FileNotFoundError):
                    found[os.fsencode(entry.name)] = entry.stat(follow_symlinks=False).st_mtime_ns
    return found


def _read(path: Path) -> tuple[bytes, float]:
    """Read a file that is neither a link nor a pipe, with its time of change."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise FileNotFoundError(path)
        return file.read(), found.st_mtime


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


def _well_formed(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()
