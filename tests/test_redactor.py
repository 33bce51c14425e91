from __future__ import annotations

import datetime as dt
import json
from copy import copy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.catalog.compile import Compiled, Envelope, compile_catalog
from telemetry.catalog.matcher import Matcher
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.catalog.template import parse_template
from telemetry.drops import DropReason
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.text import MAX_TEXT_BYTES
from telemetry.shipper.intake.redactor import Redactor
from telemetry.spool.tally import Tally, Touched

SECRET = b"k" * 32
TEXTS = FreeTextRedactor()


def field(name: str, type_: Any, **keys: Any) -> Field:
    return Field(name=name, type=type_, purpose="p", **keys)


def event(name: str, *fields: Field) -> Event:
    named = {field.name: field for field in fields}
    return Event(name=name, purpose="p", owner="o", expires=dt.date.max, sensitivity="technical", fields=named)


def compiled(*events: Event) -> Compiled:
    catalog = Catalog(product="acme", version=1, events={event.name: event for event in events})
    return compile_catalog(catalog, dt.date(2026, 1, 1))


SAID = (
    "all is well",
    "no route to {host}",
    "level {level:int} took {ms:number} ms",
    "user {user:identifier} opened {file:path}",
    "in mode {mode:enum}, total {total:int}",
    "raised {was:error} with {with:version}, {done:bool}",
    "it {said} level {level:int} of {what}",
)
PLAIN = event("plain", field("rows", "int"))
FULL = event(
    "full",
    field("detail", "text", max_length=40),
    field("note", "text", max_length=40),
    field("said", "message", templates=SAID),
    field("said_level", "int", min=0, max=99, parameter_of="said"),
    field("said_ms", "float", buckets=(0.0, 10.0), parameter_of="said"),
    field("said_user", "identifier", parameter_of="said"),
    field("said_file", "path", parameter_of="said"),
    field("said_mode", "enum", values=("batch", "stream"), parameter_of="said"),
    field("said_total", "int", parameter_of="said"),
    field("said_was", "error", parameter_of="said"),
    field("said_with", "version", parameter_of="said"),
    field("said_done", "bool", parameter_of="said"),
    field("table", "identifier"),
    field("column", "identifier"),
    field("statement", "sql"),
    field("file", "path"),
    field("failure", "error"),
    field("driver", "version"),
    field("rows", "int", buckets=(0, 10, 100)),
    field("seconds", "float", buckets=(0.5, 2.0)),
)
CATALOG = compiled(PLAIN, FULL)


def decode(*events: tuple[str, dict[str, Any]]) -> list[Envelope]:
    packed = msgspec.msgpack.encode([[name, 1, fields] for name, fields in events])
    return CATALOG.decoder.decode(packed)


def redact(
    *fields: dict[str, Any], texts: FreeTextRedactor | None = TEXTS, secret: bytes = SECRET
) -> tuple[list[dict[str, Any]], Tally]:
    """What leaves of `full` events with these fields, and the account."""
    tally = Tally()
    events = Redactor(CATALOG, texts, secret, {}).redact(decode(*[("full", each) for each in fields]), tally)
    left = [json.loads(msgspec.json.encode(one.fields)) for one in events]
    return [{name: value for name, value in one.items() if name != "event"} for one in left], tally


def test_a_catalog_without_private_fields_hands_the_very_list_back() -> None:
    found = compiled(PLAIN)
    events = found.decoder.decode(msgspec.msgpack.encode([["plain", 1, {"rows": 5}]]))
    assert Redactor(found, TEXTS, SECRET, {}).redact(events, Tally()) is events


def test_an_event_without_private_fields_is_as_it_was() -> None:
    events = decode(("plain", {"rows": 57}), ("full", {"rows": 57}), ("plain", {"rows": 58}))
    tally = Tally()
    assert Redactor(CATALOG, TEXTS, SECRET, {}).redact(events, tally) is events
    assert [one.fields.rows for one in events] == [57, 10, 58]
    assert tally == Tally()


def test_a_clean_text_stays_and_a_private_one_is_rewritten_and_counted_by_rule() -> None:
    left, tally = redact({"detail": "all is well"}, {"detail": "mail bob@acme.example now", "note": "nothing here"})
    assert left[0] == {"detail": "all is well"}
    assert left[1]["note"] == "nothing here"
    assert "bob" not in left[1]["detail"]
    assert "[email]" in left[1]["detail"]
    assert tally.redacted == {"email": 1}
    assert tally.fields_dropped == {}


