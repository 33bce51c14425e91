"""Writes a catalog for programs: what the file says, with what it leaves unsaid filled in.

form                      the version of this form: 1; it counts up when a key goes or changes its meaning
product, version, policy_url, time_precision_seconds, no_unless
events                    by name
    kind, purpose, owner, expires, sensitivity, sample, max_per_second
    stamped               what the shipper adds to each
    fields                by name; `count` of a counter among them
        type, purpose, expires (null: with its event), leaves_as
        values, min, max, buckets, max_length, templates, where the type has them
        parameter_of      where it comes out of a message's text: that field
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.field_types import leaves_as, type_of

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog, Event, Field

FORM_VERSION = 1


def machine_form(catalog: Catalog) -> dict[str, Any]:
    """Return the catalog as plain values that JSON can express."""
    return {
        "form": FORM_VERSION,
        "product": catalog.product,
        "version": catalog.version,
        "policy_url": catalog.policy_url,
        "time_precision_seconds": catalog.time_precision_seconds,
        "no_unless": catalog.no_unless,
        "events": {event.name: _event(event) for event in catalog.events.values()},
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "kind": event.kind,
        "purpose": event.purpose,
        "owner": event.owner,
        "expires": event.expires.isoformat(),
        "sensitivity": event.sensitivity,
        "sample": event.sample,
        "max_per_second": event.max_per_second,
        **({"scale": event.scale} if event.kind == "distribution" else {}),
        "stamped": ["event", "time", "session", *(["weight"] if event.weighted else [])],
        "fields": {name: _field(field) for name, field in declared_fields(event).items()},
    }


def _field(field: Field) -> dict[str, Any]:
    return {
        "type": field.type,
        "purpose": field.purpose,
        "expires": field.expires and field.expires.isoformat(),
        "leaves_as": leaves_as(field),
        **{key: getattr(field, key) for key in type_of(field).keys if key != "holes"},
        **({"parameter_of": field.parameter_of} if field.parameter_of else {}),
    }
