"""The spool: a directory of segments, the only thing that the intake and delivery loops share.

    active/      being written by a shipper
    sealed/      waiting for the upload: <name><suffix> and its Seal, <name>.json
    sent/        copies of the last ones delivered, for the user to read
    quarantine/  rejected by the endpoint, or not what was written
    local/       collected under consent "local": for this machine's owner, never uploaded
    tombstones/  what producers that left unconfirmed had numbered
    ledger.log   what became of every event
    format       the version of all this

Intake makes and seals segments; delivery takes sealed ones and says what became of them. A disposition is in the
ledger before the file moves, so a crash between the two is finished at the next start.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock

from telemetry.drops import DropReason
from telemetry.errors import SpoolError
from telemetry.paths import private_dir
from telemetry.producer.exits import TOMBSTONES
from telemetry.shipper import disk, segment
from telemetry.shipper.ledger import Acked, Dropped, Ledger, LedgerLog, Noted, Quarantined, Sealed, Split
from telemetry.shipper.producers import Position
from telemetry.shipper.recovery import recover
from telemetry.shipper.segment import SEAL, ActiveSegment, Head, Seal, seal_name
from telemetry.shipper.tally import Tally

FORMAT_FILE = "format"
FORMAT_VERSION = "1"
FOLDERS = ("active", "sealed", "sent", "quarantine", "local", TOMBSTONES)
EVERYTHING = ("sealed", "sent", "quarantine", "local")


class Spool:
    """One product's events on their way to one endpoint.

    Attributes:
        directory: of the spool.
        log: its ledger's file.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = LedgerLog(directory)
        self._waiting: dict[str, int] = {}  # data file of a sealed segment -> bytes, oldest first
        self._taken: str | None = None
        self._lock = Lock()

    @classmethod
    def open(cls, directory: Path, alive: Callable[[Position], bool]) -> tuple[Spool, Ledger]:
        """Open the spool, making it if there is none; recover what was left half done; compact the ledger.

        Args:
            directory: of the spool.
            alive: whether a producer's process still runs.

        Raises:
            SpoolError: the directory is not ours alone, or of another format; nothing *in* it can stop us.
        """
        _prepare(directory)
        spool = cls(directory)
        spool.salvage()
        return spool, spool.log.compact(alive)

    # Intake.

    def begin(self, head: Head) -> ActiveSegment:
        """A new active segment. Raises OSError when the disk refuses."""
        return ActiveSegment(self._in("active"), head)

    def seal(self, active: ActiveSegment, session_tally: Tally) -> None:
        """Seal a segment, enter it in the ledger and hand it to delivery.

        One whose receipt says `local` goes to `local/`, which no upload reads. Raises OSError when the disk refuses.
        """
        folder = self._in(segment.folder_of(active.head))
        try:
            seal = active.seal(folder, session_tally)
            self.log.append(Sealed(seal.head.id, seal.tally, seal.positions))
        finally:
            active.close()
        active.marks_path.unlink(missing_ok=True)
        if not seal.tally.kept:
            _unlink(folder, seal.head.file)
        elif folder.name == "sealed":
            with self._lock:
                self._waiting[seal.head.file] = seal.length_bytes

    def salvage(self) -> None:
        """Finish what was left half done, by a crash or by a disk that refused. Raises OSError when it still does."""
        ledger = self.log.read()
        for seal in recover(self.directory):
            self._enter(seal, ledger)
        self._reconcile(ledger)

    def note(self, key: str, tally: Tally, positions: dict[str, Position]) -> None:
        """Enter losses that belong to no segment; `key` makes sure that they count once."""
        self.log.append(Noted(key, tally, positions))

    # Delivery.

    def take(self) -> Seal | None:
        """The oldest sealed segment, which is then on its way; None when there is none."""
        with self._lock:
            self._taken = file = next(iter(self._waiting), None)
        if file is None:
            return None
        try:
            return segment.load(self._in("sealed"), file)
        except (OSError, ValueError):
            self._lose(file, DropReason.CORRUPT)
            return self.take()

    def put_back(self) -> None:
        """The segment that was on its way waits again."""
        with self._lock:
            self._taken = None

    def read(self, seal: Seal) -> bytes | None:
        """The body of an upload; None when it is not what was written, and then the segment is quarantined."""
        try:
            body = (self._in("sealed") / seal.head.file).read_bytes()
        except OSError:
            body = b""
        if len(body) == seal.length_bytes and zlib.crc32(body) == seal.crc:
            return body
        self.quarantine(seal, DropReason.CORRUPT)
        return None

    def ack(self, seal: Seal, sent_bytes: int) -> None:
        """The segment was delivered; keep a copy, within `sent_bytes` for all copies."""
        self.log.append(Acked(seal.head.id))
        self._move(seal, "sent")
        for file in _beyond(self._in("sent"), sent_bytes):
            _unlink(self._in("sent"), file)

    def quarantine(self, seal: Seal, reason: DropReason) -> None:
        """Set the segment aside for good."""
        self.log.append(Quarantined(seal.head.id, reason))
        self._move(seal, "quarantine")

    def split(self, seal: Seal, halves: list[tuple[Seal, bytes]]) -> None:
        """Put the two halves of a segment in its place; both are durable before it goes."""
        for half, body in halves:
            disk.write_whole(self._in("sealed") / half.head.file, body)
            segment.store(half, self._in("sealed"))
        disk.sync_directory(self._in("sealed"))
        self.log.append(Split(seal.head.id, {half.head.id: half.tally.kept for half, _ in halves}))
        with self._lock:
            self._waiting = {half.head.file: len(body) for half, body in halves} | self._waiting
        self._forget(seal.head.file)
        _unlink(self._in("sealed"), seal.head.file)

    # Both.

    def enforce(self, limit_bytes: int, limit_segments: int, oldest_ns: int) -> None:
        """Drop the oldest sealed segments beyond the limits, but never the one on its way.

        Args:
            limit_bytes: of all sealed segments together.
            limit_segments: how many.
            oldest_ns: segments begun before this time are too old.
        """
        while (found := self._over_limit(limit_bytes, limit_segments, oldest_ns)) is not None:
            self._lose(*found)
        for file in _beyond(self._in("local"), limit_bytes):
            self.log.append(Dropped(_id(file), DropReason.SPOOL_FULL))
            _unlink(self._in("local"), file)

    def wipe(self, reason: DropReason) -> None:
        """Erase every segment in any state; those that were to be delivered count as dropped."""
        with self._lock:
            self._waiting.clear()
            self._taken = None
        if live := self.log.read().live:
            self.log.append(*(Dropped(id_, reason) for id_ in live))
        for folder in EVERYTHING:
            for path in self._in(folder).iterdir():
                path.unlink(missing_ok=True)

    @property
    def waiting(self) -> int:
        """Sealed segments that await delivery, the one on its way among them."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Their size."""
        return sum(self._waiting.values())

    @property
    def taken(self) -> str | None:
        """The file of the segment on its way."""
        return self._taken

    def refresh(self) -> None:
        """Look for segments that another shipper of the same spool has sealed or delivered."""
        found = dict(_segments(self._in("sealed")))
        with self._lock:
            self._waiting = found

    def _in(self, folder: str) -> Path:
        return self.directory / folder

    def _enter(self, seal: Seal, ledger: Ledger) -> None:
        if not ledger.knows(seal.head.id):
            line = Sealed(seal.head.id, seal.tally, seal.positions)
            self.log.append(line)
            ledger.apply(line)

    def _reconcile(self, ledger: Ledger) -> None:
        """Make ledger and directory agree: finish what a crash left between a line and its file."""
        here = set()
        for folder in (self._in("sealed"), self._in("local")):
            for file, _ in _segments(folder):
                if not ledger.knows(_id(file)):
                    self._adopt(folder, file, ledger)
                if _id(file) in ledger.live:
                    here.add(_id(file))
                else:
                    _unlink(folder, file)
        self.refresh()
        if gone := ledger.live.keys() - here:
            self.log.append(*(Dropped(id_, DropReason.CORRUPT) for id_ in gone))

    def _adopt(self, folder: Path, file: str, ledger: Ledger) -> None:
        """Enter a sealed segment that the ledger does not know: the crash came between the two."""
        try:
            seal = segment.load(folder, file)
        except (OSError, ValueError):
            (folder / file).replace(self._in("quarantine") / file)
            return
        if seal.depth == 0:  # else a half, whose split is not in the ledger: its parent is still there
            self._enter(seal, ledger)

    def _over_limit(self, limit_bytes: int, limit_segments: int, oldest_ns: int) -> tuple[str, DropReason] | None:
        with self._lock:
            file = next((file for file in self._waiting if file != self._taken), None)
            if file is None:
                return None
            if len(self._waiting) > limit_segments or sum(self._waiting.values()) > limit_bytes:
                return file, DropReason.SPOOL_FULL
            return (file, DropReason.SPOOL_AGE) if int(file.partition("-")[0]) < oldest_ns else None

    def _lose(self, file: str, reason: DropReason) -> None:
        self.log.append(Dropped(_id(file), reason))
        self._forget(file)
        _unlink(self._in("sealed"), file)

    def _move(self, seal: Seal, folder: str) -> None:
        self._forget(seal.head.file)
        for name in (seal.head.file, seal_name(seal.head.file)):
            path = self._in("sealed") / name
            if path.exists():
                path.replace(self._in(folder) / name)

    def _forget(self, file: str) -> None:
        with self._lock:
            self._waiting.pop(file, None)
            if self._taken == file:
                self._taken = None