def test_each_text_gets_its_own_finding_back() -> None:
    fields = [{"detail": f"number {number}", "note": f"u{number}@acme.example"} for number in range(20)]
    left, _ = redact(*fields)
    assert [one["detail"] for one in left] == [one["detail"] for one in fields]
    assert {one["note"] for one in left} == {"[email]"}


def test_a_text_is_measured_once_it_is_redacted() -> None:
    long_but_private = "bob.the.builder.of.acme@mail.acme.example failed"
    left, tally = redact({"detail": long_but_private}, {"detail": "x" * 41}, {"detail": "a b " * 10})
    assert [one.keys() for one in left] == [{"detail"}, set(), {"detail"}]
    assert tally.fields_dropped == {"invalid": 1}


def test_a_message_leaves_as_its_template_and_each_parameter_by_the_rules_of_its_type() -> None:
    left, tally = redact(
        {"said": "all is well"},
        {"said": "no route to 10.1.17.3"},
        {"said": "level 7 took 12.25 ms"},
        {"said": "user bob opened /home/bob/orders.csv"},
        {"said": "in mode stream, total 12"},
        {"said": "raised ValueError with v1.4, True"},
    )
    token = left[3].pop("said_user")
    assert len(bytes.fromhex(token)) == 8
    assert left == [
        {"said": SAID[0]},
        {"said": SAID[1]},
        {"said": SAID[2], "said_level": 7, "said_ms": 10.0},
        {"said": SAID[3], "said_file": "csv"},
        {"said": SAID[4], "said_mode": "stream", "said_total": 12},
        {"said": SAID[5], "said_was": "ValueError", "said_with": "1.4", "said_done": True},
    ]
    assert tally.redacted == {"message_field": 5, "identifier": 1, "path_field": 1}
    assert tally.fields_dropped == {}


def test_a_message_that_fits_no_template_leaves_as_other_and_is_counted_by_field() -> None:
    left, tally = redact({"said": "no way to 10.1.17.3"}, {"said": ""}, {"said": "level x took 5 ms", "rows": 5})
    assert left == [{"said": "other"}, {"said": "other"}, {"said": "other", "rows": 0}]
    assert tally.unmatched == {"full.said": 3}
    assert tally.fields_dropped == {}


def test_a_parameter_that_its_type_does_not_let_pass_is_removed_alone() -> None:
    left, tally = redact(
        {"said": "level 100 took 5 ms"},
        {"said": "in mode turbo, total 4111111111111111"},
        {"said": "raised Nothing at all with 1.2, false"},
        {"said": "it took level 5 of x level 7 of y"},
        {"said": "user  opened "},
    )
    assert left == [
        {"said": SAID[2], "said_ms": 0.0},
        {"said": SAID[4], "said_mode": "other"},
        {"said": SAID[5], "said_with": "1.2", "said_done": False},
        {"said": SAID[6]},
        {"said": SAID[3]},
    ]
    assert tally.touched["full.said_level"].dropped == {"invalid": 1, "redaction_failed": 1}
    assert tally.touched["full.said_total"].dropped == {"redaction_failed": 1}
    assert tally.touched["full.said_total"].redacted == {"card": 1}
    assert tally.touched["full.said_was"].dropped == {"invalid": 1}


CANARY = "wilhelmina7"
AROUND = st.sampled_from(
    ["", *SAID, " level 7 took 1.5 ms", " again", "user x opened y.csv", " of ", "\n", "\xff", "total 12"]
)


@given(st.sampled_from(SAID), st.lists(st.tuples(AROUND, AROUND), min_size=4, max_size=4))
def test_whatever_stands_in_a_bare_hole_nothing_of_it_leaves(template: str, around: list[tuple[str, str]]) -> None:
    put = iter([f"{before}{CANARY}{after}" for before, after in around])
    typed = {"int": "7", "float": "1.5", "bool": "true", "version": "1.2", "error": "KeyError", "enum": "batch"}
    parts = parse_template(template)
    said = "".join(
        part if isinstance(part, str) else typed.get(part.type, "x") if part.type else next(put) for part in parts
    )
    (left,), _ = redact({"said": said})
    assert CANARY not in json.dumps(left)
    values = [value for name, value in left.items() if name != "said"]
    assert all(
        value in {7, 1.5, 0.0, True, "1.2", "KeyError", "batch", "none"} or len(str(value)) == 16 for value in values
    )


