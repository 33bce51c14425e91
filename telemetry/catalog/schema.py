"""The JSON Schema of one line of an upload, so that anybody can hold a real one against the catalog.

It is of the format `ndjson`, and of the catalog as it stands: what has expired may still be in an older upload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.leaving import leaves_as
from telemetry.catalog.model import OTHER
from telemetry.redact.error import MAX_CHARACTERS as MAX_ERROR_CHARACTERS
from telemetry.redact.path import COMMON as EXTENSIONS
from telemetry.redact.version import MAX_CHARACTERS as MAX_VERSION_CHARACTERS

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog, Event, Field

_NUMBER = "[0-9]{1,8}"
_PART = "([-._]?(alpha|beta|preview|pre|post|dev|rc|a|b|c)[-._]?[0-9]{0,8}){0,2}"
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_NAME}(\.{_NAME})*"
_FRAME = rf"{_DOTTED}:{_NAME}:[0-9]{{1,7}}"

# Patterns that ECMA 262 and Python read alike.
_BY_TYPE: dict[str, dict[str, Any]] = {
    "bool": {"type": "boolean"},
    "duration": {"type": "number", "minimum": 0},
    "version": {
        "type": "string",
        "maxLength": MAX_VERSION_CHARACTERS,
        "pattern": rf"^{_NUMBER}(\.{_NUMBER}){{0,3}}{_PART}$",
    },
    "identifier": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
    "sql": {"type": "string", "pattern": "^[a-z_]+( [a-z_]+=[0-9]{1,2})*$"},
    "path": {"enum": [*sorted(EXTENSIONS), OTHER, "none"]},
    "error": {
        "type": "string",
        "maxLength": MAX_ERROR_CHARACTERS,
        "pattern": rf"^{_DOTTED}(@{_FRAME}(;{_FRAME})*)?$",
    },
}


def line_schema(catalog: Catalog) -> dict[str, Any]:
    """The schema of one line: an event, each as one of `$defs`; nothing it does not name is allowed."""
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
    if event.weighted:
        stamped["weight"] = {"description": "for how many it stands", "type": "number", "minimum": 1}
    return {
        "description": event.purpose,
        "type": "object",
        "properties": stamped | {name: _field_schema(field) for name, field in declared_fields(event).items()},
        "required": list(stamped),
        "additionalProperties": False,
    }


def _field_schema(field: Field) -> dict[str, Any]:
    return {"description": f"{field.purpose}; {leaves_as(field)}", **_value_schema(field)}


def _value_schema(field: Field) -> dict[str, Any]:
    match field.type:
        case "int" | "float":
            return _number_schema(field)
        case "enum":
            return {"enum": list(dict.fromkeys((*field.values, OTHER)))}
        case "message":
            return {"enum": [*field.templates, OTHER]}
        case "text":
            return {"type": "string", "maxLength": field.max_length}
        case other:
            return _BY_TYPE[other]


def _number_schema(field: Field) -> dict[str, Any]:
    if field.buckets:
        return {"enum": list(field.buckets)}
    bounds = {"minimum": field.min, "maximum": field.max}
    kind = "integer" if field.type == "int" else "number"
    return {"type": kind} | {name: bound for name, bound in bounds.items() if bound is not None}
