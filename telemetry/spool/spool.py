"""The spool: a directory of segments, the only thing that the intake and delivery loops share.

    active/      being written by a shipper
    sealed/      waiting for the upload: <name><suffix> and its Seal, <name>.json
    sent/        copies of the last ones delivered, for the user to read
    quarantine/  rejected by the endpoint, or not what was written
    local/       collected under consent "local": for this machine's owner, never uploaded
    tombstones/  what producers that left unconfirmed had numbered
    ledger.log   what became of every event
    delivery.lock  held by the shipper that uploads
    format       the version of all this

Intake makes and seals segments; delivery takes sealed ones and says what became of them. A disposition is in the
ledger before the file moves, so a crash between the two is finished at the next start.

Shippers of one product and endpoint share the spool. Each owns its active segments; what is sealed belongs to the one
that holds the delivery lock. Within a shipper every change is made under one lock, never held over an upload.
"""

from __future__ import annotations

import logging
import os
import zlib
from threading import RLock
from typing import TYPE_CHECKING

from telemetry.drops import DropReason
from telemetry.errors import SpoolError
from telemetry.paths import TOMBSTONES, private_dir
from telemetry.spool import disk, segment
from telemetry.spool.disk import try_lock
from telemetry.spool.folder import Folder
from telemetry.spool.ledger import Acked, Dropped, Ledger, LedgerLog, Line, Noted, Quarantined, Sealed, Split
from telemetry.spool.recovery import erase, recover
from telemetry.spool.segment import ActiveSegment, Head, Seal, id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from telemetry.spool.producers import Position
    from telemetry.spool.tally import Tally

FORMAT_FILE = "format"
FORMAT_VERSION = "1"
DELIVERY_LOCK_FILE = "delivery.lock"
FOLDERS = ("active", "sealed", "sent", "quarantine", "local", TOMBSTONES)

log = logging.getLogger("telemetry.shipper")