def _beyond(folder: Path, limit_bytes: int) -> Iterator[str]:
    """The oldest data files of a folder that holds more than `limit_bytes`."""
    kept = 0
    for file, size in reversed(_segments(folder)):
        kept += size
        if kept > limit_bytes:
            yield file


def _id(file: str) -> str:
    """The id in the name of a segment's data file, `<creation>-<id><suffix>`."""
    return file.partition(".")[0].partition("-")[2]


def _unlink(folder: Path, file: str) -> None:
    for name in (file, seal_name(file)):
        (folder / name).unlink(missing_ok=True)


def _prepare(directory: Path) -> None:
    try:
        for path in (directory, *(directory / folder for folder in FOLDERS)):
            private_dir(path)
        file = directory / FORMAT_FILE
        if not file.exists():
            disk.write_whole(file, FORMAT_VERSION.encode())
        version = file.read_text()
    except OSError as fault:
        raise SpoolError(f"{directory} can't be used as a spool: {fault}; free the disk, mend its mode, or move it") from None
    if version != FORMAT_VERSION:
        raise SpoolError(
            f"{directory} is a spool of format {version!r}, this version knows {FORMAT_VERSION}: "
            "use the version that made it, or move it away"
        )


def _segments(folder: Path) -> list[tuple[str, int]]:
    """Data files in a folder and their sizes, oldest first."""
    with os.scandir(folder) as entries:
        return sorted((entry.name, entry.stat().st_size) for entry in entries if _is_data(entry.name))


def _is_data(name: str) -> bool:
    return not name.startswith(".") and not name.endswith(SEAL)
