"""The ledger: what became of every event, kept over restarts in `ledger.log` and read without a shipper.

Each line is about one segment, by its id. A `seal` brings what its intake saw (a tally and the producers' positions);
what follows says where the segment went. Replay is idempotent: a line that repeats what is known changes nothing.

    total       the sum of a log that was compacted
    seal        a segment is finished; `tally.kept` of its events lie on disk
    ack         ... were delivered
    drop        ... were lost for `reason` (spool_full, spool_age, consent)
    quarantine  ... were set aside for `reason` (corrupt, rejected)
    split       ... are now those of its halves
    note        losses that belong to no segment, under an id that counts them once

The law: `emitted == delivered + on disk + sum(dropped)`; a batch on its way counts as on disk here.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from telemetry.drops import DropReason  # noqa: TC001 msgspec reads the annotations of a Struct
from telemetry.spool import disk
from telemetry.spool.journal import read_good_lines, write_line
from telemetry.spool.producers import MAX_POSITIONS, Position, catch_up
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOG_FILE = "ledger.log"
LOCK_FILE = "ledger.lock"
COMPACT_BYTES = 1 << 20
"""A log of this size is worth compacting while the shipper runs: some 5,000 lines. It counts in the spool's limit."""

Positions = dict[str, Position]


class Sealed(msgspec.Struct, tag="seal", tag_field="is", omit_defaults=True):
    """A segment is finished."""

    id: str
    tally: Tally
    positions: Positions = {}


class Acked(msgspec.Struct, tag="ack", tag_field="is"):
    """A segment was delivered."""

    id: str


class Dropped(msgspec.Struct, tag="drop", tag_field="is"):
    """A segment was lost."""

    id: str
    reason: DropReason


class Quarantined(msgspec.Struct, tag="quarantine", tag_field="is"):
    """A segment was set aside."""

    id: str
    reason: DropReason


class Split(msgspec.Struct, tag="split", tag_field="is"):
    """A segment's events are now those of its halves: id to events."""

    id: str
    halves: dict[str, int]


class Noted(msgspec.Struct, tag="note", tag_field="is", omit_defaults=True):
    """Losses apart from any segment."""

    id: str
    tally: Tally
    positions: Positions = {}


class Total(msgspec.Struct, tag="total", tag_field="is", omit_defaults=True):
    """The sum of all that a compaction took out of the log."""

    tally: Tally
    delivered: int = 0
    live: dict[str, int] = {}
    positions: Positions = {}


Line = Sealed | Acked | Dropped | Quarantined | Split | Noted | Total


class Ledger:
    """The state that a log's lines add up to. Pure: it reads and writes nothing.

    Attributes:
        tally: everything the intake has seen; `kept` is what reached a segment.
        delivered: events.
        live: the segments on disk that await their fate, id to events.
        positions: of the producers, by their id in hexadecimal.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.delivered = 0
        self.live: dict[str, int] = {}
        self.positions: Positions = {}
        self._known: set[str] = set()

    def apply(self, line: Line) -> None:
        """Take a line into account; one that is known already changes nothing."""
        match line:
            case Sealed() | Noted():
                self._begin(line)
            case Acked():
                self.delivered += self.live.pop(line.id, 0)
            case Dropped() | Quarantined():
                self.tally.drop(line.reason, self.live.pop(line.id, 0))
            case Split():
                self._split(line)
            case Total():
                self.tally, self.delivered = line.tally, line.delivered
                self.live, self.positions = dict(line.live), dict(line.positions)
                self._known = set(line.live)

    def knows(self, segment: str) -> bool:
        """Whether the segment's seal is in the log."""
        return segment in self._known

    def total(self) -> Total:
        """The whole state as one line."""
        return Total(self.tally, self.delivered, self.live, self.positions)

    @property
    def on_disk(self) -> int:
        """Events in segments that await their fate."""
        return sum(self.live.values())

    @property
    def balance(self) -> int:
        """The events that nothing accounts for: 0, or there is a bug."""
        return self.tally.emitted - self.delivered - self.on_disk - sum(self.tally.dropped.values())

    def _begin(self, line: Sealed | Noted) -> None:
        if line.id in self._known:
            return
        self._known.add(line.id)
        self.tally.add(line.tally)
        catch_up(self.positions, line.positions)
        if isinstance(line, Sealed) and line.tally.kept:
            self.live[line.id] = line.tally.kept

    def _split(self, line: Split) -> None:
        if self.live.pop(line.id, None) is not None:
            self.live.update(line.halves)
            self._known.update(line.halves)


def replay(log: bytes) -> Ledger:
    """The ledger that a log's bytes add up to; what is torn or altered is left out."""
    ledger = Ledger()
    line: Line
    for line in read_good_lines(log, Line):  # type: ignore[arg-type] # a union is a type to msgspec
        ledger.apply(line)
    return ledger


class LedgerLog:
    """The file behind a ledger. Shippers that share a spool share it: each append is one write under a lock."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOG_FILE
        self._lock_path = directory / LOCK_FILE
        self._long_bytes = COMPACT_BYTES

    def append(self, *lines: Line) -> None:
        """Add lines, durable when this returns.

        Raises:
            OSError: the disk refuses; nothing of them counts then.
        """
        data = b"".join(map(write_line, lines))
        with self.locked():
            file = disk.open_append(self._path)
            try:
                self._append(file, data)
            finally:
                os.close(file)

    def read(self) -> Ledger:
        """The state now; the beginning when there is no file that can be read. Raises OSError when that may pass."""
        try:
            return replay(disk.read_file(self._path))
        except (FileNotFoundError, ValueError):
            return Ledger()

    def compact(self, keep: Callable[[str, Position], bool]) -> Ledger:
        """Replace the log by its total, with the positions of the producers to keep only, and without a torn tail."""
        with self.locked():
            ledger = self.read()
            kept = [(name, position) for name, position in ledger.positions.items() if keep(name, position)]
            ledger.positions = dict(kept[-MAX_POSITIONS:])
            line = write_line(ledger.total())
            disk.write_whole(self._path, line)
            disk.sync_directory(self._path.parent)
        self._long_bytes = max(COMPACT_BYTES, 2 * len(line))
        return ledger

    @property
    def is_long(self) -> bool:
        """Whether it is time to compact."""
        return self.size_bytes > self._long_bytes

    @property
    def size_bytes(self) -> int:
        """Of the file; 0 when there is none."""
        return self._path.stat().st_size if self._path.exists() else 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other shippers of the spool from writing."""
        lock = disk.open_append(self._lock_path)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _append(self, file: int, data: bytes) -> None:
        size_bytes = self._cut_torn_tail(file)
        try:
            disk.write_all(file, data)
            os.fsync(file)
            if not size_bytes:
                disk.sync_directory(self._path.parent)
        except OSError:
            os.ftruncate(file, size_bytes)
            raise

    def _cut_torn_tail(self, file: int) -> int:
        """Make sure that what is appended begins a line; another shipper may have been killed as it wrote."""
        size_bytes = os.fstat(file).st_size
        if size_bytes and not self._ends_with_a_line():
            size_bytes = self._path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(file, size_bytes)
        return size_bytes

    def _ends_with_a_line(self) -> bool:
        with self._path.open("rb") as log:
            log.seek(-1, os.SEEK_END)
            return log.read() == b"\n"
