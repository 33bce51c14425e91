"""The names that catalogs declare, against which the receiving side checks the events and fields that arrive."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from telemetry.catalog.columns import declared_types
from telemetry.collector.catalogs import FOLDER, kept_catalogs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from telemetry.catalog.model import Catalog

Declared = dict[str, frozenset[str]]
"""The names of fields by event, those among them that every event has."""

Treatment = Literal["keep", "aside", "refuse"]
"""A way to treat a batch with an event or a field that no catalog names."""

_STAMPED = ("event", "time", "session")

MAX_NAMES = 100
"""The most names that are told of one batch; `ELLIPSIS` stands for the rest."""

ELLIPSIS = "..."


def declared_names(catalogs: Iterable[Catalog]) -> dict[str, Declared]:
    """Return, by product, what any of its catalogs declares."""
    by_product: dict[str, list[Catalog]] = {}
    for catalog in catalogs:
        by_product.setdefault(catalog.product, []).append(catalog)
    return {
        product: {event: frozenset({*_STAMPED, *fields}) for event, fields in declared_types(versions).items()}
        for product, versions in by_product.items()
    }


def names_in_store(directory: Path, product: str) -> Declared | None:
    """Return what the catalogs that a store keeps declare for a product; None if it keeps no catalog at all.

    They are read when they have changed.
    """
    try:
        changed = (directory / FOLDER).stat().st_mtime_ns
    except OSError:
        return None
    known = _read(directory, changed)
    return known.get(product, {}) if known else None


@lru_cache(maxsize=1)
def _read(directory: Path, _changed: int) -> dict[str, Declared]:
    return declared_names(catalog for _, catalog in kept_catalogs(directory) if catalog is not None)


def unknown_names(event: object, fields: Iterable[str], declared: Mapping[str, frozenset[str]]) -> list[str]:
    """Return what no catalog names of an event: the event, or fields as `event.field`."""
    if not isinstance(event, str):
        return ["an event without a name"]
    known = declared.get(event)
    return [event] if known is None else [f"{event}.{field}" for field in fields if field not in known]


def is_declared(name: str, declared: Mapping[str, frozenset[str]]) -> bool:
    """Tell whether catalogs name what `unknown_names` has returned before they did."""
    event, _, field = name.rpartition(".")
    return name in declared or field in declared.get(event, ())
