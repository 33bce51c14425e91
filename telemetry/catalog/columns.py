"""The columns that fields of events become where they are queried, and their types in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.catalog.compile import declared_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry.catalog.model import Catalog, Field

TEXT = "VARCHAR"
_TYPES = {"bool": "BOOLEAN", "int": "BIGINT", "float": "DOUBLE", "duration": "DOUBLE"}  # all others are text

Fields = dict[str, dict[str, set[str]]]
"""The SQL types that fields are known to have, by event and name. More than one are text, where they meet."""


def column_type(field: Field) -> str:
    """The SQL type of a field's values."""
    return _TYPES.get(field.type, TEXT)


def declared_types(catalogs: Iterable[Catalog]) -> Fields:
    """The types that catalogs give to the fields of their events."""
    types: Fields = {}
    for catalog in catalogs:
        for event in catalog.events.values():
            fields = types.setdefault(event.name, {})
            if event.weighted:
                fields.setdefault("weight", set()).add("DOUBLE")
            for name, field in declared_fields(event).items():
                fields.setdefault(name, set()).add(column_type(field))
    return types
