"""Counters: exact between threads, and nothing that is counted gets lost on the way."""

from __future__ import annotations

import enum
import json
import math
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import eventually, host, stand_in, write_catalog

from telemetry.exponential import MOST, SCALE, nearest_bound
from telemetry.paths import TOMBSTONES
from telemetry.producer.counters import TALLY_CALLS, Counters

if TYPE_CHECKING:
    from pathlib import Path

numpy: Any = pytest.importorskip("numpy")


class Whole(enum.IntEnum):
    ONE = 1


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
    counters = Counters({})
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
    """Ends the program, or would hang it, as soon as it is looked at."""

    ran = 0

    def _run(self, *_: object) -> Any:
        type(self).ran += 1
        raise SystemExit

    __hash__ = __eq__ = __index__ = __int__ = __lt__ = _run


class AngryText(str):
    __slots__ = ()
    __hash__ = __eq__ = __lt__ = Angry._run
    ran = 0


class AngryClass(type):
    __hash__ = __eq__ = Angry._run
    ran = 0


class OfAngryClass(metaclass=AngryClass):
    __slots__ = ()


@pytest.mark.parametrize("value", [[1], {}, Unhashable(), Angry()], ids=["list", "dict", "unhashable", "angry"])
def test_fields_that_cannot_be_compared_go_alone(value: object) -> None:
    counters = Counters({})
    for fields in ({"a": "x"}, {"a": value}, {"a": "x"}):
        counters.calls.append(("queries", 2, fields))
    assert take(counters) == [("queries", {"a": "x", "count": 4}), ("queries", {"a": value, "count": 2})]


@pytest.mark.parametrize("number", ["1", 1.5, None, Angry()], ids=["text", "float", "none", "angry"])
def test_what_is_no_whole_number_goes_alone_and_spoils_no_sum(number: Any) -> None:
    counters = Counters({})
    for n in (1, number, 2):
        counters.calls.append(("queries", n, {}))
    assert take(counters) == [("queries", {"count": 3}), ("queries", {"count": number})]


@pytest.mark.parametrize(
    ("n", "fields"),
    [(1, {"a": Angry()}), (1, {"a": AngryText("x")}), (1, {"a": OfAngryClass()}), (Angry(), {}), (OfAngryClass(), {})],
    ids=["label", "text", "class", "number", "number of a class"],
)
def test_of_labels_and_numbers_no_code_is_run_and_no_other_count_is_lost(n: Any, fields: dict[str, Any]) -> None:
    Angry.ran = AngryText.ran = 0
    counters = Counters({})
    for turn in range(1001):
        counters.calls.append(("queries", n, fields) if turn == 500 else ("queries", 1, {"a": "x"}))
    taken = take(counters)
    assert taken is not None
    (_, good), (_, bad) = taken
    assert good == {"a": "x", "count": 1000}
    assert bad["count"] is n
    assert Angry.ran == AngryText.ran == 0


def test_a_name_of_a_field_that_has_code_of_its_own_goes_alone_under_what_it_plainly_is() -> None:
    class Name(str):
        __slots__ = ()
        ran = 0

        def __hash__(self) -> int:
            type(self).ran += 1
            return 1

    fields = {Name("a"): "x", "b": 1}
    Name.ran = 0
    counters = Counters({})
    counters.calls.append(("queries", 1, fields))
    assert take(counters) == [("queries", {"a": "x", "b": 1, "count": 1})]
    assert Name.ran == 0


@pytest.mark.parametrize("number", [True, numpy.int8(1), numpy.uint64(1), Whole.ONE])
def test_a_whole_number_of_another_type_counts_as_what_it_is(number: Any) -> None:
    counters = Counters({})
    for n in (1, number, 2):
        counters.calls.append(("queries", n, {}))
    assert take(counters) == [("queries", {"count": 4})]


def test_labels_that_are_equal_and_of_different_types_are_different_labels() -> None:
    counters = Counters({})
    for value in (1, *[True] * 1000, 1.0, *[False] * 3, 0):
        counters.calls.append(("queries", 1, {"b": value}))
    taken = take(counters)
    assert taken is not None
    found = [(type(fields["b"]), fields["b"], fields["count"]) for _, fields in taken]
    assert found == [(int, 1, 1), (bool, True, 1000), (float, 1.0, 1), (bool, False, 3), (int, 0, 1)]


@pytest.mark.parametrize("n", [2**62, 2**63 - 1, -(2**62), -(2**63) + 1])
def test_a_sum_that_would_not_fit_leaves_in_parts(n: int) -> None:
    counters = Counters({})
    for _ in range(10):
        counters.calls.append(("queries", n, {"a": "x"}))
    taken = take(counters)
    assert taken is not None
    numbers = [fields["count"] for _, fields in taken]
    assert sum(numbers) == 10 * n
    assert all(abs(number) < 2**63 for number in numbers)