class Spool:
    """One product's events on their way to one endpoint.

    Attributes:
        directory: of the spool.
        log: its ledger's file.
        is_unfinished: whether something was left half done that `salvage` has not gone through yet.
    """

    def __init__(self, directory: Path, alive: Callable[[Position], bool] = lambda _: True) -> None:
        """Of an opened directory; most want `open`."""
        self.directory = directory
        self.log = LedgerLog(directory)
        self.is_unfinished = True
        self._alive = alive
        self._sealed = Folder(directory / "sealed")
        self._sent = Folder(directory / "sent")
        self._quarantined = Folder(directory / "quarantine")
        self._local = Folder(directory / "local")
        self._on_way: set[str] = set()
        self._delivery_lock: int | None = None
        self._lock = RLock()

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
        spool = cls(directory, alive)
        try:
            if spool.claim():
                return spool, spool.log.compact(spool._keeps)
            # Who delivers may be killed between a line and its file: only who has made them agree may forget the line.
            spool.salvage()
            return spool, spool.log.read()
        except OSError as fault:  # a full disk, say: uploads may go on, and make room
            log.warning("%s can't be written (%s): recovery is tried again", directory, os.strerror(fault.errno or 0))
            return spool, spool.log.read()

    def close(self) -> None:
        """Leave delivery to another shipper of the same spool."""
        with self._lock:
            if self._delivery_lock is not None:
                os.close(self._delivery_lock)
                self._delivery_lock = None

    # Intake.

    def begin(self, head: Head) -> ActiveSegment:
        """A new active segment. Raises OSError when the disk refuses."""
        return ActiveSegment(self.directory / "active", head)

    def seal(self, active: ActiveSegment, session_tally: Tally) -> None:
        """Seal a segment, enter it in the ledger and hand it to delivery.

        One whose receipt says `local` goes to `local/`, which no upload reads. Raises OSError when the disk refuses:
        the segment is left to `salvage`.
        """
        folder = self._folder_of(active.head)
        with self._lock:
            try:
                seal = active.seal(folder.path, session_tally)
                self.log.append(Sealed(seal.head.id, seal.tally, seal.positions))
                active.marks_path.unlink(missing_ok=True)
            except OSError:
                self.is_unfinished = True
                raise
            finally:
                active.close()
            if seal.tally.kept:
                folder.add(seal.head.file, seal.length_bytes)
            else:
                folder.remove(seal.head.file)

    def salvage(self) -> None:
        """Finish what was left half done, by a crash or by a disk that refused. Raises OSError when it still does."""
        with self._lock:
            self.is_unfinished = True
            try:
                self._recover()
            finally:  # what is sealed can be delivered, also when the disk takes no more
                if self._delivery_lock is not None:
                    self._reconcile()
            self.is_unfinished = False

    def note(self, key: str, tally: Tally, positions: dict[str, Position]) -> None:
        """Enter losses that belong to no segment; `key` makes sure that they count once. Raises OSError."""
        self.log.append(Noted(key, tally, positions))

    # Delivery. Raises OSError when the disk refuses, and then the segment is where it was.

    def claim(self) -> bool:
        """Whether it is on us to deliver; asked again and again, so that another's death is noticed.

        Who delivers first finishes what the one before left half done.
        """
        with self._lock:
            if self._delivery_lock is None:
                self._delivery_lock = try_lock(self.directory / DELIVERY_LOCK_FILE)
                if self._delivery_lock is not None:
                    self._sent.load()
                    self._quarantined.load()
                    self.salvage()
            return self._delivery_lock is not None

    def refresh(self) -> None:
        """Look for segments that another shipper of the same spool has sealed or delivered."""
        with self._lock:
            if self._delivery_lock is None:
                self._sealed.load()
            elif self._sealed.has_news():
                self._reconcile()

    def take(self) -> Seal | None:
        """The oldest sealed segment, which is then on its way; None when there is none."""
        with self._lock:
            self._on_way.clear()
            while (file := next(iter(self._sealed), None)) is not None:
                try:
                    seal = segment.load(self._sealed.path, file)
                except (FileNotFoundError, ValueError):
                    self._set_aside(file, DropReason.CORRUPT)
                else:
                    self._on_way.add(file)
                    return seal
        return None

    def put_back(self) -> None:
        """What was on its way waits again."""
        with self._lock:
            self._on_way.clear()

    def read(self, seal: Seal) -> bytes | None:
        """The body of an upload; None when it is not what was written, and then the segment is quarantined."""
        try:
            body = (self._sealed.path / seal.head.file).read_bytes()
        except FileNotFoundError:  # any other OSError may pass, and says nothing of the segment
            body = b""
        if len(body) == seal.length_bytes and zlib.crc32(body) == seal.crc:
            return body
        self.quarantine(seal, DropReason.CORRUPT)
        return None

    # A segment that was wiped while it was on its way is settled already: what comes of it changes nothing.

    def ack(self, seal: Seal, sent_bytes: int) -> None:
        """The segment was delivered; keep a copy, within `sent_bytes` for all copies."""
        with self._lock:
            if seal.head.file not in self._sealed:
                return
            self.log.append(Acked(seal.head.id))
            self._sealed.move(seal.head.file, self._sent)
            for file, _ in list(self._sent.beyond(sent_bytes, len(self._sent), float("inf"))):
                self._sent.remove(file)

    def quarantine(self, seal: Seal, reason: DropReason) -> None:
        """Set the segment aside for good."""
        with self._lock:
            if seal.head.file in self._sealed:
                self._set_aside(seal.head.file, reason)

    def split(self, seal: Seal, halves: list[tuple[Seal, bytes]]) -> bool:
        """Put the two halves of a segment in its place, both on their way; both are durable before it goes.

        Returns:
            False when the segment was wiped meanwhile: there is nothing to split.
        """
        with self._lock:
            if seal.head.file not in self._sealed:
                return False
            for half, body in halves:
                disk.write_whole(self._sealed.path / half.head.file, body)
                segment.store(half, self._sealed.path)
            disk.sync_directory(self._sealed.path)
            self.log.append(Split(seal.head.id, {half.head.id: half.tally.kept for half, _ in halves}))
            for half, body in reversed(halves):
                self._sealed.add_first(half.head.file, len(body))
                self._on_way.add(half.head.file)
            self._sealed.remove(seal.head.file)
        return True

    # Both.

    def enforce(self, limit_bytes: int, limit_segments: int, limit_seconds: float) -> None:
        """Drop the oldest segments beyond the limits, but never one on its way; keep the ledger's file short.

        Never raises: what a disk refuses is tried again at the next call.

        Args:
            limit_bytes: of all sealed segments together; the same of `local/` and of `quarantine/`.
            limit_segments: how many.
            limit_seconds: their age.
        """
        with self._lock:
            if self._delivery_lock is None:
                return
            try:
                for folder in (self._sealed, self._local):
                    self._drop(folder, list(folder.beyond(limit_bytes, limit_segments, limit_seconds, self._on_way)))
                for file, _ in list(self._quarantined.beyond(limit_bytes, limit_segments, limit_seconds)):
                    self._quarantined.remove(file)
                if self.log.is_long:
                    self.log.compact(self._keeps)
            except OSError:
                return

    def keep_local(self) -> None:
        """Move what waits for delivery to `local/`: the user has said that it stays here. Raises OSError."""
        with self._lock:
            self._on_way.clear()
            for file in list(self._sealed):
                self._sealed.move(file, self._local)

    def withhold(self, seal: Seal) -> None:
        """Move one that was taken to `local/`: it is older than the consent. Raises OSError."""
        with self._lock:
            self._on_way.clear()
            if seal.head.file in self._sealed:
                self._sealed.move(seal.head.file, self._local)

    def wipe(self, reason: DropReason) -> None:
        """Erase every segment in any state; those that were to be delivered count as dropped.

        What can't be counted, on a disk that takes no more, is erased all the same.

        Raises:
            OSError: the disk lets nothing be erased, or not all.
        """
        with self._lock:
            try:
                self.salvage()
                if live := self.log.read().live:
                    self.log.append(*(Dropped(id_, reason) for id_ in live))
            except OSError as fault:
                log.warning("what is erased can't be counted (%s)", os.strerror(fault.errno or 0))
            self._on_way.clear()
            self._erase()

    def seen_at(self, seal: Seal) -> float:
        """When this process first saw a sealed segment, monotonic seconds."""
        with self._lock:
            return self._sealed.seen_at(seal.head.file)

    @property
    def waiting(self) -> int:
        """Sealed segments that await delivery, the one on its way among them."""
        return len(self._sealed)

    def _folder_of(self, head: Head) -> Folder:
        return self._sealed if segment.folder_of(head) == "sealed" else self._local

    def _keeps(self, producer: str, position: Position) -> bool:
        """Whether a producer's position matters still: it may go on, or its tombstone be counted against it."""
        return self._alive(position) or (self.directory / TOMBSTONES / f"{producer}.json").exists()

    def _recover(self) -> None:
        for seal in recover(self.directory):
            self.log.append(Sealed(seal.head.id, seal.tally, seal.positions))  # counts once, if it was there already
        disk.sync_directory(self.directory / "active")  # else marks could come back after a power cut

    def _reconcile(self) -> None:
        """Make ledger and directory agree: finish what a crash left between a line and its file."""
        ledger = self.log.read()  # before the directory: what is sealed in between is new, and not gone
        adopted: dict[str, Line] = {}
        here = set()
        for folder in (self._sealed, self._local):
            folder.load()
            for file in list(folder):
                if id_of(file) in ledger.live:
                    here.add(id_of(file))
                elif not ledger.knows(id_of(file)) and (line := self._adopt(folder, file, ledger.live)) is not None:
                    adopted[file] = line
                else:
                    folder.remove(file)
        gone = [Dropped(id_, DropReason.CORRUPT) for id_ in ledger.live.keys() - here]
        self._enter(adopted, gone)

    def _enter(self, adopted: dict[str, Line], gone: list[Dropped]) -> None:
        try:
            if adopted or gone:
                self.log.append(*adopted.values(), *gone)
        except OSError:
            for file in adopted:  # not to be delivered before the ledger knows it
                self._sealed.forget(file)
            raise

    def _adopt(self, folder: Folder, file: str, live: Container[str]) -> Sealed | None:
        """The line of a sealed segment that the ledger does not know: the crash came between the two.

        A half that it does not know is none, whole or not: its parent is still there.
        """
        try:
            seal = segment.load(folder.path, file)
        except (OSError, ValueError):
            if not _is_half(file, folder, live):
                folder.move(file, self._quarantined)
            return None
        return Sealed(seal.head.id, seal.tally, seal.positions) if seal.depth == 0 else None

    def _set_aside(self, file: str, reason: DropReason) -> None:
        self.log.append(Quarantined(id_of(file), reason))
        self._sealed.move(file, self._quarantined)

    def _drop(self, folder: Folder, found: list[tuple[str, DropReason]]) -> None:
        if found:
            self.log.append(*(Dropped(id_of(file), reason) for file, reason in found))
        for file, _ in found:
            folder.remove(file)

    def _erase(self) -> None:
        for folder in (self._sealed, self._sent, self._quarantined, self._local):
            for path in folder.path.iterdir():
                if path.is_symlink() or not path.is_dir():
                    path.unlink(missing_ok=True)
            folder.load()
        erase(self.directory)


def _is_half(file: str, folder: Folder, live: Container[str]) -> bool:
    """Whether a file can only be the beginning of a split that was cut short: its name has the time of its parent's."""
    time_ns = file.partition("-")[0]
    return any(other.startswith(time_ns) and id_of(other) in live for other in folder)


def _prepare(directory: Path) -> None:
    try:
        for path in (directory, *(directory / folder for folder in FOLDERS)):
            private_dir(path)
        with LedgerLog(directory).locked():
            file = directory / FORMAT_FILE
            if not file.exists():
                disk.write_whole(file, FORMAT_VERSION.encode())
            version = file.read_bytes()
    except OSError as fault:
        raise SpoolError(
            f"{directory} can't be used as a spool: {fault}; free the disk, mend its mode, or move it"
        ) from None
    if version != FORMAT_VERSION.encode():
        raise SpoolError(
            f"{directory} is a spool of format {version[:20]!r}, this version knows {FORMAT_VERSION}: "
            "use the version that made it, or move it away"
        )
