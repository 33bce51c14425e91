"""Directory of batches of a collector, which takes a body in whole or not at all, and knows no HTTP.

`batches/` holds a body and a record for each batch. The record is moved in first; renaming the body is the commit.
`incoming/` holds bodies that are still arriving, under names that begin with the batch's id. `erased.sqlite` holds the
ids of batches and sessions that may not come again. One process at a time takes batches in; others may erase meanwhile.

Nobody else can replace any of it: every directory on the way belongs to the user or to root, no links are followed
below, and files with names that the store does not give are left alone.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from telemetry.collector.erased import Erased
from telemetry.errors import ConfigError
from telemetry.files import check_parents, private_dir, private_file, sync_directory, try_lock
from telemetry.paths import is_open_to_others
from telemetry.receipt import NOT_FIRST, First

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from telemetry.receipt import Receipt

NDJSON_SUFFIXES = (".ndjson.zst", ".ndjson.gz", ".ndjson")
BODY_SUFFIXES = (*NDJSON_SUFFIXES, ".pb.zst", ".pb.gz", ".pb")
_BATCH_CHARACTERS = 32
_NEVER = "9999"
_PROBE_BYTES = 4096
_HELD_BYTES = 128 << 10  # held of a body before it gets a file: most uploads that are cut short stay below
_UNFINISHED = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}(\.json)?")


class BatchRecord(NamedTuple):
    """Facts about a batch, kept beside its body. None of them tells who sent it.

    Attributes:
        batch: the batch's id.
        received: the time of receipt in UTC, ISO 8601, rounded down to the minute.
        catalog: product and version, `acme-db/3`.
        receipt: the consent under which the events were collected.
        ledger: the shipper's account of the session, as received; None if it sent none.
        route: the path it was posted to.
        bytes: the body's size as it lies.
        catalog_digest: the SHA-256 of the catalog's file, in hexadecimal; empty if the shipper did not send it.
        first: the periods of which its session is its installation's first.
        aside: the events and fields that no catalog named, for which it is kept aside; none of most batches.
    """

    batch: str
    received: str
    catalog: str
    receipt: Receipt
    ledger: str | None
    route: str
    bytes: int
    catalog_digest: str = ""
    first: First = NOT_FIRST
    aside: tuple[str, ...] = ()


class Store:
    """The batches under one directory, opened for writing.

    Opening makes missing directories, private to the user, and removes anything an earlier process left half-done. An
    existing directory keeps its mode, but must belong to the user, and nobody else may be able to write there.

    Args:
        directory: the store's directory.
        max_bytes: the greatest size of all that is kept or arriving; 0 for no such limit.
        keep_free_bytes: the space that stays free on its disk.

    Raises:
        ConfigError: the directory is none, others could write there or replace it, or another collector writes there.
        OSError: the disk refuses.
    """

    def __init__(self, directory: Path, *, max_bytes: int = 0, keep_free_bytes: int = 0) -> None:
        require_store(directory)
        self._lock_descriptor = _lock(directory)
        self.batches = directory / "batches"
        self._incoming = directory / "incoming"
        self._commits = threading.Lock()
        self._erased = Erased(directory)
        self._remove_unfinished()
        self._max_bytes = max_bytes
        self._keep_free_bytes = keep_free_bytes
        self._counting = threading.Lock()
        self._arriving_bytes = 0
        self._count()

    def close(self) -> None:
        """Release the store to other processes."""
        self._erased.close()
        os.close(self._lock_descriptor)

    def holds(self, batch: str) -> bool:
        """Tell whether the body of a batch is here."""
        stem = f"{self.batches}/{batch}"
        return any(os.access(stem + suffix, os.F_OK) for suffix in BODY_SUFFIXES)  # for what is not there, no exception

    def knows(self, batch: str) -> bool:
        """Tell whether the body of a batch is here, or was and has been erased."""
        return self.holds(batch) or self._erased.holds_batch(batch)

    def begin(self, batch: str, suffix: str) -> Incoming:
        """Start to take in the body of `batch`, which must be an id fit for a file's name."""
        return Incoming(self, self._incoming / f"{batch}-{secrets.token_hex(8)}", batch, suffix)

    def grant(self, size_bytes: int) -> None:
        """Set aside room for a body, or give room back if the number is negative.

        Raises:
            OSError: there is no room.
        """
        if size_bytes > 0 and self._is_beyond(size_bytes):
            self._notice_others()
        with self._counting:
            if size_bytes > 0:
                free_bytes = self._free_bytes()
                over = self._is_beyond(size_bytes)
                if over or free_bytes - size_bytes < self._keep_free_bytes:
                    limit = "--max-store-bytes" if over else "--keep-free-bytes"
                    raise OSError(errno.ENOSPC, f"the store has no room by {limit}")
            self._arriving_bytes += size_bytes

    def _is_beyond(self, size_bytes: int) -> bool:
        return bool(self._max_bytes) and self._kept_bytes + self._arriving_bytes + size_bytes > self._max_bytes

    def _count(self) -> None:
        """Count the bytes that are kept."""
        with self._commits:
            self._changes = self._erased.changes()  # before: a change meanwhile is noticed the next time
            kept_bytes = sum(_sizes(self.batches))
            with self._counting:
                self._kept_bytes = kept_bytes

    def _notice_others(self) -> None:
        """Count again if another process has erased something since."""
        if self._erased.changes() != self._changes:
            self._count()

    def _keeps(self, size_bytes: int, *, arrived: bool) -> None:
        """Account for bytes that are in their place now, if `arrived` out of those set aside; needs the commit lock."""
        with self._counting:
            self._kept_bytes += size_bytes
            self._arriving_bytes -= size_bytes if arrived else 0

    def _free_bytes(self) -> int:
        found = os.statvfs(self._incoming)
        return found.f_bavail * found.f_frsize

    def usage(self) -> tuple[int, int]:
        """Return the bytes of bodies and records kept and arriving, and the bytes free on the disk."""
        self._notice_others()
        return self._kept_bytes + self._arriving_bytes, self._free_bytes()

    def find_refusal(self) -> str | None:
        """Return the reason why no batch could be kept now; None if one could."""
        try:
            path = self._incoming / f"{secrets.token_hex(16)}-{secrets.token_hex(8)}"
            with _create(path) as file:
                path.unlink()
                self.grant(_PROBE_BYTES)
                self.grant(-_PROBE_BYTES)
                file.write(bytes(_PROBE_BYTES))
            sync_directory(self.batches)  # which somebody may have moved away
        except OSError as fault:
            return fault.strerror
        return None

    def expire(self, received_before: str) -> Iterator[int]:
        """Remove the batches received before a time such as `2026-01-31T00:00:00Z`; yield the number of each step."""
        for names in _in_hundreds(self.batches):
            batches = [name.removesuffix(".json") for name in names if name.endswith(".json")]
            old = [batch for batch in batches if _received(self.batches / f"{batch}.json") < received_before]
            self._erased.add_batches(old)
            for batch in old:
                with self._commits:
                    self._keeps(-remove_batch(self.batches, batch), arrived=False)
            yield len(old)

    def commit(self, arrived: Incoming, record: BatchRecord, sessions: Collection[str] = ()) -> bool:
        """Keep a body with its record; blocks until both are safe on disk.

        Args:
            arrived: the body.
            record: the record to keep beside it.
            sessions: the sessions of its events, as far as they are known.

        Returns:
            False if a batch of that id is here already (it stays as it is), or if the batch or one of the sessions was
            erased.

        Raises:
            OSError: the disk refuses.
        """
        arrived.describe(record)
        arrived.make_safe()
        (kept,) = self.keep([(arrived, sessions)])
        if isinstance(kept, OSError):
            raise kept
        return kept

    def keep(self, arrived: Sequence[tuple[Incoming, Collection[str]]]) -> list[bool | OSError]:
        """Keep bodies that are already safe with their records, as `commit` does, with one sync for all.

        Returns:
            For each body the value that `commit` would return, or the disk's error.
        """
        kept: list[bool | OSError] = []
        for incoming, sessions in arrived:
            try:
                kept.append(self._keep_one(incoming, sessions))
            except OSError as fault:
                kept.append(fault)
        try:
            sync_directory(self.batches)
        except OSError as fault:
            return [fault] * len(kept)
        return kept

    def _keep_one(self, arrived: Incoming, sessions: Collection[str]) -> bool:
        with self._commits, self._erased.nothing_new():
            if self.knows(arrived.batch) or self._erased.holds_a_session(sessions):
                return False
            self._move_in(arrived)
            self._keeps(arrived.reserved_bytes, arrived=True)
            return True

    def _move_in(self, arrived: Incoming) -> None:
        kept_record = self.batches / f"{arrived.batch}.json"
        arrived.path.with_suffix(".json").rename(kept_record)
        try:
            arrived.path.rename(self.batches / f"{arrived.batch}{arrived.suffix}")
        except OSError:
            kept_record.unlink()
            raise
        arrived.is_kept = True

    def _remove_unfinished(self) -> None:
        for path in self._incoming.iterdir():
            if not _UNFINISHED.fullmatch(path.name):
                continue
            batch = path.name[:_BATCH_CHARACTERS]
            if not self.holds(batch):  # its record may have been moved in before the body could follow
                (self.batches / f"{batch}.json").unlink(missing_ok=True)
            path.unlink()