def test_without_a_scanner_messages_leave_as_ever() -> None:
    left, _ = redact({"said": "no route to 10.1.17.3"}, texts=None)
    assert left == [{"said": SAID[1]}]


def test_a_message_that_can_not_be_compared_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_self: Matcher, _text: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(Matcher, "match", fail)
    left, tally = redact({"said": "no route to 10.1.17.3", "rows": 5})
    assert (left, tally.fields_dropped) == ([{"rows": 0}], {"redaction_failed": 1})


def test_without_a_scanner_every_text_is_removed_and_the_events_go_on() -> None:
    left, tally = redact({"detail": "all is well", "rows": 5}, {"note": "fine"}, texts=None)
    assert left == [{"rows": 0}, {}]
    assert tally.fields_dropped == {"redaction_failed": 2}


def test_a_text_that_can_not_be_redacted_is_removed_alone_and_the_event_goes_on() -> None:
    left, tally = redact({"detail": "x" * (MAX_TEXT_BYTES + 1), "note": "fine", "rows": 5})
    assert left == [{"note": "fine", "rows": 0}]
    assert (tally.fields_dropped, tally.redacted) == ({"redaction_failed": 1}, {})


def test_a_name_of_this_machine_is_no_type_of_an_exception() -> None:
    texts = copy(TEXTS)
    texts.look_for(names_to_find({"user": ["janeroe", "acme"], "host": ["KeyErrors"]}))
    left, tally = redact(
        {"failure": "Janeroe"},
        {"failure": "JANEROE@acme.main:run:3"},
        {"failure": "Acme"},
        {"failure": "KeyError@acme.main:janeroe:3"},
        texts=texts,
    )
    assert left == [{}, {}, {"failure": "Acme"}, {"failure": "KeyError@acme.main:janeroe:3"}]
    assert tally.fields_dropped == {"invalid": 2}


def test_an_identifier_leaves_as_a_token_that_is_the_same_within_a_session() -> None:
    left, tally = redact({"table": "users"}, {"table": "orders", "column": "users"}, {"table": "users"})
    tokens = [one["table"] for one in left]
    assert tokens[0] == tokens[2] == left[1]["column"] != tokens[1]
    assert all(len(bytes.fromhex(token)) == 8 for token in tokens)
    assert tally.redacted == {"identifier": 4}


def test_a_numeric_identifier_has_the_token_of_its_digits() -> None:
    left, _ = redact({"table": 1007}, {"table": "1007"})
    assert left[0] == left[1]
    assert left[0]["table"] != "1007"


def test_the_next_session_has_other_tokens() -> None:
    (first,), _ = redact({"table": "users"}, secret=b"a" * 32)
    (second,), _ = redact({"table": "users"}, secret=b"b" * 32)
    assert first["table"] != second["table"]


def test_what_fails_to_be_rewritten_is_removed_and_the_event_goes_on() -> None:
    too_long_for_blake2b = b"k" * 65
    left, tally = redact({"table": "users", "rows": 5}, secret=too_long_for_blake2b)
    assert left == [{"rows": 0}]
    assert (tally.fields_dropped, tally.redacted) == ({"redaction_failed": 1}, {})


def test_sql_leaves_as_its_shape() -> None:
    (left,), tally = redact({"statement": "select name from customers where id = 4711"})
    assert "customers" not in left["statement"]
    assert "4711" not in left["statement"]
    assert tally.redacted == {"sql_field": 1}


def test_a_path_leaves_as_its_extension() -> None:
    (left,), tally = redact({"file": "/home/bob/invoices/acme.csv"})
    assert left == {"file": "csv"}
    assert tally.redacted == {"path_field": 1}


def test_a_version_leaves_as_a_version_or_not_at_all() -> None:
    left, tally = redact({"driver": "1.2"}, {"driver": "bob's own build"})
    assert left == [{"driver": "1.2"}, {}]
    assert tally.fields_dropped == {"invalid": 1}


