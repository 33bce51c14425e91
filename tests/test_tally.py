"""Tallies add up."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.drops import DropReason
from telemetry.spool.tally import UNDECLARED_FIELD, UNMATCHED, Tally, Touched

if TYPE_CHECKING:
    from collections.abc import Iterable

COUNTS = st.dictionaries(st.sampled_from([reason.value for reason in DropReason]), st.integers(1, 1000), max_size=4)
FIELDS = st.sampled_from(["failed.detail", "failed.table", "done.detail", f"done.{UNDECLARED_FIELD}"])
RULES = st.sampled_from(["ip", "email", "identifier"])
WORK = st.tuples(FIELDS, st.sampled_from(DropReason) | RULES, st.integers(0, 1000))


@st.composite
def _tallies(draw: st.DrawFn) -> Tally:
    """Tallies as the stages make them."""
    tally = Tally(draw(st.integers(0, 1000)), draw(st.integers(0, 1000)), draw(COUNTS))
    for field, what, values in draw(st.lists(WORK, max_size=8)):
        if isinstance(what, DropReason):
            tally.drop_field(field, what, values)
        else:
            tally.redact(field, what, values)
    return tally


TALLIES = _tallies()


def _sum(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(total)


@settings(deadline=None)
@given(TALLIES, TALLIES)
def test_a_sum_balances_as_its_parts_do(one: Tally, other: Tally) -> None:
    both = one.copy()
    both.add(other)

    assert both.balance == one.balance + other.balance
    assert both.lost == one.lost + other.lost


@settings(deadline=None)
@given(TALLIES, TALLIES)
def test_what_was_done_field_by_field_adds_up_to_the_sums(one: Tally, other: Tally) -> None:
    for tally in (one, other, one.copy()):
        tally.add(other)

        assert _sum(field.redacted for field in tally.touched.values()) == tally.redacted
        assert _sum(field.dropped for field in tally.touched.values()) == tally.fields_dropped


@settings(deadline=None)
@given(TALLIES, TALLIES)
def test_a_copy_grows_apart(one: Tally, other: Tally) -> None:
    before = msgspec.json.encode(one)
    one.copy().add(other)

    assert msgspec.json.encode(one) == before


@settings(deadline=None)
@given(TALLIES)
def test_a_tally_is_what_it_was_after_the_way_over_disk(tally: Tally) -> None:
    assert msgspec.json.decode(msgspec.json.encode(tally), type=Tally) == tally


def test_two_tallies_made_from_nothing_share_nothing() -> None:
    one, other = Tally(), Tally()
    one.drop(DropReason.SAMPLED)
    one.drop_field("failed.detail", DropReason.INVALID)
    one.redact("failed.detail", "email")

    assert other == Tally()


def test_each_kind_of_loss_is_counted_by_its_name() -> None:
    tally = Tally(emitted=5, kept=2)
    tally.drop(DropReason.SAMPLED, 2)
    tally.drop(DropReason.EXPIRED)
    tally.drop(DropReason.INVALID, 0)
    tally.drop_field("failed.[field]", DropReason.UNDECLARED, 3)
    tally.redact("failed.detail", "email", 4)
    tally.redact("failed.table", "identifier", 0)

    assert tally.dropped == {"sampled": 2, "expired": 1}
    assert (tally.fields_dropped, tally.redacted) == ({"undeclared": 3}, {"email": 4})
    assert tally.touched == {
        "failed.[field]": Touched(dropped={"undeclared": 3}),
        "failed.detail": Touched(redacted={"email": 4}),
    }
    assert tally.balance == 0


def test_a_tally_written_before_fields_were_told_apart_is_read_as_it_was() -> None:
    before = b'{"emitted":5,"kept":5,"redacted":{"email":4}}'

    tally = msgspec.json.decode(before, type=Tally)

    assert (tally.redacted, tally.touched) == ({"email": 4}, {})
    assert msgspec.json.encode(tally) == before, "or a Seal that holds it would not have its check any more"


def test_messages_that_fit_no_template_are_told_by_field() -> None:
    tally = Tally()
    tally.redact("failed.detail", UNMATCHED, 3)
    tally.redact("failed.table", "identifier", 2)
    other = tally.copy()
    tally.add(other)
    assert tally.unmatched == {"failed.detail": 6}


@pytest.mark.parametrize(
    ("late", "unconfirmed", "emitted", "left"),
    [(5, 3, 7, {}), (2, 3, 8, {"exit_unconfirmed": 1}), (2, 0, 10, {})],
    ids=["all that were lost", "some", "none"],
)
def test_late_events_are_counted_once(late: int, unconfirmed: int, emitted: int, left: dict[str, int]) -> None:
    lost = {"exit_unconfirmed": unconfirmed} if unconfirmed else {}
    tally = Tally(emitted=10, kept=4, dropped=lost, late=late)
    tally.settle_late()
    assert tally == Tally(emitted=emitted, kept=4, dropped=left)


def test_what_is_taken_back_is_no_loss() -> None:
    tally = Tally()
    tally.drop(DropReason.SAMPLED, 5)
    tally.take_back(DropReason.SAMPLED, 2)
    assert tally.dropped == {"sampled": 3}
    tally.take_back(DropReason.SAMPLED, 3)
    assert tally.dropped == {}


def test_a_sum_has_the_late_events_of_its_parts() -> None:
    both = Tally(late=1)
    both.add(Tally(late=2))
    assert both.late == 3


def test_the_fields_of_some_events_are_moved_with_their_part_of_the_sums() -> None:
    tally = Tally()
    tally.drop_field("failed.detail", DropReason.INVALID)
    tally.drop_field("failed.detail", DropReason.EXPIRED, 0)
    tally.drop_field("done.detail", DropReason.INVALID, 4)
    tally.drop_field("done.none", DropReason.INVALID, 0)
    tally.redact("failed.table", "email")
    tally.redact("done.table", "email", 2)

    taken = tally.take_fields({"failed"})

    assert taken == Tally(
        fields_dropped={"invalid": 1},
        redacted={"email": 1},
        touched={"failed.detail": Touched(dropped={"invalid": 1}), "failed.table": Touched(redacted={"email": 1})},
    )
    assert tally == Tally(
        fields_dropped={"invalid": 4},
        redacted={"email": 2},
        touched={"done.detail": Touched(dropped={"invalid": 4}), "done.table": Touched(redacted={"email": 2})},
    )
