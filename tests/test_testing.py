"""What a program's own tests are given: what it emits is recorded as it would leave, and a slip fails the test."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

import telemetry
from telemetry import api
from telemetry.errors import CatalogError, ConfigError, InvalidValueError
from telemetry.testing import capture

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "9999-01-01"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
table = { type = "identifier", purpose = "distinct tables in a session" }
fault = { type = "error", purpose = "what to mend" }

[events.rare]
purpose = "decide whether it is needed"
owner = "query team"
expires = "9999-01-01"
sensitivity = "technical"
sample = 0.01
max_per_second = 1
[events.rare.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }

[events.old]
purpose = "decide what was decided"
owner = "query team"
expires = "2020-01-01"
sensitivity = "technical"

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "9999-01-01"
sensitivity = "technical"
[events.queries.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
"""
TEXT = """
[events.failed]
purpose = "decide which failures to mend first"
owner = "query team"
expires = "9999-01-01"
sensitivity = "technical"
[events.failed.fields]
detail = { type = "text", max_length = 200, purpose = "why it failed", reason = "nobody has listed them yet" }
"""
INIT: dict[str, Any] = {"product": "acme-db", "endpoint": "https://t.acme.example/v1/batches"}


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def test_an_event_is_recorded_as_it_would_leave(catalog: Path) -> None:
    with capture(catalog) as events:
        telemetry.emit("query_finished", duration_ms=1.5, engine="batch", table="orders", fault=ValueError("orders"))

    found = events.one("query_finished", engine="batch")
    assert found["duration_ms"] == 1.5
    assert found["fault"] == "ValueError"
    assert found["table"] not in {"orders", ""}
    assert events.names == ["query_finished"]
    assert events.take_problems() == []


def test_free_text_is_redacted_and_the_rules_are_told(catalog: Path, tmp_path: Path) -> None:
    catalog.write_text(CATALOG + TEXT)
    with capture(catalog, cache=tmp_path) as events:
        telemetry.emit("failed", detail="no route to 10.2.3.4 for bob@example.com")

    found = events.one("failed")
    assert dict(found) == {"detail": "no route to [ip] for [email]"}
    assert sorted(found.redacted["detail"]) == ["email", "ip"]


@pytest.mark.parametrize(
    ("name", "fields", "problem"),
    [
        ("query_finnished", {}, "declares no event 'query_finnished'; did you mean query_finished?"),
        ("query_finished", {"engin": "batch"}, "declares no field 'engin'; did you mean engine?"),
        ("query_finished", {"duration_ms": "long"}, "field duration_ms: is a str"),
        ("query_finished", {"engine": "row"}, "field engine: is not among the `values`"),
        ("queries", {}, "queries is of kind counter: call count()"),
        ("old", {}, "event old would be dropped: expired"),
    ],
)
def test_what_would_not_leave_as_it_is_is_a_problem(
    catalog: Path, name: str, fields: dict[str, object], problem: str
) -> None:
    with capture(catalog) as events:
        telemetry.emit(name, **fields)

    (told,) = events.take_problems()
    assert problem in told
    assert events.take_problems() == []


def test_what_is_counted_is_summed_up_by_its_fields(catalog: Path) -> None:
    with capture(catalog) as events:
        for _ in range(3):
            telemetry.count("queries", engine="batch")
        telemetry.count("queries", 40, engine="stream")
        telemetry.count("queries", -1)
        assert events.one("queries", engine="batch")["count"] == 3
        assert events.one("queries", engine="stream")["count"] == 40

    assert "must be counted by whole numbers" in events.take_problems()[0]


def test_a_timer_s_duration_is_there(catalog: Path) -> None:
    with capture(catalog) as events, telemetry.timer("query_finished", engine="stream"):
        pass

    assert events.one("query_finished", engine="stream")["duration_ms"] >= 0.0


def test_nothing_is_thinned_out(catalog: Path) -> None:
    with capture(catalog) as events:
        for _ in range(20):
            telemetry.emit("rare", engine="batch")

    assert len(events.all("rare", engine="batch")) == 20


