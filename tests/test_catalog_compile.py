from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from telemetry.catalog.compile import Compiled, Envelope, Plan, compile_catalog
from telemetry.catalog.field_types import Means
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.shipper.intake.redactor import special_fields

TODAY = dt.date(2026, 1, 1)


def field(name: str, type_: Any, **keys: Any) -> Field:
    return Field(name=name, type=type_, purpose="p", **keys)


def event(name: str, *fields: Field, expires: dt.date = TODAY, **keys: Any) -> Event:
    named = {field.name: field for field in fields}
    return Event(
        name=name,
        purpose="p",
        owner="o",
        expires=expires,
        sensitivity="technical",
        fields=named,
        **keys,
    )


def compiled(*events: Event, today: dt.date = TODAY) -> Compiled:
    catalog = Catalog(product="acme", version=1, events={event.name: event for event in events})
    return compile_catalog(catalog, today)


def treated(plan: Plan) -> tuple[tuple[str, ...], dict[str, str]]:
    """The free texts of an event, and the fields that are rewritten one by one, with their types."""
    special = special_fields(plan, Means(lambda _: str, None))
    fields = plan.event.fields
    return tuple(text.name for text in special.texts), {one.name: fields[one.name].type for one in special.columns}


def decode(found: Compiled, *events: Any) -> list[Envelope]:
    return found.decoder.decode(msgspec.msgpack.encode(events))


ALL = event(
    "all",
    field("b", "bool"),
    field("i", "int", min=-2, max=5),
    field("f", "float", min=-2, max=5.5),
    field("d", "duration"),
    field("e", "enum", values=("batch", "a b")),
    field("v", "version"),
    field("t", "text", max_length=2),
    field("n", "identifier"),
    field("q", "sql"),
    field("p", "path"),
    field("x", "error"),
)


def test_fields_encode_in_the_order_of_the_upload() -> None:
    kind = event("queries", field("engine", "enum", values=("batch",)), field("ok", "bool"), kind="counter")
    (one,) = decode(compiled(kind), ["queries", 7, {"ok": True, "count": 3, "engine": "batch"}])
    one.fields.time = "t"
    line = msgspec.json.encode(one.fields)
    assert line == b'{"event":"queries","time":"t","count":3,"engine":"batch","ok":true}'


def test_weight_stands_before_the_declared_fields_of_a_sampled_event() -> None:
    (one,) = decode(compiled(event("e", field("ok", "bool"), sample=0.5)), ["e", 7, {"ok": True}])
    one.fields.weight = 2.0
    assert msgspec.json.encode(one.fields) == b'{"event":"e","weight":2.0,"ok":true}'


