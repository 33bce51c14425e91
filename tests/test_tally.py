"""Tallies add up."""

from __future__ import annotations

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.drops import DropReason
from telemetry.spool.tally import Tally

COUNTS = st.dictionaries(st.sampled_from([reason.value for reason in DropReason]), st.integers(1, 1000), max_size=4)
TALLIES = st.builds(Tally, st.integers(0, 1000), st.integers(0, 1000), COUNTS, COUNTS, COUNTS)


@settings(deadline=None)
@given(TALLIES, TALLIES)
def test_a_sum_balances_as_its_parts_do(one: Tally, other: Tally) -> None:
    both = one.copy()
    both.add(other)

    assert both.balance == one.balance + other.balance
    assert both.lost == one.lost + other.lost


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
    one.drop_field(DropReason.INVALID)
    one.redact("email")

    assert other == Tally()


def test_each_kind_of_loss_is_counted_by_its_name() -> None:
    tally = Tally(emitted=5, kept=2)
    tally.drop(DropReason.SAMPLED, 2)
    tally.drop(DropReason.EXPIRED)
    tally.drop(DropReason.INVALID, 0)
    tally.drop_field(DropReason.UNDECLARED, 3)
    tally.redact("email", 4)

    assert tally.dropped == {"sampled": 2, "expired": 1}
    assert (tally.fields_dropped, tally.redacted) == ({"undeclared": 3}, {"email": 4})
    assert tally.balance == 0
