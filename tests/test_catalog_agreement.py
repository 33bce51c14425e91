"""Page, machine form, schema, stubs and enforcement agree, whatever the catalog: the law of the generated things.

A call that the stubs' types and the page's limits allow goes the whole way, from the function to the bytes of the
upload, and loses nothing; its line is one that the schema allows. What is not declared all of them refuse.
"""

from __future__ import annotations

import datetime as dt
import inspect
import json
import re
from types import ModuleType
from typing import Any, NamedTuple

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from telemetry import api
from telemetry.catalog.compile import KIND_FIELDS, compile_catalog
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.machine import machine_form
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.catalog.schema import line_schema
from telemetry.catalog.stubs import function_names, stubs
from telemetry.producer.exception import reduce_exception
from telemetry.redact.checksum import holds_card
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.intake.session import Session
from telemetry.spool.tally import Tally

TODAY = dt.date(2026, 11, 24)
TEXTS = FreeTextRedactor()
STAMPED = {"event", "time", "session"}
CONTEXT = {"pid": 1, "catalog": "x", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
MAX_INT = 2**63 - 1

EVENT_NAMES = ["opened", "a.b", "a_b", "a.b_timer", "print", "import", "Literal", "float", "T", "x" * 30]
FIELD_NAMES = ["ok", "n", "emit", "fields", "self", "str", "dict", "match", "duration_ms", "telemetry", "a_b", "name"]
WORDS = st.lists(
    st.sampled_from(["compaction", "of", "level", "three", "took", "long", "in", "storage"]), max_size=4
).map(" ".join)
PROSE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(str.strip)
VERSIONS = st.from_regex(r"v?[0-9]{1,3}(\.[0-9]{1,3}){0,2}(-rc\.[0-9]{1,3}|b[0-9]|\.post1|\.dev3)?", fullmatch=True)
ERRORS = st.sampled_from(
    [ValueError("/home/bob"), KeyError("x"), UnicodeError(), OSError(2, "No such file", "/home/bob")]
)
DAYS = st.sampled_from([TODAY, TODAY + dt.timedelta(days=1), dt.date.max])


@st.composite
def number_keys(draw: st.DrawFn, numbers: st.SearchStrategy[Any]) -> dict[str, Any]:
    least, most = sorted((draw(numbers), draw(numbers)))
    keys = {"min": draw(st.sampled_from([None, least])), "max": draw(st.sampled_from([None, most]))}
    bounds = draw(st.lists(numbers, max_size=4, unique=True))
    return {**keys, "buckets": tuple(sorted(bounds))}


KEYS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "int": number_keys(st.integers(-1000, 1000)),
    "float": number_keys(st.floats(-1000, 1000)),
    "enum": st.lists(PROSE, min_size=1, max_size=4, unique=True).map(lambda values: {"values": tuple(values)}),
    "message": st.just(
        {"templates": ("all is well", "no route to {host}", "{level:int} {{levels}} of {table:identifier}")}
    ),
    "text": st.integers(50, 300).map(lambda length: {"max_length": length}),
}
TYPES = ["bool", "int", "float", "duration", "enum", "version", "message", "text", "identifier", "sql", "path", "error"]


@st.composite
def fields(draw: st.DrawFn, name: str) -> Field:
    type_: Any = draw(st.sampled_from(TYPES))
    expires = draw(st.none() | DAYS)
    return Field(name=name, type=type_, purpose=draw(PROSE), expires=expires, **draw(KEYS.get(type_, st.just({}))))


def with_holes(field: Field) -> dict[str, Field]:
    """A field and, of a message, those of its holes."""
    types: dict[str, Any] = {"level": "int", "table": "identifier"} if field.type == "message" else {}
    holes = {
        f"{field.name}_{hole}": Field(
            name=f"{field.name}_{hole}",
            type=type_,
            purpose=field.purpose,
            expires=field.expires,
            parameter_of=field.name,
        )
        for hole, type_ in types.items()
    }
    return {field.name: field, **holes}


OF_KINDS = {name for fields in KIND_FIELDS.values() for name in fields}


@st.composite
def events(draw: st.DrawFn, name: str) -> Event:
    kind: Any = draw(st.sampled_from(["event", "event", "counter", "distribution", "report"]))
    thinned: dict[str, Any] = {
        "sample": draw(st.sampled_from([1.0, 0.5])),
        "max_per_second": draw(st.sampled_from([None, 50])),  # more than a test ships within one second
    }
    names = draw(st.lists(st.sampled_from(FIELD_NAMES), max_size=4, unique=True))
    return Event(
        name=name,
        kind=kind,
        purpose=draw(PROSE),
        owner=draw(PROSE),
        expires=draw(DAYS),
        sensitivity=draw(st.sampled_from(["technical", "interaction"])),
        fields={name: one for field in names for name, one in with_holes(draw(fields(field))).items()},
        **(thinned if kind == "event" else {}),
    )


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    names = draw(st.lists(st.sampled_from(EVENT_NAMES), min_size=1, max_size=4, unique=True))
    return Catalog(product="acme-db", version=3, events={name: draw(events(name)) for name in names})


