"""Common fields: declared once in the catalog, set once in the program, and carried by each event."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from conftest import wait_until
from spools import Endpoint

import telemetry
from telemetry.catalog.docs import privacy_page
from telemetry.catalog.load import inspect, load
from telemetry.testing import capture

if TYPE_CHECKING:
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = 1
[catalog.common]
edition = { type = "enum", values = ["free", "paid"], purpose = "compare editions" }
why = { type = "message", templates = ["took {ms:int} ms"], purpose = "a hole is a field, too" }
[events.started]
purpose = "count them"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
[events.started.fields]
workers = { type = "int", purpose = "size defaults" }
[events.queries]
kind = "counter"
purpose = "how much"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
[events.times]
kind = "distribution"
purpose = "how long"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
[events.facts]
kind = "report"
purpose = "which machines"
owner = "platform team"
expires = "2099-12-31"
sensitivity = "technical"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def init(catalog: Path, endpoint: str = "https://t.acme.example/v1", **options: Any) -> telemetry.Client:
    return telemetry.init(product="acme-db", catalog=catalog, endpoint=endpoint, consent="on", **options)


def test_every_event_but_a_report_has_the_common_fields(catalog: Path) -> None:
    events = load(catalog).events
    assert [*events["started"].fields] == ["workers", "edition", "why", "why_ms"]
    assert [*events["queries"].fields] == ["edition", "why", "why_ms"]
    assert [*events["facts"].fields] == []
    assert privacy_page(load(catalog)).count("compare editions") == 3


@pytest.mark.parametrize(
    ("before", "after", "fault"),
    [
        pytest.param("workers =", "edition =", "is a common field", id="twice"),
        pytest.param('values = ["free", "paid"], ', "", "`values` is missing", id="a key is missing"),
        pytest.param("edition =", "Edition =", "must be a lower-case letter", id="a wrong name"),
        pytest.param("[catalog.common]", "[catalog.commons]", "there is no key `commons`", id="a slip"),
    ],
)
def test_a_fault_in_them_is_told(catalog: Path, before: str, after: str, fault: str) -> None:
    catalog.write_text(CATALOG.replace(before, after))
    found, faults = inspect(catalog)
    assert found is None
    assert any(fault in each.fault for each in faults)


def test_what_is_bound_is_carried_until_something_else_is(catalog: Path) -> None:
    with capture() as events:
        init(catalog, fields={"edition": "free"}, strict=True)
        telemetry.emit("started", workers=1)
        telemetry.bind(edition="paid", why="took 7 ms")
        telemetry.emit("started", workers=2)
        telemetry.emit("started", workers=3, edition="free")
        telemetry.count("queries", 2)
        telemetry.bind(edition=None, why=None)
        telemetry.emit("started", workers=4)
        telemetry.count("queries")

    started = [{**event} for event in events.all("started")]
    assert started == [
        {"workers": 1, "edition": "free"},
        {"workers": 2, "edition": "paid", "why": "took {ms:int} ms", "why_ms": 7},
        {"workers": 3, "edition": "free", "why": "took {ms:int} ms", "why_ms": 7},
        {"workers": 4},
    ]
    assert [event.get("edition") for event in events.all("queries")] == ["paid", None]
    assert events.take_problems() == []


def test_a_slip_in_what_is_bound_is_told_under_strict(catalog: Path) -> None:
    with capture():
        client = init(catalog, strict=True)
        client.bind(editon="paid")
        with pytest.raises(telemetry.UndeclaredError, match="did you mean edition"):
            client.emit("started")


@pytest.mark.parametrize("fields", [["edition"], {1: "x"}, "edition"])
def test_fields_that_are_no_dict_of_names_are_told(catalog: Path, fields: Any) -> None:
    with pytest.raises(telemetry.ConfigError, match="fields="):
        init(catalog, fields=fields)


def test_before_init_and_after_close_it_does_nothing(catalog: Path, home: Path) -> None:
    assert home.exists()
    telemetry.bind(edition="paid")
    with capture() as events:
        client = init(catalog)
        telemetry.emit("started")
        telemetry.close()
        client.bind(edition="paid")
        telemetry.bind(edition="paid")
        client.emit("started")
        telemetry.emit("started")
    assert [{**event} for event in events.all("started")] == [{}]


def test_a_real_host_sends_it_in_events_counts_and_distributions(catalog: Path, home: Path) -> None:
    assert home.exists()
    with Endpoint() as endpoint:
        settings = telemetry.ShipperSettings(segment_seconds=0.2, upload_jitter_seconds=0.0)
        init(catalog, endpoint.url, fields={"edition": "free"}, shipper=settings)
        telemetry.emit("started")
        telemetry.count("queries")
        telemetry.observe("times", 2.5)
        with telemetry.timer("times"):
            pass
        telemetry.close(5.0)

        def told() -> list[Any]:
            return [json.loads(line) for request in endpoint.requests for line in request.lines]

        wait_until(lambda: {line["event"] for line in told()} == {"started", "queries", "times"})
        assert {line["edition"] for line in told()} == {"free"}
