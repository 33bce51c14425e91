"""Encoding of a chunk of events as msgpack, the format of `events` in telemetry/wire.py.

It is done by msgspec, in a third of the time that msgpack takes. But msgspec takes objects apart: a dataclass, an
object of attrs, or an exception that is one of them is written as a map of its fields; and it asks a time zone for its
offset. Such values are therefore handled before.

A value that is none of msgpack's scalars is taken as the scalar that its type makes it (telemetry/scalar.py); any other
is replaced by `wire.UNENCODABLE`, and the event goes on.
"""

from __future__ import annotations

from gc import is_tracked
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, cast

import msgspec

from telemetry import wire
from telemetry.scalar import PLAIN, as_scalar, runs_code, zones_are_known

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

RawEvent = tuple[str, int, dict[str, Any]]

_fields: Callable[[RawEvent], dict[str, Any]] = itemgetter(2)

_SCALARS = frozenset((*PLAIN, bool, type(None)))

_CONTAINERS = (tuple, dict, frozenset)
"""The containers that the collector of cycles does not track either, unless it tracks something in them."""

_MARKER = msgspec.msgpack.Ext(wire.UNENCODABLE, b"")
_UNNAMED = "[field]"
"""A stand-in for a field whose name can't be encoded: no catalog declares it."""


class Encoder:
    """An encoder of chunks to msgpack arrays, `[[name, unix_ns, {field: scalar}], ...]`.

    Args:
        reduce: returns the form in which an exception leaves.
    """

    def __init__(self, reduce: Callable[[BaseException], str]) -> None:
        self._reduce = reduce
        self._pack = msgspec.msgpack.Encoder(enc_hook=as_scalar, decimal_format="number").encode

    def encode(self, chunk: list[RawEvent]) -> bytes:
        """Encode a chunk; raise whatever msgspec does if an event has to be mended, or can't be sent at all."""
        # The collector of cycles tracks objects with fields, and no dict of plain scalars: so this look costs 30 ns an
        # event, and not the 180 of one at the type of each value. From Python 3.14 on it tracks all dicts, and each
        # event's values are asked for. It does not track dates and msgspec's own types: they go on, and the shipper
        # reads the dates, and removes the rest if the catalog declares the field otherwise. But a date may hold a zone
        # whose code msgspec would run: where there is a class of such zones, the types are looked at after all.
        if any(map(is_tracked, map(_fields, chunk))) or not _are_harmless(
            chain.from_iterable(map(dict.values, map(_fields, chunk)))
        ):
            chunk = [(name, time_ns, self._reduced(fields)) for name, time_ns, fields in chunk]
        return self._pack(chunk)

    def mend(self, event: RawEvent) -> bytes:
        """Encode a chunk of one event that can't be encoded as it is, with the marker in place of each bad value.

        Raises:
            Exception: it can't be mended, for example because its name is no text.
        """
        name, time_ns, fields = event
        if not issubclass(type(name), str):
            raise TypeError
        fields = {str.__str__(name): value for name, value in fields.items()}
        return self._pack([(name, time_ns, dict(map(self._mended, self._reduced(fields).items())))])

    def _reduced(self, fields: dict[str, Any]) -> dict[str, Any]:
        values = fields.values()
        if not any(map(is_tracked, values)) and _are_harmless(values):
            return fields
        # A name of a subclass may have a hash of its own.
        return {str.__str__(name): self._reduced_value(value) for name, value in fields.items()}

    def _reduced_value(self, value: object) -> object:
        # Not isinstance, which runs a value's own __class__.
        kind = type(value)
        if issubclass(kind, BaseException):
            try:
                return self._reduce(cast("BaseException", value))
            except Exception:  # noqa: BLE001 its class is strange
                return _MARKER
        if is_tracked(value) or issubclass(kind, _CONTAINERS) or runs_code(value):
            return _scalar_or_marker(value)
        return value

    def _mended(self, pair: tuple[str, object]) -> tuple[str, object]:
        name, value = pair
        return (name if self._fits(name) else _UNNAMED), (value if self._fits(value) else _MARKER)

    def _fits(self, value: object) -> bool:
        try:
            self._pack(value)
        except Exception:  # noqa: BLE001 an integer over 64 bits, half a character, a container without end
            return False
        return True


def _are_harmless(values: Iterable[object]) -> bool:
    """Tell whether msgspec runs no code for these values, which the collector does not track.

    Their classes are in C.
    """
    return zones_are_known() or _SCALARS.issuperset(map(type, values))


def _scalar_or_marker(value: object) -> object:
    """Return the scalar that a field's value is, or the marker; never raises."""
    try:
        return as_scalar(value)
    except Exception:  # noqa: BLE001 what a value's own methods may raise is not the host's
        return _MARKER
