"""Journals: files of lines that can be trusted after a crash.

A line is `CRC-32 of the rest, 8 hexadecimal digits; a blank; JSON; newline`. The ledger and the marks beside a segment
are such files. An empty line has no meaning. Marks are read up to the first line that is torn or altered, as nothing
vouches for those after it. In a ledger only that line is lost, as each line stands for itself.
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_HEAD = 9  # bytes before the JSON
_LINE = re.compile(rb"[^\n]+")


def write_line(record: msgspec.Struct) -> bytes:
    """Encode a record as a line of a journal."""
    text = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def read_lines(data: bytes, kind: type[T]) -> Iterator[tuple[T, int]]:
    """Yield the records of a journal in order, each with the offset of its end; stop before the first bad line.

    Args:
        data: the journal's bytes.
        kind: the type of a record, a msgspec Struct or a tagged union of them.
    """
    for record, end in _lines(data, kind):
        if record is None:
            return
        yield record, end


def read_good_lines(data: bytes, kind: type[T]) -> Iterator[T]:
    """Yield the records of a journal in order, skipping bad lines: for records that each stand for themselves."""
    return (record for record, _ in _lines(data, kind) if record is not None)


def _lines(data: bytes, kind: type[T]) -> Iterator[tuple[T | None, int]]:
    decoder = msgspec.json.Decoder(kind)
    whole = data.rfind(b"\n") + 1
    for line in _LINE.finditer(data, 0, whole):
        yield _read_line(line[0], decoder), line.end() + 1


def _read_line(line: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    text = memoryview(line)[_HEAD:]  # no copy: the total of a full spool is megabytes
    if line[:_HEAD] != b"%08x " % zlib.crc32(text):
        return None
    try:
        return decoder.decode(text)
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
