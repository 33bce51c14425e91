"""The ledger: the fate of every event, kept over restarts in `ledger.log`, and readable without a shipper.

Each line concerns one segment, by its id. A `seal` brings what its intake saw (a tally and the producers' positions);
later lines say where the segment went. Replay is idempotent: a line that repeats what is known changes nothing.

    total       the sum of a log that was compacted
    seal        a segment is finished; `tally.kept` of its events lie on disk
    ack         ... were delivered, but for those that the receiver said it refused
    drop        ... were lost for `reason` (spool_full, spool_age, consent)
    quarantine  ... were set aside for `reason` (corrupt, rejected)
    requeue     ... were brought back from there, and await their fate again
    split       ... are now those of its halves
    note        losses that belong to no segment, under an id that counts them once

Events that are set aside count as lost, for the same reason, until they are brought back.

A full disk takes no more lines. Yet a delivery has to be recorded, or the segment is sent again, and a shipper's losses
have to be written down before it ends. `ledger.spare` is therefore a file of blanks, whose space takes such lines in
place. They are lines of the ledger like all others, and move into it when there is room.

The law: `emitted == delivered + on disk + sum(dropped)`; a batch on its way counts as on disk here.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from telemetry import files
from telemetry.drops import DropReason
from telemetry.files import private_file
from telemetry.spool.journal import read_good_lines, write_line
from telemetry.spool.positions import MAX_POSITIONS, Position, Positions, catch_up
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from pathlib import Path

LOG_FILE = "ledger.log"
LOCK_FILE = "ledger.lock"
SPARE_FILE = "ledger.spare"
SPARE_BYTES = 32 << 10
"""The size of the spare file: room for the fates of some 200 segments, and the last notes of some 50 shippers."""
_APART_BYTES = 512
"""The distance between two copies of one line: a disk that loses a sector must not lose both."""
COMPACT_BYTES = 1 << 20
"""The size, some 5,000 lines, beyond which a running shipper compacts the log. It counts in the spool's limit."""


class Sealed(msgspec.Struct, tag="seal", tag_field="is", omit_defaults=True):
    """Line of the ledger for a segment that was finished."""

    id: str
    tally: Tally
    positions: Positions = {}


class Acked(msgspec.Struct, tag="ack", tag_field="is", omit_defaults=True):
    """Line of the ledger for a segment that was delivered.

    Attributes:
        id: the segment's id.
        refused: the number of its events that the receiver said it did not take; which ones, it does not say.
    """

    id: str
    refused: int = 0


class Dropped(msgspec.Struct, tag="drop", tag_field="is"):
    """Line of the ledger for a segment that was lost."""

    id: str
    reason: DropReason


class Quarantined(msgspec.Struct, tag="quarantine", tag_field="is"):
    """Line of the ledger for a segment that was set aside."""

    id: str
    reason: DropReason


class Requeued(msgspec.Struct, tag="requeue", tag_field="is"):
    """Line of the ledger for a segment that was brought back from quarantine."""

    id: str


class Split(msgspec.Struct, tag="split", tag_field="is"):
    """Line of the ledger for a segment whose events are now those of its halves.

    Attributes:
        id: the segment's id.
        halves: the number of events of each half, by its id.
    """

    id: str
    halves: dict[str, int]


class Noted(msgspec.Struct, tag="note", tag_field="is", omit_defaults=True):
    """Line of the ledger for losses that belong to no segment."""

    id: str
    tally: Tally
    positions: Positions = {}


class Aside(msgspec.Struct, array_like=True):
    """A segment in quarantine: the number of its events, and the reason for which they count as lost."""

    reason: DropReason
    events: int


class Total(msgspec.Struct, tag="total", tag_field="is", omit_defaults=True):
    """Line of the ledger for the sum of all lines that a compaction took out of the log."""

    tally: Tally
    delivered: int = 0
    live: dict[str, int] = {}
    positions: Positions = {}
    aside: dict[str, Aside] = {}
    noted: list[str] = []
    """The ids of the notes in the spare file at that moment: it may hold them still, and they count once."""


Line = Sealed | Acked | Dropped | Quarantined | Requeued | Split | Noted | Total
Settling = Acked | Dropped | Quarantined
"""The lines about a segment's fate that must be recorded even on a full disk."""


