"""Segments while they are active: each drain is appended as one flushed block, for which a mark vouches.

    active/<name><suffix>    one zstd or gzip stream (or plain bytes), a flush per drain
    active/<name>.marks      a journal: the Head, then a Mark per drain
    sealed/<name><suffix>    the finished stream: the body of one upload, byte for byte
    sealed/<name>.json       its Seal

Of a format with an envelope around its events, an active file holds the events alone, as they are: its end writes the
body anew, in its envelope and then its encoding.

A name is `<creation, UNIX ns, 20 digits>-<id>`, so that names sort by age; only the id leaves the machine.

A mark describes the file after its drain (length, CRC of everything before, the tally so far, producers that moved), so
that whatever is cut off or altered, the last mark that fits tells exactly what is left and what was lost.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from telemetry import files
from telemetry.catalog.model import Sensitivity  # noqa: TC001 msgspec reads the annotations of a Struct
from telemetry.receipt import First, Receipt  # noqa: TC001 the same
from telemetry.spool.journal import read_lines, write_line
from telemetry.spool.positions import Positions  # noqa: TC001 the same
from telemetry.spool.stream import Wrap, decode, encode, open_stream, unwrap, wrap
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARKS = ".marks"
SEAL = ".json"
_DATA_NAME = re.compile(r"\d{20}-[0-9a-f]+(\.[a-z0-9]+)+")
_NAME_CHARACTERS = 200  # twice what ours have; file systems take 255, and `files.write_durably` adds some


class Head(msgspec.Struct, frozen=True, tag="head", tag_field="is"):
    """Facts about a segment that are known from its first byte on.

    Attributes:
        id: 32 random hexadecimal digits; the batch id of its upload.
        file: the name of its data file.
        format: the name of its body's format, as in the settings.
        compressed: whether the body is one compressed stream, zstd unless `compression` says otherwise.
        content_type: the Content-Type of the upload.
        route: the path appended to that of the endpoint.
        catalog: `product/version`.
        session: the session its events belong to.
        receipt: the consent under which they were collected.
        since_unix_seconds: the date of the stored consent under which it was begun, 0 for none; it never leaves.
        catalog_digest: the SHA-256 of the catalog's file, in hexadecimal; empty in segments of versions that lack it.
        sensitivity: the sensitivity of its events; segments of versions that lack it may hold both.
        compression: the compression, where it is not that of all versions.
        wraps: the envelope around its events, the outermost message first; unset for none.
        first: the periods of which its session is the installation's first; unset for none.
    """

    id: str
    file: str
    format: str
    compressed: bool
    content_type: str
    route: str
    catalog: str
    session: str
    receipt: Receipt
    since_unix_seconds: float = 0.0
    catalog_digest: str = ""
    sensitivity: Sensitivity | UnsetType = UNSET
    compression: str | UnsetType = UNSET
    wraps: tuple[Wrap, ...] | UnsetType = UNSET
    first: First | UnsetType = UNSET

    @property
    def encoding(self) -> str:
        """The encoding of the body: `zstd`, `gzip` or `none`."""
        return (self.compression or "zstd") if self.compressed else "none"


class Mark(msgspec.Struct, tag="mark", tag_field="is", omit_defaults=True):
    """State of an active segment after a drain; `positions` are those of the producers that moved in it."""

    length_bytes: int
    crc: int
    tally: Tally
    positions: Positions = {}


class Seal(msgspec.Struct, frozen=True):
    """A finished segment: its Head, the length and CRC of its file, and the account it brings to the ledger.

    Attributes:
        head: the segment's head.
        length_bytes: the length of the data file.
        crc: the CRC of the data file.
        tally: the counts of its intake; `kept` is the number of its events.
        positions: the positions of all producers that moved in it.
        session_tally: the counts of its session so far, for events of its sensitivity; the ledger that its upload
            carries.
        depth: how often it was split off: 0, or 1 and more for a part.
        refusals: how many times the segment that it is a part of was refused.
        body_bytes: the length of its body before compression; unset where only that of the file matters.
        check: the CRC of all the above but the sensitivity and `first`, as JSON; set by `store`, checked by `load`.
    """

    head: Head
    length_bytes: int
    crc: int
    tally: Tally
    positions: Positions
    session_tally: Tally
    depth: int = 0
    refusals: int = 0
    check: int = 0
    body_bytes: int | UnsetType = UNSET


MarksLine = Head | Mark


class ActiveSegment:
    """The file to which the drains of one receipt are appended. A failed append leaves the file as it was."""

    def __init__(self, directory: Path, head: Head) -> None:
        """Begin a segment in `directory`.

        Raises:
            OSError: the disk refuses.
        """
        self.head = head
        self.data_path = directory / head.file
        self.marks_path = directory / marks_name(head.file)
        self.length_bytes = 0
        self.body_bytes = 0
        self.tally = Tally()
        self.positions: Positions = {}
        self._crc = 0
        self._stream = open_stream("none" if head.wraps else head.encoding)
        self._marks_bytes = 0
        self._dirty = False
        self._has_durable_names = False
        # The marks come first and go last: recovery finds a segment by them.
        self._marks = files.open_append(self.marks_path)
        self._data = -1
        try:
            files.lock(self._marks)  # tells recovery that somebody lives here
            self._data = files.open_append(self.data_path)
            self._append_mark(write_line(head))
        except OSError:
            self.abandon()
            raise

    def append(self, body: bytes, drain: Tally, positions: Positions) -> None:
        """Append a drain: its encoded events and its account.

        Raises:
            OSError: the disk refuses. The files are what they were, but the stream is not: only `close` is left.
        """
        data = self._stream.write(body) if body else b""
        tally = self.tally.copy()
        tally.add(drain)
        crc = zlib.crc32(data, self._crc)
        mark = Mark(self.length_bytes + len(data), crc, tally, positions)
        try:
            files.write_all(self._data, data)
            self._append_mark(write_line(mark))
        except OSError:
            os.ftruncate(self._data, self.length_bytes)
            os.ftruncate(self._marks, self._marks_bytes)
            raise
        self.length_bytes, self._crc, self.tally = mark.length_bytes, crc, tally
        self.body_bytes += len(body)
        self.positions |= positions
        self._dirty = True

    def sync(self) -> None:
        """Make all appended drains durable.

        Raises:
            OSError: the disk refuses. It is unknown how much of them is durable, and a second try would not tell: only
                `close` is left, and recovery, which writes anew what can be read.
        """
        if self._dirty:
            os.fsync(self._data)
            os.fsync(self._marks)
            self._dirty = False
        if not self._has_durable_names:
            files.sync_directory(self.data_path.parent)
            self._has_durable_names = True

    def seal(self, sealed: Path, session_tally: Tally) -> Seal:
        """Finish the stream and move it to `sealed`, with its Seal beside it.

        The Seal is durable before the data is renamed: an active segment that has one needs no recovery.

        Raises:
            OSError: the disk refuses; the active files are left for recovery.
        """
        if self.head.wraps:
            return self._seal_anew(sealed, session_tally)
        end = self._stream.finish()
        files.write_all(self._data, end)
        os.fsync(self._data)
        seal = Seal(
            self.head,
            self.length_bytes + len(end),
            zlib.crc32(end, self._crc),
            self.tally,
            self.positions,
            session_tally,
        )
        store(seal, sealed)
        self.data_path.replace(sealed / self.data_path.name)
        files.sync_directory(sealed)
        return seal

    def _seal_anew(self, sealed: Path, session_tally: Tally) -> Seal:
        """Write the body as it leaves to `sealed`. The Seal is there first: a listing must not find a body alone."""
        try:
            events = files.read_file(self.data_path)
        except ValueError:
            events = b""
        if len(events) != self.length_bytes or zlib.crc32(events) != self._crc:
            raise OSError(errno.EIO, f"{self.data_path} is not what was written")
        data = finished(self.head, events)
        seal = seal_of(self.head, data, self.tally, self.positions, session_tally, self.body_bytes)
        if self.tally.kept:
            store(seal, sealed)
            files.write_durably(sealed / self.data_path.name, data)
            files.sync_directory(sealed)
        self.data_path.unlink()
        return seal

    def close(self) -> None:
        """Close the files as they are; a segment that is not sealed is left to recovery."""
        if self._data >= 0:
            os.close(self._data)
        os.close(self._marks)

    def abandon(self) -> None:
        """Close the files, and delete them if no drain is in them."""
        with suppress(OSError):  # a disk that is read-only now: recovery finds them empty
            if not self.tally.emitted:
                self.data_path.unlink(missing_ok=True)
                self.marks_path.unlink(missing_ok=True)
        self.close()

    def _append_mark(self, line: bytes) -> None:
        files.write_all(self._marks, line)
        self._marks_bytes += len(line)


def finished(head: Head, data: bytes) -> bytes:
    """Return the body of an upload that an active segment's data, cut behind a drain, becomes at its end.

    Raises:
        DamagedError: it is not what was written.
    """
    if head.wraps:
        return encode(head.encoding, wrap(head.wraps, data))
    return data if head.encoding == "none" else encode(head.encoding, decode(head.encoding, data))


def plain_events(head: Head, body: bytes) -> bytes:
    """Return the bytes of a finished body's events, without its encoding and its envelope. Raises DamagedError."""
    plain = decode(head.encoding, body)
    return unwrap(head.wraps, plain) if head.wraps else plain


