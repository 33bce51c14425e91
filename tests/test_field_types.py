"""A type of field is one row: all that tells of a catalog, checks by it or redacts by it asks that row."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from jsonschema import Draft202012Validator

from telemetry.catalog.columns import declared_types
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.diff import find_changes
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.field_types import TYPES, Exposure, FieldType, is_of
from telemetry.catalog.forms import YES_OR_NO
from telemetry.catalog.lint import lint
from telemetry.catalog.load import parse
from telemetry.catalog.machine import machine_form
from telemetry.catalog.schema import line_schema
from telemetry.catalog.strict import fault_of
from telemetry.catalog.stubs import stubs
from telemetry.errors import CatalogError
from telemetry.shipper.delivery.constants import Constants
from telemetry.shipper.intake.redactor import Redactor
from telemetry.shipper.intake.validator import Validator
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from telemetry.catalog.model import Catalog

TODAY = dt.date(2026, 11, 24)
CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.painted]
purpose = "decide which themes to keep"
owner = "ui team"
expires = "2027-06-30"
sensitivity = "technical"
[events.painted.fields]
background = { type = "colour", fold_case = true, purpose = "find dark themes" }
said = { type = "message", templates = ["painted {what:colour} at last"], purpose = "find odd themes" }

[events.paints]
kind = "counter"
purpose = "how often it paints"
owner = "ui team"
expires = "2027-06-30"
sensitivity = "technical"
[events.paints.fields]
user_colour = { type = "colour", purpose = "find dark themes" }
"""
FILE = Path("acme.toml")


def brightness(colour: str) -> str | None:
    """What leaves of a colour: whether it is light or dark."""
    if colour.startswith("#fail"):
        raise RuntimeError
    found = re.fullmatch("#([0-9a-f])[0-9a-f]{5}", colour)
    return found and ("light" if int(found[1], 16) > 7 else "dark")


COLOUR = FieldType(
    takes="a text",
    is_taken=is_of(str),
    fault=lambda _, text: "" if text.startswith("#") else "is no colour, such as #00ff00",
    leaves_as=lambda _: "light or dark",
    held_back="the colour itself",
    schema=lambda _: {"enum": ["light", "dark"]},
    keys={"fold_case": YES_OR_NO},
    rewriter=lambda field, _: lambda value: brightness(value.lower() if field.fold_case else value),
    rule="colour_field",
    exposure=Exposure.REWRITTEN,
    suggested_by=frozenset({"colour"}),
    is_endless=True,
    python="str",
    holes=("colour",),
    form="#[0-9a-f]{6}",
    example="#00ff00",
)


@pytest.fixture(autouse=True)
def colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TYPES, "colour", COLOUR)


def catalog(text: str = CATALOG) -> Catalog:
    return parse(text.encode(), FILE)


def shipped(*fields: dict[str, Any]) -> tuple[list[dict[str, Any]], Tally]:
    """What leaves of `painted` events with these fields, and the account."""
    compiled, tally = compile_catalog(catalog(), TODAY), Tally()
    raw = msgspec.msgpack.encode([["painted", 1, each] for each in fields])
    events = Redactor(compiled, None, bytes(32), {}).redact(Validator(compiled).validate(raw, tally), tally)
    return [json.loads(msgspec.json.encode(one.fields)) for one in events], tally


def test_a_catalog_with_it_is_read_with_its_own_keys_and_in_the_hole_of_a_template() -> None:
    fields = catalog().events["painted"].fields
    assert {name: field.type for name, field in fields.items()} == {
        "background": "colour",
        "said": "message",
        "said_what": "colour",
    }
    assert fields["background"].fold_case
    with pytest.raises(CatalogError, match="there is no key `min` of type colour"):
        catalog(CATALOG.replace("fold_case = true", "min = 1"))
    with pytest.raises(CatalogError, match="`fold_case` is 1, must be true or false"):
        catalog(CATALOG.replace("fold_case = true", "fold_case = 1"))


def test_it_is_checked_rewritten_and_counted_on_its_way_out() -> None:
    lines, tally = shipped(
        {"background": "#FFFFFF"},
        {"background": "mauve"},
        {"background": "#fail00"},
        {"background": 7},
        {"said": "painted #102030 at last"},
    )
    assert lines == [
        {"event": "painted", "background": "light"},
        {"event": "painted"},
        {"event": "painted"},
        {"event": "painted"},
        {"event": "painted", "said": "painted {what:colour} at last", "said_what": "dark"},
    ]
    background = tally.touched["painted.background"]
    assert (background.redacted, background.dropped) == ({"colour_field": 1}, {"invalid": 2, "redaction_failed": 1})


def test_all_that_tells_of_a_catalog_tells_of_it() -> None:
    found = catalog()
    allows = Draft202012Validator(line_schema(found)).is_valid
    stamps = {"event": "painted", "time": "2026-11-24T12:00:00Z", "session": "0" * 32}
    assert allows({**stamps, "background": "light"})
    assert not allows({**stamps, "background": "#ffffff"})
    page = privacy_page(found)
    assert "| `background` | find dark themes | light or dark |" in page
    assert "of `painted.background`, `painted.said_what`, `paints.user_colour`, the colour itself" in page
    assert "    background: str | None = None," in stubs(found).splitlines()
    told = machine_form(found)["events"]["painted"]["fields"]["background"]
    assert (told["type"], told["leaves_as"], told["fold_case"]) == ("colour", "light or dark", True)
    assert declared_types([found])["painted"]["background"] == {"VARCHAR"}


def test_a_reviewer_and_who_queries_hear_of_it() -> None:
    (finding,) = lint(catalog(), TODAY)
    assert (finding.code, finding.field) == ("counter-field", "user_colour")
    text = CATALOG.replace('type = "colour", fold_case = true', 'type = "text", max_length = 7, reason = "themes"')
    findings = lint(catalog(text.replace("background", "back_colour")), TODAY)
    assert "free text where the type `colour` would do; declare it as `colour`" in [one.fault for one in findings]
    (change, *_) = find_changes(catalog(), catalog(text))
    assert (change.field, change.breaks) == ("background", True)
    assert "was colour, is text: the column stays VARCHAR" in change.text


def test_strict_and_the_tripwire_know_its_form() -> None:
    field = catalog().events["painted"].fields["background"]
    assert fault_of(field, "#00ff00") == ""
    assert fault_of(field, 7) == "is a int, must be a text"
    assert fault_of(field, "mauve") == "is no colour, such as #00ff00"
    constants = Constants(catalog())
    assert constants.holds("painted", "background", "dark")
    assert not constants.holds("painted", "background", "#00ff00")
