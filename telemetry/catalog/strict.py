"""`strict=True`: in development, what the catalog does not declare, or a value that it would not let pass, raises.

It raises where it is emitted, and says nothing of the value but its type or its length.

It is about the program, not about consent: it raises with consent off as well.
"""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from telemetry.catalog.load import load
from telemetry.catalog.model import MAX_IDENTIFIER_LENGTH, MAX_STRING_LENGTH, OTHER, spellings
from telemetry.errors import InvalidValueError, UndeclaredError
from telemetry.redact import version
from telemetry.redact.message import matcher_of
from telemetry.scalar import as_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from telemetry.catalog.model import Field, Kind

    Record = Callable[[str, dict[str, Any]], None]
    Tick = Callable[[str, int, dict[str, Any]], None]

_SCALARS = (bool, int, float, str)
_MAX_INT = 2**63 - 1


def _is_int(value: object) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def _is_number(value: object) -> bool:
    return type(value) in {int, float}


_NUMBER = "a number", _is_number
_TEXT: tuple[str, Callable[[object], bool]] = "a text", lambda value: type(value) is str
_FORMS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "bool": ("true or false", lambda value: type(value) is bool),
    "int": ("a whole number", _is_int),
    "float": _NUMBER,
    "duration": _NUMBER,
    "identifier": ("a text or a whole number", lambda value: type(value) in {str, int}),
}

_CALLS = {"event": "call emit() or timer()", "counter": "call count()", "report": "the shipper fills it; don't emit it"}


def strict_record(catalog_path: Path, record: Record) -> Record:
    """Have `emit` and `timer` raise before they record. A timer's `duration_ms` is a field to declare like others.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "event")

    def strictly(name: str, fields: dict[str, Any]) -> None:
        """As `record`; raises UndeclaredError, InvalidValueError."""
        check(name, fields)
        record(name, fields)

    return strictly


def strict_tick(catalog_path: Path, tick: Tick) -> Tick:
    """The same for `count`. The field `count` is the counter's own: it can be neither declared nor given.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "counter")

    def strictly(name: str, number: int, fields: dict[str, Any]) -> None:
        """As `tick`; raises UndeclaredError, InvalidValueError."""
        check(name, fields)
        if type(number) is not int or number < 0:
            raise InvalidValueError(f"{catalog_path}: {name} must be counted by whole numbers of 0 or more")
        tick(name, number, fields)

    return strictly


def _checker(path: Path, kind: Kind) -> Callable[[str, dict[str, Any]], None]:
    events = load(path).events

    def check(name: str, fields: dict[str, Any]) -> None:
        event = events.get(name)
        if event is None:
            raise UndeclaredError(f"{path} declares no event {name!r}{_nearest(name, events)}; declare it there")
        if event.kind != kind:
            raise UndeclaredError(f"{path}: {name} is of kind {event.kind}: {_CALLS[event.kind]}")
        for field, value in fields.items():
            if field not in event.fields:
                hint = _nearest(field, event.fields)
                raise UndeclaredError(f"{path}: event {name} declares no field {field!r}{hint}; declare it there")
            if fault := fault_of(event.fields[field], value):
                raise InvalidValueError(f"{path}: event {name}, field {field}: {fault}")

    return check


def fault_of(field: Field, value: object) -> str:
    """Why the shipper would remove a value from this field; empty when it would not, as far as can be told here."""
    kind = type(value)
    if value is None or (field.type == "error" and issubclass(kind, BaseException)):
        return ""
    try:
        scalar = value if any(kind is scalar for scalar in _SCALARS) else as_scalar(value)
        if isinstance(scalar, str):
            scalar.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which no text can; decode it anew"
    except Exception:  # noqa: BLE001 it can't be had
        return f"a {type.__dict__['__name__'].__get__(kind)} is no scalar; emit a number, a text or a truth"
    if field.type == "enum" and field.numbered and type(scalar) is int:
        scalar = str(scalar)
    wanted, accepts = _FORMS.get(field.type, _TEXT)
    if not accepts(scalar):
        return f"is a {kind.__name__}, must be {wanted}"
    return _range_fault(field, scalar) if isinstance(scalar, int | float) else _text_fault(field, scalar)


def _is_listed(field: Field, text: str) -> bool:
    fold = str.casefold if field.fold_case else str
    known = spellings(field.values, field.prefix, numbered=field.numbered)
    return text == OTHER or fold(text) in {fold(spelling) for spelling, _ in known}


def _range_fault(field: Field, number: float) -> str:
    if not math.isfinite(number):
        return "is no finite number"
    if field.type == "duration" and number < 0:
        return "is less than 0"
    if field.min is not None and number < field.min:
        return f"is less than {field.min}"
    if field.max is not None and number > field.max:
        return f"is more than {field.max}"
    return "is over 63 bits" if abs(number) > _MAX_INT and field.type != "float" else ""


def _text_fault(field: Field, text: Any) -> str:
    length, longest = len(text), MAX_IDENTIFIER_LENGTH if field.type == "identifier" else MAX_STRING_LENGTH
    if field.type == "text" and field.overflow == "drop":
        longest = field.max_length or longest
    if length > longest:
        return f"is a text of {length} characters, of at most {longest}; shorten it"
    if field.type == "enum" and not _is_listed(field, text):
        return "is not among the `values`; list it, or emit one of them"
    if field.type == "message" and matcher_of(field.templates).match(text) is None:
        return "fits none of the `templates`; add one (`telemetry catalog templates` collects those of a program)"
    if field.type == "version" and version.clean(text) is None:
        return "is no version, such as 1.4 or 2.0-rc.1"
    return ""


def _nearest(name: str, declared: Iterable[str]) -> str:
    return "".join(f"; did you mean {close}?" for close in get_close_matches(str(name), declared, 1))
