"""Protobuf's wire format, as far as bodies need it: records one after the other, and the fields of a message."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from telemetry.spool.stream import read_varint, varint

if TYPE_CHECKING:
    from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
"""The types of fields on the wire."""

_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_INT64 = (1 << 63) - 1


def message(number: int, content: bytes) -> bytes:
    """Return a field of bytes, text or a message."""
    return varint(number << 3 | BYTES) + varint(len(content)) + content


def split_records(body: bytes, number: int) -> list[bytes]:
    """Split a message that holds nothing but one repeated field into that field's occurrences, keys included.

    Raises:
        ValueError: the body is no sequence of whole records.
    """
    tag = number << 3 | BYTES
    records = []
    start = 0
    while start < len(body):
        if body[start] != tag:
            raise ValueError(f"no event begins at byte {start} of a body of {len(body)}: quarantine it")
        length, payload = read_varint(body, start + 1)
        end = payload + length
        if end > len(body):
            raise ValueError(f"the event at byte {start} ends beyond the body's {len(body)} bytes: quarantine it")
        records.append(body[start:end])
        start = end
    return records


def read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a message: varints as they are, all else as bytes.

    Raises:
        ValueError: it is no message.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        kind = key & 7
        if kind == VARINT:
            value, at = read_varint(data, at)
            yield key >> 3, value
            continue
        if kind == BYTES:
            size, at = read_varint(data, at)
        elif (size := _FIXED.get(kind, 0)) == 0:
            raise ValueError(f"no field of type {kind} is known")
        if at + size > len(data):
            raise ValueError(f"a field ends beyond the {len(data)} bytes of its message")
        yield key >> 3, data[at : at + size]
        at += size


def as_int64(number: int) -> int:
    """Return a varint as a number that may be negative."""
    return number - (1 << 64) if number > _MAX_INT64 else number


def as_double(data: bytes) -> float:
    """Return a field of eight bytes as a float."""
    value: float = struct.unpack("<d", data)[0]
    return value