class Incoming:
    """A body that is arriving. Leaving its `with` block without a commit leaves nothing behind.

    It gets a file only once it has grown or is complete. Making and removing a file takes up to half a millisecond on
    some
    disks, and a client that cuts its uploads short could cause that at next to no cost.

    Attributes:
        bytes: the number of bytes taken in so far.
        is_kept: whether the store has taken it over.
        reserved_bytes: the room set aside for it and its record.
    """

    def __init__(self, store: Store, path: Path, batch: str, suffix: str) -> None:
        self.path = path
        self.batch = batch
        self.suffix = suffix
        self.bytes = 0
        self.is_kept = False
        self._store = store
        self.reserved_bytes = 0
        self._held = bytearray()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Discard the body, unless it was kept."""
        try:
            if self._file is not None:
                self._file.close()
        finally:
            if not self.is_kept:
                if self._file is not None:
                    self.path.unlink(missing_ok=True)
                    self.path.with_suffix(".json").unlink(missing_ok=True)
                self._store.grant(-self.reserved_bytes)

    def write(self, chunk: bytes) -> None:
        """Append to the body; raise OSError if the disk refuses, or the store's limits do."""
        self.reserve(len(chunk))
        self.bytes += len(chunk)
        if len(self._held) + len(chunk) <= _HELD_BYTES and self._file is None:
            self._held += chunk
        else:
            self._open().write(chunk)

    def _open(self) -> BinaryIO:
        if self._file is None:
            self._file = _create(self.path)
            self._file.write(self._held)
            self._held.clear()
        return self._file

    def reserve(self, size_bytes: int) -> None:
        """Set aside room for more bytes; raise OSError if there is none."""
        self._store.grant(size_bytes)
        self.reserved_bytes += size_bytes

    def describe(self, record: BatchRecord) -> None:
        """Write the batch's record beside the body; raise OSError if the disk refuses, or the store's limits do."""
        nested = {"receipt": record.receipt._asdict(), "first": record.first._asdict()}
        line = json.dumps({**record._asdict(), **nested}).encode() + b"\n"
        self.reserve(len(line))
        self._open()
        with _create(self.path.with_suffix(".json")) as file:
            file.write(line)

    def describe_anew(self, record: BatchRecord) -> None:
        """Write another record in the place of the first, and block until it is safe on disk; raise OSError."""
        path = self.path.with_suffix(".json")
        self.reserve(-path.stat().st_size)
        path.unlink()
        self.describe(record)
        self.make_safe()

    def make_safe(self) -> None:
        """Block until the body and the record beside it are safe on disk."""
        self.flush()
        make_safe(self.path, self._open().fileno())

    def flush(self) -> None:
        """Make all that was written visible to other readers of the file."""
        self._open().flush()


