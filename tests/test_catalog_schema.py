"""Anybody can hold an upload against the catalog: the schema takes what really goes out, and nothing else."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import wait_until
from jsonschema import Draft202012Validator
from spools import decompress

import telemetry
from telemetry.catalog.load import load
from telemetry.catalog.machine import machine_form
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.catalog.schema import line_schema
from telemetry.catalog.stubs import stubs
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.report import raw_report
from telemetry.shipper.intake.session import Session

if TYPE_CHECKING:
    from conftest import Collector

ROOT = Path(telemetry.__file__).parent
TODAY = dt.date(2026, 11, 24)
CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
max_per_second = 100
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
rows = { type = "int", buckets = [0, 10, 100], purpose = "find big results" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
table = { type = "identifier", purpose = "distinct tables in a session" }
statement = { type = "sql", purpose = "shape of slow queries" }
file = { type = "path", purpose = "which formats are read" }
failure = { type = "error", purpose = "why it failed" }
driver = { type = "version", purpose = "when the old driver can go" }
detail = { type = "text", max_length = 200, purpose = "why it failed" }
said = { type = "message", templates = ["no route to {host}", "level {level:int} failed"], purpose = "why it failed" }

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
"""
PROGRAM = """
import sys
import events, telemetry

telemetry.init(product="acme-db", catalog="acme.toml", endpoint=sys.argv[1], consent="on")
try:
    open("/home/bob/secret")
except OSError as error:
    failure = error
events.query_finished(
    duration_ms=12.5, rows=57, engine="batch", table="customers",
    statement="SELECT name FROM customers WHERE id = 4711",
    file="/home/bob/orders.csv", failure=failure, driver="v1.4", detail="no route to 10.1.17.3",
    said="level 7 failed",
)
events.queries(5)
assert telemetry.flush(60)
"""
STAMPS = {"event": "e", "time": "2026-11-24T12:00:00Z", "session": "0" * 32}


def test_a_real_upload_of_a_program_that_uses_the_stubs_holds_against_the_schema(
    home: Path, tmp_path: Path, collector: Collector
) -> None:
    assert home.exists()
    (tmp_path / "acme.toml").write_text(CATALOG)
    catalog = load(tmp_path / "acme.toml")
    (tmp_path / "events.py").write_text(stubs(catalog))
    (tmp_path / "program.py").write_text(PROGRAM)
    subprocess.run([sys.executable, "program.py", collector.endpoint], cwd=tmp_path, check=True)
    lines: dict[str, Any] = {}

    def arrived() -> bool:
        for body in collector.store.glob("batches/*.ndjson.zst"):
            lines.update((line["event"], line) for line in map(json.loads, decompress(body.read_bytes()).splitlines()))
        return lines.keys() == catalog.events.keys()

    wait_until(arrived)
    for name, line in lines.items():
        Draft202012Validator(line_schema(catalog)).validate(line)
        form = machine_form(catalog)["events"][name]
        assert line.keys() == {*form["stamped"], *form["fields"]}
    assert (lines["query_finished"]["rows"], lines["queries"]["count"]) == (10, 5)


@pytest.mark.parametrize("file", ["catalog/risingwave.toml", "demo/demo.toml", "../bench/catalog.toml"])
def test_the_schema_of_each_of_our_catalogs_is_one(file: str) -> None:
    Draft202012Validator.check_schema(line_schema(load(ROOT / file)))


def test_the_report_of_this_machine_holds_against_the_schema() -> None:
    catalog = load(ROOT / "catalog" / "risingwave.toml")
    ((drain, _),) = Pipeline(catalog, TODAY, NDJSON, None, Session(), lambda: 0.0).run_report(
        raw_report(catalog, {}, 1e6, 1)
    )
    (line,) = map(json.loads, drain.body.splitlines())
    Draft202012Validator(line_schema(catalog)).validate(line)
    assert line["up_time_seconds"] == 604_800


def test_a_catalog_without_events_allows_no_line() -> None:
    assert not Draft202012Validator(line_schema(Catalog(product="acme", version=1))).is_valid(STAMPS)


@pytest.mark.parametrize(
    ("type_", "leaves", "never"),
    [
        ("version", "1.4-rc.1", "bob's own build"),
        ("identifier", "0123456789abcdef", "customers"),
        ("sql", "select tables=2 joins=1", "SELECT name FROM customers"),
        ("path", "csv", "/home/bob/orders.csv"),
        ("error", "OSError@acme.io:read:12", "No such file: /home/bob"),
        ("message", "no route to {host}", "no route to 10.1.17.3"),
    ],
)
def test_what_must_not_leave_is_not_allowed(type_: Any, leaves: str, never: str) -> None:
    templates = ("no route to {host}",) if type_ == "message" else ()
    field = Field(name="x", type=type_, purpose="find out", templates=templates)
    about: dict[str, Any] = {"purpose": "find out", "owner": "o", "expires": TODAY, "sensitivity": "technical"}
    event = Event(name="e", fields={"x": field}, **about)
    allows = Draft202012Validator(line_schema(Catalog(product="acme", version=1, events={"e": event}))).is_valid
    assert allows({**STAMPS, "x": leaves})
    assert not allows({**STAMPS, "x": never})
    assert not allows({**STAMPS, "x": f"{leaves}\nbob"})


def test_the_machine_form_says_all_that_the_file_says_and_what_it_leaves_unsaid(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    form = machine_form(load(tmp_path / "acme.toml"))
    assert (form["form"], form["product"], form["version"], form["time_precision_seconds"]) == (1, "acme-db", 3, 60)
    query = form["events"]["query_finished"]
    assert {key: query[key] for key in ("kind", "owner", "expires", "sample", "max_per_second", "stamped")} == {
        "kind": "event",
        "owner": "query team",
        "expires": "2099-12-31",
        "sample": 1.0,
        "max_per_second": 100,
        "stamped": ["event", "time", "session", "weight"],
    }
    assert query["fields"]["engine"] == {
        "type": "enum",
        "purpose": "compare engines",
        "expires": None,
        "leaves_as": 'one of "batch", "stream", "other"; any other value as "other"',
        "values": ("batch", "stream"),
        "fold_case": False,
        "prefix": "",
        "numbered": False,
    }
    assert form["events"]["queries"]["fields"].keys() == {"count"}
