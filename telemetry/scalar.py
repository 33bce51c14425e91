"""Conversion of values of foreign types to the scalars they are: a number, a text, a truth; or none that can be sent.

A value is judged by its type alone, as the interpreter knows it: `isinstance` would ask the value itself. No method of
the value, or of anything it holds, is run; only those of classes of the standard library and numpy, called on the
classes, and only where they run nothing else. So a moment is accepted with a zone of a known library or none, paths and
numpy's scalars only as the exact classes; lazy texts and proxies are no scalars: finding out what they stand for would
run somebody's code, which may hang, or raise what is meant for another thread.
"""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import sys
import uuid
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable

PLAIN: dict[type, Callable[[Any], object]] = {str: str.__str__, int: int.__int__, float: float.__float__}

_PATHS = (pathlib.PurePosixPath, pathlib.PureWindowsPath, pathlib.PosixPath, pathlib.WindowsPath)

_name_of: Callable[[type], str] = type.__dict__["__name__"].__get__

_NO_TIME = "NaTType"
"""The name of the class of pandas' missing time, which claims to be a datetime."""

_ZONES = frozenset({"datetime", "zoneinfo", "pytz", "dateutil"})
"""The modules of time zones that run nothing else when they are asked for an offset."""

_module_of: Callable[[type], object] = type.__dict__["__module__"].__get__
_subclasses: Callable[[type], list[type]] = type.__dict__["__subclasses__"]
_attributes: Callable[[enum.Enum], dict[str, object]] = enum.Enum.__dict__["__dict__"].__get__
# freezegun may have put a subclass in the place of either.
_zone_of_moment, _zone_of_time = (
    next(vars(base)["tzinfo"].__get__ for base in kind.__mro__ if "tzinfo" in vars(base))
    for kind in (dt.datetime, dt.time)
)
_number_of: Callable[[object], object] = uuid.UUID.__dict__["int"].__get__


def as_scalar(value: object) -> object:
    """Return the scalar that a value is.

    Raises:
        TypeError: it is none. Any other exception: it can't be had, such as a NaN that signals.
    """
    kind = type(value)
    if issubclass(kind, enum.Enum):
        return _by_value(cast("enum.Enum", value))
    for scalar, plain in PLAIN.items():
        if issubclass(kind, scalar):
            return plain(value)
    for known, read in _READERS:
        if issubclass(kind, known):
            return read(value)
    if any(kind is path for path in _PATHS):
        return _of_path(value)
    return _of_numpy(value)


def zones_are_known() -> bool:
    """Tell whether every class of time zones in this process is known, so that no moment can run the host's code."""
    return all(_is_known(kind) for kind in _subclasses(dt.tzinfo))


def runs_code(value: object) -> bool:
    """Tell whether msgspec, which writes a moment or a time by itself, would ask a foreign time zone for it."""
    kind = type(value)
    if kind is dt.datetime:
        zone = _zone_of_moment(value)
    elif kind is dt.time:
        zone = _zone_of_time(value)
    else:
        return False
    return not _may_be_asked(zone)


def _may_be_asked(zone: object) -> bool:
    return zone is None or _is_of_library(type(zone))


def _is_known(kind: type) -> bool:
    """Tell whether a class of time zones and all classes derived from it belong to known libraries."""
    return _is_of_library(kind) and all(map(_is_known, _subclasses(kind)))


def _is_of_library(kind: type) -> bool:
    module = _module_of(kind)
    return type(module) is str and module.partition(".")[0] in _ZONES


def _of_moment(value: Any) -> str:
    if _name_of(type(value)) == _NO_TIME or not _may_be_asked(_zone_of_moment(value)):
        raise TypeError
    # Of the class itself: a zone asks a moment of another one for its parts.
    moment = dt.datetime.combine(dt.datetime.date(value), dt.datetime.timetz(value))
    return (moment if moment.tzinfo is None else moment.astimezone(dt.UTC)).isoformat()


def _of_time(value: Any) -> str:
    if not _may_be_asked(_zone_of_time(value)):
        raise TypeError
    return dt.time.isoformat(value)


def _of_uuid(value: Any) -> str:
    number = _number_of(value)
    if type(number) is not int:
        raise TypeError
    return str(uuid.UUID(int=number))


_READERS: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (dt.datetime, _of_moment),  # before date, which it is too
    (dt.date, dt.date.isoformat),
    (dt.time, _of_time),
    (uuid.UUID, _of_uuid),
    (decimal.Decimal, decimal.Decimal.__float__),
)


def _of_path(value: Any) -> str:
    # Python 3.12 keeps the parts that it was made of, which may be texts with methods of their own.
    if any(type(part) is not str for part in getattr(value, "_raw_paths", ())):
        raise TypeError
    return pathlib.PurePath.__str__(value)


def _by_value(member: enum.Enum) -> object:
    value = dict.get(_attributes(member), "_value_")
    if any(type(value) is known for known in (*PLAIN, bool)):
        return value
    raise TypeError


def _of_numpy(value: object) -> object:
    numpy: Any = sys.modules.get("numpy")
    kind = type(value)
    if numpy is None or not any(kind is known for known in numpy.sctypeDict.values()):
        raise TypeError
    if issubclass(kind, numpy.datetime64):
        if numpy.isnat(value):
            raise TypeError
        return str(numpy.datetime_as_string(value))
    if issubclass(kind, numpy.floating):
        return float(numpy.float64(value))
    item = numpy.generic.item(value)
    if type(item) in (bool, int, str):
        return item
    raise TypeError
