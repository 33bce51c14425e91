"""Tables have what the store has, typed by its catalogs, whatever lies there; and other readers see the same."""

from __future__ import annotations

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import lakes
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from conftest import wait_until
from lakes import (
    SESSION,
    assert_same,
    declare,
    fill,
    ids,
    lake_at,
    load_here,
    loader,
    of_store,
    of_tables,
    put,
    run_load,
)

from telemetry.collector.tables.lake import LakeError, place_of
from telemetry.collector.tables.upkeep import tend
from telemetry.collector.views import overview_sql

TIME = "2026-01-31T10:00:00Z"
QUERY = {"event": "query_finished", "time": TIME, "session": SESSION}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store" / "batches").mkdir(parents=True)
    declare(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return tmp_path / "tables"


def test_tables_have_each_event_of_the_store_once_with_the_columns_of_its_views(store: Path, tables: Path) -> None:
    fill(store, 12, days=3)
    done = run_load(store, tables, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(rows for table, rows in json.loads(done.stdout).items() if table != "batches") == 240
    assert_same(store, tables)
    columns = "SELECT column_name, column_type FROM (DESCRIBE {})"
    for view in ("query_finished", "queries", "query_times", "sampled"):
        sql = columns.format(view)
        assert of_tables(tables, sql) == of_store(store, sql)
    of_uploads = [row["column_name"] for row in of_store(store, columns.format("batches"))]
    of_uploads.remove("aside")  # what a collector with catalogs found; tables have the lines
    sql = f"SELECT {', '.join(of_uploads)} FROM batches ORDER BY ALL"
    assert of_tables(tables, sql) == of_store(store, sql)
    percentile = "SELECT count_of(query_times) AS n, percentile_of(query_times, 90) AS p FROM query_times"
    assert of_tables(tables, percentile) == of_store(store, percentile)


def test_the_list_of_views_is_that_of_the_store(store: Path, tables: Path) -> None:
    put(store, [QUERY])
    load_here(store, tables)
    assert of_tables(tables, overview_sql) == of_store(store, overview_sql)


def test_a_second_run_brings_nothing_and_what_came_since_is_brought(store: Path, tables: Path) -> None:
    fill(store, 3)
    load_here(store, tables)
    assert load_here(store, tables) == {}
    put(store, [QUERY])
    assert load_here(store, tables) == {"query_finished": 1, "batches": 1}
    assert_same(store, tables)


def test_columns_are_added_as_catalogs_grow(store: Path, tables: Path) -> None:
    put(store, [QUERY])
    load_here(store, tables)
    declare(store, 4, 'plan = { type = "enum", values = ["hash", "sort"], purpose = "which plan" }')
    put(store, [{**QUERY, "plan": "hash"}], catalog="acme-db/4")
    load_here(store, tables)
    assert of_tables(tables, "SELECT plan FROM query_finished ORDER BY plan") == [{"plan": "hash"}, {"plan": None}]
    assert_same(store, tables)


def test_a_catalog_that_comes_during_a_span_is_heeded_from_its_first_batch_on(store: Path, tables: Path) -> None:
    put(store, [QUERY])
    loading = loader(lake_at(tables), store)
    loading.advance(lambda: False)
    declare(store, 4, 'plan = { type = "enum", values = ["hash", "sort"], purpose = "which plan" }')
    put(store, [{**QUERY, "plan": "hash"}], catalog="acme-db/4")
    loading.advance(lambda: False)
    loading.commit()
    assert of_tables(tables, "SELECT count(*) AS n FROM aside") == [{"n": 0}]
    assert_same(store, tables)


CHANGED = 'rows_read = { type = "int", purpose = "p" }'


def test_a_changed_type_is_refused_with_what_to_do_and_nothing_is_lost_by_it(store: Path, tables: Path) -> None:
    declare(store, 4, CHANGED)
    put(store, [{**QUERY, "rows_read": 7}], catalog="acme-db/4")
    load_here(store, tables)
    declare(store, 5, CHANGED.replace('"int"', '"text", max_length = 20, reason = "r"'))
    put(store, [{**QUERY, "rows_read": "many"}], catalog="acme-db/5")
    refused = run_load(store, tables)
    assert refused.returncode == 1
    assert "query_finished.rows_read is BIGINT in the tables, and acme-db/5 declares VARCHAR" in refused.stderr
    assert "give such a field another name" in refused.stderr
    assert of_tables(tables, "SELECT rows_read FROM query_finished") == [{"rows_read": 7}]
    assert run_load(store, tables, "--keep-types").returncode == 0
    assert of_tables(tables, "SELECT rows_read FROM query_finished ORDER BY ALL") == [
        {"rows_read": 7},
        {"rows_read": None},
    ]
    (kept,) = of_tables(tables, "SELECT event, reason, loaded, line FROM aside")
    assert (kept["event"], kept["loaded"]) == ("query_finished", True)
    assert kept["reason"] == "rows_read is no BIGINT"
    assert json.loads(kept["line"])["rows_read"] == "many"


def test_what_no_catalog_names_is_kept_aside_and_told(store: Path, tables: Path) -> None:
    batch = put(store, [QUERY, {**QUERY, "event": "unheard"}, {**QUERY, "odd": 1}])
    notes: list[str] = []
    assert load_here(store, tables, notes) == {"query_finished": 2, "aside": 2, "batches": 1}
    assert of_tables(tables, "SELECT event, reason, loaded, batch FROM aside ORDER BY ALL") == [
        {"event": "query_finished", "reason": "a field that no catalog names", "loaded": True, "batch": batch},
        {"event": "unheard", "reason": "no catalog names its event", "loaded": False, "batch": batch},
    ]
    assert of_tables(tables, "SELECT events, lines_aside FROM batches") == [{"events": 2, "lines_aside": 2}]
    assert "1 line of unheard kept in the table aside: no catalog names its event" in notes


ODD: list[dict[str, Any]] = [
    {"rows": 5.0},
    {"rows": "5"},
    {"rows": 2**63},
    {"rows": -(2**63)},
    {"rows": True},
    {"rows": None},
    {"duration_ms": 3},
    {"duration_ms": "fast"},
    {"duration_ms": "1e3"},
    {"cached": "true"},
    {"cached": 1},
    {"engine": 7},
    {"engine": "naïve \U0001f600"},
    {"engine": "\x00"},
    {"engine": ""},
    {"time": "yesterday"},
    {"time": "2026-01-31T10:00:00.123456789+02:00"},
    {"time": None},
    {"session": None},
    {"engine": ["a", 1]},
]


def test_an_odd_value_is_what_a_query_over_the_store_reads(store: Path, tables: Path) -> None:
    for field in ODD:
        put(store, [QUERY, {**QUERY, **field}, {**QUERY, "rows": 3}])
    load_here(store, tables)
    assert_same(store, tables)


@pytest.mark.parametrize("time", ["0000-12-31T23:59:59Z", "9999-12-31T23:59:59-15:59", "0001-01-01T00:00:00+23:59"])
def test_a_time_that_no_calendar_has_is_kept_aside_and_stops_nothing(store: Path, tables: Path, time: str) -> None:
    put(store, [QUERY, {**QUERY, "time": time}])
    assert load_here(store, tables) == {"query_finished": 2, "aside": 1, "batches": 1}
    (kept,) = of_tables(tables, "SELECT reason, loaded FROM aside")
    assert kept == {"reason": "time is no TIMESTAMP WITH TIME ZONE", "loaded": True}


def test_bodies_in_every_encoding_are_read(store: Path, tables: Path) -> None:
    whole = lakes.json_line(QUERY)
    put(store, [whole], suffix=".ndjson")
    put(store, [gzip.compress(whole)], suffix=".ndjson.gz")
    put(store, [b"\n  " + whole + b"\n\n"], suffix=".ndjson.zst")
    put(store, [whole.rstrip(b"\n")], suffix=".ndjson.zst")
    assert load_here(store, tables)["query_finished"] == 4
    assert_same(store, tables)


def test_rubbish_in_the_store_stops_nothing_and_is_told(store: Path, tables: Path) -> None:
    put(store, [QUERY])
    batches = store / "batches"
    put(
        store,
        [b"no json\n", lakes.json_line(QUERY), b'{"event":"query_finished","rows":1,"rows":2}\n', b"[1]\n", b"\xff\n"],
    )
    put(store, [b"\x28\xb5\x2f\xfd damaged"], batch="d" * 32, suffix=".ndjson.zst")
    (batches / f"{'d' * 32}.ndjson.zst").write_bytes(b"\x28\xb5\x2f\xfd damaged")
    put(store, [QUERY] * 100, batch="c" * 32)
    whole = (batches / f"{'c' * 32}.ndjson.zst").read_bytes()
    (batches / f"{'c' * 32}.ndjson.zst").write_bytes(whole[:-5])
    put(store, [b"no message"], batch="e" * 32, suffix=".pb")
    (batches / "by-hand.ndjson").write_bytes(lakes.json_line(QUERY))
    (batches / os.fsdecode(b"\xff.ndjson")).write_bytes(lakes.json_line({**QUERY, "event": "\ud800"}))
    (batches / "link.ndjson").symlink_to("/etc/passwd")
    os.mkfifo(batches / "pipe.ndjson")
    notes: list[str] = []
    rows = load_here(store, tables, notes)
    assert rows["query_finished"] == 2
    assert rows["batches"] == 7
    told = of_tables(tables, "SELECT batch, fault FROM batches WHERE fault IS NOT NULL ORDER BY batch")
    assert [row["batch"][0] for row in told] == ["c", "d", "e"]
    assert any(note.startswith(f"batch {'d' * 32} can't be read") for note in notes)
    reasons = {row["reason"] for row in of_tables(tables, "SELECT reason FROM aside")}
    assert reasons == {
        "it is no object of JSON with an event",
        "a field is there twice",
        "its batch has no receipt of consent",
    }


def test_a_body_of_blank_lines_takes_no_memory_and_one_of_too_many_lines_is_not_read(store: Path, tables: Path) -> None:
    put(store, [b"\n" * (100 << 20), lakes.json_line(QUERY), b" \n" * (40 << 20)])
    put(store, [b"{}\n" * 3_000_000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert load_here(store, tables)["query_finished"] == 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000  # KiB
    assert of_tables(tables, "SELECT fault FROM batches WHERE fault IS NOT NULL") == [
        {"fault": "it holds more than 2000000 lines"}
    ]


def test_all_that_a_commit_names_is_safe_on_disk(store: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: set[str] = set()
    fsync = os.fsync

    def seen(file: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{file}").readlink()))
        fsync(file)

    monkeypatch.setattr(os, "fsync", seen)
    put(store, [QUERY])
    load_here(store, tables)
    needed = {str(path) for path in tables.rglob("*") if path.suffix in {".parquet", ".avro", ".json"}}
    assert len(needed) > 10
    assert needed <= synced
    assert {str(path.parent) for path in map(Path, needed)} <= synced


def test_an_event_named_like_a_table_of_ours_gets_one_of_its_own(store: Path, tables: Path) -> None:
    text = lakes.CATALOG.format(version=3, more="")
    (store / "catalogs" / "named.toml").write_text(
        text.replace("events.queries", "events.aside").replace("events.sampled", "events.Batches")
    )
    put(store, [{**QUERY, "event": "aside", "count": 3}, {**QUERY, "event": "Batches", "weight": 1.5}])
    assert load_here(store, tables) == {"aside_": 1, "Batches_": 1, "batches": 1}
    assert load_here(store, tables) == {}


def test_a_repeat_in_the_tables_is_known_though_the_store_has_lost_its_order(store: Path, tables: Path) -> None:
    fill(store, 5)
    load_here(store, tables)
    for file in store.glob("sequences.sqlite*"):
        file.unlink()
    put(store, [QUERY])
    load_here(store, tables)
    assert_same(store, tables)
    assert set(ids(tables).values()) == {1}


def test_an_order_of_an_earlier_time_is_told_with_what_to_do(store: Path, tables: Path) -> None:
    fill(store, 2)
    load_here(store, tables)
    backup = {file: file.read_bytes() for file in store.glob("sequences.sqlite*")}
    put(store, [QUERY])
    load_here(store, tables)
    added = max((store / "batches").glob("*.ndjson*"), key=lambda file: file.stat().st_mtime_ns)
    added.unlink()
    for file in store.glob("sequences.sqlite*"):
        file.unlink()
    for file, content in backup.items():
        file.write_bytes(content)
    done = run_load(store, tables)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Remove it" in done.stderr
    for file in backup:
        file.unlink(missing_ok=True)
    put(store, [QUERY])
    load_here(store, tables)
    assert set(ids(tables).values()) == {1}
    assert of_tables(tables, "SELECT count(*) AS n FROM batches") == [{"n": 4}]


def test_batches_that_went_before_they_were_loaded_are_counted(store: Path, tables: Path) -> None:
    put(store, [QUERY])
    load_here(store, tables)
    gone = [put(store, [QUERY]) for _ in range(3)]
    loading = loader(lake_at(tables), store)
    assert loading._source.first(loading._partition) == 1  # they are numbered
    for batch in (*gone, *ids(tables)):
        (store / "batches" / f"{batch}.ndjson.zst").unlink()
    put(store, [QUERY])
    notes: list[str] = []
    load_here(store, tables, notes)
    assert any("3 batches after 1 gone" in note for note in notes)
    assert list(lake_at(tables).tables()["batches"].missed.values()) == [3]


def test_small_files_become_one_and_concurrent_appends_stay(store: Path, tables: Path) -> None:
    for number in range(10):
        fill(store, 1, seed=number)
        load_here(store, tables)
    lake = lake_at(tables)
    before = of_tables(tables, "SELECT * FROM events ORDER BY ALL")
    assert len(lake.tables()["query_finished"].files()) == 10
    waiting = loader(lake, store)
    put(store, [QUERY])
    waiting.advance(lambda: False)  # written, not committed
    tend(lake, datetime(2026, 1, 28, tzinfo=UTC), 0, lambda: False)
    assert len(lake.tables()["query_finished"].files()) == 1
    assert of_tables(tables, "SELECT * FROM events ORDER BY ALL") == before
    assert waiting.commit()
    assert_same(store, tables)


OTHER = "fedcba9876543210fedcba9876543210"
OF_SESSION = f"SELECT count(*) AS n FROM events WHERE session = '{OTHER}'"


def _forget(tables: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telemetry", "forget", OTHER, "--tables", str(tables), "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_session_is_erased_from_all_tables_and_none_of_it_comes_again(store: Path, tables: Path) -> None:
    fill(store, 3)
    put(store, [{**QUERY, "session": OTHER}, {**QUERY, "session": OTHER, "shoe": 1}, QUERY])
    put(store, [{"event": "nobody", "time": TIME, "session": OTHER}, {"event": "nobody", "session": SESSION}])
    load_here(store, tables)
    before = of_tables(tables, "SELECT (SELECT count(*) FROM events) AS n, (SELECT count(*) FROM aside) AS aside")[0]

    done = _forget(tables)
    assert (done.returncode, json.loads(done.stdout)["rows"]) == (0, 4), done.stderr
    after = of_tables(tables, "SELECT (SELECT count(*) FROM events) AS n, (SELECT count(*) FROM aside) AS aside")[0]
    assert (after["n"], after["aside"]) == (before["n"] - 2, before["aside"] - 2)
    assert of_tables(tables, OF_SESSION) == [{"n": 0}]
    assert json.loads(_forget(tables).stdout)["rows"] == 0

    put(store, [{**QUERY, "session": OTHER}, {**QUERY, "session": [7]}, QUERY])
    load_here(store, tables)
    assert of_tables(tables, OF_SESSION) == [{"n": 0}]
    tend(lake_at(tables), datetime.now(UTC) + timedelta(days=3), 0, lambda: False)
    assert OTHER.encode() not in b"".join(
        repr(pq.read_table(file).to_pydict()).encode()
        for file in tables.rglob("*.parquet")
        if "/forgotten/" not in str(file)
    )


def test_what_a_loader_has_read_of_a_session_that_is_erased_meanwhile_is_not_committed(
    store: Path, tables: Path
) -> None:
    put(store, [QUERY])
    load_here(store, tables)
    put(store, [{**QUERY, "session": OTHER}, QUERY])
    loading = loader(lake_at(tables), store)
    loading.advance(lambda: False)
    assert _forget(tables).returncode == 0
    assert not loading.commit()
    loading.advance(lambda: False)
    assert loading.commit()
    assert of_tables(tables, OF_SESSION) == [{"n": 0}]
    assert of_tables(tables, "SELECT count(*) AS n FROM events") == [{"n": 2}]


def test_what_was_replaced_goes_when_nobody_can_be_reading_it(store: Path, tables: Path) -> None:
    for number in range(9):
        fill(store, 1, seed=number)
        load_here(store, tables)
    lake = lake_at(tables)
    data = tables / "telemetry" / "query_finished" / "data"
    orphan = data / "orphan.parquet"
    orphan.write_bytes(b"of a loader that was killed")
    tend(lake, datetime.now(UTC), 0, lambda: False)
    assert orphan.exists()
    assert len(list(data.rglob("*.parquet"))) == 11
    tend(lake, datetime.now(UTC) + timedelta(days=2), 0, lambda: False)
    assert not orphan.exists()
    assert len(list(data.rglob("*.parquet"))) == 1
    assert_same(store, tables)


def test_days_beyond_those_to_keep_go_from_all_tables(store: Path, tables: Path) -> None:
    fill(store, 6, days=3)  # received on the 28th to the 30th
    load_here(store, tables)
    lake = lake_at(tables)
    tend(lake, datetime(2026, 1, 30, 12, tzinfo=UTC), 2, lambda: False)
    assert of_tables(tables, "SELECT DISTINCT received::DATE::VARCHAR AS day FROM events ORDER BY day") == [
        {"day": "2026-01-29"},
        {"day": "2026-01-30"},
    ]
    assert len(ids(tables)) == 6  # by which repeats are known
    assert load_here(store, tables) == {}


def test_other_readers_see_the_same(store: Path, tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLARS_ICEBERG_PLANNER", "pyiceberg")  # else it warns that its own is not installed
    fill(store, 20, days=2)
    load_here(store, tables)
    declare(store, 4, 'plan = { type = "enum", values = ["hash", "sort"], purpose = "which plan" }')
    put(store, [{**QUERY, "plan": "hash"}], catalog="acme-db/4")
    load_here(store, tables)
    table = lake_at(tables).tables()["query_finished"]
    expected = of_store(store, "SELECT duration_ms, engine, rows, cached, plan FROM query_finished ORDER BY ALL")

    def sorted_rows(rows: list[dict[str, Any]]) -> list[str]:
        return sorted(json.dumps(row, sort_keys=True) for row in rows)

    names = list(expected[0])
    assert sorted_rows(table.handle.scan(selected_fields=tuple(names)).to_arrow().to_pylist()) == sorted_rows(expected)
    by_polars = pl.scan_iceberg(table.handle.metadata_location).select(names).collect()
    assert sorted_rows(by_polars.to_dicts()) == sorted_rows(expected)
    frames = [pd.read_parquet(file.file_path.removeprefix("file://"), partitioning=None) for file in table.files()]
    assert pd.concat(frames)["rows"].sum() == sum(row["rows"] or 0 for row in expected)
    assert by_polars["rows"].sum() == sum(row["rows"] or 0 for row in expected)
    assert (
        pq.ParquetFile(table.files()[0].file_path.removeprefix("file://")).schema_arrow.field("batch").type == "string"
    )


def test_who_has_no_tables_is_told(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="no room for Iceberg's catalog"):
        place_of("s3://lake/telemetry", None)
    with pytest.raises(LakeError, match="not gs://"):
        place_of("gs://lake", None)
    asked = subprocess.run(
        [sys.executable, "-m", "telemetry", "query", "SELECT 1", "--tables", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "is no directory of tables: `telemetry load` makes one" in asked.stderr


def _query(tables: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "telemetry", "query", "SELECT count(*) FROM events", "--tables", str(tables)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["query_finished/**/*.parquet", "query_finished/**/*.avro"])
@pytest.mark.parametrize("is_gone", [True, False])
def test_a_table_whose_files_are_gone_or_rubbish_is_named(
    store: Path, tables: Path, name: str, *, is_gone: bool
) -> None:
    put(store, [QUERY])
    load_here(store, tables)
    for file in (tables / "telemetry").glob(name):
        if is_gone:
            file.unlink()
        else:
            file.write_bytes(b"x")
    asked = _query(tables)
    assert (asked.returncode, asked.stdout) == (1, "")
    assert "query_finished" in asked.stderr
    assert asked.stderr.count("\n") == 1, "no traceback"


def test_tables_are_not_sought_beside_those_that_their_catalog_knows(store: Path, tmp_path: Path) -> None:
    put(store, [QUERY])
    (tmp_path / "one").mkdir()
    catalog = ("--iceberg-catalog", f"sqlite:///{tmp_path}/one/catalog.sqlite")
    assert run_load(store, tmp_path / "one", *catalog).returncode == 0
    refused = run_load(store, tmp_path / "other", *catalog)
    assert refused.returncode == 1
    assert f"not below file://{tmp_path}/other: name its place by --tables, or another catalog" in refused.stderr


def test_a_store_without_a_catalog_is_refused_with_what_to_do(tmp_path: Path) -> None:
    put(tmp_path / "store", [QUERY])
    refused = run_load(tmp_path / "store", tmp_path / "tables")
    assert refused.returncode == 2
    assert "keeps no catalog, so no table could have columns: give --catalog FILE" in refused.stderr


def test_following_loads_what_comes_until_it_is_stopped(store: Path, tables: Path) -> None:
    fill(store, 2)
    command = [sys.executable, "-m", "telemetry", "load", str(store), "--tables", str(tables), "--follow", "--json"]
    following = subprocess.Popen([*command, "--commit-seconds", "0.1"], stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(ids(tables)) == 2)
        put(store, [QUERY])
        wait_until(lambda: len(ids(tables)) == 3)
        put(store, [QUERY])
    finally:
        following.send_signal(signal.SIGTERM)
        said, _ = following.communicate(timeout=60)
    assert following.returncode == 0
    assert json.loads(said)["batches"] >= 3
    load_here(store, tables)
    assert_same(store, tables)
