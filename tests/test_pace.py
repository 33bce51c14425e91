"""When a batch may leave: the laws of jitter, pauses and bandwidth, with time made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.shipper.delivery.pace import MAX_PAUSE_SECONDS, Bandwidth, Pace

BODIES = st.lists(st.tuples(st.floats(0, 100), st.integers(0, 10_000_000)), min_size=1, max_size=10)


@given(BODIES, st.integers(1, 10_000_000))
def test_between_any_two_uploads_no_more_is_sent_than_the_rate_allows(
    bodies: list[tuple[float, int]], rate: int
) -> None:
    bandwidth, now = Bandwidth(rate), 0.0
    sent: list[tuple[float, int]] = []
    for idle_seconds, body_bytes in bodies:
        now += idle_seconds
        now += max(0.0, bandwidth.wait_seconds(now))
        bandwidth.spend(body_bytes, now)
        sent.append((now, body_bytes))

    for first, (began, _) in enumerate(sent):
        total = 0
        for at, body_bytes in sent[first:]:
            assert total <= rate * (at - began) * (1 + 1e-9) + 1e-3
            total += body_bytes


@given(BODIES, st.integers(1, 10_000_000))
def test_who_wants_to_send_all_the_time_waits_for_no_longer_than_the_rate_asks(
    bodies: list[tuple[float, int]], rate: int
) -> None:
    bandwidth, now, total = Bandwidth(rate), 0.0, 0
    for _, body_bytes in bodies:
        now += max(0.0, bandwidth.wait_seconds(now))
        assert now == pytest.approx(total / rate)
        bandwidth.spend(body_bytes, now)
        total += body_bytes


@given(BODIES)
def test_without_a_bound_nothing_waits(bodies: list[tuple[float, int]]) -> None:
    bandwidth = Bandwidth(0)
    for now, body_bytes in bodies:
        bandwidth.spend(body_bytes, now)
        assert bandwidth.wait_seconds(now) <= 0


@given(st.text("0123456789abcdef", min_size=32, max_size=32), st.floats(0, 1e6), st.floats(0, 1e6))
def test_a_batch_waits_between_nothing_and_the_bound_and_until_the_same_moment(
    id_: str, bound: float, later: float
) -> None:
    pace = Pace(bound, 0.0, lambda: 0.0)
    wait_seconds = pace.wait_seconds(id_, 10.0, 10.0)

    assert 0 <= wait_seconds <= bound
    assert pace.wait_seconds(id_, 10.0, 10.0 + later) == pytest.approx(wait_seconds - later, abs=1e-6)


def test_a_batch_s_id_does_not_tell_its_jitter() -> None:
    waits = {Pace(100.0, 0.0, lambda: 0.0).wait_seconds("ab" * 16, 0.0, 0.0) for _ in range(20)}

    assert len(waits) == 20


@given(st.floats(0, 1e4), st.floats(0, 1, exclude_max=True))
def test_a_backlog_pauses_for_twice_its_upload_at_most_and_what_is_fresh_does_not(took: float, chance: float) -> None:
    pace = Pace(0.0, 0.0, lambda: chance)
    pace.recover(100.0)
    pace.upload(99.0, took, 200.0)

    assert pace.wait_seconds("old", 100.0, 200.0) == pytest.approx(chance * min(2 * took, MAX_PAUSE_SECONDS))
    assert pace.wait_seconds("fresh", 150.0, 200.0) <= 0
    pace.hurry(300.0)
    assert pace.wait_seconds("old", 100.0, 200.0) == 0


def test_a_batch_that_is_set_aside_waits_by_itself_even_if_hurried() -> None:
    pace = Pace(0.0, 0.0, lambda: 0.0)
    pace.set_aside("aside", 50.0)
    pace.hurry(20.0)

    assert pace.wait_seconds("aside", 10.0, 20.0) == 30.0
    assert pace.wait_seconds("aside", 10.0, 49.5) == 0.5
    assert pace.wait_seconds("aside", 10.0, 50.0) == pace.wait_seconds("another", 10.0, 20.0) == 0.0


def test_what_is_sealed_at_the_very_moment_of_a_hurry_or_a_recovery_is_part_of_it() -> None:
    pace = Pace(100.0, 0.0, lambda: 1.0)
    pace.recover(20.0)
    assert (pace.is_backlog(20.0), pace.is_backlog(20.5)) == (True, False)
    pace.upload(20.0, 0.25, 30.0)
    assert pace.pauses(20.0, 30.0)
    assert not pace.pauses(20.0, 30.5)
    pace.hurry(20.0)
    assert pace.wait_seconds("old", 20.0, 20.0) == 0.0


def test_only_the_upload_of_a_backlog_makes_it_pause() -> None:
    pace = Pace(0.0, 0.0, lambda: 1.0)
    pace.recover(20.0)
    pace.upload(21.0, 0.25, 30.0)
    assert not pace.pauses(20.0, 30.0)


def test_jitter_takes_the_whole_of_its_range() -> None:
    pace = Pace(1.0, 0.0, lambda: 0.0)
    waits = [pace.wait_seconds(f"{number:032x}", 10.0, 10.0) for number in range(1000)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9


def test_two_bodies_that_are_sent_in_a_row_are_paid_for_one_after_the_other() -> None:
    bandwidth = Bandwidth(10)
    bandwidth.spend(100, 0.0)
    bandwidth.spend(50, 0.0)
    assert bandwidth.wait_seconds(0.0) == 15.0
