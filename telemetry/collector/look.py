"""Bounded look at bodies whose catalog is unknown, to find the fields of their events and the types of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry.catalog.field_types import TEXT
from telemetry.collector.bodies import Bodies, Body, UnreadableError, split_lines
from telemetry.collector.shapes import Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from telemetry.catalog.columns import Fields

_BODIES = 500
_BYTES = 16 << 20  # decompressed, of all of them: 0.2 s or so
_LEAST_BYTES = 64 << 10  # of each, even if others took all of it
_FIELDS = 2000
_NAME_CHARACTERS = 256
_MAX_INT = 2**63 - 1

_SHAPES = 10_000

_Shape = tuple[object, ...]
"""An event's name, the names of its fields, and their types."""

_decode_usual = msgspec.json.Decoder(dict[str, Value]).decode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Seen(NamedTuple):
    """Result of a look at bodies.

    Attributes:
        types: the SQL types of the fields, by event; `NUMBER` stands for a number that is not whole.
        complete: whether the look has met every field.
    """

    types: Fields
    complete: bool


def look(bodies: Bodies, unknown: Sequence[Body]) -> Seen:
    """Read the beginnings of some of the bodies in `unknown`, spread evenly."""
    types: Fields = {}
    step = max(1, -(-len(unknown) // _BODIES))
    # The newest body is always chosen. The share that small bodies leave goes to the large ones.
    chosen = sorted(unknown[::-1][::step], key=lambda body: body.size_bytes)
    complete = step == 1
    left_bytes = _BYTES
    fields = 0
    shapes: set[_Shape] = set()
    for later, body in zip(range(len(chosen), 0, -1), chosen, strict=True):
        try:
            for line in _lines(bodies.pieces(body), max(_LEAST_BYTES, left_bytes // later)):
                if line is None:
                    complete = False
                else:
                    left_bytes -= len(line)
                    fields += _add_new(types, line, _FIELDS - fields, shapes)
        except (UnreadableError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue  # the query that reads all of it reports this
    return Seen(types, complete and fields < _FIELDS)


def _lines(pieces: Iterator[bytes], share_bytes: int) -> Iterator[bytes | None]:
    """Yield the lines of some pieces, up to a share of bytes; then None if there are more."""
    rest = b""
    for piece in pieces:
        *lines, rest = split_lines(rest + piece)
        yield from lines
        share_bytes -= len(piece)
        if share_bytes < 0:
            yield None
            return
    yield rest


def _add_new(types: Fields, line: bytes, most: int, shapes: set[_Shape]) -> int:
    """Add the fields of a line, unless its shape is known; return the number of new fields."""
    if not line.strip():
        return 0
    try:
        event = _decode_usual(line)
    except msgspec.ValidationError:
        return _add(types, _decode(line), most)
    shape = (event.get("event"), *event, *map(type, event.values()))
    if shape in shapes:
        return 0
    if len(shapes) < _SHAPES:
        shapes.add(shape)
    return _add(types, event, most)


def _add(types: Fields, event: dict[str, Any], most: int) -> int:
    name = event.get("event")
    fields = types.setdefault(name if isinstance(name, str) else "", {})
    added = 0
    for field, value in event.items():
        if field not in fields:
            if added >= most or not 0 < len(field) <= _NAME_CHARACTERS or "\0" in field:
                continue  # no name that SQL could have
            fields[field] = set()
            added += 1
        if value is not None:
            fields[field].add(_type(value))
    return added


def _type(value: object) -> str:
    match value:
        case bool():
            return "BOOLEAN"
        case int():
            return "BIGINT" if abs(value) <= _MAX_INT else TEXT
        case float():
            return "NUMBER"
        case _:
            return TEXT
