from __future__ import annotations

import datetime as dt
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.catalog.compile import Compiled, compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.redact.checksum import is_card
from telemetry.shipper.intake.validator import MAX_UNDECLARED, UnreadableEventsError, Validator
from telemetry.spool.tally import Tally, Touched

TODAY = dt.date(2026, 1, 1)


def event(name: str, *fields: Field, expires: dt.date = TODAY, **keys: Any) -> Event:
    named = {field.name: field for field in fields}
    return Event(name=name, purpose="p", owner="o", expires=expires, sensitivity="technical", fields=named, **keys)


def catalog() -> Compiled:
    query = event(
        "query",
        Field(name="ok", type="bool", purpose="p"),
        Field(name="rows", type="int", purpose="p", min=0, max=100),
        Field(name="seconds", type="duration", purpose="p"),
        Field(name="engine", type="enum", purpose="p", values=("batch", "stream")),
        Field(name="detail", type="text", purpose="p", max_length=20),
        Field(name="table", type="identifier", purpose="p"),
        Field(name="old", type="int", purpose="p", expires=TODAY - dt.timedelta(days=1)),
        Field(name="new", type="int", purpose="p", expires=TODAY),
    )
    counter = event("queries", kind="counter")
    sampled = event("sampled", sample=0.5)
    gone = event("gone", expires=TODAY - dt.timedelta(days=1))
    events = {event.name: event for event in (query, counter, sampled, gone)}
    return compile_catalog(Catalog(product="acme", version=1, events=events), TODAY)


VALIDATOR = Validator(catalog())
GOOD = ["query", 5, {"rows": 3, "engine": "batch"}]


def validate(*events: Any) -> tuple[list[dict[str, Any]], Tally]:
    """The fields of what passes, and the account."""
    tally = Tally()
    valid = VALIDATOR.validate(msgspec.msgpack.encode(events), tally)
    return [msgspec.to_builtins(one.fields) for one in valid], tally


def test_good_events_pass_in_order_and_nothing_is_counted() -> None:
    fields, tally = validate(GOOD, ["queries", 6, {"count": 2}], GOOD)
    good = {"event": "query", "rows": 3, "engine": "batch"}
    assert fields == [good, {"event": "queries", "count": 2}, good]
    assert tally == Tally()


def test_what_is_not_declared_is_remembered_by_name_up_to_a_bound() -> None:
    validator = Validator(catalog())
    odd: list[Any] = ["no such name", "x" * 65, "", "\n", "a\0"]
    events = [
        *([name, 5, {}] for name in ["nobody", "gone", "nobody", *odd]),
        ["query", 5, {"shoe": 1, 7: 2, "a b": 3}],
    ]
    validator.validate(msgspec.msgpack.encode(events), Tally())
    assert validator.undeclared == {"nobody": 2, "query.shoe": 1, "query.7": 1}

    validator.validate(msgspec.msgpack.encode([[f"n{number}", 5, {}] for number in range(500)]), Tally())
    assert len(validator.undeclared) == MAX_UNDECLARED