class Ledger:
    """The state that a log's lines add up to. Pure: it reads and writes nothing.

    Attributes:
        tally: the counts of all that intake has seen; `kept` are the events that reached a segment.
        delivered: the number of events delivered.
        live: the segments on disk that await their fate, each with the number of its events.
        positions: the producers' positions, by the producer's id in hexadecimal.
        aside: the segments in quarantine, by id.
        noted: the ids of notes that a total has counted and the spare file may still hold.
    """

    def __init__(self) -> None:
        self.tally = Tally()
        self.delivered = 0
        self.live: dict[str, int] = {}
        self.positions: Positions = {}
        self.aside: dict[str, Aside] = {}
        self.noted: list[str] = []
        self._known: set[str] = set()

    def apply(self, line: Line) -> None:
        """Take a line into account; a line that is known already changes nothing."""
        match line:
            case Sealed() | Noted():
                self._begin(line)
            case Acked():
                self._deliver(line)
            case Dropped():
                self.tally.drop(line.reason, self.live.pop(line.id, 0))
            case Quarantined():
                if (events := self.live.pop(line.id, 0)) > 0:
                    self.tally.drop(line.reason, events)
                    self.aside[line.id] = Aside(line.reason, events)
            case Requeued():
                self._requeue(line)
            case Split():
                self._split(line)
            case Total():
                self.tally, self.delivered = line.tally, line.delivered
                self.live, self.positions, self.aside = dict(line.live), dict(line.positions), dict(line.aside)
                self.noted = list(line.noted)
                self._known = {*line.live, *line.aside, *line.noted}

    def knows(self, segment: str) -> bool:
        """Tell whether the segment's seal is in the log."""
        return segment in self._known

    def total(self) -> Total:
        """Return the whole state as one line."""
        return Total(self.tally, self.delivered, self.live, self.positions, self.aside, self.noted)

    @property
    def on_disk(self) -> int:
        """The number of events in segments that await their fate."""
        return sum(self.live.values())

    @property
    def balance(self) -> int:
        """The number of events that are unaccounted for: 0, or there is a bug."""
        return self.tally.emitted - self.delivered - self.on_disk - sum(self.tally.dropped.values())

    def _begin(self, line: Sealed | Noted) -> None:
        if line.id in self._known:
            return
        self._known.add(line.id)
        self.tally.add(line.tally)
        self.tally.settle_late()
        catch_up(self.positions, line.positions)
        if isinstance(line, Sealed) and line.tally.kept:
            self.live[line.id] = line.tally.kept

    def _deliver(self, line: Acked) -> None:
        events = self.live.pop(line.id, 0)
        refused = min(line.refused, events)
        self.delivered += events - refused
        if refused:
            self.tally.drop(DropReason.REFUSED_BY_RECEIVER, refused)

    def _requeue(self, line: Requeued) -> None:
        if (aside := self.aside.pop(line.id, None)) is not None:
            self.tally.take_back(aside.reason, aside.events)
            self.live[line.id] = aside.events

    def _split(self, line: Split) -> None:
        if self.live.pop(line.id, None) is not None:
            self.live.update(line.halves)
            self._known.update(line.halves)


def replay(log: bytes) -> Ledger:
    """Return the ledger that a log's bytes add up to; torn or altered lines are left out."""
    ledger = Ledger()
    line: Line
    for line in read_good_lines(log, Line):  # type: ignore[arg-type] # a union is a type to msgspec
        ledger.apply(line)
    return ledger


def _read(path: Path) -> bytes:
    """Return a file's bytes, or none if there is no readable file. Raises OSError if the fault may pass."""
    try:
        return files.read_file(path)
    except (FileNotFoundError, ValueError):
        return b""


def _size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


