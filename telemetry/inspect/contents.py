"""Contents of a spool, for readers alone: nothing is locked, moved or made.

A shipper may be running, so by the time a file is opened it may be gone, or in the next folder.
"""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from telemetry.errors import SpoolError
from telemetry.paths import ENDPOINT_FILE
from telemetry.spool import segment
from telemetry.spool.layout import FORMAT_FILE, check_format
from telemetry.spool.segment import Head, Mark, Seal, created_unix_seconds, id_of, is_data
from telemetry.spool.stream import ENDINGS, DamagedError, decode
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FOLDERS = ("active", "sealed", "sent", "quarantine", "local")
"""The folders in the order in which a segment moves, so that none is missed that moves while they are read."""

_MOVES = 4  # from active to sealed to sent or quarantine, and one to spare

T = TypeVar("T")


class Found(NamedTuple):
    """A segment's data file.

    Attributes:
        folder: the folder it lies in, one of `FOLDERS`.
        file: the file's name.
        id: the segment's id.
        suffix: the end of the file's name, such as `.ndjson.zst`.
        began_seconds: the UNIX time at which its shipper began it.
        size_bytes: the size of the file.
    """

    folder: str
    file: str
    id: str
    suffix: str
    began_seconds: float
    size_bytes: int


class Batch(NamedTuple):
    """A segment's bytes with its Seal."""

    found: Found
    seal: Seal
    data: bytes


def is_spool(directory: Path) -> bool:
    """Tell whether a shipper has opened a spool here; a tombstone alone does not make one.

    Raises:
        SpoolError: the spool is of another version.
    """
    try:
        version = (directory / FORMAT_FILE).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return False
    check_format(directory, version)
    return True


def read_endpoint(spool: Path) -> str | None:
    """Return the endpoint that a spool's segments are uploaded to, without a password; None if it is not known."""
    try:
        return (spool / ENDPOINT_FILE).read_text(errors="replace").strip() or None
    except OSError:
        return None


def find_segments(spool: Path) -> list[Found]:
    """Return every segment in any state, oldest first; reads names and sizes only."""
    found = {entry.id: entry for folder in FOLDERS for entry in _in_folder(spool, folder)}
    return sorted(found.values(), key=lambda entry: entry.file)


def describe(spool: Path, found: Found) -> tuple[Head, int] | None:
    """Return a segment's head and the number of its events; None if its Seal or marks are missing or unreadable."""
    path = spool / found.folder
    try:
        if found.folder == "active":
            read = segment.read_marks(path / segment.marks_name(found.file))
            return read and (read[0], read[1][-1].tally.kept if read[1] else 0)
        seal = segment.load(path, found.file)
    except (OSError, ValueError):
        return None
    return seal.head, seal.tally.kept


def catalogs_in(spool: Path) -> set[str] | None:
    """Return the digests of the catalogs that a spool's segments name; None if a segment is moving just now."""
    named = set()
    for found in find_segments(spool):
        if (described := describe(spool, found)) is not None:
            named.add(described[0].catalog_digest)
        elif found.folder != "quarantine":
            return None
    return named


def read_batch(spool: Path, found: Found) -> Batch:
    """Return a segment as the body of an upload, with the Seal from which its headers are made.

    An active segment is returned as it stands: with the account so far, and without the end of its stream.

    Raises:
        FileNotFoundError: the segment, or its Seal or marks, is gone.
        SpoolError: the segment is not what was written.
    """
    path = spool / found.folder / found.file
    if found.folder == "active":
        return _read_unfinished(path, found)
    data = path.read_bytes()
    try:
        seal = segment.load(path.parent, found.file)
    except ValueError:
        raise SpoolError(f"segment {found.id} has a seal that can't be read") from None
    if len(data) != seal.length_bytes or zlib.crc32(data) != seal.crc:
        raise SpoolError(f"segment {found.id} does not hold what its seal says")
    return Batch(found, seal, data)


def read_data(spool: Path, found: Found) -> bytes:
    """Return a segment's bytes as they lie; those of an active one as far as its marks vouch for them.

    One of a format with an envelope is returned in it, as its end would write it.

    Raises:
        FileNotFoundError: the segment is gone.
    """
    path = spool / found.folder / found.file
    if found.folder != "active":
        return path.read_bytes()
    read = segment.read_marks(path.with_name(segment.marks_name(found.file)))
    data = path.read_bytes()  # after the marks: it holds all that they speak of
    good = segment.last_good(read[1] if read else [], data)
    return _as_it_leaves(read[0], data[: good.length_bytes]) if good and read else b""


def read_body(spool: Path, found: Found) -> bytes:
    """Return a segment's bytes, decompressed; those of an active one as far as its marks vouch for them.

    Raises:
        FileNotFoundError: the segment is gone.
        SpoolError: it can't be decompressed.
    """
    try:
        return decompress(found, read_data(spool, found))
    except DamagedError:
        raise SpoolError(
            f"segment {found.id} can't be decompressed; `telemetry spool verify {spool}` says what is wrong"
        ) from None


def decompress(found: Found, data: bytes) -> bytes:
    """Return a segment's bytes as they were before compression. Raises DamagedError if they are no such stream."""
    return decode(next((name for name, end in ENDINGS.items() if end and found.suffix.endswith(end)), "none"), data)


def _as_it_leaves(head: Head, data: bytes) -> bytes:
    """Return an active segment's bytes as they would leave by now: those without an envelope do so piece by piece."""
    return segment.finished(head, data) if head.wraps else data


def follow(spool: Path, found: Found, read: Callable[[Path, Found], T]) -> T | None:
    """Read a segment with `read`, following it if a shipper moves it meanwhile; None if it is gone."""
    at: Found | None = found
    for _ in range(_MOVES):
        if at is None:
            break
        try:
            return read(spool, at)
        except FileNotFoundError:
            at = next((entry for entry in find_segments(spool) if entry.id == found.id), None)
    return None


def _read_unfinished(path: Path, found: Found) -> Batch:
    read = segment.read_marks(path.with_name(segment.marks_name(found.file)))
    data = path.read_bytes()  # after the marks: it holds all that they speak of
    if read is None:
        raise SpoolError(f"segment {found.id} has marks that can't be read")
    head, marks = read
    last = marks[-1] if marks else Mark(0, 0, Tally())
    if marks and segment.last_good(marks, data) is not last:
        raise SpoolError(f"segment {found.id} does not hold what its last mark says")
    body = _as_it_leaves(head, data[: last.length_bytes])
    return Batch(found, Seal(head, len(body), zlib.crc32(body), last.tally, {}, Tally()), body)


def _in_folder(spool: Path, folder: str) -> Iterator[Found]:
    try:
        entries = list(os.scandir(spool / folder))
    except FileNotFoundError:
        return
    for entry in entries:
        if not is_data(entry.name) or not entry.is_file(follow_symlinks=False):
            continue
        try:
            size_bytes = entry.stat(follow_symlinks=False).st_size
        except FileNotFoundError:
            continue  # it has moved on: the next folder has it
        suffix = entry.name[entry.name.index(".") :]
        yield Found(folder, entry.name, id_of(entry.name), suffix, created_unix_seconds(entry.name), size_bytes)
