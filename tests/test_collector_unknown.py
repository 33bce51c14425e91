"""The collector checks what arrives against its catalogs; the rest is counted, and kept, kept aside or refused."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
import zstandard

from telemetry.catalog.load import load
from telemetry.collector.body import find_fault, grant_for
from telemetry.collector.catalogs import keep_catalogs
from telemetry.collector.declared import ELLIPSIS, MAX_NAMES, declared_names, is_declared, names_in_store
from telemetry.collector.query import ask
from telemetry.collector.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CATALOG = """
[catalog]
product = "acme-db"
version = {version}
[events.done]
purpose = "p"
owner = "o"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = {{ type = "int", purpose = "p" }}
{more}
"""
KNOWN = {"event": "done", "time": "2026-01-01T00:00:00Z", "session": "s1", "number": 1}
NEW_FIELD = {**KNOWN, "engine": "batch"}
NEW_EVENT = {**KNOWN, "event": "opened"}
MORE = 'engine = { type = "enum", values = ["batch"], purpose = "p" }'


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    file = tmp_path / "acme.toml"
    file.write_text(CATALOG.format(version=1, more=""))
    return file


def _find(catalog: Path, *lines: object, refuses_unknown: bool = False) -> Any:
    body = b"".join(json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines)
    declared = declared_names([load(catalog)])["acme-db"]
    return find_fault(
        io.BytesIO(body), ".ndjson", 64 << 20, grant_for(len(body)), declared=declared, refuses_unknown=refuses_unknown
    )


def test_what_a_catalog_names_is_known_with_weight_and_the_fields_of_every_event(catalog: Path) -> None:
    finding = _find(catalog, KNOWN, {**KNOWN, "weight": 4.0}, *[KNOWN] * 2000)
    assert (finding.refusal, finding.unknown, finding.events) == (None, frozenset(), 2002)


@pytest.mark.parametrize("before", [0, 3, 5000])
def test_unknown_events_and_fields_are_found_wherever_they_stand(catalog: Path, before: int) -> None:
    finding = _find(catalog, *[KNOWN] * before, NEW_FIELD, *[KNOWN] * before, NEW_EVENT)
    assert finding.refusal is None
    assert finding.unknown == {"done.engine", "opened"}


def test_a_line_without_an_event_is_of_no_catalog(catalog: Path) -> None:
    assert _find(catalog, {"time": KNOWN["time"]}).unknown == {"an event without a name"}


def test_where_they_are_refused_the_line_is_named_and_no_data(catalog: Path) -> None:
    finding = _find(catalog, KNOWN, NEW_FIELD, refuses_unknown=True)
    assert finding.refusal.status == 400
    assert finding.refusal.reason == "line 2 has an event or a field that no catalog names"
    assert finding.unknown == {"done.engine"}


def test_names_without_end_are_told_up_to_a_bound(catalog: Path) -> None:
    finding = _find(catalog, *({**KNOWN, "event": f"e{number}"} for number in range(3000)))
    assert len(finding.unknown) == MAX_NAMES + 1
    assert ELLIPSIS in finding.unknown
    assert not is_declared(ELLIPSIS, declared_names([load(catalog)])["acme-db"])


def test_the_catalogs_of_a_store_are_read_again_when_there_are_more(tmp_path: Path, catalog: Path) -> None:
    store = tmp_path / "store"
    Store(store).close()
    assert names_in_store(store, "acme-db") is None
    keep_catalogs(store, [catalog])
    assert names_in_store(store, "acme-db") == {"done": frozenset({"event", "time", "session", "weight", "number"})}
    assert names_in_store(store, "other") == {}
    catalog.write_text(CATALOG.format(version=2, more=MORE))
    keep_catalogs(store, [catalog])
    found = names_in_store(store, "acme-db")
    assert found is not None
    assert "engine" in found["done"]


# The whole collector.


class Running(NamedTuple):
    url: str
    store: Path
    log: Path

    def post(self, *lines: object) -> int:
        """Upload a batch; returns the status."""
        body = zstandard.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        headers = {
            "Idempotency-Key": secrets.token_hex(16),
            "Telemetry-Consent": "level=on; basis=host; notice=0; deployment=unknown",
            "Telemetry-Catalog": "acme-db/1",
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "zstd",
        }
        return requests.post(self.url, body, headers=headers, timeout=60).status_code

    def counted(self, treatment: str) -> float:
        """Return how many batches the metrics say were treated so."""
        lines = requests.get(f"{self.url}/metrics", timeout=60).text.splitlines()
        name, wanted = "telemetry_collector_unknown_batches_total{", f'treatment="{treatment}"'
        found = [line for line in lines if line.startswith(name) and wanted in line]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def rows(self, *catalogs: Path) -> tuple[list[str], list[str]]:
        """Return the names of the events that a query has, and its notes."""
        notes: list[str] = []
        sql = "SELECT event FROM events ORDER BY ALL"
        rows = ask(self.store, sql, catalogs, lambda asked: [row[0] or "" for row in asked.rows().rows], notes.append)
        return rows, notes


@pytest.fixture
def start(tmp_path: Path, catalog: Path) -> Iterator[Callable[..., Running]]:
    running: list[subprocess.Popen[str]] = []

    def start_one(*options: str) -> Running:
        store, log = tmp_path / "store", tmp_path / "log"
        command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
        with log.open("a") as errors:
            process = subprocess.Popen(
                [*command, "--catalog", str(catalog), *options], stdout=subprocess.PIPE, stderr=errors, text=True
            )
        running.append(process)
        assert process.stdout
        return Running(json.loads(process.stdout.readline())["listening"], store, log)

    yield start_one
    for process in running:
        process.terminate()
        process.communicate()


def test_by_default_they_are_kept_counted_and_logged_once(start: Callable[..., Running]) -> None:
    collector = start()
    assert [collector.post(line) for line in (KNOWN, NEW_FIELD, NEW_FIELD, NEW_EVENT)] == [200] * 4
    assert collector.counted("keep") == 3
    assert collector.rows()[0] == ["done", "done", "done", "opened"]
    log = collector.log.read_text()
    assert log.count("no catalog names acme-db: done.engine") == 1
    assert log.count("no catalog names acme-db: opened") == 1


def test_kept_aside_they_are_in_no_query_until_a_catalog_names_them(
    start: Callable[..., Running], catalog: Path
) -> None:
    collector = start("--unknown", "aside")
    assert [collector.post(line) for line in (KNOWN, NEW_FIELD, NEW_EVENT)] == [200] * 3
    assert collector.counted("aside") == 2
    rows, notes = collector.rows()
    assert rows == ["done"]
    assert sum("kept aside" in note for note in notes) == 2

    catalog.write_text(CATALOG.format(version=2, more=MORE))
    rows, notes = collector.rows(catalog)
    assert rows == ["done", "done"]
    assert [note.rpartition(": ")[2] for note in notes] == ["no catalog names opened"]
    sql = "SELECT aside FROM batches"
    kept = ask(collector.store, sql, [], lambda asked: list(asked.rows().rows), notes.append)
    assert sorted(str(row[0]) for row in kept) == ["[]", "[done.engine]", "[opened]"]


def test_refused_they_are_answered_with_400_and_the_rest_is_taken(start: Callable[..., Running]) -> None:
    collector = start("--unknown", "refuse")
    assert [collector.post(line) for line in (KNOWN, NEW_FIELD, NEW_EVENT)] == [200, 400, 400]
    assert collector.counted("refuse") == 2
    assert collector.rows() == (["done"], [])
