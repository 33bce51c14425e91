"""What the tripwire has stopped, a person can look at and let go: nothing of it is lost, and uploads go on."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from spools import Endpoint, make_head, names, open_spool, read_balanced
from test_tripwire import CATALOG, NAMES, PERMITTED, encode, tripwire

from telemetry.cli.tripwire import tripwire as command
from telemetry.drops import DropReason
from telemetry.paths import spool_dir
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.spool import held
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.spool.spool import Spool

PRODUCT = "acme-db"
SETTINGS = ShipperSettings(upload_jitter_seconds=0.0, retry_min_seconds=0.0, retry_max_seconds=0.0)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as made:
        yield made


@pytest.fixture
def spool(home: Path, endpoint: Endpoint) -> Iterator[Spool]:
    assert home.exists()
    opened = open_spool(spool_dir(PRODUCT, endpoint.url))
    yield opened
    opened.close()


def _seal(spool: Spool, *details: str) -> str:
    active = spool.begin(make_head())
    body = encode(NDJSON, *({"detail": detail} for detail in details))
    active.append(body, Tally(emitted=len(details), kept=len(details)), {})
    spool.seal(active, Tally())
    return active.head.id


def _uploader(spool: Spool, endpoint: Endpoint) -> Uploader:
    sink = HttpSink(endpoint.url, SETTINGS, {})
    return Uploader(spool, sink, SETTINGS, lambda: PERMITTED, tripwire(own=NAMES, catalog=CATALOG))


def _run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(command, [*arguments, "--product", PRODUCT, "--json"])
    return result.exit_code, json.loads(result.stdout) if result.stdout else result.output


def _steps(uploader: Uploader) -> None:
    for _ in range(12):
        uploader.step()


def test_a_stop_is_looked_at_and_taken_back_and_loses_nothing(
    spool: Spool, endpoint: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "telemetry.shipper")
    uploader = _uploader(spool, endpoint)
    hit = {_seal(spool, "login of janeroe", "clean"), _seal(spool, "user=bob")}
    clean = _seal(spool, "clean")
    _steps(uploader)
    assert uploader.state == "paused"
    stopped = _seal(spool, "clean too")
    _steps(uploader)
    assert stopped not in {request.header("Idempotency-Key") for request in endpoint.requests}

    code, shown = _run("show")
    assert code == 1
    assert {one["id"] for one in shown["held"]} == hit
    places = [place for one in shown["held"] for place in one["places"]]
    assert {(place["event"], place["field"], place["kind"]) for place in places} == {
        ("data.janedoe", "detail", "own:user")
    }
    assert "login of janeroe" in [value for place in places for value in place["values"]]

    assert _run("clear", "--all", "--yes") == (0, {"segments": 2, "events": 3, "left": []})
    _steps(uploader)
    spool.refresh()
    _steps(uploader)
    assert {request.header("Idempotency-Key") for request in endpoint.requests} == {*hit, clean, stopped}
    assert uploader.state != "paused"
    assert caplog.text.count("was released: uploads continue") == 1
    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (5, {})
    assert _run("show") == (0, {"held": []})


def test_one_is_let_go_and_the_other_still_stops_the_uploads(spool: Spool, endpoint: Endpoint) -> None:
    uploader = _uploader(spool, endpoint)
    one, other = _seal(spool, "login of janeroe"), _seal(spool, "login of janeroe")
    _steps(uploader)
    assert _run("clear", one, "--yes")[0] == 0
    _steps(uploader)
    assert uploader.state == "paused"
    assert [held_back.id for held_back in held.find_held(spool.directory)] == [other]
    assert endpoint.requests == []


def test_what_is_not_held_back_is_named_and_nobody_is_taken_at_half_a_word(spool: Spool) -> None:
    assert spool.directory.exists()
    assert _run("clear", "ab" * 16, "--yes") == (1, {"segments": 0, "events": 0, "left": ["ab" * 16]})
    assert _run("clear")[0] == 2
    assert _run("clear", "x", "--all")[0] == 2


def test_what_is_erased_leaves_no_note(spool: Spool, endpoint: Endpoint) -> None:
    uploader = _uploader(spool, endpoint)
    _seal(spool, "login of janeroe")
    _steps(uploader)
    assert names(spool.directory / held.FOLDER)
    spool.wipe(DropReason.CONSENT)
    assert not names(spool.directory / held.FOLDER)
