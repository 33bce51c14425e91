"""The keys that each table of a catalog's file takes; those of one type of field are in its row in `field_types`."""

from __future__ import annotations

from typing import get_args

from telemetry.catalog.field_types import TYPES
from telemetry.catalog.forms import (
    COUNT,
    LAST_DAY,
    SENTENCE,
    Key,
    is_number,
    is_table,
    is_text,
    is_variables,
    matches,
    one_of,
)
from telemetry.catalog.model import SENSITIVITIES, Kind
from telemetry.consent.product import is_product
from telemetry.exponential import SCALES

DOCUMENT = {
    "catalog": Key("a table, [catalog]", is_table, required=True),
    "events": Key("a table, [events.NAME] for each event", is_table),
}
CATALOG = {
    "product": Key(
        'lower-case letters, digits, "_" and "-", beginning with a letter or digit, such as "acme-db"',
        is_product,
        required=True,
    ),
    "version": COUNT._replace(required=True),
    "policy_url": Key('a URL, such as "https://acme.example/privacy"', matches("https?://\\S+")),
    "time_precision_seconds": COUNT,
    "common": Key("a table, [catalog.common], of fields that every event has", is_table),
    "no_unless": Key(
        'variables with the values that do not mean no, such as { ENABLE_TELEMETRY = ["1", "true"] }', is_variables
    ),
}
EVENT = {
    "purpose": SENTENCE,
    "owner": Key('who is responsible for it, such as "query team"', is_text, required=True),
    "expires": LAST_DAY._replace(required=True),
    "sensitivity": one_of(SENSITIVITIES, required=True),
    "kind": one_of(get_args(Kind)),
    "sample": Key("a number over 0 and up to 1", lambda value: is_number(value) and 0 < value <= 1),
    "max_per_second": COUNT,
    "scale": Key(
        f"a whole number from {SCALES[0]} to {SCALES[-1]}", lambda value: type(value) is int and value in SCALES
    ),
    "fields": Key("a table, [events.NAME.fields]", is_table),
}
FIELD = {
    "type": one_of(TYPES, required=True)._replace(accepts=lambda value: isinstance(value, str) and value in TYPES),
    "purpose": SENTENCE,
    "expires": LAST_DAY,
}
HOLE = {"purpose": SENTENCE._replace(required=False)}
EVENT_NAME = matches("[A-Za-z][A-Za-z0-9_.]*")
FIELD_NAME = matches("[a-z][a-z0-9_]*")