def require_store(directory: Path) -> None:
    """Make the missing directories of a store, private to the user; refuse directories that others could change.

    Raises:
        ConfigError: one is no directory, a link, another user's, or one that others may write or replace.
        OSError: one can't be made.
    """
    try:
        for path in (directory, directory / "batches", directory / "incoming"):
            _require_dir(path, may_be_link=path == directory)
        check_parents(directory / "batches")
    except PermissionError as fault:
        raise ConfigError(str(fault)) from None


def find_batches(directory: Path) -> Path:
    """Return the directory of a store's batches, for reading or erasing; makes nothing.

    Raises:
        ConfigError: the directory is no store.
    """
    batches = directory.resolve() / "batches"
    try:
        is_there = batches.is_dir()
    except OSError as fault:
        raise ConfigError(f"{batches} can't be read: {fault.strerror}") from None
    if not is_there:
        raise ConfigError(f"{directory} is no collector's store: it has no directory `batches`")
    return batches


def remove_batch(batches: Path, batch: str) -> int:
    """Remove a batch's body, then its record, as far as they exist; return the bytes they held."""
    return sum(_remove(batches, batch))


def make_safe(path: Path, body: int) -> None:
    """Block until an arriving body, given by its open descriptor, and the record beside `path` are safe on disk.

    Makes no file: the collector that asked may be gone by now, and another at work in its place.
    """
    os.fsync(body)
    record = os.open(path.with_suffix(".json"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(record)
    finally:
        os.close(record)


def _remove(batches: Path, batch: str) -> Iterator[int]:
    for suffix in (*BODY_SUFFIXES, ".json"):
        path = batches / f"{batch}{suffix}"
        try:
            size_bytes = path.lstat().st_size
            path.unlink()
        except FileNotFoundError:
            continue
        yield size_bytes


def _sizes(directory: Path) -> Iterator[int]:
    with os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # erased meanwhile
                yield entry.stat(follow_symlinks=False).st_size


def _received(record: Path) -> str:
    """Return the time of receipt from a record, or a time that never comes if the record is unreadable."""
    try:
        return str(json.loads(record.read_bytes())["received"])
    except (OSError, ValueError, LookupError, TypeError):
        return _NEVER


def _in_hundreds(directory: Path) -> Iterator[list[str]]:
    names = [path.name for path in directory.iterdir()]
    for start in range(0, len(names), 100):
        yield names[start : start + 100]


def _require_dir(path: Path, *, may_be_link: bool) -> None:
    try:
        found = path.stat() if may_be_link else path.lstat()
    except FileNotFoundError:
        private_dir(path)
        return
    if stat.S_ISLNK(found.st_mode):
        raise ConfigError(f"{path} is a link: remove it, and name as the store what it leads to")
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{path} is not a directory; name one, or a path that does not exist yet")
    if found.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to user {found.st_uid}, not {os.getuid()}; name one of your own")
    if is_open_to_others(found):
        raise ConfigError(f"others may write in {path} (mode {stat.S_IMODE(found.st_mode):o}); chmod go-w it")


def _lock(directory: Path) -> int:
    # Another collector's start would remove what this one is still taking in.
    lock = try_lock(directory / "collector.lock")
    if lock is None:
        raise ConfigError(f"another collector writes to {directory}; stop it, or name another")
    return lock


def _create(path: Path) -> BinaryIO:
    return os.fdopen(private_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb")