def test_the_time_of_an_event_is_kept() -> None:
    raw = msgspec.Raw(msgspec.msgpack.encode([["query", 1_790_000_000_123_456_789, {}]]))
    (one,) = VALIDATOR.validate(raw, Tally())
    assert one.time_ns == 1_790_000_000_123_456_789


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(["nobody", 5, {}], "undeclared", id="undeclared"),
        pytest.param(["gone", 5, {}], "expired", id="expired"),
        pytest.param("query", "invalid", id="text"),
        pytest.param(None, "invalid", id="none"),
        pytest.param([], "invalid", id="empty"),
        pytest.param(["query", 5], "invalid", id="too-short"),
        pytest.param(["query", 5, {}, 6], "invalid", id="too-long"),
        pytest.param([b"query", 5, {}], "invalid", id="name-of-bytes"),
        pytest.param([7, 5, {}], "invalid", id="name-is-a-number"),
        pytest.param(["query", "5", {}], "invalid", id="time-is-a-text"),
        pytest.param(["query", 5.5, {}], "invalid", id="time-is-a-float"),
        pytest.param(["query", -5, {}], "invalid", id="time-before-1970"),
        pytest.param(["query", 2**64 - 1, {}], "invalid", id="time-after-2262"),
        pytest.param(["query", 5, []], "invalid", id="fields-are-a-list"),
        pytest.param(["query", 5, None], "invalid", id="no-fields"),
    ],
)
def test_a_bad_event_is_dropped_alone_with_its_reason(bad: Any, reason: str) -> None:
    fields, tally = validate(GOOD, bad, GOOD)
    assert fields == [{"event": "query", "rows": 3, "engine": "batch"}] * 2
    assert (tally.dropped, tally.fields_dropped) == ({reason: 1}, {})


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        pytest.param("password", "hunter2", "undeclared", id="undeclared"),
        pytest.param("time", "2026-01-01", "undeclared", id="time"),
        pytest.param("session", "s", "undeclared", id="session"),
        pytest.param("weight", 5, "undeclared", id="weight"),
        pytest.param("event", "gone", "undeclared", id="event"),
        pytest.param(7, 7, "undeclared", id="key-is-a-number"),
        pytest.param(None, 7, "undeclared", id="key-is-none"),
        pytest.param(b"rows", 7, "undeclared", id="key-of-bytes"),
        pytest.param(("rows",), 7, "undeclared", id="key-is-a-list"),
        pytest.param("old", 1, "expired", id="expired"),
        pytest.param("old", {"a": ["text"]}, "expired", id="expired-and-of-the-wrong-type"),
        pytest.param("ok", 1, "invalid", id="int-for-bool"),
        pytest.param("rows", 101, "invalid", id="over-max"),
        pytest.param("rows", "7", "invalid", id="text-for-int"),
        pytest.param("rows", 7.5, "invalid", id="half-an-int"),
        pytest.param("rows", 101.0, "invalid", id="float-over-max"),
        pytest.param("rows", float("inf"), "invalid", id="infinity-for-int"),
        pytest.param("rows", {"a": [1]}, "invalid", id="map"),
        pytest.param("seconds", float("nan"), "invalid", id="nan"),
        pytest.param("seconds", float("inf"), "invalid", id="infinity"),
        pytest.param("detail", "x" * 65537, "invalid", id="over-the-hard-cap"),
        pytest.param("detail", b"bytes", "invalid", id="bytes"),
        pytest.param("detail", msgspec.msgpack.Ext(5, b"x"), "invalid", id="ext"),
        pytest.param("seconds", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "invalid", id="timestamp"),
        pytest.param("engine", 1, "invalid", id="int-for-enum"),
    ],
)
def test_a_bad_field_is_removed_and_the_event_goes_on(name: Any, value: Any, reason: str) -> None:
    fields, tally = validate(["query", 5, {"table": "t", name: value}])
    assert fields == [{"event": "query", "table": "t"}]
    assert (tally.dropped, tally.fields_dropped) == ({}, {reason: 1})


def test_whole_numbers_may_be_written_as_floats() -> None:
    wire = [["query", 1.5e18, {"rows": 3.0, "new": -0.0}]]
    [one] = VALIDATOR.validate(msgspec.msgpack.encode(wire), Tally())
    assert one.time_ns == 1_500_000_000_000_000_000
    assert repr((one.fields.rows, one.fields.new)) == "(3, 0)"


@pytest.mark.parametrize("time", [0.5, -1.0, 1e300, float("nan"), float("inf")])
def test_a_time_that_is_no_whole_number_takes_its_event_away(time: float) -> None:
    fields, tally = validate(["query", time, {"rows": 3}])
    assert (fields, tally.dropped) == ([], {"invalid": 1})


def test_a_text_over_its_own_length_passes_because_it_is_redacted_before_it_is_judged() -> None:
    fields, tally = validate(["query", 5, {"detail": "x" * 21}])
    assert (fields[0]["detail"], tally) == ("x" * 21, Tally())


def test_an_unknown_value_of_an_enum_is_other_in_a_repaired_event_too() -> None:
    fields, _ = validate(["query", 5, {"engine": "bobs", "password": "x"}])
    assert fields == [{"event": "query", "engine": "other"}]


def test_the_fields_of_a_counter_and_of_a_sampled_event_are_repaired_like_any_other() -> None:
    fields, tally = validate(["queries", 5, {"count": 4, "x": 1}], ["sampled", 5, {"weight": 9.0}])
    assert fields == [{"event": "queries", "count": 4}, {"event": "sampled"}]
    assert tally.fields_dropped == {"undeclared": 2}


def test_an_expired_field_is_emptied_and_counted_beside_a_bad_one_too() -> None:
    fields, tally = validate(["query", 5, {"old": 1, "rows": 3}], ["query", 5, {"old": b"\xff", "rows": "x"}], GOOD)
    assert fields == [
        {"event": "query", "rows": 3},
        {"event": "query"},
        {"event": "query", "rows": 3, "engine": "batch"},
    ]
    assert tally.fields_dropped == {"expired": 2, "invalid": 1}


