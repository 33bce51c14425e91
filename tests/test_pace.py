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
