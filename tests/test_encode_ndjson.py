"""The upload format ndjson: what stands in a line."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from telemetry.catalog.compile import Envelope, compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.shipper.encode.ndjson import encode, split

SESSION = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"
MINUTE_NS = 60 * 10**9

COMPILED = compile_catalog(
    Catalog(
        product="test",
        version=1,
        events={
            "query": Event(
                name="query",
                purpose="test",
                owner="test",
                expires=dt.date(2027, 1, 1),
                sensitivity="technical",
                sample=0.5,
                fields={
                    "engine": Field(name="engine", type="enum", purpose="test", values=("batch", "stream")),
                    "rows": Field(name="rows", type="int", purpose="test"),
                    "detail": Field(name="detail", type="text", purpose="test"),
                },
            )
        },
    ),
    today=dt.date(2026, 1, 1),
)


def _queries(*wire: tuple[int, dict[str, Any]]) -> list[Envelope]:
    return COMPILED.decoder.decode(msgspec.msgpack.encode([["query", time, fields] for time, fields in wire]))


def test_a_line_has_event_time_and_session_first_then_the_fields_in_the_catalogs_order() -> None:
    time_ns = 1_700_000_099 * 10**9 + 999_999_999
    events = _queries((time_ns, {"detail": "two\nlines", "rows": 3, "engine": "stream"}), (0, {}))
    events[0].fields.weight = 2
    assert encode(events, SESSION, 60) == (
        b'{"event":"query","time":"2023-11-14T22:14:00Z","session":"9f8e7d6c5b4a39281706f5e4d3c2b1a0",'
        b'"weight":2,"engine":"stream","rows":3,"detail":"two\\nlines"}\n'
        b'{"event":"query","time":"1970-01-01T00:00:00Z","session":"9f8e7d6c5b4a39281706f5e4d3c2b1a0"}\n'
    )


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@example(["\n", "\r", "\u2028", "\x85", "\x00", '"}\n{"'])
def test_no_text_makes_a_second_line(details: list[str]) -> None:
    lines = split(encode(_queries(*((0, {"detail": detail}) for detail in details)), SESSION, 60))
    assert [json.loads(line)["detail"] for line in lines] == details
    assert all(line.endswith(b"\n") for line in lines)


near_a_boundary = st.builds(
    lambda minute, offset_ns: max(minute * MINUTE_NS + offset_ns, 0), st.integers(0, 3), st.integers(-2, 2)
)


@given(st.lists(near_a_boundary | st.integers(0, 2**63 - 1)), st.sampled_from([1, 60, 86_400]))
def test_each_event_has_its_own_rounded_time_whatever_its_neighbours_have(
    times_ns: list[int], precision_seconds: int
) -> None:
    lines = split(encode(_queries(*((time_ns, {}) for time_ns in times_ns)), SESSION, precision_seconds))
    epoch = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    for line, time_ns in zip(lines, times_ns, strict=True):
        since_epoch = dt.datetime.fromisoformat(json.loads(line)["time"]) - epoch
        precision = dt.timedelta(seconds=precision_seconds)
        assert since_epoch == dt.timedelta(microseconds=time_ns // 1000) // precision * precision


def test_times_outside_of_the_calendar_are_written_all_the_same() -> None:
    events = _queries((0, {}), (0, {}), (0, {}))
    for event, time_ns in zip(events, (-(10**25), 10**25, 60 * 10**9), strict=True):
        event.time_ns = time_ns
    times = [json.loads(line)["time"] for line in split(encode(events, SESSION, 60))]
    assert times == ["1970-01-01T00:00:00Z", "9999-12-31T23:59:00Z", "1970-01-01T00:01:00Z"]
