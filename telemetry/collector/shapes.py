"""Takes lines apart that are like those before them, in half the time that it takes for any line.

An event's name tells which fields to expect, and in what order, so that no field's name is made a text again. Whether a
line is as expected, who asks finds out by writing it anew: what differs is not.
"""

from __future__ import annotations

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Integer = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]  # what databases hold
Value = str | Integer | float | bool | None
"""What a field may hold."""

_MOST_FIELDS = 400
_MOST_LESSONS = 8  # for a body whose lines are never like those before
_DECODERS = 64  # of so many versions of products, or so
_ALWAYS = ("time", "session")

_Shapes = tuple[tuple[str, tuple[str, ...]], ...]


class Shapes:
    """The events of one body as far as they are known: by their names, their fields in order."""

    def __init__(self) -> None:
        self._fields: dict[str, list[str]] = {}
        self._lessons = 0
        self._decoder: msgspec.json.Decoder[Any] | None = None

    def decode_lines(self, lines: bytes) -> list[Any] | None:
        """The events in `lines`, with attributes `time` and `session` that may be `UNSET`; None if one is unknown.

        A field that is unknown is left out, and one that is there twice counts once.
        """
        if self._decoder is None:
            return None
        try:
            return self._decoder.decode_lines(lines)
        except (ValueError, RecursionError):
            return None

    def learn(self, rows: Iterable[dict[str, Value]]) -> None:
        """Know events like these from now on, unless enough was learned, or there are too many fields."""
        self._decoder = None
        self._lessons += 1
        if self._lessons > _MOST_LESSONS:
            return
        for row in {tuple(row): row for row in rows}.values():
            if isinstance(name := row.get("event"), str):
                _merge(self._fields.setdefault(name, []), [field for field in row if field != "event"])
        if self._fields and sum(map(len, self._fields.values())) <= _MOST_FIELDS:
            self._decoder = _decoder_of(tuple((name, tuple(fields)) for name, fields in sorted(self._fields.items())))


def _merge(known: list[str], fields: list[str]) -> None:
    """Add what is new, each behind the field that it came behind."""
    place = 0
    for field in fields:
        if field not in known:
            known.insert(place, field)
        place = known.index(field) + 1


@functools.lru_cache(_DECODERS)
def _decoder_of(shapes: _Shapes) -> msgspec.json.Decoder[Any] | None:
    try:
        return msgspec.json.Decoder(functools.reduce(operator.or_, [_struct(*shape) for shape in shapes]))
    except ValueError:  # a name that msgspec does not allow for, as one with a quote in it
        return None


def _struct(event: str, fields: tuple[str, ...]) -> Any:
    names = {
        field if field in _ALWAYS else f"field{n}": field for n, field in enumerate(dict.fromkeys([*fields, *_ALWAYS]))
    }
    members = [(name, Value | msgspec.UnsetType, msgspec.UNSET) for name in names]
    return msgspec.defstruct("Event", members, tag_field="event", tag=event, rename=names, gc=False)