def test_what_another_thread_has_in_hand_is_waited_for_and_not_taken_for_nothing() -> None:
    counters = Counters({})
    counters.calls.append(("queries", 1, {}))
    with counters._lock:
        assert take(counters) is None
        assert take(counters, 0.01) is None
        counters.tally()
    assert counters
    assert take(counters, 0.01) == [("queries", {"count": 1})]


def test_what_is_on_its_way_to_the_outbox_is_in_hand_still() -> None:
    """Else a process that ends at that moment would find nothing to hand over, and lose it."""
    counters = Counters({})
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
        assert client.flush(60)
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


def test_a_label_that_cannot_be_encoded_goes_alone(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.count("queries", engine="batch")
        client.count("queries", engine=object())
        client.count("queries", engine={object()})
        client.count("queries", engine="batch")
        assert client.flush(60)
        assert sorted(shipper.values("count")) == [1, 1, 2]
        assert shipper.frames[-1].dropped == {}


def test_close_hands_over_the_counts(catalog: Path) -> None:
    with stand_in(catalog) as shipper:
        with host(catalog) as client:
            client.count("queries", 3)
            client.close(30)
        assert shipper.values("count") == [3]


def test_the_last_counts_before_a_pause_do_not_wait_for_their_second(catalog: Path) -> None:
    """A server may die right after its last request, by a signal that lets nothing of ours run."""
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.count("queries", engine="batch")
        client._link._tallied_at = math.inf  # type: ignore[union-attr] # so that no second is ever over
        for _ in range(100):
            client.count("queries", engine="batch")
        eventually(lambda: sum(shipper.values("count")) == 101)


def test_counts_that_nobody_can_hand_over_any_more_are_written_down(catalog: Path, home: Path) -> None:
    """Who has them in hand does not come back: the signal handler that ends the process has interrupted it."""
    with stand_in(catalog), host(catalog) as client, client._link._counters._lock:  # type: ignore[union-attr]
        client.count("queries", engine="batch")
        client.close(0.01)
    (tombstone,) = home.glob(f"state/acme-db/*/{TOMBSTONES}/*.json")
    assert json.loads(tombstone.read_text())["dropped"] == {"exit_unconfirmed": 1}


def test_the_numbers_of_a_distribution_are_added_up_and_what_is_none_is_an_event_that_is_dropped() -> None:
    counters = Counters({"latency": 2})
    for value in (0.0, 1.0, 400, True, "1", None, float("nan"), -1.0, 10**400):
        counters.observed.append(("latency", value, {"a": "x"}))  # type: ignore[arg-type] # as a host may say
    counters.observed.append((7, 1.0, {}))  # type: ignore[arg-type] # the same
    counters.tally()
    counters.observed.append(("latency", 16.0, {"a": "x"}))
    (name, fields), *dropped = take(counters) or []

    assert (name, fields["a"], fields["count"], fields["zero_count"]) == ("latency", "x", 4, 1)
    assert (fields["sum"], fields["min"], fields["max"]) == (
        pytest.approx(417, rel=0.1),
        0.0,
        pytest.approx(400, rel=0.1),
    )
    assert len(dropped) == 7
    assert all(type(name) is object for name, _ in dropped), "no encoder takes it, so that it is counted"


def test_a_sum_of_a_distribution_that_would_not_fit_stays_at_the_most() -> None:
    counters = Counters({})
    for _ in range(3):
        counters.observed.append(("latency", MOST, {}))
    ((_, fields),) = take(counters) or []

    assert fields["sum"] == nearest_bound(MOST, SCALE)


def test_the_events_that_would_be_lost_are_at_least_as_many_as_are_told() -> None:
    counters = Counters({})
    counters.calls.extend([("queries", 1, {}), ("queries", 1, {}), ("others", 1, {"a": [1]})])
    counters.observed.append(("latency", 1.0, {}))
    told = [counters.unsettled]
    counters.tally()
    told.append(counters.unsettled)

    assert told == [3, 3]


def test_a_forked_child_begins_with_nothing_but_its_own_calls() -> None:
    counters = Counters({})
    for number in (1, 2, 3):
        counters.calls.append(("queries", number, {}))
        counters.observed.append(("latency", float(number), {}))
    counters.renew(1, 2)
    assert ([n for _, n, _ in counters.calls], [n for _, n, _ in counters.observed]) == ([3], [2.0, 3.0])
    counters.renew()
    assert not counters
