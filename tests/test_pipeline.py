"""From frames to bytes: what is declared comes out redacted, and every event is accounted for."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.catalog.load import load
from telemetry.catalog.model import SENSITIVITIES
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain, Pipeline
from telemetry.shipper.intake.receiver import Frame, decode_frame
from telemetry.shipper.intake.session import Session
from telemetry.spool.positions import Position

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.catalog.model import Sensitivity
    from telemetry.spool.positions import Positions

CATALOG = """
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
table = { type = "identifier", purpose = "distinct tables in a session" }
detail = { type = "text", max_length = 200, purpose = "why it failed" }

[events.old]
purpose = "what was asked once"
owner = "query team"
expires = "2001-01-01"
sensitivity = "technical"
[events.old.fields]
number = { type = "int", purpose = "how many" }

[events.thinned]
purpose = "how often"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
sample = 0.5
[events.thinned.fields]
number = { type = "int", purpose = "how many" }
"""

PRODUCER = "aa" * 16
NOW_NS = 1_800_000_000_000_000_000
CONTEXT = {"pid": 7, "catalog": "x", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    file = tmp_path_factory.mktemp("catalog") / "catalog.toml"
    file.write_text(CATALOG)
    return Pipeline(load(file), dt.date(2026, 1, 1), NDJSON, None, Session(), lambda: 0.9)


def _frame(first: int, events: object, dropped: dict[str, int] | None = None, producer: str = PRODUCER) -> Frame:
    message = msgpack.packb([1, bytes.fromhex(producer), CONTEXT, first, dropped or {}, events])
    frame = decode_frame(message)
    assert frame is not None
    return frame


def _event(name: str = "query_finished", **fields: object) -> list[object]:
    return [name, NOW_NS, fields]


def _lines(drain: Drain) -> list[dict[str, Any]]:
    return [json.loads(line) for line in drain.body.splitlines()]


def _run(pipeline: Pipeline, *frames: Frame, known: Positions | None = None) -> Drain:
    (drain,) = pipeline.run(frames, known or {}, "on")
    assert drain.tally.balance == 0
    assert drain.tally.kept == len(_lines(drain))
    return drain


def test_a_declared_event_comes_out_with_time_session_and_fields(pipeline: Pipeline) -> None:
    drain = _run(pipeline, _frame(0, [_event(duration_ms=1.5, engine="batch")]))

    assert _lines(drain) == [
        {
            "event": "query_finished",
            "time": "2027-01-15T08:00:00Z",
            "session": pipeline._session.id,
            "duration_ms": 1.5,
            "engine": "batch",
        }
    ]
    assert drain.positions == {PRODUCER: Position(7, 1)}


def test_events_keep_their_order_over_frames(pipeline: Pipeline) -> None:
    frames = [_frame(3 * at, [_event(duration_ms=float(3 * at + number)) for number in range(3)]) for at in range(4)]

    assert [line["duration_ms"] for line in _lines(_run(pipeline, *frames))] == list(map(float, range(12)))


@given(offsets=st.lists(st.integers(-(10**10), 10**10), max_size=8))
def test_events_older_than_the_consent_are_dropped_and_counted_and_no_others(
    pipeline: Pipeline, offsets: list[int]
) -> None:
    in_order = sorted(offsets)  # as a producer sends them, but for what its threads do within a second
    events = [["query_finished", NOW_NS + offset, {"duration_ms": float(offset)}] for offset in in_order]
    (drain,) = pipeline.run([_frame(0, events)], {}, "on", dict.fromkeys(SENSITIVITIES, NOW_NS))

    assert [line["duration_ms"] for line in _lines(drain)] == [offset for offset in in_order if offset >= 0]
    assert drain.tally.dropped.get("consent", 0) == sum(offset < 0 for offset in in_order)
    assert drain.tally.balance == 0
    assert drain.positions == {PRODUCER: Position(7, len(events))}


def test_an_older_event_among_younger_ones_is_found(pipeline: Pipeline) -> None:
    events = [["query_finished", NOW_NS + offset, {}] for offset in (5, -5, 6)]
    (drain,) = pipeline.run([_frame(0, events)], {}, "on", dict.fromkeys(SENSITIVITIES, NOW_NS))

    assert (drain.tally.kept, drain.tally.dropped) == (2, {"consent": 1})


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        pytest.param(_event("nobody_knows"), "undeclared", id="undeclared"),
        pytest.param(_event("old"), "expired", id="expired"),
        pytest.param(["query_finished", "now", {}], "invalid", id="a text for a time"),
        pytest.param(["query_finished"], "invalid", id="no fields"),
        pytest.param("query_finished", "invalid", id="no event"),
        pytest.param(_event("thinned", number=1), "sampled", id="sampled"),
    ],
)
def test_what_may_not_pass_is_dropped_for_its_reason_and_its_neighbours_pass(
    pipeline: Pipeline, event: object, reason: str
) -> None:
    drain = _run(pipeline, _frame(0, [_event(duration_ms=1.0), event, _event(duration_ms=2.0)]))

    assert (drain.tally.emitted, drain.tally.kept, drain.tally.dropped) == (3, 2, {reason: 1})
    assert drain.positions[PRODUCER].next == 3


def test_a_bad_field_goes_and_its_event_stays(pipeline: Pipeline) -> None:
    drain = _run(pipeline, _frame(0, [_event(duration_ms="long", canary="secret", engine="stream")]))
    (line,) = _lines(drain)

    assert (line["engine"], "duration_ms" in line, b"secret" in drain.body) == ("stream", False, False)
    assert drain.tally.fields_dropped == {"invalid": 1, "undeclared": 1}


def test_free_text_without_a_scanner_is_dropped_and_an_identifier_leaves_as_a_token(pipeline: Pipeline) -> None:
    drain = _run(pipeline, _frame(0, [_event(detail="canary@acme.example", table="canary_table", duration_ms=1.0)]))

    assert b"canary" not in drain.body
    assert "detail" not in _lines(drain)[0]
    assert drain.tally.fields_dropped == {"redaction_failed": 1}


def test_a_hole_and_what_the_producer_dropped_are_counted(pipeline: Pipeline) -> None:
    known = {PRODUCER: Position(7, 10, {"queue_full": 1})}
    drain = _run(pipeline, _frame(14, [_event()], {"queue_full": 3}), known=known)

    assert drain.tally.dropped == {"in_transit": 4, "queue_full": 2}
    assert drain.tally.emitted == 7
    assert drain.positions == {PRODUCER: Position(7, 15, {"queue_full": 3})}
    assert known == {PRODUCER: Position(7, 10, {"queue_full": 1})}


def test_events_that_can_t_be_taken_apart_are_the_hole_before_the_next_frame(pipeline: Pipeline) -> None:
    drain = _run(pipeline, _frame(0, [_event()]), _frame(1, {"no": "array"}), _frame(6, [_event()]))

    assert drain.unreadable == 1
    assert (drain.tally.emitted, drain.tally.kept, drain.tally.dropped) == (7, 2, {"in_transit": 5})


def test_a_frame_without_events_brings_its_producer_s_counts(pipeline: Pipeline) -> None:
    drain = _run(pipeline, _frame(0, [], {"no_shipper": 9}))

    assert (drain.body, drain.tally.emitted, drain.tally.dropped) == (b"", 9, {"no_shipper": 9})


# Of both sensitivities.

MIXED = CATALOG.replace(
    "[events.old]",
    """
