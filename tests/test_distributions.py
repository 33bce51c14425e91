"""Distributions: numbers become buckets in the host, leave rounded, and are added up exactly where they are queried."""

from __future__ import annotations

import datetime as dt
import json
import math
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standin import host, stand_in
from test_query import keep, lines

import telemetry
from telemetry.catalog.load import load, parse
from telemetry.errors import CatalogError, InvalidValueError, UndeclaredError
from telemetry.exponential import MAX_BUCKETS, MOST, SCALES, buckets, by_bound, nearest_bound
from telemetry.producer.counters import Counters
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import Frame, FrameContext
from telemetry.shipper.intake.session import Session
from telemetry.testing import capture
from telemetry.wire import PRODUCER_BYTES

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.query_times]
kind = "distribution"
purpose = "find slow engines"
owner = "query team"
expires = "2099-06-30"
sensitivity = "technical"
[events.query_times.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }

[events.sizes]
kind = "distribution"
scale = 0
purpose = "size buffers"
owner = "query team"
expires = "2099-06-30"
sensitivity = "technical"
"""
NUMBERS = st.floats(0, MOST, allow_subnormal=True) | st.integers(0, 10**15).map(float) | st.floats(1e-3, 1e5)
SCALE = st.sampled_from(SCALES)


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def spread(numbers: list[float], scale: int = 4) -> dict[str, Any]:
    counters = Counters({"d": scale})
    counters.observed.extend(("d", number, {}) for number in numbers)
    taken: list[tuple[str, dict[str, Any]]] = []
    assert counters.hand_over(taken.extend)
    ((_, fields),) = taken
    return {**fields, "bucket_counts": msgspec.msgpack.decode(fields["bucket_counts"])}


@given(st.floats(5e-324, MOST), SCALE)
def test_a_number_is_in_the_bucket_whose_bounds_are_on_its_sides(number: float, scale: int) -> None:
    ((bound, _),) = by_bound([number], scale).items()
    assert (bound - 1) * 2.0**-scale <= math.log2(number) <= bound * 2.0**-scale


@given(st.floats(0, MOST), SCALE)
def test_a_rounded_number_is_near_and_stays_when_it_is_rounded_again(number: float, scale: int) -> None:
    rounded = nearest_bound(number, scale)
    assert nearest_bound(rounded, scale) == pytest.approx(rounded, rel=1e-12)
    if number > 1e-300:
        assert abs(math.log2(rounded) - math.log2(number)) <= 2.0**-scale / 2 + 1e-9


@given(st.lists(NUMBERS, min_size=1), SCALE)
def test_every_number_is_counted_once_and_buckets_are_few(numbers: list[float], scale: int) -> None:
    fields = spread(numbers, scale)
    assert fields["count"] == len(numbers) == sum(fields["bucket_counts"]) + fields.get("zero_count", 0)
    assert len(fields["bucket_counts"]) <= MAX_BUCKETS
    assert fields["scale"] <= scale
    assert fields["min"] <= fields["max"]


@given(st.lists(st.floats(1e-3, 1e5), min_size=1), st.lists(st.floats(1e-3, 1e5), min_size=1))
def test_buckets_of_two_parts_add_up_to_those_of_the_whole(one: list[float], other: list[float]) -> None:
    parts, whole = [spread(one), spread(other)], spread([*one, *other])
    joined: Counter[int] = Counter()
    for part in parts:
        shift = part["scale"] - whole["scale"]
        assert shift >= 0
        for index, number in enumerate(part["bucket_counts"], part["offset"]):
            joined[index >> shift] += number
    filled = {index: n for index, n in enumerate(whole["bucket_counts"], whole["offset"]) if n}
    assert +joined == filled


def test_buckets_of_nothing_are_none() -> None:
    assert buckets(Counter(), 4) == (4, 0, [])


def test_how_many_fell_into_each_bucket_leaves(catalog: Path) -> None:
    with capture(catalog) as events:
        for milliseconds in (0.0, 1.0, 1.01, 100.0):
            telemetry.observe("query_times", milliseconds, engine="batch")
        telemetry.observe("query_times", 3, engine="stream")
        telemetry.observe("sizes", 1000)
        with telemetry.timer("query_times", engine="stream"):
            pass
        batch = events.one("query_times", engine="batch")
        assert batch["count"] == 4
        assert batch["zero_count"] == 1
        assert sum(batch["bucket_counts"]) == 3
        assert (batch["offset"], batch["bucket_counts"][:2]) == (-1, [1, 1])
        assert batch["max"] == pytest.approx(100, rel=0.022)
        assert events.one("query_times", engine="stream")["count"] == 2
        size = events.one("sizes")
        assert (size["scale"], size["offset"], size["bucket_counts"], size["max"]) == (0, 9, [1], 1024.0)


def test_a_million_numbers_are_a_few_lines_and_reach_the_shipper(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog) as client:
        for number in range(20_000):
            client.observe("query_times", number % 100, engine="batch")
        assert client.flush(60)
        assert sum(shipper.values("count")) == 20_000
        assert sum(shipper.values("zero_count")) == 200
        assert len(shipper.events) < 100


def test_what_is_no_number_of_0_or_more_is_counted_as_dropped(catalog: Path) -> None:
    bad: list[Any] = [math.nan, math.inf, -1.0, "12", None, True, object(), 10**400]
    with stand_in(catalog) as shipper, host(catalog) as client:
        client.observe("query_times", 1.0)
        for value in bad:
            client.observe("query_times", value)
        assert client.flush(60)
        assert shipper.values("count") == [1]
        assert shipper.frames[-1].dropped == {"unencodable": len(bad)}


def test_a_number_that_another_producer_did_not_round_is_rounded_before_disk() -> None:
    fields = {
        "count": 1,
        "sum": 12.3456,
        "min": 12.3456,
        "max": 12.3456,
        "scale": 4,
        "offset": 57,
        "bucket_counts": [1],
    }
    packed = msgspec.msgpack.encode([("query_times", 0, fields)])
    frame = Frame(1, bytes(PRODUCER_BYTES), FrameContext(1, "", "on", "host", "cloud"), 0, {}, msgspec.Raw(packed))
    loaded = parse(CATALOG.encode(), path=None)  # type: ignore[arg-type] # it names none in errors: there are none
    pipeline = Pipeline(loaded, dt.date(2026, 1, 1), NDJSON, None, Session(), lambda: 0.0)
    (drain,) = pipeline.run([frame], {}, "on")
    line = json.loads(drain.body)
    bound = nearest_bound(12.3456, 4)
    assert bound != 12.3456
    assert (line["sum"], line["min"], line["max"], line["bucket_counts"]) == (bound, bound, bound, [1])


def test_a_query_adds_rows_of_any_scale_up(tmp_path: Path, catalog: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    events, numbers = [], {"batch": [1.0, 2.0, 4.0, 0.0, 1000.0], "stream": [5.0] * 99 + [70_000.0]}
    for engine, some in numbers.items():
        for part, scale in ((some[:2], 4), (some[2:], 2)):
            stamped = {"event": "query_times", "time": "2026-11-30T00:00:00Z", "session": "0" * 32, "engine": engine}
            events.append({**stamped, **spread(part, scale)})
    keep(store, lines(events))
    sql = (
        "SELECT engine, count_of(query_times) AS n, mean_of(query_times) AS mean, "
        "percentile_of(query_times, 50) AS half, "
        "percentile_of(query_times, 99) AS most, percentile_of(query_times, 0) AS least FROM query_times "
        "GROUP BY engine ORDER BY engine"
    )
    command = [
        sys.executable,
        "-m",
        "telemetry",
        "query",
        sql,
        "--store",
        str(store),
        "--json",
        "--catalog",
        str(catalog),
    ]
    done = subprocess.run(command, capture_output=True, check=True)
    batch, stream = [json.loads(line) for line in done.stdout.splitlines()]
    assert (batch["n"], stream["n"]) == (5, 100)
    assert batch["mean"] == pytest.approx(sum(numbers["batch"]) / 5, rel=0.2)
    assert batch["half"] == pytest.approx(2.0, rel=0.05)
    assert batch["least"] == 0.0
    assert stream["half"] == stream["most"] == pytest.approx(5.0, rel=0.2)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ('kind = "counter"\nscale = 4', "`scale` goes with kind distribution only"),
        ('kind = "distribution"\nscale = 9', "must be a whole number from -4 to 8"),
        ('kind = "distribution"\nsample = 0.5', "goes with kind event only"),
        (
            'kind = "distribution"\nfields.sum = { type = "bool", purpose = "a test of it" }',
            "every distribution already has it",
        ),
        ('kind = "event"\nfields.a = { type = "counts", purpose = "a test of it" }', "`type` is 'counts'"),
    ],
)
def test_what_is_no_distribution_is_told_with_its_remedy(tmp_path: Path, said: str, fault: str) -> None:
    path = tmp_path / "bad.toml"
    head, _, _ = CATALOG.partition("[events.sizes]")
    event = 'purpose = "a test of it"\nowner = "us"\nexpires = "2099-01-01"\nsensitivity = "technical"'
    path.write_text(f"{head}[events.bad]\n{event}\n{said}\n")
    with pytest.raises(CatalogError) as caught:
        load(path)
    assert fault in str(caught.value)


def test_strict_tells_a_call_for_another_kind_and_a_number_that_would_be_dropped(catalog: Path) -> None:
    with telemetry.Client(
        product="acme-db", catalog=catalog, endpoint="http://127.0.0.1:9", consent="off", strict=True
    ) as client:
        client.observe("query_times", 1.5, engine="batch")
        with client.timer("query_times", engine="batch"):
            pass
        with pytest.raises(UndeclaredError, match=r"call observe\(\) or timer\(\)"):
            client.emit("query_times", engine="batch")
        with pytest.raises(InvalidValueError, match="numbers from 0"):
            client.observe("query_times", -1.0)
        with pytest.raises(UndeclaredError, match="declares no field 'engin'; did you mean engine"):
            client.observe("query_times", 1.0, engin="batch")
