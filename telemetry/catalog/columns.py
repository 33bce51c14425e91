"""Names the columns that fields of events become where they are queried, and their types in SQL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.field_types import type_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from telemetry.catalog.model import Catalog

Fields = dict[str, dict[str, set[str]]]
"""The SQL types that fields are known to have, by event and name. A field with more than one type becomes text."""


def declared_types(catalogs: Iterable[Catalog]) -> Fields:
    """Collect the types that catalogs give to the fields of their events."""
    types: Fields = {}
    for catalog in catalogs:
        for event in catalog.events.values():
            fields = types.setdefault(event.name, {})
            if event.may_weigh:
                fields.setdefault("weight", set()).add("DOUBLE")
            for name, field in declared_fields(event).items():
                fields.setdefault(name, set()).add(type_of(field).column)
    return types