def seal_of(
    head: Head, data: bytes, tally: Tally, positions: Positions, session_tally: Tally, body_bytes: int | None = None
) -> Seal:
    """Return the Seal of a body; `body_bytes` is noted where the head has an envelope: such formats bound it."""
    of_body = UNSET if body_bytes is None or not head.wraps else body_bytes
    return Seal(head, len(data), zlib.crc32(data), tally, positions, session_tally, body_bytes=of_body)


def folder_of(head: Head) -> str:
    """Return the name of the folder for a finished segment; no upload reads `local`."""
    return "local" if head.receipt.of(head.sensitivity).level == "local" else "sealed"


def is_data(name: str) -> bool:
    """Tell whether a file's name is that of a segment's data."""
    is_ours = len(name) <= _NAME_CHARACTERS and not name.endswith((SEAL, MARKS))
    return is_ours and _DATA_NAME.fullmatch(name) is not None


def id_of(file: str) -> str:
    """Return the segment's id in the name of a data file."""
    return file.partition(".")[0].partition("-")[2]


def created_unix_seconds(file: str) -> float:
    """Return the UNIX time at which a data file was begun, from its name."""
    return int(file.partition("-")[0]) / 1e9


def begun_ns(file: str) -> str:
    """Return the time at which a segment was begun, from the name of its file or of a part's."""
    return file.partition("-")[0]