[events.opened]
purpose = "which pages are used"
owner = "query team"
expires = "2099-12-31"
sensitivity = "interaction"
[events.opened.fields]
page = { type = "enum", values = ["home", "help"], purpose = "which one" }

[events.old]""",
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    file = tmp_path_factory.mktemp("catalog") / "catalog.toml"
    file.write_text(MIXED)
    return Pipeline(load(file), dt.date(2026, 1, 1), NDJSON, None, Session(), lambda: 0.9)


def _names(drain: Drain) -> list[str]:
    return [line["event"] for line in _lines(drain)]


def test_a_frame_of_both_sensitivities_becomes_two_drains_with_accounts_of_their_own(mixed: Pipeline) -> None:
    events = [
        _event(duration_ms="long"),
        _event("opened", page=7),
        _event("thinned"),
        _event("nobody_knows"),
        _event(),
    ]
    first, second = mixed.run([_frame(2, events, {"queue_full": 4})], {}, "on")

    assert (first.sensitivity, _names(first)) == ("interaction", ["opened"])
    assert (second.sensitivity, _names(second)) == ("technical", ["query_finished", "query_finished"])
    lost = {"undeclared": 1, "in_transit": 2, "queue_full": 4}
    assert (first.tally.emitted, first.tally.kept, first.tally.dropped) == (8, 1, lost)
    assert (second.tally.emitted, second.tally.kept, second.tally.dropped) == (3, 2, {"sampled": 1})
    assert [set(drain.tally.touched) for drain in (first, second)] == [{"opened.page"}, {"query_finished.duration_ms"}]
    assert first.tally.fields_dropped == second.tally.fields_dropped == {"invalid": 1}
    assert second.positions == {PRODUCER: Position(7, 7, {"queue_full": 4})}


@pytest.mark.parametrize(
    ("events", "dropped", "sensitivities"),
    [
        ([_event()], {}, ["technical"]),
        ([_event("opened")], {}, ["interaction"]),
        ([_event("opened")], {"queue_full": 1}, ["interaction"]),
        ([], {}, ["technical"]),
        ([], {"queue_full": 1}, ["interaction"]),
        ([_event(duration_ms="long")], {}, ["technical"]),
        ([_event()], {"queue_full": 1}, ["interaction", "technical"]),
        ([_event(), _event("nobody_knows")], {}, ["interaction", "technical"]),
    ],
)
def test_a_drain_is_parted_only_where_it_must_be(
    mixed: Pipeline, events: list[object], dropped: dict[str, int], sensitivities: list[str]
) -> None:
    drains = mixed.run([_frame(0, events, dropped)], {}, "on")
    assert [drain.sensitivity for drain in drains] == sensitivities


def test_what_is_lost_between_the_two_writes_of_a_drain_is_missed_by_the_next_frame(mixed: Pipeline) -> None:
    sent = [_event(), _event("opened"), _event(), _event("opened"), _event()]
    first, _ = mixed.run([_frame(0, sent, {"queue_full": 2})], {}, "on")
    (after,) = mixed.run([_frame(5, [], {"queue_full": 2})], first.positions, "on")

    assert (after.sensitivity, after.tally.dropped) == ("interaction", {"in_transit": 3})
    assert first.tally.emitted + after.tally.emitted == len(sent) + 2


def test_each_sensitivity_is_held_against_the_date_of_its_own_consent(mixed: Pipeline) -> None:
    events: list[object] = [[name, NOW_NS + at, {}] for name in ("query_finished", "opened") for at in (-5, 5)]
    limits: dict[Sensitivity, int] = {"technical": NOW_NS - 10, "interaction": NOW_NS}
    first, second = mixed.run([_frame(0, events)], {}, "on", limits)

    assert (_names(first), first.tally.dropped) == (["opened"], {"consent": 1})
    assert (_names(second), second.tally.dropped) == (["query_finished"] * 2, {})


def test_the_weight_of_what_stays_here_is_in_none_that_leaves(tmp_path: Path) -> None:
    file = tmp_path / "capped.toml"
    file.write_text(MIXED.replace("[events.opened.fields]", "max_per_second = 1\n[events.opened.fields]"))
    pipeline = Pipeline(load(file), dt.date(2026, 1, 1), NDJSON, None, Session(), lambda: 0.9)
    pipeline.run([_frame(0, [_event("opened")] * 5)], {}, "technical")
    later = [["opened", NOW_NS + 10**9, {}]]
    (local,), (leaving,) = (pipeline.run([_frame(5, later)], {}, level) for level in ("technical", "on"))

    assert [line["weight"] for drain in (local, leaving) for line in _lines(drain)] == [5.0, 1.0]


MIXED_EVENT = st.sampled_from(
    [_event(duration_ms="x"), _event("opened", page=5), _event("old"), _event("x"), _event("thinned"), ["bad"], 7]
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["aa" * 16, "bb" * 16]), st.integers(0, 3), st.lists(MIXED_EVENT, max_size=6)),
        max_size=6,
    )
)
def test_every_event_of_either_sensitivity_is_accounted_for_once_and_with_its_own(
    mixed: Pipeline, sent: list[tuple[str, int, list[object]]]
) -> None:
    numbers: dict[str, int] = {}
    frames = []
    for producer, lost, events in sent:
        first = numbers.get(producer, 0) + lost
        frames.append(_frame(first, events, producer=producer))
        numbers[producer] = first + len(events)
    drains = mixed.run(frames, {}, "on")

    assert sum(drain.tally.emitted for drain in drains) == sum(numbers.values())
    assert {producer: position.next for producer, position in drains[-1].positions.items()} == numbers
    of_each = {"technical": {"query_finished", "thinned"}, "interaction": {"opened"}}
    for drain in drains:
        assert drain.tally.balance == 0
        assert set(_names(drain)) <= of_each[drain.sensitivity]
        assert {label.partition(".")[0] for label in drain.tally.touched} <= of_each[drain.sensitivity]
    for behind in drains[:-1]:
        missing = {producer: numbers[producer] - position.next for producer, position in behind.positions.items()}
        assert sum(missing.values()) == drains[-1].tally.emitted


EVENT = st.sampled_from(
    [_event(duration_ms=1.0), _event("old"), _event("x"), _event(duration_ms="x"), _event("thinned"), ["bad"], 7, None]
)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["aa" * 16, "bb" * 16]), st.integers(0, 5), st.lists(EVENT, max_size=6)), max_size=8
    )
)
def test_every_event_of_any_producers_is_accounted_for(
    pipeline: Pipeline, sent: list[tuple[str, int, list[object]]]
) -> None:
    numbers: dict[str, int] = {}
    frames = []
    for producer, lost, events in sent:
        first = numbers.get(producer, 0) + lost
        frames.append(_frame(first, events, producer=producer))
        numbers[producer] = first + len(events)
    drain = _run(pipeline, *frames)

    assert drain.tally.emitted == sum(numbers.values())
    assert {producer: position.next for producer, position in drain.positions.items()} == numbers
