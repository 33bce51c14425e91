"""What a batch of events becomes, read by another implementation of msgpack."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.producer.encode import Encoder, RawEvent

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
EVENTS = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.integers(0, 2**63),
    st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), SCALARS),
)


class Text(str):
    __slots__ = ()


class Whole(int):
    pass


class Real(float):
    pass


def _own(value: object) -> object:
    raise AssertionError(type(value))


for _scalar in (Text, Whole, Real):
    for _method in ("__str__", "__repr__", "__index__", "__int__", "__float__", "__iter__", "__len__"):
        setattr(_scalar, _method, _own)


class Engine(enum.StrEnum):
    BATCH = "batch"


class Level(enum.IntEnum):
    LOW = 1


@dataclass
class TableMissingError(Exception):
    """Keeps what it is about in fields, as many exceptions do."""

    table: str


class AttrsLikeError(Exception):
    """As `attrs.define` leaves a class."""

    __attrs_attrs__: tuple[Any, ...] = ()


class Row(msgspec.Struct):
    rows: int = 1


MARKER = msgpack.ExtType(1, b"")


def encode(*events: RawEvent) -> list[Any]:
    return list(msgpack.unpackb(Encoder(lambda error: f"reduced {type(error).__name__}").encode(list(events))))


@given(st.lists(EVENTS))
def test_what_scalars_are_emitted_is_what_is_read(events: list[RawEvent]) -> None:
    assert encode(*events) == [list(event) for event in events]


@pytest.mark.parametrize(
    ("value", "read"),
    [(Text("a"), "a"), (Whole(3), 3), (Real(1.5), 1.5), (Engine.BATCH, "batch"), (Level.LOW, 1)],
    ids=["text", "whole number", "real number", "enum of texts", "enum of numbers"],
)
def test_a_value_of_a_subclass_is_the_scalar_that_it_is(value: object, read: object) -> None:
    found = encode(("e", 1, {"field": value}), ("e", 2, {"field": None}))
    assert found == [["e", 1, {"field": read}], ["e", 2, {"field": None}]]
    assert type(found[0][2]["field"]) is type(read)


@pytest.mark.parametrize(("name", "read"), [(Text("query"), "query"), (Engine.BATCH, "batch")], ids=["text", "enum"])
def test_a_name_may_be_of_a_subclass(name: str, read: str) -> None:
    assert encode((name, 1, {name: 1})) == [[read, 1, {read: 1}]]


@pytest.mark.parametrize("error", [ValueError("secret"), TableMissingError("secret"), AttrsLikeError("secret")])
def test_an_exception_of_whatever_class_is_reduced(error: BaseException) -> None:
    fields = {"before": 1, "error": error, "after": "b"}
    plain = ("e", 1, {"before": 1})
    assert encode(plain, ("e", 2, fields), plain)[1] == [
        "e",
        2,
        {"before": 1, "error": f"reduced {type(error).__name__}", "after": "b"},
    ]
    assert fields["error"] is error, "the host's own dict is left as it is"


@dataclass
class Order:
    customer: str = "secret"


@pytest.mark.parametrize("value", [Order(), {1, 2}, len, Order, memoryview(b"a"), [object()], {"a": Order()}])
def test_an_object_is_not_taken_apart_and_leaves_a_mark(value: object) -> None:
    assert encode(("e", 1, {"before": 1, "field": value})) == [["e", 1, {"before": 1, "field": MARKER}]]


BAD = [2**64, -(2**63) - 1, "\ud800", Decimal("sNaN"), object(), 1j]


@pytest.mark.parametrize("value", BAD)
def test_what_msgpack_has_no_form_for_raises(value: object) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        encode(("e", 1, {"field": value}))


@pytest.mark.parametrize("value", BAD)
def test_an_event_is_mended_by_a_mark_in_the_place_of_the_bad_value(value: object) -> None:
    mended = Encoder(lambda _: "").mend(("e", 1, {"a": 1, "field": value, "\ud800": 2}))
    assert msgpack.unpackb(mended) == [["e", 1, {"a": 1, "field": MARKER, "[field]": 2}]]


@pytest.mark.parametrize("value", [dt.datetime(2026, 1, 1, tzinfo=dt.UTC), Decimal("1.5"), Row(), [1, "a"], {"a": 1}])
def test_what_is_no_scalar_but_has_a_form_goes_to_the_shipper_which_judges_it(value: object) -> None:
    (event,) = encode(("e", 1, {"field": value, "other": 1}))
    assert (event[0], event[1], event[2]["other"]) == ("e", 1, 1)
    assert event[2].keys() == {"field", "other"}
