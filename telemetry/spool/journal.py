"""Lines that can be trusted after a crash: `crc32 of the rest, 8 hexadecimal digits; a blank; JSON; newline`.

The ledger and the marks beside a segment are such files. A reader takes lines up to the first that is torn or
altered; what was written after it is not vouched for.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")

_HEAD = 9  # bytes before the JSON


def write_line(record: msgspec.Struct) -> bytes:
    """A record as a line of a journal."""
    text = msgspec.json.encode(record)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def read_lines(data: bytes, kind: type[T]) -> Iterator[tuple[T, int]]:
    """The records of a journal in order, each with the offset of its end; stops before the first bad line.

    Args:
        data: the journal's bytes.
        kind: the type of a record, a msgspec Struct or a tagged union of them.
    """
    decoder = msgspec.json.Decoder(kind)
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        line = data[start:end]
        if line[:_HEAD] != b"%08x " % zlib.crc32(line[_HEAD:]):
            return
        try:
            record = decoder.decode(line[_HEAD:])
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return
        start = end + 1
        yield record, start


def whole_bytes(data: bytes, kind: type[T]) -> int:
    """How much of a journal its readers take: what is appended behind that is lost."""
    return max((end for _, end in read_lines(data, kind)), default=0)
