"""Which values of an event say nothing of anybody, whatever machine it comes from: the tripwire must not stop them."""

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
    """What a catalog's events may hold beside free text.

    Attributes:
        words: its constants, in small letters: they name nobody.
    """

    def __init__(self, catalog: Catalog | None) -> None:
        """Of a catalog; None when it is not known any more."""
        self._fields = {event.name: event.fields for event in catalog.events.values()} if catalog else {}
        self.words = constants_of(catalog) if catalog else frozenset()

    def holds(self, event: object, name: str, value: str) -> bool:
        """Whether a value of a field is a constant of catalog or protocol, or of the form in which its type leaves."""
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