def test_an_expired_field_that_is_absent_is_not_counted() -> None:
    assert validate(["query", 5, {"old": None, "rows": 3}]) == ([{"event": "query", "rows": 3}], Tally())


def test_a_field_is_collected_on_its_last_day() -> None:
    assert validate(["query", 5, {"new": 1}]) == ([{"event": "query", "new": 1}], Tally())


def test_every_bad_field_of_an_event_is_counted() -> None:
    _, tally = validate(["query", 5, {"a": 1, "b": 2, "rows": -1}], ["query", 5, {"rows": "x"}])
    assert tally.fields_dropped == {"undeclared": 2, "invalid": 2}
    assert tally.touched == {
        "query.[field]": Touched(dropped={"undeclared": 2}),
        "query.rows": Touched(dropped={"invalid": 2}),
    }


def test_the_name_of_an_undeclared_field_is_data_and_is_kept_nowhere() -> None:
    _, tally = validate(["query", 5, {"canary-name": 1}], ["canary-event", 5, {"canary-name": 1}])
    assert b"canary" not in msgspec.json.encode(tally)


def test_of_a_field_that_is_there_twice_the_last_one_counts() -> None:
    twice = b"\x91\x93\xa5query\x05\x82\xa4rows\xa1x\xa4rows\x07"
    (one,) = VALIDATOR.validate(twice, Tally())
    assert one.fields.rows == 7


def test_a_name_or_text_that_is_not_utf_8_takes_only_itself_away() -> None:
    tally = Tally()
    bad_name = b"\x93\xa5quer\xff\x05\x80"
    bad_text = b"\x93\xa5query\x05\x81\xa6detail\xa1\xff"
    events = b"".join([b"\x93", bad_name, bad_text, b"\x93\xa5query\x05\x80"])
    assert len(VALIDATOR.validate(events, tally)) == 2
    assert (tally.dropped, tally.fields_dropped) == ({"invalid": 1}, {"invalid": 1})


def test_a_map_as_a_key_takes_its_event_away() -> None:
    tally = Tally()
    assert len(VALIDATOR.validate(b"\x92\x93\xa5query\x05\x81\x80\x01" + b"\x93\xa5query\x05\x80", tally)) == 1
    assert tally.dropped == {"invalid": 1}


@pytest.mark.parametrize(
    "events",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xc0", id="none"),
        pytest.param(b"\x80", id="map"),
        pytest.param(b"\x92\xc0", id="cut-short"),
        pytest.param(b"\xdd\xff\xff\xff\xff", id="announces-4-billion"),
        pytest.param(b"\x91\xc1", id="a-byte-msgpack-does-not-know"),
        pytest.param(b"\x90\x00", id="bytes-left-over"),
        pytest.param(b"\x91" * 100_000 + b"\xc0", id="nested-100000-deep"),
        pytest.param(b"\x91\x93\xa5query\x05" + b"\x81\xa1a" * 100_000 + b"\xc0", id="maps-100000-deep"),
    ],
)
def test_events_that_can_not_be_taken_apart_raise_and_count_nothing(events: bytes) -> None:
    tally = Tally()
    with pytest.raises(UnreadableEventsError):
        VALIDATOR.validate(events, tally)
    assert tally == Tally()


def test_the_error_of_unreadable_events_holds_none_of_them() -> None:
    with pytest.raises(UnreadableEventsError) as error:
        VALIDATOR.validate(b"\x91\xa6secret\xff", Tally())
    assert "secret" not in str(error.value)
    assert error.value.__suppress_context__


def test_an_event_nested_within_reason_takes_only_itself_away() -> None:
    nested: Any = 1
    for _ in range(200):
        nested = [nested]
    fields, tally = validate(GOOD, ["query", 5, {"rows": nested}], nested, GOOD)
    assert (len(fields), tally.dropped, tally.fields_dropped) == (3, {"invalid": 1}, {"invalid": 1})


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(min_value=-(2**63), max_value=2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=5))
    | st.builds(msgpack.Timestamp, st.integers(0, 2**34 - 1), st.integers(0, 999_999_999))
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SCALARS, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["query", "queries", "sampled", "gone", "nobody"])
FIELDS = ["old", "ok", "rows", "seconds", "engine", "detail", "table", "count", "time", "session", "weight", "event"]
NEARLY = st.tuples(
    NAMES | VALUES,
    st.integers(0, 2**62) | VALUES,
    st.dictionaries(st.sampled_from(FIELDS) | SCALARS, VALUES, max_size=4) | VALUES,
)


