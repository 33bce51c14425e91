"""Constants of catalog and protocol, which say nothing about anybody, so the tripwire must not stop them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from telemetry.catalog.field_types import type_of
from telemetry.shipper.own_names import constants_of

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog, Field

_PROTOCOL = frozenset(["event", "time", "session"])
_WORD = re.compile(r"[\w.-]{1,64}", re.ASCII)


class Constants:
    """The values other than free text that a catalog's events may hold.

    Attributes:
        words: the catalog's constants, in small letters; they name nobody.
    """

    def __init__(self, catalog: Catalog | None) -> None:
        """Collect the constants of a catalog; None if the catalog is no longer known."""
        self._fields = {event.name: event.fields for event in catalog.events.values()} if catalog else {}
        self.words = constants_of(catalog) if catalog else frozenset()

    def holds(self, event: object, name: str, value: str) -> bool:
        """Tell whether a field's value is a constant, or has the form in which its type leaves."""
        if name in _PROTOCOL:
            return True
        field = self._fields.get(event, {}).get(name) if isinstance(event, str) else None
        if field is None:  # nobody knows the catalog: a word is more likely a constant of it than a name
            return _WORD.fullmatch(value) is not None
        return _is_constant(field, value)


def _is_constant(field: Field, value: str) -> bool:
    schema = type_of(field).schema(field)
    form = schema.get("pattern")
    return value in schema.get("enum", ()) or (form is not None and re.fullmatch(form, value, re.ASCII) is not None)
