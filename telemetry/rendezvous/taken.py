"""Taken numbers: how far the shipper of a rendezvous has taken the events of each producer, in one small file.

An event is taken when it is in the disk buffer and a mark vouches for it, or when it is counted as dropped: a shipper
that is killed then loses nothing of it. Until then its producer keeps it, and sends it again to the next shipper.

    taken     buckets, each of so many records; a producer's records lie in the bucket that its id tells
    record    (producer: 16 bytes; number: 8; dropped: 8; check: CRC-32 of these, 4), big-endian

`number` is that of the first event that is not taken, and `dropped` how many the producer has said to have dropped
itself. The shipper makes the file anew before it lets anybody in, with
what its predecessors have taken, and writes a record when it is done with a drain. So another file under the name is
another shipper. The host reads its bucket by one `pread`: never by mmap, for a map of a file that is cut kills.

A record that is short, another's or rubbish is none, and so is that of a producer whose bucket is full of others. Then
the shipper is asked (`confirm`, telemetry/rendezvous/control.py). Standard library only: the host imports it.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from telemetry.files import is_at, private_file, write_all
from telemetry.native import posix
from telemetry.wire import PRODUCER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TAKEN_FILE = "taken"

BUCKETS = 1024
BUCKET_RECORDS = 8
"""The records in a bucket: of 2,000 producers one in some thousand finds its own full, and asks."""

_SAID = struct.Struct(f">{PRODUCER_BYTES}sQQ")
_CHECK = struct.Struct(">I")
RECORD_BYTES = _SAID.size + _CHECK.size
BUCKET_BYTES = BUCKET_RECORDS * RECORD_BYTES
FILE_BYTES = BUCKETS * BUCKET_BYTES

_FIRST_DESCRIPTOR = 3
"""The first descriptor to use: the standard ones are the host's, even while it has closed them."""


class Taken(NamedTuple):
    """The word of a shipper on one producer.

    Attributes:
        number: the number of the first event that is not taken, as far as the shipper has said; 0 if it says nothing.
        dropped: how many events the producer has dropped itself, as far as the shipper has heard.
        shipper: a value that is another one for each shipper; None for one of a version that writes no records.
    """

    number: int
    dropped: int
    shipper: object


def pack(producer: bytes, number: int, dropped: int) -> bytes:
    """Return a record."""
    said = _SAID.pack(producer, number, dropped)
    return said + _CHECK.pack(crc32(said))


def unpack(bucket: bytes, producer: bytes) -> tuple[int, int] | None:
    """Return `number` and `dropped` in a bucket's record of a producer; None if there is none that is whole."""
    at = bucket.find(producer)
    while at >= 0:
        record = bucket[at : at + RECORD_BYTES]
        if at % RECORD_BYTES == 0 and len(record) == RECORD_BYTES:
            said, check = record[: _SAID.size], record[_SAID.size :]
            if _CHECK.unpack(check)[0] == crc32(said):
                return _SAID.unpack(said)[1:]
        at = bucket.find(producer, at + 1)
    return None


class Records:
    """The file of a shipper, in its rendezvous. Never raises: where it can't be written, hosts ask."""

    def __init__(self, directory: Path, taken: Iterable[tuple[bytes, int, int]]) -> None:
        """Make the file anew.

        Args:
            directory: the rendezvous.
            taken: the producers that may come, each with its number and what it has dropped.
        """
        self._path = directory / TAKEN_FILE
        self._buckets: dict[int, dict[bytes, int]] = {}  # the place of each producer's record, the last written last
        self._table = bytearray(FILE_BYTES)
        self._file: int | None = None
        self._found: os.stat_result | None = None
        for record in taken:
            self._enter(*record)
        self._make()

    def write(self, producer: bytes, number: int, dropped: int) -> None:
        """Write how far a producer was taken; call it when the marks are written."""
        at = self._enter(producer, number, dropped)
        if self._file is not None:
            with suppress(OSError):
                posix.pwrite(self._file, self._table[at : at + RECORD_BYTES], at)

    def keep(self) -> None:
        """Put the file back if it was removed, or could not be written before."""
        if self._found is None or not is_at(self._path, self._found):
            self._let_go()
            self._make()

    def close(self) -> None:
        """Remove the file, unless it is another shipper's by now: who has it open can read it on."""
        if self._found is not None and is_at(self._path, self._found):
            with suppress(OSError):
                self._path.unlink()
        self._let_go()

    def _enter(self, producer: bytes, number: int, dropped: int) -> int:
        """Enter a record into the table, in the place of the one written longest ago if there is no other."""
        bucket = _bucket_of(producer)
        places = self._buckets.setdefault(bucket, {})
        place = places.pop(producer, None)
        if place is None:
            place = len(places) if len(places) < BUCKET_RECORDS else places.pop(next(iter(places)))
        places[producer] = place
        at = bucket * BUCKET_BYTES + place * RECORD_BYTES
        self._table[at : at + RECORD_BYTES] = pack(producer, number, dropped)
        return at

    def _make(self) -> None:
        new = self._path.with_name(f".{os.urandom(3).hex()}")
        try:
            file = private_file(new, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError:
            return
        try:
            write_all(file, bytes(self._table))  # all of it: a disk that is full later has room for every record
            self._found = os.fstat(file)
            new.replace(self._path)
        except OSError:
            self._found = None
            os.close(file)
            new.unlink(missing_ok=True)
        else:
            self._file = file

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
        self._file = self._found = None


class Reader:
    """The file of the shipper that a host meets, as the host reads it. Never raises, and never waits."""

    def __init__(self) -> None:
        self._open: tuple[int, os.stat_result, Path] | None = None

    def read(self, directory: Path, producer: bytes) -> Taken | None:
        """Return what is said of a producer in a rendezvous; None if no file is there, and none was."""
        try:
            self._look(directory / TAKEN_FILE)
            if self._open is None:
                return None
            file, found, _ = self._open
            bucket = posix.pread(file, BUCKET_BYTES, _bucket_of(producer) * BUCKET_BYTES)
        except OSError:
            return None
        return Taken(*(unpack(bucket, producer) or (0, 0)), (found.st_dev, found.st_ino))

    def close(self) -> None:
        """Close the file, unless the host has put another one under its descriptor."""
        opened, self._open = self._open, None
        if opened is not None and _is_ours(*opened[:2]):
            os.close(opened[0])

    def _look(self, path: Path) -> None:
        """Open the file that has the name now. One that was removed is read on: its shipper has left, or writes yet."""
        if self._open is not None:
            file, found, known = self._open
            if known == path and _is_ours(file, found) and (is_at(path, found) or not os.path.lexists(path)):
                return
            self.close()
        opened = private_file(path, os.O_RDONLY)
        try:
            file = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _FIRST_DESCRIPTOR)
        finally:
            os.close(opened)
        self._open = file, os.fstat(file), path


def _bucket_of(producer: bytes) -> int:
    return int.from_bytes(producer[:2]) % BUCKETS


def _is_ours(file: int, found: os.stat_result) -> bool:
    """Tell whether a descriptor is still that of a file: a host may have closed it, and opened something else."""
    try:
        return os.path.samestat(os.fstat(file), found)
    except OSError:
        return False