ANYTHING = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
INTS = st.integers(-MAX_INT, MAX_INT)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "duration": st.floats(0, allow_nan=False, allow_infinity=False) | st.integers(0, 10**9),
    "version": VERSIONS,
    "message": st.sampled_from(["all is well", "no route to me", "7 {levels} of orders", "anything"]),
    "text": WORDS,
    "identifier": ANYTHING | INTS,
    "sql": ANYTHING,
    "path": ANYTHING,
    "error": ERRORS,
}


def values(field: Field) -> st.SearchStrategy[Any]:
    """What the type in the stub and the words of the page allow: of numbers, all but those of payment cards."""
    return of_type(field).filter(lambda value: type(value) not in {int, float} or not holds_card(value))


def of_type(field: Field) -> st.SearchStrategy[Any]:
    least, most = field.min, field.max
    match field.type:
        case "int":
            return st.integers(-MAX_INT if least is None else int(least), MAX_INT if most is None else int(most))
        case "float":
            return st.floats(least, most, allow_nan=False, allow_infinity=False)
        case "enum":
            return st.sampled_from([*field.values, "other"])
        case other:
            return VALUES[other]


def spread(number: float) -> dict[str, Any]:
    """What a host makes of one number, observed for a distribution of scale 0."""
    return {"count": 1, "sum": number, "min": number, "max": number, "scale": 0, "offset": 1, "bucket_counts": [1]}


