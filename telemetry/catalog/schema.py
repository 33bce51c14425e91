"""JSON Schema of one line of an upload, so that anybody can check a real one against the catalog.

It describes the format `ndjson`, and the catalog as it stands: expired events may still be in an older upload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.field_types import leaves_as, type_of

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog, Event, Field


def line_schema(catalog: Catalog) -> dict[str, Any]:
    """Return the schema of one line: an event, each as one of `$defs`; nothing else is allowed."""
    events = catalog.events.values()
    any_event: dict[str, Any] = (
        {"oneOf": [{"$ref": f"#/$defs/{event.name}"} for event in events]} if catalog.events else {"not": {}}
    )
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"One line of what {catalog.product} sends, by version {catalog.version} of its catalog",
        **any_event,
        "$defs": {event.name: _event_schema(event) for event in events},
    }


def _event_schema(event: Event) -> dict[str, Any]:
    stamped: dict[str, Any] = {
        "event": {"const": event.name},
        "time": {
            "description": "when it happened, in UTC and rounded down",
            "type": "string",
            "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$",
        },
        "session": {"description": "random, for a day at most", "type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    weight = {"weight": {"description": "for how many it stands", "type": "number", "minimum": 1}}
    if event.weighted:
        stamped |= weight
    may_be = weight if event.may_weigh and not event.weighted else {}
    return {
        "description": event.purpose,
        "type": "object",
        "properties": stamped | may_be | {name: _field_schema(field) for name, field in declared_fields(event).items()},
        "required": list(stamped),
        "additionalProperties": False,
    }


def _field_schema(field: Field) -> dict[str, Any]:
    return {"description": f"{field.purpose}; {leaves_as(field)}", **type_of(field).schema(field)}