def test_a_client_made_meanwhile_records_by_its_own_catalog_whatever_the_consent(catalog: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text(CATALOG.replace("query_finished", "query_ended"))
    with capture() as events:
        telemetry.emit("query_finished")  # nobody has called `init` yet
        telemetry.count("queries")
        assert [problem.partition(" ")[0] for problem in events.take_problems()] == ["query_finished", "queries"]
        telemetry.init(catalog=catalog, consent="off", **INIT)
        telemetry.emit("query_finished", engine="batch")
        with telemetry.Client(catalog=other, **INIT) as client:
            client.emit("query_ended", engine="stream")
        assert telemetry.flush(0.0, until="delivered")

    assert events.names == ["query_finished", "query_ended"]
    assert events.take_problems() == []
    assert not (tmp_path / "home").exists()


def test_its_arguments_are_checked_as_always(catalog: Path, tmp_path: Path) -> None:
    with capture():
        with pytest.raises(ConfigError, match="consent='maybe'"):
            telemetry.init(catalog=catalog, consent="maybe", **INIT)
        with pytest.raises(ConfigError, match="deployment"):
            telemetry.init(catalog=catalog, deployment="moon", **INIT)
        telemetry.init(catalog=catalog, strict=True, **INIT)
        with pytest.raises(InvalidValueError):
            telemetry.emit("query_finished", duration_ms="long")
    with pytest.raises(CatalogError), capture(tmp_path / "none.toml"):
        pass


def test_afterwards_all_is_as_it_was(catalog: Path) -> None:
    before = api._client, api._record, api._tick, telemetry.Client.__init__
    with pytest.raises(ConfigError), capture(catalog):  # noqa: PT012 the block is what ends
        telemetry.init(catalog=catalog, **INIT)
        telemetry.init(catalog=catalog, consent="maybe", **INIT)

    assert (api._client, api._record, api._tick, telemetry.Client.__init__) == before


def test_threads_are_recorded_whole(catalog: Path) -> None:
    def emit() -> None:
        for _ in range(200):
            telemetry.emit("query_finished", engine="batch")
            telemetry.count("queries")

    with capture(catalog) as events:
        threads = [threading.Thread(target=emit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert len(events.all("query_finished")) == 800
    assert events.one("queries")["count"] == 800


def test_a_failed_assertion_tells_what_was_emitted(catalog: Path) -> None:
    with capture(catalog) as events:
        telemetry.emit("query_finished", engine="batch")
        telemetry.emit("query_finished", engine="row")

    with pytest.raises(
        AssertionError, match=r"expected one query_finished\(engine='stream'\), found 0; emitted: .*'batch'.*problems: "
    ):
        events.one("query_finished", engine="stream")
    with pytest.raises(AssertionError, match=r"expected no query_finished\(\), found 2"):
        events.none("query_finished")
    events.none("queries")


TESTS = """
import telemetry

def test_good(telemetry_events):
    telemetry.emit("query_finished", engine="batch")
    telemetry_events.one("query_finished", engine="batch")

def test_bad(telemetry_events):
    telemetry.emit("query_finished", engine="row")

def test_bad_on_purpose(telemetry_events):
    telemetry.emit("query_finished", engin="batch")
    assert len(telemetry_events.take_problems()) == 1

def test_counts(telemetry_events):
    telemetry.count("queries")
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "by workers"])
def test_the_fixture_fails_a_test_that_emits_amiss_and_the_report_tells_what_none_has_emitted(
    catalog: Path, tmp_path: Path, workers: tuple[str, ...]
) -> None:
    catalog.write_text(CATALOG + TEXT)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntelemetry_catalog = {catalog.name}\n")
    (tmp_path / "test_acme.py").write_text(TESTS)
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "--telemetry-report", *workers, "test_acme.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )

    assert len([*tmp_path.glob(".pytest_cache/d/telemetry/scanner/scanner-*")]) == 1  # the next run takes it from there
    assert "4 passed, 1 error" in ran.stdout, ran.stdout + ran.stderr
    assert "field engine: is not among the `values`" in ran.stdout
    assert f"{catalog}: 2 of 5 events emitted" in ran.stdout
    assert [line for line in ran.stdout.splitlines() if "never emitted" in line] == [
        "  never emitted: rare",
        "  never emitted: old",
        "  never emitted: failed",
    ]


def test_without_a_catalog_the_fixture_fails_a_test_that_emits_and_of_one_with_faults_it_says_so(
    catalog: Path, tmp_path: Path
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_acme.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "test_acme.py"]
    without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    catalog.write_text(CATALOG.replace("technical", "tecnical"))
    (tmp_path / "pytest.ini").write_text(f"[pytest]\ntelemetry_catalog = {catalog.name}\n")
    faulty = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    assert "set `telemetry_catalog` in pytest's configuration" in without
    assert "1 failed, 3 passed, 3 errors" in without, without
    assert "4 errors" in faulty, faulty
    assert "did you mean `technical`?" in faulty
    assert "Traceback" not in faulty
    assert "load.py" not in faulty


def test_a_run_that_does_not_use_it_loads_next_to_nothing_of_it(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    ours = {'telemetry', 'zmq', 'msgspec', 'msgpack'}\n"
        "    loaded = sorted(name for name in sys.modules if name.split('.')[0] in ours)\n"
        "    assert loaded == ['telemetry', 'telemetry.api', 'telemetry.pytest_plugin']\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", "test_other.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