class Made(NamedTuple):
    """A catalog and all that is made from it."""

    catalog: Catalog
    page: str
    form: dict[str, Any]
    schema: dict[str, Any]
    stubs: ModuleType
    functions: dict[str, str]
    pipeline: Pipeline

    def call(self, event: str, given: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Call the stub of `event`: what it emits."""
        emitted: list[tuple[str, dict[str, Any]]] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api, "_record", lambda name, fields: emitted.append((name, fields)))
            patch.setattr(api, "_tick", lambda name, n, fields: emitted.append((name, {"count": n, **fields})))
            patch.setattr(
                api, "_note", lambda name, number, fields: emitted.append((name, {**spread(number), **fields}))
            )
            number = [2.5] if self.catalog.events[event].kind == "distribution" else []
            getattr(self.stubs, self.functions[event])(*number, **given)
        (one,) = emitted
        return one

    def ship(self, event: str, fields: dict[str, Any]) -> tuple[list[dict[str, Any]], Tally]:
        """The lines of an upload with this one event, encoded as in the host, and the account."""
        fields = {
            name: reduce_exception(value, ()) if isinstance(value, BaseException) else value
            for name, value in fields.items()
        }
        message = msgpack.packb([1, b"p" * 16, CONTEXT, 0, {}, [[event, 1_790_000_000_000_000_000, fields]]])
        frame = decode_frame(message)
        assert frame is not None
        (drain,) = self.pipeline.run([frame], {}, "on")
        return [json.loads(line) for line in drain.body.splitlines()], drain.tally

    def allows(self, line: dict[str, Any]) -> bool:
        """Whether the schema does."""
        return Draft202012Validator(self.schema).is_valid(line)


def make(catalog: Catalog, today: dt.date = TODAY) -> Made:
    schema = line_schema(catalog)
    Draft202012Validator.check_schema(schema)
    module = ModuleType("events")
    exec(compile(stubs(catalog), "events.py", "exec", dont_inherit=True), module.__dict__)  # noqa: S102 what it is for
    names = function_names(event.name for event in catalog.events.values() if event.kind != "report")
    pipeline = Pipeline(catalog, today, NDJSON, TEXTS, Session(), lambda: 0.0)
    form = json.loads(json.dumps(machine_form(catalog)))
    return Made(catalog, privacy_page(catalog), form, json.loads(json.dumps(schema)), module, names, pipeline)


def _thinned(event: Event) -> set[str]:
    """Return what a line may have beside what the page lists: a weight, if a collector asks for less."""
    return {"weight"} if event.may_weigh and not event.weighted else set()


@settings(deadline=None, max_examples=40)
@given(catalogs())
def test_all_name_the_same_events_and_fields(catalog: Catalog) -> None:
    made = make(catalog)
    compiled = compile_catalog(catalog, TODAY)
    enforced = {
        plan.name: (OF_KINDS & {field.name for field in msgspec.structs.fields(struct)}) | plan.event.fields.keys()
        for struct, plan in compiled.plans.items()
    }
    described: dict[str, set[str]] = {}
    for line in made.page.split("## What goes with it")[0].splitlines():
        if heading := re.fullmatch("### `(.*)`", line):
            described[heading[1]] = set()
        elif described and (row := re.match(r"\| `([a-z0-9_]+)` \|", line)):
            described[[*described][-1]].add(row[1])
    assert described == enforced
    assert {name: set(event["fields"]) for name, event in made.form["events"].items()} == enforced
    assert {name: set(event["stamped"]) for name, event in made.form["events"].items()} == {
        name: STAMPED | ({"weight"} if event.weighted else set()) for name, event in catalog.events.items()
    }
    assert {
        name: event["properties"].keys() - set(made.form["events"][name]["stamped"])
        for name, event in made.schema["$defs"].items()
    } == {name: fields | _thinned(catalog.events[name]) for name, fields in enforced.items()}
    callable_ = {
        name: {*inspect.signature(getattr(made.stubs, function)).parameters}
        for name, function in made.functions.items()
    }
    assert {name: parameters - {"_n", "_value"} for name, parameters in callable_.items()} == {
        name: names - KIND_FIELDS.get(catalog.events[name].kind, {}).keys()
        for name, names in enforced.items()
        if catalog.events[name].kind != "report"
    }


@settings(deadline=None, max_examples=80)
@given(catalogs(), st.data())
def test_what_the_types_and_the_page_allow_arrives_whole_and_as_the_schema_says(
    catalog: Catalog, data: st.DataObject
) -> None:
    made = make(catalog)
    for event in catalog.events.values():
        given_fields = {name: data.draw(values(field), name) for name, field in event.fields.items()}
        name, emitted = made.call(event.name, given_fields) if event.kind != "report" else (event.name, given_fields)
        (line,), tally = made.ship(name, emitted)
        assert (tally.lost, tally.fields_dropped) == (0, {})
        assert line.keys() == emitted.keys() | set(made.form["events"][event.name]["stamped"])
        Draft202012Validator(made.schema).validate(line)


WRONG = {"bool": 1, "int": "x", "float": "x", "duration": -1.0, "enum": 7, "identifier": 1.5}


@settings(deadline=None, max_examples=40)
@given(catalogs(), st.data())
def test_what_is_not_declared_all_refuse(catalog: Catalog, data: st.DataObject) -> None:
    made = make(catalog)
    event = data.draw(st.sampled_from([*catalog.events.values()]))
    (line,), tally = made.ship(event.name, {"undeclared": 1})
    assert (line.keys() & {"undeclared"}, tally.fields_dropped) == (set(), {"undeclared": 1})
    assert made.allows(line)
    assert not made.allows({**line, "undeclared": 1})
    assert not made.allows({**line, "event": "undeclared"})
    assert made.ship("undeclared", {}) == ([], Tally(emitted=1, dropped={"undeclared": 1}))
    if event.kind != "report":
        with pytest.raises(TypeError):
            made.call(event.name, {"undeclared": 1})
    for name, field in event.fields.items():
        wrong = WRONG.get(field.type, 7)
        (without,), tally = made.ship(event.name, {name: wrong})
        assert (without.keys() & {name}, tally.fields_dropped) == (set(), {"invalid": 1})
        assert not made.allows({**line, name: wrong})


@settings(deadline=None, max_examples=40)
@given(catalogs())
def test_a_number_beyond_its_bounds_all_refuse(catalog: Catalog) -> None:
    made = make(catalog)
    for event in catalog.events.values():
        for name, field in event.fields.items():
            for beyond in ([] if field.min is None else [field.min - 1], [] if field.max is None else [field.max + 1]):
                for number in beyond:
                    (line,), tally = made.ship(event.name, {name: number})
                    assert (line.keys() & {name}, tally.fields_dropped) == (set(), {"invalid": 1})
                    if not field.buckets:
                        assert not made.allows({**line, name: number})


@settings(deadline=None, max_examples=40)
@given(catalogs(), st.data())
def test_from_the_next_day_on_what_has_expired_is_dropped_and_the_rest_arrives(
    catalog: Catalog, data: st.DataObject
) -> None:
    made = make(catalog, TODAY + dt.timedelta(days=1))
    for event in catalog.events.values():
        assert f"- Until: {event.expires};" in made.page
        assert made.form["events"][event.name]["expires"] == event.expires.isoformat()
        given_fields = {name: data.draw(values(field), name) for name, field in event.fields.items()}
        lines, tally = made.ship(event.name, given_fields)
        if event.expires == TODAY:
            assert (lines, tally.dropped) == ([], {"expired": 1})
            continue
        expired = {name for name, field in event.fields.items() if field.expires == TODAY}
        (line,) = lines
        assert line.keys() - {"weight"} == STAMPED | (event.fields.keys() - expired)
        assert tally.fields_dropped == ({"expired": len(expired)} if expired else {})
        assert made.allows(line)