def check_law(packed: bytes, number: int) -> None:
    tally = Tally()
    valid = VALIDATOR.validate(packed, tally)
    assert len(valid) + sum(tally.dropped.values()) == number
    assert tally.dropped.keys() <= {"undeclared", "expired", "invalid"}
    for one in valid:
        fields = msgspec.json.decode(msgspec.json.encode(one.fields))
        assert fields.keys() <= {"event", "ok", "rows", "seconds", "engine", "detail", "table", "count"}
        assert fields["event"] in {"query", "queries", "sampled"}


@given(st.lists(NEARLY | VALUES, max_size=5))
def test_every_event_passes_or_is_counted_whatever_it_is(events: list[Any]) -> None:
    check_law(msgpack.packb(events), len(events))


@given(st.lists(NEARLY, min_size=1, max_size=3), st.data())
def test_flipped_bytes_never_crash_and_never_let_anything_undeclared_through(
    events: list[Any], data: st.DataObject
) -> None:
    packed = bytearray(msgpack.packb(events))
    for _ in range(data.draw(st.integers(1, 4))):
        packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
    try:
        number = len(msgspec.msgpack.decode(bytes(packed), type=list[msgspec.Raw]))
    except msgspec.DecodeError:
        with pytest.raises(UnreadableEventsError):
            VALIDATOR.validate(bytes(packed), Tally())
        return
    check_law(bytes(packed), number)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5))
def test_a_good_event_is_the_same_beside_a_bad_one(rows: list[int]) -> None:
    good = [["query", number, {"rows": number, "table": "t", "engine": "x"}] for number in rows]
    beside_bad, _ = validate(*good, ["nobody", 1, {}])
    alone, _ = validate(*good)
    assert beside_bad == alone


NUMBERS = Validator(
    compile_catalog(
        Catalog(
            product="acme",
            version=1,
            events={
                "numbers": event(
                    "numbers",
                    Field(name="n", type="int", purpose="p"),
                    Field(name="x", type="float", purpose="p"),
                    Field(name="ms", type="duration", purpose="p"),
                    Field(name="rough", type="int", purpose="p", buckets=(0, 100)),
                ),
                "used": event("used", kind="counter"),
            },
        ),
        TODAY,
    )
)
CARD = 4111111111111111


def validate_numbers(*events: Any) -> tuple[list[dict[str, Any]], Tally]:
    tally = Tally()
    valid = NUMBERS.validate(msgspec.msgpack.encode(events), tally)
    return [
        {name: value for name, value in msgspec.to_builtins(one.fields).items() if name != "event"} for one in valid
    ], tally


def test_a_number_that_is_a_card_is_removed_and_the_event_goes_on() -> None:
    left, tally = validate_numbers(
        ["numbers", 5, {"n": CARD, "x": 2.5}],
        ["numbers", 5, {"x": 5500005555555559.0, "n": 17}],
        ["numbers", 5, {"n": 6304000000000000, "ms": 3.0}],
    )
    assert left == [{"x": 2.5}, {"n": 17}, {"ms": 3.0}]
    assert (tally.fields_dropped, tally.redacted) == ({"redaction_failed": 3}, {"card": 3})


@pytest.mark.parametrize(
    "number",
    [1700000000000000000, 1700000000000, CARD + 1, 99_999_999_999, 10**11, 0, -CARD, 2**63 - 1],
    ids=["nanoseconds", "milliseconds", "no check digit", "eleven digits", "twelve", "nought", "negative", "largest"],
)
def test_other_large_numbers_are_as_they_were(number: int) -> None:
    fields = {"n": number, "x": float(number)}
    assert validate_numbers(["numbers", 5, fields]) == ([fields], Tally())


def test_durations_counts_and_rough_numbers_are_no_cards() -> None:
    left, tally = validate_numbers(["numbers", 5, {"ms": float(CARD), "rough": CARD}], ["used", 5, {"count": CARD}])
    assert left == [{"ms": float(CARD), "rough": CARD}, {"count": CARD}]
    assert tally == Tally()


@given(st.integers(-(2**63) + 1, 2**63 - 1) | st.none())
def test_every_number_that_may_be_one_is_looked_at(number: int | None) -> None:
    left, tally = validate_numbers(["numbers", 5, {"n": number}])
    card = number is not None and number > 0 and is_card(str(number))
    assert left == [{} if card or number is None else {"n": number}]
    assert tally.redacted == ({"card": 1} if card else {})