class LedgerLog:
    """The file behind a ledger. Shippers that share a spool share it: each append is one write under a lock."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / LOG_FILE
        self._spare_path = directory / SPARE_FILE
        self._lock_path = directory / LOCK_FILE
        self._long_bytes = COMPACT_BYTES

    def append(self, *lines: Line, is_last_chance: bool = False) -> None:
        """Append lines, which are durable when the call returns.

        Args:
            lines: the lines. On a full disk, those about a segment's fate go into the spare file.
            is_last_chance: whether all lines may go there, because nobody will know of them later.

        Raises:
            OSError: the disk refuses; then none of the lines counts.
        """
        data = b"".join(map(write_line, lines))
        with self.locked():
            spilled = self._read_spare().rstrip(b"\n") + b"\n"
            before = spilled if len(spilled) > 1 else b""
            try:
                self._write(before + data)
            except OSError as fault:
                may_spill = is_last_chance or all(isinstance(line, Settling) for line in lines)
                if not files.is_full(fault) or not may_spill:
                    raise
                self._fill_spare(before + data, fault)
                return
            if before:
                self._fill_spare(b"")

    def read(self) -> Ledger:
        """Return the present state, that of an empty log if no file is readable.

        Raises OSError if the fault may pass.
        """
        spilled = self._read_spare()  # before the log: a line that moves there in between is in both
        return replay(_read(self._path) + b"\n" + spilled)

    def compact(self, keep: Callable[[str, Position], bool], aside: Container[str]) -> Ledger:
        """Replace the log with its total, without a torn tail. The total is written twice.

        Damage to one copy costs nothing.

        Args:
            keep: tells whether a producer's position still matters.
            aside: the ids of the segments that are still in quarantine.
        """
        with self.locked():
            spilled: Iterator[Line] = read_good_lines(self._read_spare(), Line)  # type: ignore[arg-type] # as in replay
            ledger = self.read()
            ledger.noted = [line.id for line in spilled if isinstance(line, Noted)]
            kept = [(name, position) for name, position in ledger.positions.items() if keep(name, position)]
            ledger.positions = dict(kept[-MAX_POSITIONS:])
            ledger.aside = {id_: what for id_, what in ledger.aside.items() if id_ in aside}
            line = write_line(ledger.total())
            data = line + b"\n" * _APART_BYTES + line
            files.write_durably(self._path, data)
            files.sync_directory(self._path.parent)
            self._fill_spare(b"")
        self._long_bytes = max(COMPACT_BYTES, 2 * len(data))
        return ledger

    def keep_room(self) -> None:
        """Make sure that the spare file exists, for lines that a full disk would not take.

        Raises OSError if it is full.
        """
        with self.locked():
            if len(lines := self._read_spare()) != SPARE_BYTES:
                try:
                    self._fill_spare(lines)
                except OSError:
                    if not lines.strip():  # half of it would take room from those who need it
                        self._spare_path.unlink(missing_ok=True)
                    raise

    @property
    def has_room(self) -> bool:
        """Whether the spare file is there."""
        return _size_bytes(self._spare_path) == SPARE_BYTES

    @property
    def is_long(self) -> bool:
        """Whether it is time to compact the log."""
        return _size_bytes(self._path) > self._long_bytes

    @property
    def size_bytes(self) -> int:
        """The size of the log and the spare file together."""
        return _size_bytes(self._path) + _size_bytes(self._spare_path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep the other shippers of the spool from writing for the duration of the block."""
        lock = files.open_append(self._lock_path)
        try:
            files.lock(lock, waits=True)
            yield
        finally:
            os.close(lock)

    def _read_spare(self) -> bytes:
        return _read(self._spare_path)

    def _fill_spare(self, lines: bytes, full: OSError | None = None) -> None:
        """Put lines into the spare file, within its size; if they do not fit, raise `full`."""
        text = lines.rstrip(b"\n")
        if full is not None and not len(text) < len(self._read_spare()):
            raise full
        file = private_file(self._spare_path, os.O_WRONLY | os.O_CREAT)
        try:
            files.write_all(file, text.ljust(SPARE_BYTES, b"\n"))
            os.fsync(file)
        finally:
            os.close(file)

    def _write(self, data: bytes) -> None:
        file = files.open_append(self._path)
        try:
            self._append(file, data)
        finally:
            os.close(file)

    def _append(self, file: int, data: bytes) -> None:
        size_bytes = self._cut_torn_tail(file)
        try:
            files.write_all(file, data)
            os.fsync(file)
            if not size_bytes:
                files.sync_directory(self._path.parent)
        except OSError:
            os.ftruncate(file, size_bytes)
            raise

    def _cut_torn_tail(self, file: int) -> int:
        """Cut a torn tail, so that the next append begins a line.

        Another shipper may have been killed while writing.
        """
        size_bytes = os.fstat(file).st_size
        if size_bytes and not self._ends_with_a_line():
            size_bytes = self._path.read_bytes().rfind(b"\n") + 1
            os.ftruncate(file, size_bytes)
        return size_bytes

    def _ends_with_a_line(self) -> bool:
        with self._path.open("rb") as log:
            log.seek(-1, os.SEEK_END)
            return log.read() == b"\n"