def seal_name(file: str) -> str:
    """Return the name of the Seal beside a data file."""
    return file.partition(".")[0] + SEAL


def marks_name(file: str) -> str:
    """Return the name of the marks beside a data file."""
    return file.partition(".")[0] + MARKS


def store(seal: Seal, directory: Path) -> None:
    """Write a Seal beside the data it describes."""
    checked = msgspec.structs.replace(seal, check=_check(seal))
    files.write_durably(directory / seal_name(seal.head.file), msgspec.json.encode(checked))


def load(directory: Path, file: str) -> Seal:
    """Read the Seal beside a data file.

    Raises:
        FileNotFoundError, ValueError: there is none, or it is not what was written.
        OSError: this process can't read now.
    """
    try:
        seal = msgspec.json.decode(files.read_file(directory / seal_name(file)), type=Seal)
    except RecursionError:
        raise ValueError(f"the Seal of {file} is nested too deep") from None
    if seal.check != _check(seal) or seal.head.file != file:
        raise ValueError(f"the Seal of {file} is not what was written")
    return seal


def read_marks(path: Path) -> tuple[Head, list[Mark]] | None:
    """Return what a `.marks` file vouches for; None if its head is unreadable. Raises OSError if the fault may pass."""
    try:
        data = files.read_file(path)
    except ValueError:
        return None
    found: Iterator[tuple[MarksLine, int]] = read_lines(data, MarksLine)  # type: ignore[arg-type] # as in ledger
    lines = [line for line, _ in found]
    if not lines or not isinstance(lines[0], Head):
        return None
    return lines[0], [line for line in lines[1:] if isinstance(line, Mark)]


def last_good(marks: list[Mark], data: bytes) -> Mark | None:
    """Return the last of an active segment's marks that fits its data, or None."""
    good, crc, at = None, 0, 0
    for mark in marks:
        crc = zlib.crc32(memoryview(data)[at : mark.length_bytes], crc)
        at = mark.length_bytes
        if at > len(data) or crc != mark.crc:
            break
        good = mark
    return good


def _check(seal: Seal) -> int:
    """Return the CRC of a Seal without what older versions do not know, its sensitivity and what it is the first of.

    If either is damaged, the CRC does not notice; a sensitivity reads as unknown then.
    """
    head = msgspec.structs.replace(seal.head, sensitivity=UNSET, first=UNSET)
    return zlib.crc32(msgspec.json.encode(msgspec.structs.replace(seal, head=head, check=0)))
