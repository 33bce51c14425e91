"""The collector's directory of batches: takes bodies in whole or not at all, and knows no HTTP.

`batches/` holds a body and a record for each batch; the body's rename is the commit, the record precedes.
`incoming/` holds what is still arriving; its names begin with the batch's id. `erased.sqlite` knows what was here once
and may not come again. One process takes batches in at a time; others may erase meanwhile.

Nobody else can put anything in its place: every directory on the way belongs to the user or to root, links are followed
nowhere below, and what has another name than the store gives is left alone.
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

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path
    from types import TracebackType

    from telemetry.receipt import Receipt

NDJSON_SUFFIXES = (".ndjson.zst", ".ndjson")
BODY_SUFFIXES = (*NDJSON_SUFFIXES, ".pb.zst", ".pb")
_BATCH_CHARACTERS = 32
_NEVER = "9999"
_PROBE_BYTES = 4096
_HELD_BYTES = 128 << 10  # of a body, before it gets a file: most that are cut short never do
_UNFINISHED = re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}(\.json)?")


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
        catalog_digest: sha256 of the catalog's file, hexadecimal; empty when the shipper did not say.
    """

    batch: str
    received: str
    catalog: str
    receipt: Receipt
    ledger: str | None
    route: str
    bytes: int
    catalog_digest: str = ""


class Store:
    """The batches under one directory, opened for writing.

    Opening makes what is missing, private to the user, and removes what an earlier process left half-done. A
    directory that stands already keeps its mode, but must belong to the user, and nobody else may write there.

    Args:
        directory: the store's.
        max_bytes: of all that it keeps or is taking in; 0 for no bound but the next.
        keep_free_bytes: what stays free on its disk.

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
        """Let another process write here."""
        self._erased.close()
        os.close(self._lock_descriptor)

    def holds(self, batch: str) -> bool:
        """Whether a body of that id is here."""
        stem = f"{self.batches}/{batch}"
        return any(os.access(stem + suffix, os.F_OK) for suffix in BODY_SUFFIXES)  # for what is not there, no exception

    def knows(self, batch: str) -> bool:
        """Whether a body of that id is here, or was and has been erased."""
        return self.holds(batch) or self._erased.holds_batch(batch)

    def begin(self, batch: str, suffix: str) -> Incoming:
        """Start to take in the body of `batch`, which must be an id fit for a file's name."""
        return Incoming(self, self._incoming / f"{batch}-{secrets.token_hex(8)}", batch, suffix)

    def grant(self, size_bytes: int) -> None:
        """Set aside room for so many bytes more, or give back what is no longer needed, as a negative number.

        Raises:
            OSError: there is no room for them.
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
        """Count what is kept."""
        with self._commits:
            self._changes = self._erased.changes()  # before: a change meanwhile is noticed the next time
            kept_bytes = sum(_sizes(self.batches))
            with self._counting:
                self._kept_bytes = kept_bytes

    def _notice_others(self) -> None:
        """Count anew when another process has erased something since."""
        if self._erased.changes() != self._changes:
            self._count()

    def _keeps(self, size_bytes: int, *, arrived: bool) -> None:
        """So much more lies in its place, of what was set aside if it has arrived; the commits' lock is held."""
        with self._counting:
            self._kept_bytes += size_bytes
            self._arriving_bytes -= size_bytes if arrived else 0

    def _free_bytes(self) -> int:
        found = os.statvfs(self._incoming)
        return found.f_bavail * found.f_frsize

    def usage(self) -> tuple[int, int]:
        """Bytes of bodies and records that are kept and arriving, and bytes free on the disk."""
        self._notice_others()
        return self._kept_bytes + self._arriving_bytes, self._free_bytes()

    def find_refusal(self) -> str | None:
        """Why no batch could be kept now; None when one could."""
        try:
            path = self._incoming / f"{secrets.token_hex(16)}-{secrets.token_hex(8)}"
            with _create(path) as file:
                path.unlink()
                self.grant(_PROBE_BYTES)
                self.grant(-_PROBE_BYTES)
                file.write(bytes(_PROBE_BYTES))
        except OSError as fault:
            return fault.strerror
        return None

    def expire(self, received_before: str) -> Iterator[int]:
        """Remove the batches received before a time, `2026-01-31T00:00:00Z`, step by step: how many, a step."""
        for names in _in_hundreds(self.batches):
            batches = [name.removesuffix(".json") for name in names if name.endswith(".json")]
            old = [batch for batch in batches if _received(self.batches / f"{batch}.json") < received_before]
            self._erased.add_batches(old)
            for batch in old:
                with self._commits:
                    self._keeps(-remove_batch(self.batches, batch), arrived=False)
            yield len(old)

    def commit(self, arrived: Incoming, record: BatchRecord, sessions: Collection[str] = ()) -> bool:
        """Keep a body with its record; blocks until what the answer says is safe on disk.

        Args:
            arrived: the body.
            record: what is kept beside it.
            sessions: those that its events are of, as far as they are known.

        Returns:
            False when a batch of that id is here already, which stays as it is, or was and has been erased, or when a
            session was erased.

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
        """Keep bodies that are safe with their records: as `commit` does, and the disk is asked once for all of them.

        Returns:
            For each what `commit` returns, or the disk's fault.
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
    """A body on its way in. Leaving its `with` block without a commit leaves nothing behind.

    It gets a file when it has grown, or has come whole: to make one and remove it is dear, on some disks half a
    millisecond, and one who cuts bodies short would have it done for next to nothing.

    Attributes:
        bytes: taken in so far.
        is_kept: whether the store has it now.
        reserved_bytes: what is set aside for it and its record.
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
        """Forget it, unless it was kept."""
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
        """Append to the body; raises OSError when the disk refuses, or the store's limits do."""
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
        """Have room for so many bytes more; raises OSError when there is none."""
        self._store.grant(size_bytes)
        self.reserved_bytes += size_bytes

    def describe(self, record: BatchRecord) -> None:
        """Put a record beside it; raises OSError when the disk refuses, or the store's limits do."""
        line = json.dumps({**record._asdict(), "receipt": record.receipt._asdict()}).encode() + b"\n"
        self.reserve(len(line))
        self._open()
        with _create(self.path.with_suffix(".json")) as file:
            file.write(line)

    def make_safe(self) -> None:
        """Block until all that was written is safe on disk, and the record beside it."""
        self.flush()
        make_safe(self.path, self._open().fileno())

    def flush(self) -> None:
        """Let those who open the path see all that was written."""
        self._open().flush()


def require_store(directory: Path) -> None:
    """Make a store's directories where they are missing, private to the user; refuse those that others could change.

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
    """Where a store's batches lie, for who looks or erases; makes nothing.

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
    """Remove a batch's body, then its record, wherever there are any; the bytes they held."""
    return sum(_remove(batches, batch))


def make_safe(path: Path, body: int) -> None:
    """Block until a body that is arriving at `path` is safe on disk, by its descriptor, and the record beside it.

    Makes nothing: who asks for it may be gone by now, and somebody else at work in its place.
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
    """When the batch came; never, for a record that says nothing."""
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
