from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.catalog.compile import Compiled, Envelope, compile_catalog
from telemetry.catalog.model import Catalog, Event
from telemetry.shipper.intake.sampler import Sampler
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

SECOND = 1_000_000_000


def compiled(**events: dict[str, Any]) -> Compiled:
    models = {
        name: Event(name=name, purpose="p", owner="o", expires=dt.date.max, sensitivity="technical", fields={}, **keys)
        for name, keys in events.items()
    }
    return compile_catalog(Catalog(product="acme", version=1, events=models), dt.date(2026, 1, 1))


def decode(found: Compiled, *events: tuple[str, int]) -> list[Envelope]:
    return found.decoder.decode(msgspec.msgpack.encode([[name, time_ns, {}] for name, time_ns in events]))


def weights(events: list[Envelope]) -> list[float]:
    return [event.fields.weight for event in events]


def never() -> float:
    raise AssertionError("nothing is left to chance here")


def drawing(*numbers: float) -> Callable[[], float]:
    draws = iter(numbers)
    return lambda: next(draws)


def test_a_catalog_without_sampling_hands_the_very_list_back() -> None:
    found = compiled(e={})
    events = decode(found, ("e", 1), ("e", 2))
    tally = Tally()
    assert Sampler(found, never).sample(events, tally) is events
    assert tally == Tally()


def test_an_event_that_is_not_sampled_passes_beside_one_that_is() -> None:
    found = compiled(plain={}, rare={"sample": 0.25})
    tally = Tally()
    events = decode(found, ("plain", 1), ("rare", 2), ("plain", 3), ("rare", 4))
    kept = Sampler(found, drawing(0.25, 0.24)).sample(events, tally)
    assert kept == [events[0], events[2], events[3]]
    assert kept[2].fields.weight == 4.0
    assert tally.dropped == {"sampled": 1}


def test_a_sample_of_all_is_no_sampling() -> None:
    found = compiled(e={"sample": 1.0})
    events = decode(found, ("e", 1))
    assert Sampler(found, never).sample(events, Tally()) is events


@pytest.mark.parametrize("share", [0.9, 0.5, 0.1])
def test_the_weights_of_a_sample_add_up_to_about_all_events(share: float) -> None:
    found = compiled(e={"sample": share})
    number = 16_000
    tally = Tally()
    kept = Sampler(found, random.Random(7).random).sample(decode(found, *[("e", 1)] * number), tally)
    five_sigma = 5 * (number * (1 - share) / share) ** 0.5
    assert abs(sum(weights(kept)) - number) < five_sigma
    assert len(kept) + tally.dropped["sampled"] == number


def test_a_cap_keeps_the_first_of_each_second_and_the_next_one_carries_the_rest() -> None:
    found = compiled(e={"max_per_second": 2})
    times = [0, 1, 2, 3, SECOND, SECOND + 1, SECOND + 2]
    tally = Tally()
    kept = Sampler(found, never).sample(decode(found, *[("e", time) for time in times]), tally)
    assert [event.time_ns for event in kept] == [0, 1, SECOND, SECOND + 1]
    assert weights(kept) == [1.0, 1.0, 3.0, 1.0]
    assert tally.dropped == {"sampled": 3}


def test_each_event_has_a_cap_of_its_own() -> None:
    found = compiled(a={"max_per_second": 1}, b={"max_per_second": 1})
    events = decode(found, ("a", 0), ("b", 0), ("a", 1), ("b", SECOND), ("a", SECOND))
    kept = Sampler(found, never).sample(events, Tally())
    assert kept == [events[0], events[1], events[3], events[4]]
    assert weights(kept) == [1.0, 1.0, 1.0, 2.0]


def test_the_cap_holds_over_several_drains() -> None:
    found = compiled(e={"max_per_second": 1})
    sampler = Sampler(found, never)
    drains = [sampler.sample(decode(found, ("e", time)), Tally()) for time in (0, 1, 2, SECOND)]
    assert [weights(kept) for kept in drains] == [[1.0], [], [], [3.0]]


def test_a_share_and_a_cap_go_together() -> None:
    found = compiled(e={"sample": 0.5, "max_per_second": 1})
    events = decode(found, ("e", 0), ("e", 1), ("e", 2), ("e", SECOND))
    kept = Sampler(found, drawing(0.0, 0.0, 0.9, 0.0)).sample(events, Tally())
    assert weights(kept) == [2.0, 4.0]


def test_threads_that_take_turns_over_the_end_of_a_second_do_not_lift_the_cap() -> None:
    found = compiled(e={"max_per_second": 1})
    times = [SECOND - 1, SECOND, SECOND - 1, SECOND + 1, SECOND - 1, SECOND + 2]
    kept = Sampler(found, never).sample(decode(found, *[("e", time) for time in times]), Tally())
    assert [event.time_ns for event in kept] == [SECOND - 1, SECOND]


def test_one_time_in_the_far_future_does_not_starve_the_events_after_it() -> None:
    found = compiled(e={"max_per_second": 1})
    times = [2**62, *(second * SECOND for second in range(5))]
    kept = Sampler(found, never).sample(decode(found, *[("e", time) for time in times]), Tally())
    assert len(kept) > 1
    assert sum(weights(kept)) == pytest.approx(len(times), abs=3)


@given(
    st.lists(st.lists(st.integers(0, 10 * SECOND), max_size=20), max_size=4),
    st.integers(1, 3),
    st.sampled_from([1.0, 0.5]),
)
def test_no_event_of_a_cap_is_forgotten(drains: list[list[int]], cap: int, share: float) -> None:
    found = compiled(e={"max_per_second": cap, "sample": share})
    sampler = Sampler(found, lambda: 0.0)  # the dice keep all, so only the cap drops
    tally = Tally()
    kept: list[Envelope] = []
    for times in drains:
        kept += sampler.sample(decode(found, *[("e", time) for time in times]), tally)
    (last,) = sampler.sample(decode(found, ("e", 100 * SECOND)), tally)
    number = sum(map(len, drains)) + 1
    assert sum(weights([*kept, last])) == number / share
    assert len(kept) + 1 + tally.dropped.get("sampled", 0) == number


@given(st.lists(st.integers(0, 5 * SECOND), max_size=40), st.integers(1, 3))
def test_of_events_in_order_no_second_has_more_than_the_cap(times: list[int], cap: int) -> None:
    found = compiled(e={"max_per_second": cap})
    events = decode(found, *[("e", time) for time in sorted(times)])
    kept = [event.time_ns // SECOND for event in Sampler(found, never).sample(events, Tally())]
    assert all(kept.count(second) <= cap for second in kept)