def test_an_absent_field_and_a_none_are_the_same_and_are_not_encoded() -> None:
    first, second = decode(compiled(ALL), ["all", 1, {}], ["all", 1, {"i": None}])
    assert first == second
    assert msgspec.json.encode(first.fields) == b'{"event":"all"}'


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"b": True, "i": 5, "f": 5.5, "d": 0.0}, id="numbers"),
        pytest.param({"i": -2, "f": 3, "d": 4}, id="ints-as-floats"),
        pytest.param({"e": "a b", "v": "1.2", "t": "longer than two", "q": "select 1"}, id="texts"),
        pytest.param({"n": "users"}, id="identifier"),
        pytest.param({"n": 42}, id="numeric-identifier"),
        pytest.param({"t": "x" * 65536}, id="longest-string"),
    ],
)
def test_a_declared_value_passes(fields: dict[str, Any]) -> None:
    (one,) = decode(compiled(ALL), ["all", 1, fields])
    assert {name: getattr(one.fields, name) for name in fields} == fields


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"b": 1}, id="int-for-bool"),
        pytest.param({"i": True}, id="bool-for-int"),
        pytest.param({"i": 6}, id="int-over-max"),
        pytest.param({"i": -3}, id="int-under-min"),
        pytest.param({"f": 5.6}, id="float-over-max"),
        pytest.param({"f": float("nan")}, id="nan"),
        pytest.param({"d": float("nan")}, id="nan-duration"),
        pytest.param({"d": float("inf")}, id="endless-duration"),
        pytest.param({"d": -0.1}, id="negative-duration"),
        pytest.param({"e": 1}, id="int-for-enum"),
        pytest.param({"n": 1.5}, id="float-for-identifier"),
        pytest.param({"n": True}, id="bool-for-identifier"),
        pytest.param({"t": b"x"}, id="bytes-for-text"),
        pytest.param({"t": ["x"]}, id="list-for-text"),
        pytest.param({"t": "x" * 65537}, id="over-the-hard-cap"),
        pytest.param({"n": "x" * 1025}, id="endless-identifier"),
        pytest.param({"nobody": 1}, id="undeclared"),
        pytest.param({"time": "2026"}, id="time-from-the-wire"),
        pytest.param({"session": "s"}, id="session-from-the-wire"),
        pytest.param({"session": None}, id="no-session-from-the-wire"),
        pytest.param({"event": "other"}, id="another-event"),
        pytest.param({1: 1}, id="key-that-is-no-text"),
    ],
)
def test_a_value_that_is_not_declared_fails(fields: dict[Any, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(compiled(ALL), ["all", 1, fields])


@pytest.mark.parametrize(
    "bounds",
    [
        pytest.param({"min": 0}, id="half-open"),
        pytest.param({"max": 0}, id="open-below"),
        pytest.param({}, id="open"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")], ids=["nan", "inf", "-inf"])
def test_no_float_field_takes_what_json_has_no_word_for(bounds: dict[str, float], value: float) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(compiled(event("e", field("f", "float", **bounds))), ["e", 1, {"f": value}])


def test_weight_can_not_come_from_the_wire() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(compiled(event("e", max_per_second=1)), ["e", 1, {"weight": 5.0}])


def test_an_unknown_value_of_an_enum_becomes_other() -> None:
    (one,) = decode(compiled(ALL), ["all", 1, {"e": "table_of_bob"}])
    assert msgspec.json.encode(one.fields) == b'{"event":"all","e":"other"}'


def test_an_enum_may_declare_other_itself() -> None:
    found = compiled(event("e", field("e", "enum", values=("other", "x"))))
    first, second = decode(found, ["e", 1, {"e": "other"}], ["e", 1, {"e": "zzz"}])
    assert first == second


@pytest.mark.parametrize(
    "time",
    [
        pytest.param(-1, id="negative"),
        pytest.param(1.5, id="float"),
        pytest.param(2**63, id="beyond-2262"),
        pytest.param("1", id="text"),
        pytest.param(None, id="none"),
    ],
)
def test_a_time_that_is_none_fails(time: Any) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(compiled(ALL), ["all", time, {}])


def test_a_lone_event_still_has_its_name_checked() -> None:
    with pytest.raises(msgspec.ValidationError):
        decode(compiled(event("one")), ["two", 1, {}])


def test_an_event_is_collected_on_its_last_day_and_not_after() -> None:
    found = event("e", expires=TODAY)
    assert compiled(found, today=TODAY).expired == frozenset()
    after = compiled(found, event("f", expires=dt.date.max), today=TODAY + dt.timedelta(days=1))
    assert after.expired == {"e"}
    assert list(after.envelopes) == ["f"]


def test_a_field_that_has_expired_takes_any_value_for_the_validator_to_empty() -> None:
    found = event("e", field("old", "int", buckets=(0, 1), expires=TODAY), field("ok", "bool"))
    assert [plan.expired for plan in compiled(found).plans.values()] == [frozenset()]
    after = compiled(event("e", *found.fields.values(), expires=dt.date.max), today=TODAY + dt.timedelta(days=1))
    (plan,) = after.plans.values()
    assert (plan.expired, list(plan.event.fields)) == (frozenset({"old"}), ["ok"])
    assert treated(plan) == ((), {})
    for value in (1, "text", [1], None):
        (one,) = decode(after, ["e", 1, {"ok": True, "old": value}])
        assert one.fields.old == value


@pytest.mark.parametrize("events", [(), (event("e", expires=dt.date.min),)], ids=["empty", "all-expired"])
def test_a_catalog_with_nothing_left_takes_no_event(events: tuple[Event, ...]) -> None:
    found = compiled(*events)
    assert decode(found) == []
    for one in (["e", 1, {}], ["_Nothing", 1, {}], [1, {}], ["_Nothing", 1, None]):
        with pytest.raises(msgspec.ValidationError):
            decode(found, one)


def test_a_plan_names_the_fields_by_their_treatment() -> None:
    found = compiled(event("e", *ALL.fields.values(), field("k", "int", buckets=(0, 10))))
    (plan,) = found.plans.values()
    assert plan.name == "e"
    texts, rewritten = treated(plan)
    assert texts == ("t",)
    assert rewritten == {"n": "identifier", "q": "sql", "p": "path", "x": "error", "v": "version", "k": "int"}


def test_plans_are_found_by_the_type_of_the_fields() -> None:
    found = compiled(event("a"), event("b"))
    assert [found.plans[type(one.fields)].name for one in decode(found, ["b", 1, {}], ["a", 1, {}])] == [
        "b",
        "a",
    ]
