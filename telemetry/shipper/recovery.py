"""What a shipper that was killed left in `active/` becomes sealed segments again: what the marks vouch for, no more.

For each pair of files: a Seal that was already written is carried out; otherwise the last mark that fits the data says
how much of it is whole. That much is written anew as a finished stream, under the same id, and what later marks had
promised is counted as `corrupt`. A pair whose owner lives is left alone.
"""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import zstandard

from telemetry.drops import DropReason
from telemetry.shipper import disk, segment
from telemetry.shipper.ledger import Positions
from telemetry.shipper.segment import MARKS, Head, Mark, Seal
from telemetry.shipper.tally import Tally

_CHUNK_BYTES = 1 << 20


def recover(spool: Path) -> Iterator[Seal]:
    """Finish every active segment that nobody owns; yields the Seal of each, also of those without events.

    Nothing found there is an error: what can't be read is quarantined.
    """
    for marks_path in sorted((spool / "active").glob(f"*{MARKS}")):
        lock = os.open(marks_path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            seal = _finish(marks_path, spool)
            if seal is None:
                _set_aside(marks_path, spool / "quarantine")
            else:
                yield seal
                marks_path.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _finish(marks_path: Path, spool: Path) -> Seal | None:
    found = segment.read_marks(marks_path)
    if found is None:
        return None
    head, marks = found
    sealed = spool / segment.folder_of(head)
    data_path = marks_path.with_name(head.file)
    try:
        seal = segment.load(sealed, head.file)
    except (OSError, ValueError):
        seal = _salvage(head, marks, data_path, sealed)
    else:
        if data_path.exists():
            data_path.replace(sealed / data_path.name)
    data_path.unlink(missing_ok=True)
    disk.sync_directory(sealed)
    return seal


def _salvage(head: Head, marks: list[Mark], data_path: Path, sealed: Path) -> Seal:
    data = data_path.read_bytes() if data_path.exists() else b""
    good = _last_good(marks, data)
    tally = _account(marks, good)
    body = b"" if not tally.kept else b"".join(_rewrite(head, data[: good.length_bytes]))
    seal = Seal(head, len(body), zlib.crc32(body), tally, _positions(marks), tally)
    if tally.kept:
        disk.write_whole(sealed / data_path.name, body)
        segment.store(seal, sealed)
    return seal


def _last_good(marks: list[Mark], data: bytes) -> Mark:
    """The last mark whose length is there with its CRC; one that says "nothing" if there is none."""
    good, crc, at = Mark(0, 0, Tally()), 0, 0
    for mark in marks:
        crc = zlib.crc32(data[at : mark.length_bytes], crc)
        at = mark.length_bytes
        if at > len(data) or crc != mark.crc:
            break
        good = mark
    return good


def _account(marks: list[Mark], good: Mark) -> Tally:
    """The tally of the last mark, less what it kept and the data has not."""
    last = (marks[-1] if marks else good).tally.copy()
    last.drop(DropReason.CORRUPT, last.kept - good.tally.kept)
    last.kept = good.tally.kept
    return last


def _positions(marks: list[Mark]) -> Positions:
    return {name: position for mark in marks for name, position in mark.positions.items()}


def _rewrite(head: Head, data: bytes) -> Iterator[bytes]:
    """The whole blocks in `data` as a finished stream."""
    stream = segment.open_stream(head.compressed)
    if not head.compressed:
        yield data
        return
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    for start in range(0, len(data), _CHUNK_BYTES):
        yield stream.write(decompressor.decompress(data[start : start + _CHUNK_BYTES]))
    yield stream.finish()


def _set_aside(marks_path: Path, quarantine: Path) -> None:
    for path in marks_path.parent.glob(f"{marks_path.stem}*"):
        path.replace(quarantine / path.name)