def test_what_is_no_error_in_the_reduced_form_is_removed() -> None:
    left, tally = redact({"failure": "can't open /home/bob/secret.txt for bob"})
    assert left == [{}]
    assert tally.fields_dropped == {"invalid": 1}


@pytest.mark.parametrize(
    "value",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5",
        "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.abcABC123",
        "DE89370400440532013000",
        "KeyError@acme.db:AKIAIOSFODNN7EXAMPLE:3",
    ],
)
def test_a_token_in_the_form_of_an_error_is_removed(value: str) -> None:
    left, tally = redact({"failure": value}, {"failure": "acme.io.ReadError@acme.io:read:12;acme.net.com:send:7"})
    assert left == [{}, {"failure": "acme.io.ReadError@acme.io:read:12;acme.net.com:send:7"}]
    assert tally.fields_dropped == {"invalid": 1}


@pytest.mark.parametrize(
    ("value", "bound"), [(-5, 0), (0, 0), (9, 0), (10, 10), (57, 10), (99, 10), (100, 100), (10**9, 100)]
)
def test_a_number_leaves_as_the_bound_at_or_below_it(value: int, bound: int) -> None:
    left, tally = redact({"rows": value})
    assert left == [{"rows": bound}]
    assert isinstance(left[0]["rows"], int)
    assert tally == Tally()


def test_a_float_leaves_as_its_bound() -> None:
    assert redact({"seconds": 1.99}, {"seconds": 0.1}, {"seconds": 7.0})[0] == [
        {"seconds": 0.5},
        {"seconds": 0.5},
        {"seconds": 2.0},
    ]


def test_an_absent_field_costs_nothing_and_counts_nothing() -> None:
    assert redact({}, {}) == ([{}, {}], Tally())


def test_more_identifiers_than_the_cache_holds_have_their_tokens_all_the_same() -> None:
    events = [one for start in (0, 10_000) for one in decode(*[("full", {"table": start + n}) for n in range(10_000)])]
    redactor = Redactor(CATALOG, TEXTS, SECRET, {})
    redactor.redact(events, Tally())
    assert len({one.fields.table for one in events}) == 20_000
    (again,) = redactor.redact(decode(("full", {"table": 0})), Tally())
    assert again.fields.table == events[0].fields.table


def test_what_each_rule_did_is_told_field_by_field() -> None:
    _, tally = redact(
        {"detail": "mail bob@acme.example from 10.1.17.3", "table": "users", "driver": "bob's own build"},
        {"detail": "mail bob@acme.example now", "note": "x" * 41, "statement": "select 1", "file": "/a/b.csv"},
    )
    assert tally.touched == {
        "full.detail": Touched(redacted={"email": 2, "ip": 1}),
        "full.table": Touched(redacted={"identifier": 1}),
        "full.driver": Touched(dropped={"invalid": 1}),
        "full.note": Touched(dropped={"invalid": 1}),
        "full.statement": Touched(redacted={"sql_field": 1}),
        "full.file": Touched(redacted={"path_field": 1}),
    }


PRIVATE = st.sampled_from(["fine", "mail bob@acme.example", "from 10.1.17.3 by bob@acme.example", "x" * 41])


@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(["detail", "note", "table", "file", "driver"], PRIVATE)),
        max_size=5,
    ),
    st.sampled_from([TEXTS, None]),
)
def test_field_by_field_adds_up_to_the_sums(fields: list[dict[str, str]], texts: FreeTextRedactor | None) -> None:
    _, tally = redact(*fields, texts=texts)
    told: Tally = Tally()
    for name, touched in tally.touched.items():
        for rule, values in touched.redacted.items():
            told.redact(name, rule, values)
        for reason, values in touched.dropped.items():
            told.drop_field(name, DropReason(reason), values)
    assert told == tally


MARKED = st.text(st.characters(exclude_categories=["Cs"]), max_size=10).map(lambda text: f"{text}zq9zq{text}")


@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(["table", "column", "statement", "file", "driver"], MARKED)),
        max_size=5,
    )
)
def test_of_what_is_no_free_text_nothing_raw_is_left(fields: list[dict[str, str]]) -> None:
    left, tally = redact(*fields)
    assert "zq9zq" not in json.dumps(left)
    values = sum(map(len, fields))
    assert sum(map(len, left)) + sum(tally.fields_dropped.values()) == values
