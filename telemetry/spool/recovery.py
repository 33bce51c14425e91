"""Recovery of segments that a killed shipper left in `active/`: they are sealed as far as their marks vouch for them.

For each pair of files: a Seal that was already written is carried out; otherwise the last mark that fits the data tells
how much of it is whole. That much is written anew as a finished stream, under the same id, and the events that later
marks had promised count as `corrupt`. A pair whose owner lives is left alone.
"""

from __future__ import annotations

import glob
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry import files
from telemetry.drops import DropReason
from telemetry.spool import segment
from telemetry.spool.positions import catch_up
from telemetry.spool.segment import MARKS, Head, Mark, Seal
from telemetry.spool.stream import DamagedError
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.spool.positions import Positions

_NOTHING = Mark(0, 0, Tally())


def recover(spool: Path) -> Iterator[Seal]:
    """Finish every active segment that nobody owns; yield the Seal of each, including those without events.

    Nothing found there is an error: unreadable files are quarantined. The caller must have recorded a Seal before it
    asks for the next, because the active files are deleted then.

    Raises:
        OSError: the disk refuses; segments that are not finished yet stay as they were.
    """
    for marks_path in _unowned(spool / "active"):
        seal = _finish(marks_path, spool)
        if seal is None:
            _set_aside(marks_path, spool / "quarantine")
        else:
            yield seal
            for path in (marks_path.with_name(seal.head.file), marks_path):
                path.unlink(missing_ok=True)


def positions_in(active: Path) -> Positions:
    """Return the producers' positions in the active segments of all shippers. Raises OSError."""
    known: Positions = {}
    for marks_path in sorted(active.glob(f"*{MARKS}")):
        with suppress(FileNotFoundError):  # sealed meanwhile
            _, marks = segment.read_marks(marks_path) or (None, [])
            catch_up(known, _positions(marks))
    return known


def erase(spool: Path) -> None:
    """Delete every active segment that nobody owns, uncounted. Raises OSError."""
    for marks_path in _unowned(spool / "active"):
        for path in _pair(marks_path):
            path.unlink(missing_ok=True)


def _unowned(active: Path) -> Iterator[Path]:
    """Yield the marks files that no living shipper holds; each is locked until the next is asked for."""
    for marks_path in sorted(active.glob(f"*{MARKS}")):
        if not marks_path.is_file() or marks_path.is_symlink():
            continue  # not ours: a pipe of that name would keep us waiting for ever
        try:
            lock = os.open(marks_path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its owner has sealed it meanwhile
        except PermissionError:
            continue  # no shipper makes such
        try:
            files.lock(lock)
            yield marks_path
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def _finish(marks_path: Path, spool: Path) -> Seal | None:
    found = segment.read_marks(marks_path)
    if found is None or not _belongs(found[0], marks_path):
        return None
    head, marks = found
    sealed = spool / segment.folder_of(head)
    data_path = marks_path.with_name(head.file)
    try:
        seal = segment.load(sealed, head.file)
    except (FileNotFoundError, ValueError):
        seal = _salvage(head, marks, data_path, sealed)
    else:
        if data_path.exists() and not (sealed / data_path.name).exists():  # there, when a recovery was cut short
            if head.wraps:  # an active file is not the body yet
                seal = _salvage(head, marks, data_path, sealed)
            else:
                data_path.replace(sealed / data_path.name)
    files.sync_directory(sealed)  # before the old data goes: after a power cut, one of them is there
    return seal


def _belongs(head: Head, marks_path: Path) -> bool:
    return segment.is_data(head.file) and segment.marks_name(head.file) == marks_path.name


def _salvage(head: Head, marks: list[Mark], data_path: Path, sealed: Path) -> Seal:
    good, body = _read_good(head, marks, data_path, sealed)
    tally = _account(marks, good)
    told = Tally(emitted=tally.kept, kept=tally.kept)  # what else is in the account may be of events that stay here
    seal = segment.seal_of(head, body, tally, _positions(marks), told, good.length_bytes)
    if tally.kept:
        files.write_durably(sealed / data_path.name, body)
        segment.store(seal, sealed)
    return seal


def _read_good(head: Head, marks: list[Mark], data_path: Path, sealed: Path) -> tuple[Mark, bytes]:
    """Return the last mark that fits the data, and the body that it vouches for."""
    data = _read(data_path) or _read(sealed / data_path.name)  # there, when only its Seal was lost
    good = segment.last_good(marks, data) or _NOTHING
    if not good.tally.kept:
        return good, b""
    try:
        return good, segment.finished(head, data[: good.length_bytes])
    except DamagedError:  # altered so that the CRC still fits: one in 2**32
        return _NOTHING, b""


def _read(path: Path) -> bytes:
    """Return a file's bytes, or none if there is no readable file. Raises OSError if the fault may pass."""
    try:
        return files.read_file(path)
    except (FileNotFoundError, ValueError):
        return b""


def _account(marks: list[Mark], good: Mark) -> Tally:
    """Return the tally of the last mark, with the events that the data lacks counted as dropped."""
    last = (marks[-1] if marks else good).tally.copy()
    last.drop(DropReason.CORRUPT, last.kept - good.tally.kept)
    last.kept = good.tally.kept
    return last


def _positions(marks: list[Mark]) -> Positions:
    return {name: position for mark in marks for name, position in mark.positions.items()}


def _set_aside(marks_path: Path, quarantine: Path) -> None:
    """Quarantine a pair that can't be read; delete one that is empty because its head was never written."""
    pair = _pair(marks_path)
    is_empty = not any(path.stat().st_size for path in pair)
    for path in pair:
        if is_empty:
            path.unlink()
        else:
            path.replace(quarantine / path.name)


def _pair(marks_path: Path) -> list[Path]:
    """Return the marks and the data beside them, the marks last, because recovery finds the data by them."""
    beside = [path for path in marks_path.parent.glob(f"{glob.escape(marks_path.stem)}.*") if path.is_file()]
    return [*(path for path in beside if path != marks_path), marks_path]
