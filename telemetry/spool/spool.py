"""The spool: a directory of segments, the only thing that the intake and delivery loops share.

Intake makes and seals segments; delivery takes sealed ones and decides their fate. A fate is in the ledger before the
file moves, so a crash between the two is finished at the next start.

Shippers of one product and endpoint share the spool. Each owns its active segments; sealed ones belong to the shipper
that holds the delivery lock. Within a shipper every change is made under one lock, never held over an upload.
"""

from __future__ import annotations

import logging
import os
import zlib
from contextlib import suppress
from threading import RLock
from time import monotonic
from typing import TYPE_CHECKING

from telemetry import files
from telemetry.drops import DropReason
from telemetry.errors import SpoolError
from telemetry.paths import TOMBSTONES
from telemetry.rendezvous import life
from telemetry.spool import held, segment
from telemetry.spool.folder import Arrival, Folder
from telemetry.spool.layout import FORMAT_FILE, prepare
from telemetry.spool.ledger import (
    Acked,
    Dropped,
    Ledger,
    LedgerLog,
    Noted,
    Quarantined,
    Requeued,
    Sealed,
    Split,
)
from telemetry.spool.positions import catch_up
from telemetry.spool.reconcile import bring_back, reconcile
from telemetry.spool.recovery import erase, positions_in, recover
from telemetry.spool.segment import ActiveSegment, Head, Seal, id_of
from telemetry.spool.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

    from telemetry.spool.positions import Position, Positions
    from telemetry.spool.tally import Tally

ROOM_BYTES = 8 << 20
"""The space that copies of sent segments leave free: for a full segment, and for recovery, which writes it anew."""

log = logging.getLogger("telemetry.shipper")


