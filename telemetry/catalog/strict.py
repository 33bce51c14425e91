"""Checks under `strict=True`, for development, of events that the catalog does not declare or would not let pass.

They raise where an event is emitted, and tell nothing of a value but its type or its length. They concern the program,
not consent: they raise with consent off as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.field_types import EXCEPTION, Treatment, type_of
from telemetry.catalog.load import load
from telemetry.catalog.matcher import matcher_of
from telemetry.errors import InvalidValueError, UndeclaredError
from telemetry.exponential import MOST
from telemetry.scalar import as_scalar
from telemetry.terminal import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.catalog.model import Field, Kind

    Record = Callable[[str, dict[str, Any]], None]
    Tick = Callable[[str, int, dict[str, Any]], None]
    Note = Callable[[str, float, dict[str, Any]], None]

_SCALARS = (bool, int, float, str)
_CALLS = {
    "event": "call emit() or timer()",
    "counter": "call count()",
    "distribution": "call observe() or timer()",
    "report": "the shipper fills it in; don't emit it",
}


def strict_record(catalog_path: Path, record: Record) -> Record:
    """Have `emit` and `timer` raise before they record. A timer's `duration_ms` is a field to declare like others.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "event")

    def strictly(name: str, fields: dict[str, Any]) -> None:
        """Check, then record; raises UndeclaredError, InvalidValueError."""
        check(name, fields)
        record(name, fields)

    return strictly


def strict_tick(catalog_path: Path, tick: Tick) -> Tick:
    """Have `count` raise before it counts. The field `count` is the counter's own: neither declared nor given.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "counter")

    def strictly(name: str, number: int, fields: dict[str, Any]) -> None:
        """Check, then count; raises UndeclaredError, InvalidValueError."""
        check(name, fields)
        if type(number) is not int or number < 0:
            raise InvalidValueError(f"{catalog_path}: {name} must be counted by whole numbers of 0 or more")
        tick(name, number, fields)

    return strictly


def strict_note(catalog_path: Path, note: Note) -> Note:
    """Have `observe`, and `timer` for a distribution, raise before they observe.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "distribution")

    def strictly(name: str, number: float, fields: dict[str, Any]) -> None:
        """Check, then observe; raises UndeclaredError, InvalidValueError."""
        check(name, fields)
        if type(number) not in {int, float} or not 0 <= number <= MOST:
            raise InvalidValueError(f"{catalog_path}: {name} must be observed by numbers from 0 to {MOST:g}")
        note(name, number, fields)

    return strictly


def _checker(path: Path, kind: Kind) -> Callable[[str, dict[str, Any]], None]:
    events = load(path).events

    def check(name: str, fields: dict[str, Any]) -> None:
        event = events.get(name)
        if event is None:
            raise UndeclaredError(f"{path} declares no event {name!r}{did_you_mean(name, events)}; declare it there")
        if event.kind != kind:
            raise UndeclaredError(f"{path}: {name} is of kind {event.kind}: {_CALLS[event.kind]}")
        for field, value in fields.items():
            if field not in event.fields:
                hint = did_you_mean(field, event.fields)
                raise UndeclaredError(f"{path}: event {name} declares no field {field!r}{hint}; declare it there")
            if fault := fault_of(event.fields[field], value):
                raise InvalidValueError(f"{path}: event {name}, field {field}: {fault}")

    return check


def fault_of(field: Field, value: object) -> str:
    """Return why the shipper would remove a value from this field; empty if it would not, as far as is known here."""
    kind, row = type(value), type_of(field)
    if value is None or (row.python == EXCEPTION and issubclass(kind, BaseException)):
        return ""
    try:
        scalar = value if any(kind is scalar for scalar in _SCALARS) else as_scalar(value)
        if isinstance(scalar, str):
            scalar.encode()
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which no text can; decode it anew"
    except Exception:  # noqa: BLE001 it can't be had
        return f"a {type.__dict__['__name__'].__get__(kind)} is no scalar; emit a number, a string or a bool"
    if not row.is_taken(field, scalar):
        return f"is a {kind.__name__}, must be {row.takes}"
    return row.fault(field, scalar) or _template_fault(field, scalar)


def _template_fault(field: Field, text: Any) -> str:
    """Return why a text fits no template; not in the type's row, because templates are read by means of those rows."""
    if type_of(field).treatment is Treatment.MATCHED and matcher_of(field.templates).match(text) is None:
        return "fits none of the `templates`; add one (`telemetry catalog templates` collects those of a program)"
    return ""
