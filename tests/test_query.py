"""`telemetry query` as a real process over stores on disk."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
import zstandard

from telemetry import demo
from telemetry.collector.store import BatchRecord, Store
from telemetry.receipt import First, Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable

QUERY = [sys.executable, "-c", "from telemetry.cli.query import query; query()"]
EVENT = {"event": "started", "time": "2026-01-01T00:01:00Z", "session": "s1"}
RECEIPT = Receipt("on", "host", 2, "cloud")


def keep(directory: Path, body: bytes, suffix: str = ".ndjson.zst") -> str:
    batch = secrets.token_hex(16)
    with contextlib.closing(Store(directory)) as store, store.begin(batch, suffix) as incoming:
        incoming.write(zstandard.compress(body) if suffix.endswith(".zst") else body)
        record = BatchRecord(batch, EVENT["time"], "acme-db/3", RECEIPT, None, "/v1/batches", incoming.bytes)
        store.commit(incoming, record)
    return batch


def lines(events: Iterable[object]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def run(directory: Path, sql: str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*QUERY, sql, "--store", str(directory), *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=directory.parent,
        env={**os.environ, **environment},
    )


def ask(directory: Path, sql: str) -> list[Any]:
    answered = run(directory, sql, "--json")
    assert (answered.returncode, answered.stderr) == (0, "")
    return [json.loads(line) for line in answered.stdout.splitlines()]


def complaint(directory: Path, sql: str) -> str:
    answered = run(directory, sql)
    assert (answered.returncode, answered.stdout) == (1, "")
    assert answered.stderr.startswith("telemetry query: ")
    assert "Traceback" not in answered.stderr
    return answered.stderr


def contents(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob("*") if path.is_file()}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    Store(tmp_path / "store").close()
    return tmp_path / "store"


def test_an_empty_store_has_no_events_and_no_batches(store: Path) -> None:
    assert ask(store, "SELECT count(*) AS n FROM events") == [{"n": 0}]
    assert ask(store, "SELECT event, time, session FROM events") == []
    assert ask(store, "SELECT sum(bytes) AS n, any_value(receipt.level) AS level FROM batches") == [
        {"n": None, "level": None}
    ]


def test_batches_of_no_events_are_no_events(store: Path) -> None:
    keep(store, b"")
    assert ask(store, "SELECT * FROM events") == []
    keep(store, lines([EVENT]))
    assert ask(store, "SELECT event FROM events") == [{"event": "started"}]


def test_a_field_seen_only_in_the_last_line_of_the_last_batch_is_a_column(store: Path) -> None:
    for _ in range(40):
        keep(store, lines([EVENT] * 10))
    keep(store, lines([EVENT] * 30_000 + [{**EVENT, "late": "found"}]))
    assert ask(store, "SELECT count(*) AS n, max(late) AS late FROM events") == [{"n": 30_401, "late": "found"}]


def test_many_events_with_fields_of_their_own_stay_columns(store: Path) -> None:
    events = [{**EVENT, "event": f"e{kind}", **{f"f{kind}_{n}": n for n in range(10)}} for kind in range(60)]
    keep(store, lines(events))
    assert ask(store, "SELECT event, f59_9 FROM events WHERE f59_9 IS NOT NULL") == [{"event": "e59", "f59_9": 9}]
    assert len(ask(store, "DESCRIBE events")) == 607


def test_the_reserved_columns_have_their_types_whatever_the_values_look_like(store: Path) -> None:
    session = "01234567-89AB-CDEF-0123-456789ABCDEF"
    keep(store, lines([{**EVENT, "session": session}, {"event": "2026-01-01"}]))
    kinds = {column["column_name"]: column["column_type"] for column in ask(store, "DESCRIBE events")}
    assert kinds == {
        "event": "VARCHAR",
        "time": "TIMESTAMP WITH TIME ZONE",
        "session": "VARCHAR",
        "product": "VARCHAR",
        "catalog": "VARCHAR",
        "batch": "VARCHAR",
        "received": "TIMESTAMP WITH TIME ZONE",
    }
    assert ask(store, "SELECT session FROM events WHERE event = 'started'") == [{"session": session}]


def test_a_batch_shows_what_the_collector_recorded(store: Path) -> None:
    body = lines([EVENT])
    batch = keep(store, body, ".ndjson")
    assert ask(store, "SELECT * FROM batches") == [
        {
            "batch": batch,
            "received": "2026-01-01 00:01:00+00",
            "product": "acme-db",
            "catalog": "acme-db/3",
            "receipt": RECEIPT._asdict(),
            "ledger": None,
            "route": "/v1/batches",
            "bytes": len(body),
            "catalog_digest": None,
            "aside": [],
            "first": First()._asdict(),
        }
    ]
    assert ask(store, "SELECT product, catalog, batch, received FROM events") == [
        {"product": "acme-db", "catalog": "acme-db/3", "batch": batch, "received": "2026-01-01 00:01:00+00"}
    ]


def test_people_get_a_table_in_the_order_asked_for(store: Path) -> None:
    keep(store, lines([{**EVENT, "n": n} for n in range(3)]))
    sql = "SELECT n, NULL AS nothing, '[red]' AS markup FROM events ORDER BY n DESC"
    shown = run(store, sql, "--format", "table").stdout
    assert [word for word in shown.split() if word.isalnum()] == [
        *("n", "nothing", "markup"),
        *("2", "NULL", "1", "NULL", "0", "NULL"),
    ]
    assert shown.count("[red]") == 3


def test_a_table_is_cut_with_a_word_about_it_and_json_is_not(store: Path) -> None:
    many = run(store, "SELECT * FROM range(1001)", "--format", "table")
    assert many.stdout.splitlines()[-2].split()[1] == "999"
    assert many.stderr == "telemetry query: more than 1000 rows: see all with --format csv or --json\n"
    assert len(ask(store, "SELECT * FROM range(1001)")) == 1001


def test_what_a_client_sent_can_not_steer_the_terminal(store: Path) -> None:
    keep(store, lines([{**EVENT, "event": "\x1b[2Jgone\u202e", "\x1b]0;title\x07": 1}]))
    shown = run(store, "SELECT * FROM events").stdout
    assert "gone" in shown
    assert not any(code in shown for code in ("\x1b", "\x07", "\u202e"))


def test_json_holds_no_numbers_that_json_does_not_know(store: Path) -> None:
    row = "SELECT 'nan'::DOUBLE AS a, 1 / 0 AS b, 170141183460469231731687303715884105727 AS c, 'é' AS d"
    assert ask(store, row) == [{"a": None, "b": None, "c": 2**127 - 1, "d": "é"}]
    assert "NaN" not in run(store, row, "--json").stdout


@pytest.mark.parametrize("name", ["it's a store", "[a-z]*?", "[", 'quo"te', "ünï", "-- x; y", "event=all"])
def test_a_store_may_have_nearly_any_name(tmp_path: Path, name: str) -> None:
    keep(tmp_path / name, lines([EVENT]))
    assert ask(tmp_path / name, "SELECT event FROM events") == [{"event": "started"}]


def test_a_store_may_be_named_by_a_link_and_relatively(tmp_path: Path) -> None:
    keep(tmp_path / "real", lines([EVENT]))
    (tmp_path / "link").symlink_to("real")
    command = [*QUERY, "SELECT 1 AS n FROM events", "--store", "link", "--json"]
    answered = subprocess.run(command, capture_output=True, cwd=tmp_path, check=True)
    assert json.loads(answered.stdout) == {"n": 1}


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("COPY (SELECT 1) TO '{file}'", id="copy"),
        pytest.param("WITH a AS (COPY (SELECT 1) TO '{file}') SELECT 1", id="copy-in-with"),
        pytest.param("FROM (WITH a AS (COPY (SELECT 1) TO '{file}') SELECT 1)", id="copy-in-subquery"),
        pytest.param("FROM query($$COPY (SELECT 1) TO '{file}'$$)", id="copy-in-query"),
        pytest.param("EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'", id="copy-in-explain"),
        pytest.param("SELECT 1; COPY (SELECT 1) TO '{file}'", id="second-statement"),
        pytest.param("SELECT 1) TO '{file}'; --", id="closing-parenthesis"),
        pytest.param("PREPARE p AS COPY (SELECT 1) TO '{file}'", id="prepare"),
        pytest.param("ATTACH '{file}'", id="attach"),
        pytest.param("EXPORT DATABASE '{file}'", id="export"),
        pytest.param("SET lock_configuration = false", id="set"),
        pytest.param("SET temp_directory = '{file}'", id="temp-directory"),
        pytest.param("CREATE TABLE t AS SELECT 1", id="create"),
        pytest.param("DROP VIEW events", id="drop"),
        pytest.param("INSTALL httpfs", id="install"),
        pytest.param("FROM enable_logging(storage = 'file', storage_path = '{file}')", id="log"),
        pytest.param("FROM enable_profiling(save_location = '{file}')", id="profile"),
        pytest.param("", id="empty"),
    ],
)
def test_a_query_can_not_write(store: Path, sql: str) -> None:
    batch = keep(store, lines([EVENT]))
    before = contents(store.parent)
    for file in (store / "batches" / "new", store / "batches" / f"{batch}.ndjson.zst", store.parent / "new"):
        assert complaint(store, sql.format(file=file))
        assert contents(store.parent) == before


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("FROM read_text('{file}')", id="text"),
        pytest.param("FROM read_blob('{file}')", id="blob"),
        pytest.param("FROM read_csv('{file}')", id="csv"),
        pytest.param("FROM '{file}'", id="name"),
        pytest.param("FROM read_text('{store}/batches/../../secret.csv')", id="dots"),
        pytest.param("FROM read_text(['{store}/batches/*.json', '{file}'])", id="list"),
        pytest.param("FROM sniff_csv('{file}')", id="sniff"),
        pytest.param("FROM glob('{store}/*')", id="glob"),
        pytest.param("FROM read_text('/proc/self/environ')", id="environment"),
        pytest.param("FROM read_csv('https://example.invalid/x.csv')", id="network"),
        pytest.param("SELECT getenv('HOME')", id="getenv"),
        pytest.param("FROM directory", id="a-variable-of-the-program"),
    ],
)
def test_a_query_can_not_read_anything_but_the_store(store: Path, sql: str) -> None:
    keep(store, lines([EVENT]))
    secret = store.parent / "secret.csv"
    secret.write_text("canary,canary\n1,2\n")
    assert "canary" not in complaint(store, sql.format(file=secret, store=store))


def test_nothing_is_fetched_or_left_in_the_home_directory(store: Path, tmp_path: Path) -> None:
    keep(store, lines([EVENT]))
    home = tmp_path / "home"
    home.mkdir()
    assert run(store, "SELECT count(*) FROM events", HOME=str(home)).returncode == 0
    assert list(home.iterdir()) == []
    assert {path.name for path in tmp_path.iterdir()} == {"store", "home"}


@pytest.mark.parametrize(
    "sql",
    [
        pytest.param("selec", id="syntax"),
        pytest.param("SELECT nope FROM events", id="column"),
        pytest.param("FROM nowhere", id="table"),
        pytest.param("SELECT 'x'::INT", id="conversion"),
        pytest.param("SELECT CASE WHEN n > 900 THEN error('a' || chr(10)) END FROM range(999) AS r(n)", id="row"),
        pytest.param(  # sorted: else whether the rows before it are shown first is DuckDB's affair
            "FROM (SELECT CASE WHEN n > 5000 THEN error('a' || chr(10)) END AS x FROM range(9999) AS r(n)) ORDER BY x",
            id="late",
        ),
    ],
)
def test_a_wrong_statement_is_said_and_exit_1(store: Path, sql: str) -> None:
    assert complaint(store, sql).startswith("telemetry query: ")


def test_a_directory_that_is_no_store_is_said_and_exit_1(tmp_path: Path) -> None:
    assert "no collector's store" in complaint(tmp_path, "SELECT 1")
    assert not any(tmp_path.iterdir())


WIDE = "SELECT repeat('x', 50) AS first, 'a,\"b' AS second, NULL AS third, 'line' || chr(10) || 'two' AS fourth"


def test_into_a_pipe_go_values_parted_by_tabs_and_nothing_that_breaks_a_line(store: Path) -> None:
    assert run(store, WIDE).stdout == f'first\tsecond\tthird\tfourth\n{"x" * 50}\ta,"b\t\tline\\u000atwo\n'


def test_csv_json_and_parquet_are_for_programs(store: Path, tmp_path: Path) -> None:
    csv = run(store, WIDE, "--format", "csv").stdout
    assert csv == f'first,second,third,fourth\n{"x" * 50},"a,""b",,"line\ntwo"\n'
    (row,) = [json.loads(line) for line in run(store, WIDE, "--format", "json").stdout.splitlines()]
    assert (row["second"], row["third"], row["fourth"]) == ('a,"b', None, "line\ntwo")
    command = [*QUERY, WIDE, "--store", str(store), "--format", "parquet"]
    (tmp_path / "x.parquet").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    assert duckdb.read_parquet(str(tmp_path / "x.parquet")).select("second").fetchall() == [('a,"b',)]


def test_a_wide_row_is_whole_in_a_table_and_vertical(store: Path) -> None:
    sql = ", ".join(f"'value {n}' AS c{n}" for n in range(40))
    for form in ("table", "vertical"):
        shown = run(store, f"SELECT {sql}", "--format", form).stdout
        assert all(f"value {n}" in shown for n in range(40))
        assert (max(map(len, shown.splitlines())) > 400) == (form == "table")


def test_on_a_terminal_what_is_too_wide_for_it_is_vertical(store: Path) -> None:
    for sql, is_table in (("SELECT 1 AS a, 2 AS b", True), (f"{WIDE}, repeat('y', 50) AS fifth", False)):
        main, terminal = pty.openpty()
        command = [*QUERY, sql, "--store", str(store)]
        subprocess.run(command, stdout=terminal, check=True, env={**os.environ, "COLUMNS": "80"})
        os.close(terminal)
        shown = os.read(main, 1 << 16).decode()
        os.close(main)
        assert ("┏" in shown) == is_table
        assert ("y" * 50 in shown) != is_table


def test_saved_questions_are_asked_by_name_of_a_store_that_the_environment_names(store: Path) -> None:
    questions = store.parent / "questions"
    questions.mkdir()
    (questions / "how-many.sql").write_text("-- how many events there are\nSELECT count(*) AS n FROM events")
    said = {"TELEMETRY_STORE": str(store)}

    def asked(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, **said, **more}
        return subprocess.run(
            [*QUERY, *arguments], capture_output=True, text=True, check=False, cwd=store.parent, env=environ
        )

    number = ask(store, "SELECT count(*) AS n FROM events")
    assert [json.loads(asked("@how-many", "--json").stdout)] == number
    assert "saved questions in questions: @how-many" in asked().stderr
    assert "did you mean how-many" in asked("@how-mny").stderr
    elsewhere = asked("@how-many", TELEMETRY_QUESTIONS="/nowhere")
    assert (elsewhere.returncode, "there are none" in elsewhere.stderr) == (1, True)
    assert "is no directory of tables" in asked("@how-many", "--tables", "none").stderr


def test_a_wrong_statement_brings_the_hint_of_duckdb(store: Path) -> None:
    assert '"event"' in complaint(store, "SELECT evnt FROM events")
    assert "LINE 1: selec" in complaint(store, "selec")


def test_a_collector_keeps_the_catalogs_that_it_is_given(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(tmp_path / "s")]
    catalog = Path(demo.__file__).with_name("demo.toml")
    with subprocess.Popen([*command, "--catalog", str(catalog)], stdout=subprocess.PIPE) as collector:
        assert collector.stdout is not None
        assert b"listening" in collector.stdout.readline()
        collector.terminate()
    assert ask(tmp_path / "s", "SELECT avg(length) AS length FROM token") == [{"length": None}]
    (tmp_path / "bad.toml").write_text("")
    refused = subprocess.run([*command, "--catalog", str(tmp_path / "bad.toml")], capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"bad.toml" in refused.stderr


def test_without_sql_it_lists_views_columns_and_purposes(store: Path, tmp_path: Path) -> None:
    keep(store, lines([{**EVENT, "workers": 3}, {**EVENT, "event": "stray", "n": 1}]))
    (tmp_path / "acme.toml").write_text(
        '[catalog]\nproduct = "acme-db"\nversion = 9\n[events.started]\npurpose = "count them"\nowner = "a"\n'
        'expires = "9999-01-01"\nsensitivity = "technical"\n[events.started.fields]\n'
        'workers = { type = "int", purpose = "it\'s for defaults" }\n'
    )
    answered = subprocess.run(
        [*QUERY, "--store", str(store), "--catalog", str(tmp_path / "acme.toml"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [tuple(json.loads(line).values()) for line in answered.stdout.splitlines()]
    assert [row[0] for row in rows[:2]] == ["events", "batches"]
    assert rows[2:] == [
        ("started", "", "", "count them"),
        ("started", "weight", "DOUBLE", "how many it stands for, where less is sent than happens"),
        ("started", "workers", "BIGINT", "it's for defaults"),
        ("stray", "", "", "no catalog names it"),
        ("stray", "n", "BIGINT", ""),
    ]


def test_an_unknown_name_is_answered_by_one_of_ours(store: Path) -> None:
    keep(store, lines([{**EVENT, "workers": 3}]))
    assert (
        complaint(store, "SELECT * FROM startd")
        == 'telemetry query: there is no view "startd"; did you mean "started"?\n'
    )
    assert 'there is no column "wokers"; did you mean "workers"?' in complaint(store, "SELECT wokers FROM started")
    assert "without SQL lists all views" in complaint(store, "SELECT xyzzy FROM started")


def test_markdown_and_bars(store: Path) -> None:
    keep(store, lines([{**EVENT, "kind": "a|b"}, {**EVENT, "kind": "c"}, {**EVENT, "kind": "c"}]))
    sql = "SELECT kind, count(*) AS n FROM started GROUP BY ALL ORDER BY n"
    assert run(store, sql, "--format", "markdown").stdout == "| kind | n |\n| --- | --- |\n| a\\|b | 1 |\n| c | 2 |\n"
    one, two = run(store, sql, "--format", "bar", COLUMNS="25").stdout.splitlines()
    assert (one, two) == ("a|b █████████▌ 1", f"c   {'█' * 19} 2")
    assert "holds others" in run(store, "SELECT kind FROM started", "--format", "bar").stderr
    assert run(store, f"{sql} LIMIT 0", "--format", "bar").stdout == ""
