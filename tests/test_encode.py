"""What holds for every upload format."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.catalog.compile import Envelope, compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.errors import ConfigError
from telemetry.settings import FORMATS
from telemetry.shipper.encode import open_format
from telemetry.shipper.encode.precision import LAST_SECOND, rounded_seconds

SESSION = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"


def _event(name: str, **types: Any) -> Event:
    return Event(
        name=name,
        purpose="test",
        owner="test",
        expires=dt.date(2027, 1, 1),
        sensitivity="technical",
        fields={field: Field(name=field, type=kind, purpose="test") for field, kind in types.items()},
    )


COMPILED = compile_catalog(
    Catalog(
        product="test",
        version=1,
        events={
            "ping": _event("ping"),
            "query": _event("query", ok="bool", rows="int", duration_ms="float", detail="text"),
        },
    ),
    today=dt.date(2026, 1, 1),
)
STRUCTS = {plan.name: struct for struct, plan in COMPILED.plans.items()}

texts = st.text(st.characters(exclude_categories=["Cs"]))
times = st.integers() | st.integers(0, 2**63 - 1)
pings = st.builds(lambda time_ns: COMPILED.envelopes["ping"](time_ns, STRUCTS["ping"]()), times)
queries = st.builds(
    lambda time_ns, fields: COMPILED.envelopes["query"](time_ns, STRUCTS["query"](**fields)),
    times,
    st.fixed_dictionaries(
        {},
        optional={
            "ok": st.booleans(),
            "rows": st.integers(-(2**63), 2**63 - 1),
            "duration_ms": st.floats(),
            "detail": texts,
        },
    ),
)
drains = st.lists(pings | queries, max_size=12)

every_format = pytest.mark.parametrize(
    "format_", [open_format(name, "compute", product="test") for name in FORMATS], ids=lambda f: f.name
)


@every_format
@given(events=drains, precision_seconds=st.sampled_from([1, 7, 60, 3600]))
def test_the_parts_of_a_body_are_its_events_and_add_up_to_it(
    format_: Any, events: list[Envelope], precision_seconds: int
) -> None:
    body = format_.encode(events, SESSION, precision_seconds)
    parts = format_.split(body)
    assert b"".join(parts) == body
    assert parts == [format_.encode([event], SESSION, precision_seconds) for event in events]


@every_format
@given(earlier=drains, later=drains)
def test_a_drain_may_be_appended_to_another(format_: Any, earlier: list[Envelope], later: list[Envelope]) -> None:
    appended = format_.encode(earlier, SESSION, 60) + format_.encode(later, SESSION, 60)
    assert appended == format_.encode([*earlier, *later], SESSION, 60)


@every_format
def test_a_drain_of_no_events_is_no_bytes(format_: Any) -> None:
    assert format_.encode([], SESSION, 60) == b""
    assert format_.split(b"") == []


@pytest.mark.parametrize(
    ("name", "node", "remedy"),
    [
        pytest.param("xml", "compute", "'ndjson', 'otlp' or 'risingwave'", id="format"),
        pytest.param("risingwave", "client", "meta, compute, frontend, compactor", id="node"),
    ],
)
def test_a_name_nobody_knows_is_an_error_that_lists_the_known_ones(name: str, node: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        open_format(name, node)


def test_the_names_that_a_host_takes_are_those_of_the_formats() -> None:
    assert [open_format(name, "compute").name for name in FORMATS] == list(FORMATS)


def test_ndjson_does_not_load_protobuf() -> None:
    program = (
        "import sys; from telemetry.shipper.encode import open_format; open_format('ndjson', 'compute');"
        "sys.exit('google.protobuf' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@given(time_ns=st.integers(0, LAST_SECOND * 10**9), precision_seconds=st.integers(1, 100_000))
def test_a_time_is_rounded_down_to_the_precision(time_ns: int, precision_seconds: int) -> None:
    seconds = rounded_seconds(time_ns, precision_seconds)
    assert seconds % precision_seconds == 0
    assert 0 <= time_ns - seconds * 10**9 < precision_seconds * 10**9


@pytest.mark.parametrize(
    ("time_ns", "seconds"),
    [
        pytest.param(-1, 0, id="before 1970"),
        pytest.param(-(10**30), 0, id="long before"),
        pytest.param(300_000 * 365 * 86_400 * 10**9, LAST_SECOND - 59, id="the year 300000"),
    ],
)
def test_a_time_that_no_calendar_writes_is_the_nearest_one_it_does(time_ns: int, seconds: int) -> None:
    assert rounded_seconds(time_ns, 60) == seconds
