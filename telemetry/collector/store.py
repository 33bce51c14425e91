"""The collector's directory of batches: takes bodies in whole or not at all, and knows no HTTP.

`batches/` holds a body and a record for each batch; the body's rename is the commit, the record precedes.
`incoming/` holds what is still arriving; its names begin with the batch's id. One process writes at a time.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import stat
import threading
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from telemetry.errors import ConfigError
from telemetry.paths import private_dir

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from telemetry.receipt import Receipt

NDJSON_SUFFIXES = (".ndjson.zst", ".ndjson")
BODY_SUFFIXES = (*NDJSON_SUFFIXES, ".pb.zst", ".pb")
_BATCH_CHARACTERS = 32


class BatchRecord(NamedTuple):
    """What the store keeps about a batch beside its body. Nothing in it tells who sent it.

    Attributes:
        batch: the id.
        received: UTC, ISO 8601, rounded down to the minute.
        catalog: product and version, `acme-db/3`.
        receipt: on what ground the events were collected.
        ledger: the shipper's account of the session, as it came; None when it sent none.
        route: the path it was posted to.
        bytes: the body's size as it lies.
    """

    batch: str
    received: str
    catalog: str
    receipt: Receipt
    ledger: str | None
    route: str
    bytes: int


class Store:
    """The batches under one directory, opened for writing.

    Opening makes what is missing, private to the user, and removes what an earlier process left half-done. A
    directory that stands already keeps its mode, but must belong to the user.

    Args:
        directory: the store's.
        max_bytes: of all that it keeps or is taking in; 0 for no bound but the next.
        keep_free_bytes: what stays free on its disk.

    Raises:
        ConfigError: the directory is none, belongs to another user, or another collector writes there.
        OSError: the disk refuses.
    """

    def __init__(self, directory: Path, *, max_bytes: int = 0, keep_free_bytes: int = 0) -> None:
        _require_dir(directory)
        self._lock_descriptor = _lock(directory)
        self.batches = directory / "batches"
        self._incoming = directory / "incoming"
        self._commits = threading.Lock()
        for part in (self.batches, self._incoming):
            _require_dir(part)
        self._remove_unfinished()
        self._max_bytes = max_bytes
        self._keep_free_bytes = keep_free_bytes
        self._bytes = sum(entry.stat().st_size for entry in os.scandir(self.batches)) if max_bytes else 0
        self._counting = threading.Lock()

    def close(self) -> None:
        """Let another process write here."""
        os.close(self._lock_descriptor)

    def holds(self, batch: str) -> bool:
        """Whether a body of that id is here."""
        return any((self.batches / f"{batch}{suffix}").exists() for suffix in BODY_SUFFIXES)

    def begin(self, batch: str, suffix: str) -> Incoming:
        """Start to take in the body of `batch`, which must be an id fit for a file's name."""
        return Incoming(self, self._incoming / f"{batch}-{secrets.token_hex(8)}", batch, suffix)

    def grant(self, size_bytes: int) -> None:
        """Set aside room for so many bytes more, or give back what is no longer needed, as a negative number.

        Raises:
            OSError: there is no room for them.
        """
        with self._counting:
            if size_bytes > 0:
                free_bytes = self._free_bytes()
                over = self._max_bytes and self._bytes + size_bytes > self._max_bytes
                if over or free_bytes - size_bytes < self._keep_free_bytes:
                    limit = "--max-store-bytes" if over else "--keep-free-bytes"
                    raise OSError(errno.ENOSPC, f"the store has no room by {limit}")
            self._bytes += size_bytes

    def _free_bytes(self) -> int:
        found = os.statvfs(self._incoming)
        return found.f_bavail * found.f_frsize

    def commit(self, arrived: Incoming, record: BatchRecord) -> bool:
        """Keep a body with its record; blocks until what the answer says is safe on disk.

        Returns:
            False when a batch of that id is here already, which stays as it is.

        Raises:
            OSError: the disk refuses.
        """
        arrived.sync()
        record_path = arrived.path.with_suffix(".json")
        line = _record_line(record)
        arrived.reserve(len(line))
        try:
            _write_synced(record_path, line)
            with self._commits:
                arrived.is_kept = not self.holds(arrived.batch)
                if arrived.is_kept:
                    self._move_in(arrived, record_path)
                _fsync(self.batches)
            return arrived.is_kept
        finally:
            record_path.unlink(missing_ok=True)

    def _move_in(self, arrived: Incoming, record_path: Path) -> None:
        kept_record = self.batches / f"{arrived.batch}.json"
        record_path.rename(kept_record)
        try:
            arrived.path.rename(self.batches / f"{arrived.batch}{arrived.suffix}")
        except OSError:
            arrived.is_kept = False
            kept_record.unlink()
            raise

    def _remove_unfinished(self) -> None:
        for path in self._incoming.iterdir():
            batch = path.name[:_BATCH_CHARACTERS]
            if not self.holds(batch):  # its record may have been moved in before the body could follow
                (self.batches / f"{batch}.json").unlink(missing_ok=True)
            path.unlink()


class Incoming:
    """A body on its way in. Leaving its `with` block without a commit leaves nothing behind.

    Attributes:
        bytes: written so far.
        is_kept: whether the store has it now.
    """

    def __init__(self, store: Store, path: Path, batch: str, suffix: str) -> None:
        self.path = path
        self.batch = batch
        self.suffix = suffix
        self.bytes = 0
        self.is_kept = False
        self._store = store
        self._reserved_bytes = 0
        self._file = _create(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        finally:
            self.path.unlink(missing_ok=True)
            if not self.is_kept:
                self._store.grant(-self._reserved_bytes)

    def write(self, chunk: bytes) -> None:
        """Append to the body; raises OSError when the disk refuses, or the store's limits do."""
        self.reserve(len(chunk))
        self.bytes += self._file.write(chunk)

    def reserve(self, size_bytes: int) -> None:
        """Have room for so many bytes more; raises OSError when there is none."""
        self._store.grant(size_bytes)
        self._reserved_bytes += size_bytes

    def sync(self) -> None:
        """Block until all that was written is safe on disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def open(self) -> BinaryIO:
        """What has come so far, for reading; the caller closes it."""
        self._file.flush()
        return self.path.open("rb")


def _record_line(record: BatchRecord) -> bytes:
    return json.dumps({**record._asdict(), "receipt": record.receipt._asdict()}).encode() + b"\n"


def _require_dir(path: Path) -> None:
    try:
        found = path.stat()
    except FileNotFoundError:
        private_dir(path)
        return
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{path} is not a directory; name one, or a path that does not exist yet")
    if found.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to user {found.st_uid}, not {os.getuid()}; name one of your own")


def _lock(directory: Path) -> int:
    # Another collector's start would remove what this one is still taking in.
    descriptor = os.open(directory / "collector.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ConfigError(f"another collector writes to {directory}; stop it, or name another") from None
    return descriptor


def _create(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write_synced(path: Path, content: bytes) -> None:
    with _create(path) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _fsync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
