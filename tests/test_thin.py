"""`Telemetry-Thin`: a collector asks for less; it can only reduce, and tells no installation from another."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from conftest import Collector, shippers_of, wait_until
from spools import Answer, Endpoint, Request, append, make_head, open_spool
from test_sampler import compiled, decode

from telemetry.cli.status import gather
from telemetry.collector.less import Less
from telemetry.collector.query import ask
from telemetry.errors import ConfigError
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.intake.thinner import Thinner
from telemetry.shipper.thinning import Thinning
from telemetry.spool.tally import Tally
from telemetry.thin import MAX_HEADER_BYTES, NOTHING, Asked, format_thin, parse_thin

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import StartHost

RUBBISH = [
    "",
    "0.5",
    "[]",
    "null",
    "{",
    '{"a": 0.5',
    "[" * 100_000,
    '{"a":' * 5000,
    "é" * 10,
    "x" * (MAX_HEADER_BYTES + 1),
]


@pytest.mark.parametrize("header", RUBBISH)
def test_a_header_that_can_not_be_read_is_counted_and_changes_nothing(header: str) -> None:
    assert parse_thin(header) == Asked(None, 1)


@pytest.mark.parametrize(
    "share", [1, 1.0, 2, -0.5, 0.3, 0.50000001, 1e-9, 0.5**11, True, False, "0.5", None, [0.5], float("nan"), 10**400]
)
def test_a_share_that_could_be_a_watermark_is_ignored_and_the_others_hold(share: object) -> None:
    assert parse_thin(json.dumps({"a": share, "b": 0.25})) == Asked({"b": 0.25}, 1)


def test_what_is_asked_for_reads_back() -> None:
    shares = {"a": 0.5, "b": 0.0, "c": 0.5**10}
    assert parse_thin(format_thin(shares)) == Asked(shares, 0)
    assert parse_thin("{}") == NOTHING


def test_a_request_holds_for_the_session_that_it_answers_until_it_is_taken_back() -> None:
    thinning = Thinning()
    thinning.hear("s1", Asked({"a": 0.5}))
    assert thinning.shares_of("s1") == {"a": 0.5}
    assert thinning.shares_of("s2") == {}
    thinning.hear("s1", Asked(None, 1))
    assert thinning.shares_of("s1") == {"a": 0.5}
    thinning.hear("s1", NOTHING)
    assert thinning.shares_of("s1") == {}
    assert thinning.ignored == 1


# Thinning.


def test_the_weights_of_a_share_add_up_to_about_all_events_and_the_rest_is_counted() -> None:
    found = compiled(e={}, other={})
    tally = Tally(emitted=8001)
    events = decode(found, *[("e", 1)] * 8000, ("other", 1))
    kept = Thinner(found, random.Random(7).random).thin(events, {"e": 0.25, "unknown": 0.0}, tally)

    weights = [event.fields.weight for event in kept if type(event) is found.envelopes["e"]]
    assert set(weights) == {4.0}
    assert 7600 < sum(weights) < 8400
    assert kept[-1].fields.weight is msgspec.UNSET
    assert tally.dropped == {"thinned": 8001 - len(kept)}


def test_a_sample_of_the_catalog_and_a_share_multiply() -> None:
    found = compiled(e={"sample": 0.5})
    events = decode(found, ("e", 1))
    events[0].fields.weight = 2.0
    kept = Thinner(found, lambda: 0.0).thin(events, {"e": 0.125}, Tally(emitted=1))

    assert [event.fields.weight for event in kept] == [16.0]


@pytest.mark.parametrize(("share", "kept"), [(0.5, 3), (0.0, 0)])
def test_counters_are_whole_or_not_there_at_all(share: float, kept: int) -> None:
    found = compiled(c={"kind": "counter"})
    events = decode(found, *[("c", 1)] * 3)

    assert len(Thinner(found, lambda: 0.99).thin(events, {"c": share}, Tally(emitted=3))) == kept


# What is heeded.


@pytest.fixture
def deliver(tmp_path: Path) -> Callable[..., Asked | None]:
    def one(decide: Callable[[Request], Answer], *, format_: str = "ndjson", **settings: Any) -> Asked | None:
        with contextlib.ExitStack() as stack:
            spool = open_spool(tmp_path / f"spool-{time.monotonic_ns()}")
            stack.callback(spool.close)
            active = spool.begin(msgspec.structs.replace(make_head(session="s1"), format=format_))
            append(active, 3)
            spool.seal(active, Tally(emitted=3, kept=3))
            seal = spool.take()
            assert seal is not None
            endpoint = stack.enter_context(Endpoint(decide=decide))
            sink = HttpSink(endpoint.url, ShipperSettings(**settings), {})
            stack.callback(sink.close)
            return sink.deliver(seal, b"body").thin

    return one


def kept(request: Request, header: str | None, **more: Any) -> Answer:
    reply = {"batch": request.header("Idempotency-Key"), "stored": True, **more}
    headers = (("Content-Type", "application/json"),) + ((("Telemetry-Thin", header),) if header is not None else ())
    return Answer(200, headers, json.dumps(reply).encode())


def test_a_collectors_request_is_heard_and_its_silence_takes_it_back(deliver: Callable[..., Asked | None]) -> None:
    assert deliver(lambda request: kept(request, '{"a": 0.5}')) == Asked({"a": 0.5})
    assert deliver(lambda request: kept(request, None)) == NOTHING
    assert deliver(lambda request: kept(request, "rubbish")) == Asked(None, 1)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, (("Telemetry-Thin", '{"a": 0}'),)),
        Answer(200, (("Telemetry-Thin", '{"a": 0}'),), b'{"batch": "another", "stored": true}'),
        Answer(200, (("Telemetry-Thin", '{"a": 0}'), ("Content-Type", "text/html")), b"<html>"),
        Answer(409, (("Telemetry-Thin", '{"a": 0}'),)),
        Answer(503, (("Telemetry-Thin", '{"a": 0}'),), b'{"error": "busy"}'),
        Answer(302, (("Telemetry-Thin", '{"a": 0}'), ("Location", "/"))),
    ],
)
def test_of_what_is_no_collectors_reply_nothing_is_heard(deliver: Callable[..., Asked | None], answer: Answer) -> None:
    assert deliver(lambda _: answer) is None


def test_over_a_line_that_nobody_vouches_for_nothing_is_heard(deliver: Callable[..., Asked | None]) -> None:
    assert deliver(lambda request: kept(request, '{"a": 0}'), allow_http=True) is None


def test_in_another_format_nothing_is_heard(deliver: Callable[..., Asked | None]) -> None:
    assert deliver(lambda request: kept(request, '{"a": 0}'), format_="risingwave") is None


# The collector's file.


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 0.3}', '{"a": true}', json.dumps({"x" * 99 + str(n): 0 for n in range(99)})]
)
def test_a_file_that_no_shipper_would_heed_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "thin.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match="--thin"):
        Less(file)


def test_a_file_is_read_again_and_one_that_can_not_be_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "thin.json"
    file.write_text('{"a": 0.5}')
    less = Less(file)
    assert less.header == 'Telemetry-Thin: {"a": 0.5}\r\n'
    file.write_text("{")
    less.reload()
    less.reload()
    assert less.header == 'Telemetry-Thin: {"a": 0.5}\r\n'
    assert len(caplog.records) == 1
    file.write_text("{}")
    less.reload()
    assert less.header == ""


# End to end.


@pytest.fixture
def thin(tmp_path: Path) -> Path:
    file = tmp_path / "thin.json"
    file.write_text("{}")
    return file


@pytest.fixture
def asking(tmp_path: Path, thin: Path) -> Iterator[Collector]:
    store = tmp_path / "store"
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
    with subprocess.Popen([*command, "--thin", str(thin)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Collector(f"{json.loads(process.stdout.readline())['listening']}/v1/batches", store)
        process.terminate()


def _weights(store: Path) -> list[tuple[float, int]]:
    sql = "SELECT coalesce(weight, 1), count(*) FROM query_finished GROUP BY ALL ORDER BY 1"
    rows = ask(store, sql, [store.parent / "acme.toml"], lambda asked: list(asked.rows().rows), lambda _: None)
    return [(float(weight or 0), int(number or 0)) for weight, number in rows]


def test_a_shipper_keeps_the_share_that_a_collector_asks_for_until_it_takes_it_back(
    start_host: StartHost, asking: Collector, thin: Path, home: Path
) -> None:
    host = start_host(asking.endpoint, segment_seconds=0.1)

    def asked() -> Any:
        host.emit(1)
        return (gather("acme-db")["shipper"] or {}).get("thin")

    wait_until(lambda: asked() == {})
    thin.write_text('{"query_finished": 0.25}')
    wait_until(lambda: asked() == {"query_finished": 0.25})
    host.emit(4000)
    thin.write_text("{}")
    wait_until(lambda: asked() == {})
    host.emit(100)
    ledger = gather("acme-db")["ledger"]
    host.leave()
    wait_until(lambda: not shippers_of(home))

    (one, whole), (four, share) = _weights(asking.store)
    assert (one, four) == (1.0, 4.0)
    assert whole >= 100
    assert 800 < share < 1200
    thinned = ledger["dropped"]["thinned"]
    assert 2700 < thinned < 3400
    final = gather("acme-db")["ledger"]
    assert final["emitted"] == final["delivered"] + final["dropped"]["thinned"] == whole + share + thinned


def test_a_watermark_that_one_session_was_given_is_in_no_other_session(start_host: StartHost, home: Path) -> None:
    given: set[str] = set()

    def decide(request: Request) -> Answer:
        session = json.loads(request.lines[0])["session"]
        given.add(session)
        is_first = session == json.loads(endpoint.requests[0].lines[0])["session"]
        return kept(request, '{"query_finished": 0.125, "canary": 0.3}' if is_first else "rubbish")

    with Endpoint(decide=decide) as endpoint:
        for _ in range(2):
            host = start_host(endpoint.url, segment_seconds=0.1)
            deadline = time.monotonic() + 60.0
            while not (gather("acme-db")["shipper"] or {}).get("thin_ignored") and time.monotonic() < deadline:
                host.emit(1)
            host.emit(400)
            told = gather("acme-db")["shipper"]
            host.leave()
            wait_until(lambda: not shippers_of(home))
        weights: dict[str, set[float | None]] = {}
        for request in endpoint.requests:
            for line in map(json.loads, request.lines):
                weights.setdefault(line["session"], set()).add(line.get("weight"))

    first, second = (
        weights[session]
        for session in dict.fromkeys(json.loads(request.lines[0])["session"] for request in endpoint.requests)
    )
    assert 8.0 in first
    assert second == {None}, "the next session starts from nothing, and rubbish changes nothing"
    assert told["thin_ignored"] >= 1
    assert told["thin"] == {}
