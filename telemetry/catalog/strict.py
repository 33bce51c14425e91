"""`strict=True`: in development, an event or a field that the catalog does not declare raises where it is emitted.

It is about the program, not about consent: it raises with consent off as well.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from telemetry.catalog.load import load
from telemetry.errors import UndeclaredError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from telemetry.catalog.model import Kind

    Record = Callable[[str, dict[str, Any]], None]
    Tick = Callable[[str, int, dict[str, Any]], None]

_CALLS = {"event": "call emit() or timer()", "counter": "call count()", "report": "the shipper fills it; don't emit it"}


def strict_record(catalog_path: Path, record: Record) -> Record:
    """Have `emit` and `timer` raise before they record. A timer's `duration_ms` is a field to declare like others.

    Raises:
        CatalogError: the catalog can't be used.
    """
    check = _checker(catalog_path, "event")

    def strictly(name: str, fields: dict[str, Any]) -> None:
        """As `record`; raises UndeclaredError."""
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
        """As `tick`; raises UndeclaredError."""
        check(name, fields)
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
        for field in fields:
            if field not in event.fields:
                hint = _nearest(field, event.fields)
                raise UndeclaredError(f"{path}: event {name} declares no field {field!r}{hint}; declare it there")

    return check


def _nearest(name: str, declared: Iterable[str]) -> str:
    return "".join(f"; did you mean {close}?" for close in get_close_matches(str(name), declared, 1))
