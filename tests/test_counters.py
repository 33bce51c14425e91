"""Counters: exact between threads, and nothing that is counted gets lost on the way."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import eventually, host, stand_in, write_catalog

from telemetry.producer.counters import TALLY_CALLS, Counters

if TYPE_CHECKING:
    from pathlib import Path

CALLS = st.lists(
    st.tuples(
        st.sampled_from(["queries", "scans"]),
        st.integers(-5, 1_000_000),
        st.dictionaries(st.sampled_from("abc"), st.sampled_from(["x", "y"]), max_size=3),
    )
)


def take(counters: Counters, patience_seconds: float = 0.0) -> list[tuple[str, dict[str, Any]]] | None:
    """What is handed over; None when another thread has it in hand."""
    taken: list[tuple[str, dict[str, Any]]] = []
    return taken if counters.hand_over(taken.extend, patience_seconds) else None


@given(calls=CALLS, cut=st.integers(0, 20))
def test_the_sums_are_those_of_the_calls(calls: list[tuple[str, int, dict[str, Any]]], cut: int) -> None:
    expected: Counter[tuple[str, tuple[tuple[str, Any], ...]]] = Counter()
    counters = Counters()
    for position, (name, number, fields) in enumerate(calls):
        expected[name, tuple(sorted(fields.items()))] += number
        counters.calls.append((name, number, fields))
        if position == cut:
            counters.tally()
    taken = take(counters)
    assert taken is not None
    found = {
        (name, tuple(sorted((key, value) for key, value in fields.items() if key != "count"))): fields["count"]
        for name, fields in taken
    }
    assert found == dict(expected)
    assert len(taken) == len(found)
    assert take(counters) == []
    assert not counters


class Unhashable:
    __hash__ = None  # type: ignore[assignment]


class Angry:
    def __hash__(self) -> int:
        raise ZeroDivisionError

    def __index__(self) -> int:
        raise ZeroDivisionError


@pytest.mark.parametrize("value", [[1], {}, Unhashable(), Angry()], ids=["list", "dict", "unhashable", "angry"])
def test_fields_that_cannot_be_compared_go_alone(value: object) -> None:
    counters = Counters()
    for fields in ({"a": "x"}, {"a": value}, {"a": "x"}):
        counters.calls.append(("queries", 2, fields))
    assert take(counters) == [("queries", {"a": "x", "count": 4}), ("queries", {"a": value, "count": 2})]


@pytest.mark.parametrize("number", ["1", 1.5, None, Angry()], ids=["text", "float", "none", "angry"])
def test_what_is_no_whole_number_goes_alone_and_spoils_no_sum(number: Any) -> None:
    counters = Counters()
    for n in (1, number, 2):
        counters.calls.append(("queries", n, {}))
    assert take(counters) == [("queries", {"count": 3}), ("queries", {"count": number})]


def test_what_another_thread_has_in_hand_is_waited_for_and_not_taken_for_nothing() -> None:
    counters = Counters()
    counters.calls.append(("queries", 1, {}))
    with counters._lock:
        assert take(counters) is None
        assert take(counters, 0.01) is None
        counters.tally()
    assert counters
    assert take(counters, 0.01) == [("queries", {"count": 1})]


def test_what_is_on_its_way_to_the_outbox_is_in_hand_still() -> None:
    """Else a process that ends at that moment would find nothing to hand over, and lose it."""
    counters = Counters()
    counters.calls.append(("queries", 1, {}))
    seen: list[object] = []
    assert counters.hand_over(lambda taken: seen.extend([taken, take(counters)]))

    assert seen == [[("queries", {"count": 1})], None]


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


def test_counts_of_eight_threads_are_exact(catalog: Path) -> None:
    each = TALLY_CALLS * 3 + 7
    with stand_in(catalog) as shipper, host(catalog) as client:

        def work() -> None:
            for _ in range(each):
                client.count("queries", engine="batch")
                client.count("queries", 2, engine="stream")

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert client.flush(30)
        sums: Counter[str] = Counter()
        for name, _, fields in shipper.events:
            assert name == "queries"
            sums[fields["engine"]] += fields["count"]
        assert sums == {"batch": 8 * each, "stream": 16 * each}
        assert len(shipper.events) < 200


def test_a_count_arrives_without_a_flush(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        for _ in range(100):
            client.count("queries", engine="batch")
        eventually(lambda: sum(shipper.values("count")) == 100)


def test_what_cannot_be_encoded_is_counted_as_dropped_and_the_rest_arrives(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.count("queries", engine="batch")
        client.count("queries", engine=object())
        client.count("queries", engine={object()})
        client.count("queries", engine="batch")
        assert client.flush(30)
        assert shipper.values("count") == [2]
        assert shipper.frames[-1].dropped == {"unencodable": 2}


def test_close_hands_over_the_counts(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        with host(catalog) as client:
            client.count("queries", 3)
            client.close(30)
        assert shipper.values("count") == [3]