class Spool:
    """The events of one product on their way to one endpoint.

    Attributes:
        directory: the spool's directory.
        log: the file of its ledger.
        is_unfinished: whether something was left half done that `salvage` has not finished yet.
    """

    def __init__(
        self,
        directory: Path,
        alive: Callable[[str, Position], bool] = lambda *_: True,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Wrap a directory that has been opened before; most callers want `open`."""
        self.directory = directory
        self.log = LedgerLog(directory)
        self.is_unfinished = True
        self._alive = alive
        self._sealed, self._sent, self._quarantined, self._local = (
            Folder(directory / name, clock) for name in ("sealed", "sent", "quarantine", "local")
        )
        self._on_way: set[str] = set()
        self._parts: dict[str, str] = {}  # of segments that were split, each with the one that was sealed
        self._turn = Turn(directory)
        self._opened: int | None = None  # the format file, by which a directory in this one's place is told apart
        self._lock = RLock()

    @classmethod
    def open(
        cls, directory: Path, alive: Callable[[str, Position], bool], clock: Callable[[], float] = monotonic
    ) -> tuple[Spool, Ledger]:
        """Open the spool, making it if there is none; finish what was left half done; compact the ledger.

        Args:
            directory: the spool's directory.
            alive: tells whether a producer still lives, by its id in hexadecimal and its position.
            clock: monotonic seconds, by which segments age.

        Raises:
            SpoolError: the directory is not ours alone, or of another format; nothing *in* it can stop us.
        """
        prepare(directory)
        spool = cls(directory, alive, clock)
        try:
            spool._opened = os.open(directory / FORMAT_FILE, os.O_RDONLY | os.O_CLOEXEC)
            if spool.claim():
                return spool, _with(spool._compact(), spool._positions_in_active())
            spool.salvage()
        except OSError as fault:  # a full disk, say: uploads may go on, and make room
            log.warning("%s can't be written (%s): recovery is tried again", directory, os.strerror(fault.errno or 0))
        try:
            return spool, spool.ledger()
        except OSError as fault:
            spool.close()
            raise SpoolError(f"{directory} can't be read now: {fault}; start again when it can") from None

    def close(self) -> None:
        """Leave delivery to another shipper of the same spool."""
        with self._lock:
            self._turn.give_up()
            if self._opened is not None:
                os.close(self._opened)
                self._opened = None

    @property
    def is_removed(self) -> bool:
        """Whether the directory that was opened has been removed, so that everything appended to its files is lost."""
        if self._opened is None:
            return False
        try:
            return not os.path.samestat(os.fstat(self._opened), (self.directory / FORMAT_FILE).lstat())
        except FileNotFoundError:
            return True
        except OSError:  # a disk that fails to answer has not been emptied
            return False

    # Intake.

    def begin(self, head: Head) -> ActiveSegment:
        """Begin an active segment. Raises OSError if the disk refuses."""
        return ActiveSegment(self.directory / "active", head)

    def seal(self, active: ActiveSegment, session_tally: Tally) -> None:
        """Seal a segment, enter it in the ledger and hand it to delivery.

        A segment whose receipt does not let it leave goes to `local/`, which no upload reads. Raises OSError if the
        disk refuses; then the segment is left to `salvage`.
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
                folder.add(seal.head.file, frozenset(seal.positions))
            else:
                folder.remove(seal.head.file)

    def salvage(self) -> None:
        """Finish what a crash or a refusing disk left half done. Raises OSError if the disk still refuses."""
        with self._lock:
            self.is_unfinished = True
            try:
                self._recover()
            finally:  # sealed segments can be delivered even if the disk takes no more
                if self._turn.is_ours:
                    self._reconcile()
            self.is_unfinished = False

    def note(self, key: str, tally: Tally, positions: dict[str, Position], *, is_last_chance: bool = False) -> None:
        """Enter losses that belong to no segment; `key` makes sure that they count once.

        Args:
            key: an id of this note.
            tally: the losses.
            positions: the positions of the producers concerned.
            is_last_chance: whether the note may use the room kept for emergencies, because nobody will know of it
                later.

        Raises:
            OSError: the disk refuses.
        """
        self.log.append(Noted(key, tally, positions), is_last_chance=is_last_chance)

    def make_way(self, fault: OSError) -> bool:
        """Delete the copies of sent segments if `fault` is that of a full disk, and tell whether that made room.

        The copies are a convenience, and whatever is to be written is not. Never raises.
        """
        if not files.is_full(fault):
            return False
        with self._lock, suppress(OSError):
            self._sent.load()  # they may be another shipper's
            found = list(self._sent)
            for file in found:
                self._sent.remove(file)
            return bool(found)
        return False

    def ledger(self) -> Ledger:
        """Return the ledger, with the producers' positions in unsealed segments taken into account. Raises OSError."""
        active = self._positions_in_active()  # before the ledger: a segment sealed in between is in both
        return _with(self.log.read(), active)

    # Delivery. If the disk refuses, these raise OSError, and the segment stays where it was.

    def claim(self) -> bool:
        """Tell whether it is this shipper that delivers; called again and again, so that another's death is noticed.

        A shipper that begins to deliver first finishes what its predecessor left half done.
        """
        with self._lock:
            if self._turn.take():
                self._sent.load()
                self._quarantined.load()
                self.salvage()
            return self._turn.is_ours

    def refresh(self) -> None:
        """Look for segments that another shipper of the same spool has sealed or delivered."""
        with self._lock:
            if not self._turn.is_ours:
                self._sealed.load()
            elif self._sealed.has_news():
                self._reconcile()

    @property
    def delivers(self) -> bool:
        """Whether this process is the one that delivers."""
        return self._turn.is_ours

    def say(self, state: str) -> None:
        """Tell the other shippers of the spool how uploads go, if this one delivers. Never raises."""
        with self._lock:
            self._turn.say(state)

    @property
    def said(self) -> str:
        """The state of uploads as told by the shipper that delivers; empty if it is not known."""
        return self._turn.said

    def ask_to_hurry(self) -> None:
        """Ask the shipper that delivers, if it is another one, to look for sealed segments. Never raises."""
        self._turn.ask_to_hurry()

    def is_asked_to_hurry(self) -> bool:
        """Tell whether another shipper has asked since the last look, and load what it has sealed. Never raises."""
        if not self._turn.is_asked_to_hurry():
            return False
        try:
            self.refresh()
        except OSError:
            return False
        self._turn.heed()
        return True

    def arrivals(self) -> list[Arrival]:
        """Return the sealed segments that have come to wait since the last call (at first, all of them), in order."""
        with self._lock:
            return self._sealed.arrivals()

    def take(self, file: str | None = None) -> Seal | None:
        """Take the oldest sealed segment, or that of a data file, which is then on its way; None if there is none.

        A segment whose Seal can't be read is quarantined and passed over.
        """
        with self._lock:
            self._on_way.clear()
            while (chosen := file or next(iter(self._sealed), "")) in self._sealed:
                try:
                    seal = segment.load(self._sealed.path, chosen)
                except (FileNotFoundError, ValueError):  # any other OSError may pass, and says nothing of the segment
                    self._set_aside(chosen, DropReason.CORRUPT)
                else:
                    self._on_way.add(chosen)
                    return seal
        return None

    def put_back(self) -> None:
        """Let the segments on their way wait again."""
        with self._lock:
            self._on_way.clear()

    def read(self, seal: Seal) -> bytes | None:
        """Return the body of an upload; None if it is not what was written, and then the segment is quarantined."""
        try:
            body = files.read_file(self._sealed.path / seal.head.file)
        except (FileNotFoundError, ValueError):
            body = b""
        if len(body) == seal.length_bytes and zlib.crc32(body) == seal.crc:
            return body
        self.quarantine(seal, DropReason.CORRUPT)
        return None

    # A segment that was wiped while on its way is settled already: the outcome of its upload changes nothing.

    def ack(self, seal: Seal, sent_bytes: int, refused: int = 0) -> None:
        """Record a delivery; keep a copy, within `sent_bytes` for all copies and the space that the disk can spare.

        `refused` of its events were not taken, as the receiver said, and count as lost.
        """
        with self._lock:
            if seal.head.file not in self._sealed:
                return
            self.log.append(Acked(seal.head.id, refused))
            self._sealed.move(seal.head.file, self._sent)
            self._limit_copies(sent_bytes)

    def quarantine(self, seal: Seal, reason: DropReason) -> None:
        """Set a segment aside for good."""
        with self._lock:
            if seal.head.file in self._sealed:
                self._set_aside(seal.head.file, reason)

    def requeue(self, ids: Container[str]) -> list[str]:
        """Bring segments back from quarantine to be delivered after all; return the ids of those that were there.

        Raises OSError if the disk refuses; the next shipper that delivers then finishes the work.
        """
        with self._lock:
            self._quarantined.load()
            aside = self.log.read().aside
            found = [file for file in self._quarantined if (id_ := id_of(file)) in ids and id_ in aside]
            if found:
                self.log.append(*(Requeued(id_of(file)) for file in found))
            for file in found:
                bring_back(file, self._quarantined, self._sealed)
        return [id_of(file) for file in found]

    def split(self, seal: Seal, parts: list[tuple[Seal, bytes]]) -> bool:
        """Put the parts of a segment in its place, all on their way; all are durable before it goes.

        Returns:
            False if the segment was wiped meanwhile, so that there is nothing to split.
        """
        with self._lock:
            if seal.head.file not in self._sealed:
                return False
            for part, body in parts:
                files.write_durably(self._sealed.path / part.head.file, body)
                segment.store(part, self._sealed.path)
            files.sync_directory(self._sealed.path)
            self.log.append(Split(seal.head.id, {part.head.id: part.tally.kept for part, _ in parts}))
            whole = self._parts.get(seal.head.file, seal.head.file)
            self._parts = {part: of for part, of in self._parts.items() if part in self._sealed}
            self._parts |= {part.head.file: whole for part, _ in parts}
            for part, _ in reversed(parts):
                self._sealed.add_part(part.head.file, seal.head.file)
                self._on_way.add(part.head.file)
            self._sealed.remove(seal.head.file)
        return True

    # Intake and delivery.

    def enforce(self, limit_bytes: int, limit_segments: int, limit_seconds: float, room_bytes: int = 0) -> int:
        """Drop the oldest segments beyond the limits, but never one on its way; keep the ledger's file short.

        Never raises: what a disk refuses is tried again at the next call.

        Args:
            limit_bytes: the size of all that waits: active and sealed segments and the ledger. It applies to `local/`
                and `quarantine/` separately.
            limit_segments: the number of segments in each.
            limit_seconds: the age of a segment.
            room_bytes: the size of what is to be written next, and must find room within the limit.

        Returns:
            The number of bytes that may be written before the limit is reached.
        """
        with self._lock:
            if not self._turn.is_ours:
                return limit_bytes  # the shipper that delivers sees to it
            try:
                if self.log.is_long:
                    self._compact()
                used_bytes = self.log.size_bytes + files.size_bytes(self.directory / "active")
                for folder in (self._sealed, self._local):
                    found = folder.beyond(
                        limit_bytes - used_bytes - room_bytes, limit_segments, limit_seconds, self._on_way
                    )
                    self._drop(folder, list(found))
                for file, _ in list(self._quarantined.beyond(limit_bytes, limit_segments, limit_seconds)):
                    self._quarantined.remove(file)
                self._limit_copies(self._sent.size_bytes)
                return limit_bytes - used_bytes - max(self._sealed.size_bytes, self._local.size_bytes)
            except OSError:
                return 0

    def sweep(self) -> None:
        """Forget the producers that are gone: their numbers, and then their signs of life. Never raises."""
        with self._lock, suppress(OSError):
            gone = life.gone_in(self.directory)
            if not gone or not self._turn.is_ours:
                return
            remembered = {*self._compact().positions, *self._positions_in_active()}
            life.sweep(self.directory, gone - remembered)

    def keep_local(self, lets_leave: Callable[[Head], bool] | None = None) -> None:
        """Move waiting segments to `local/`, because the user has decided that they stay here. Raises OSError.

        Args:
            lets_leave: tells which segments may leave nevertheless; without it none may, and no Seal is read.
        """
        with self._lock:
            for file in list(self._sealed):
                if lets_leave is None or not self._leaves(file, lets_leave):
                    self._on_way.discard(file)
                    self._sealed.move(file, self._local)

    def _leaves(self, file: str, lets_leave: Callable[[Head], bool]) -> bool:
        try:
            return lets_leave(segment.load(self._sealed.path, file).head)
        except (FileNotFoundError, ValueError):  # nobody can tell what is in it
            return False

    def withhold(self, seal: Seal) -> None:
        """Move a segment that was taken to `local/`, because it is older than the consent. Raises OSError."""
        with self._lock:
            self._on_way.clear()
            if seal.head.file in self._sealed:
                self._sealed.move(seal.head.file, self._local)

    def wipe(self, reason: DropReason) -> None:
        """Erase every segment in any state; those that were to be delivered count as dropped.

        Segments that can't be counted, on a disk that takes no more, are erased all the same.

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
        """Return the monotonic time when this process first saw a sealed segment."""
        with self._lock:
            return self._sealed.seen_at(seal.head.file)

    def holding(self, producer: str, *, or_unknown: bool) -> frozenset[str]:
        """Return the data files that await delivery with events of a producer, for use with `awaited`.

        Args:
            producer: the producer's id in hexadecimal.
            or_unknown: whether to include segments sealed by other shippers, perhaps earlier ones, which may hold some.
        """
        with self._lock:
            return self._sealed.holding(producer, or_unknown=or_unknown)

    def awaited(self, files: frozenset[str]) -> frozenset[str]:
        """Return `files` while any of their segments, or a part of one, awaits delivery; then an empty set."""
        with self._lock:
            if not self._turn.is_ours:
                return self._awaited_elsewhere(files)
            is_awaited = any(file in self._sealed for file in files) or any(
                part in self._sealed and whole in files for part, whole in self._parts.items()
            )
            return files if is_awaited else frozenset()

    def is_oldest(self, seal: Seal) -> bool:
        """Tell whether no sealed segment goes before this one."""
        with self._lock:
            return next(iter(self._sealed), None) == seal.head.file

    def awaits(self, file: str) -> bool:
        """Tell whether the segment of a data file awaits delivery."""
        with self._lock:
            return file in self._sealed

    @property
    def waiting(self) -> int:
        """The number of sealed segments that await delivery, including the one on its way."""
        return len(self._sealed)

    def _awaited_elsewhere(self, files: frozenset[str]) -> frozenset[str]:
        """Answer `awaited` where another shipper delivers, and may have split segments.

        The parts of a segment are known by its time, which is in their names.
        """
        if any((self._sealed.path / file).exists() for file in files):
            return files
        try:
            self._sealed.load()
        except OSError:
            return files
        begun = {segment.begun_ns(file) for file in files}
        parts = frozenset(file for file in self._sealed if segment.begun_ns(file) in begun)
        return files | parts if parts else parts

    def _folder_of(self, head: Head) -> Folder:
        return self._sealed if segment.folder_of(head) == "sealed" else self._local

    def _keeps(self, producer: str, position: Position) -> bool:
        """Tell whether a producer's position still matters: it may go on, or its tombstone may have to be counted."""
        return self._alive(producer, position) or (self.directory / TOMBSTONES / f"{producer}.json").exists()

    def _positions_in_active(self) -> Positions:
        return positions_in(self.directory / "active")

    def _compact(self) -> Ledger:
        """Forget settled segments, unless a crash or a power cut can bring one of them back as if it were new.

        Only the shipper that delivers may do so: another can't know which files a settled segment still has.
        """
        if marked := {id_of(path.name) for path in (self.directory / "active").glob(f"*{segment.MARKS}")}:
            ledger = self.log.read()
            if any(ledger.knows(id_) and id_ not in ledger.live for id_ in marked):
                return ledger  # its shipper is about to delete them, or recovery is
        for folder in ("active", "sealed", "local"):
            files.sync_directory(self.directory / folder)
        return self.log.compact(self._keeps, {id_of(file) for file in self._quarantined})

    def _recover(self) -> None:
        for seal in recover(self.directory):
            self.log.append(Sealed(seal.head.id, seal.tally, seal.positions))  # counts once, if it was there already
        files.sync_directory(self.directory / "active")  # else marks could come back after a power cut

    def _reconcile(self) -> None:
        reconcile(self.log, self._sealed, self._local, self._quarantined)

    def _set_aside(self, file: str, reason: DropReason) -> None:
        self.log.append(Quarantined(id_of(file), reason))
        self._sealed.move(file, self._quarantined)

    def _limit_copies(self, limit_bytes: int) -> None:
        """Delete the oldest copies beyond a limit, and those that leave the disk too little room. Raises OSError."""
        to_spare_bytes = files.free_bytes(self.directory) - ROOM_BYTES
        limit_bytes = min(limit_bytes, self._sent.size_bytes + to_spare_bytes)
        for file, _ in list(self._sent.beyond(limit_bytes, len(self._sent), float("inf"))):
            self._sent.remove(file)

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
        held.forget(self.directory)


def _with(ledger: Ledger, active: Positions) -> Ledger:
    catch_up(ledger.positions, active)
    return ledger
