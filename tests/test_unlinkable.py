"""Nothing that is uploaded joins two sessions: no string, no connection, no rhythm, no count."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import random
import re
import socket
import ssl
import subprocess
import time
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zstandard
from conftest import Host, shippers_of, wait_until
from spools import Answer, Endpoint, Request, append, decompress, make_head, open_spool

from telemetry.cli.status import gather
from telemetry.paths import product_dir
from telemetry.rendezvous.directory import rendezvous_dir
from telemetry.rendezvous.find import find_rendezvous
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.delivery.http_sink import USER_AGENT, HttpSink
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import bind
from telemetry.spool.stream import open_stream
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.receipt import Receipt

LEAST_BYTES = 8
"""A shared string of so many bytes would be a link; two random strings of a session's size share none so long."""

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.done]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = { type = "int", purpose = "tests" }
table = { type = "identifier", purpose = "tests" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "tests" }

[events.rare]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
max_per_second = 1

[events.machine]
kind = "report"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.machine.fields]
up_time_seconds = { type = "int", purpose = "tests" }
"""

CONSTANTS = [
    *(b"Host: 127.0.0.1:", b"User-Agent: " + USER_AGENT.encode(), b"Accept-Encoding: identity", b"Content-Length: "),
    *(b"Content-Type: application/x-ndjson", b"Content-Encoding: zstd", b"Idempotency-Key: "),
    b"Telemetry-Catalog: acme-db/3; sha256=" + hashlib.sha256(CATALOG.encode()).hexdigest().encode(),
    b"Telemetry-Consent: level=on; basis=host; notice=0; deployment=unknown",
    b"Telemetry-First: day, week, month",
    *(b"Telemetry-Ledger: emitted=", b"; kept=", b"POST /v1/batches"),
    *(b'{"event":"done","time":"', b'{"event":"machine","time":"', b'","session":"', b'","number":', b',"table":"'),
    *(b'","engine":"batch"}\n', b'","engine":"stream"}\n', b'","up_time_seconds":'),
]
"""Of the protocol and the catalog: the same for everybody who uses this product."""

TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z"
"""Rounded to the minute, so that everybody shares it too."""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


@pytest.fixture
def start(home: Path, catalog: Path) -> Iterator[Callable[..., Host]]:
    assert home.exists()
    started: list[Host] = []

    def start_host(endpoint: str, **settings: object) -> Host:
        init = {"product": "acme-db", "catalog": str(catalog), "endpoint": endpoint, "consent": "on"}
        prompt = {"segment_seconds": 0.3, "upload_jitter_seconds": 0.2}
        started.append(Host(init, {**prompt, **settings}))
        return started[-1]

    yield start_host
    for host in started:
        host.kill()


def _emit(host: Host, events: int) -> None:
    """Values too short to be a link, but for the identifiers: those are the same in every session."""
    for number in range(events):
        engine = random.choice(["batch", "stream"])
        host.emit(1, "done", number=random.randrange(10**7), table=f"customers {number % 3}", engine=engine)


def _by_session(endpoint: Endpoint) -> dict[str, list[Request]]:
    found: dict[str, list[Request]] = {}
    for request in endpoint.requests:
        sessions = {json.loads(line)["session"] for line in request.lines}
        assert len(sessions) == 1, "a batch holds one session"
        found.setdefault(sessions.pop(), []).append(request)
    return found


def _texts(request: Request) -> Iterator[bytes]:
    """Everything that an endpoint gets to see of an upload."""
    yield f"{request.method} {request.path}".encode()
    for name, value in request.headers:
        yield f"{name}: {value}".encode()
    yield decompress(request.body)  # the body itself tells nothing more: see `_is_function_of_plain`


def _is_function_of_plain(body: bytes) -> bool:
    """Whether a compressed body is what anybody gets who compresses the same events, as many at a time."""
    decompressor = zstandard.ZstdDecompressor().decompressobj()
    blocks = [block for at in range(len(body)) if (block := decompressor.decompress(body[at : at + 1]))]
    stream = open_stream("zstd")
    return b"".join(map(stream.write, blocks)) + stream.finish() == body


def _strings(requests: list[Request], port: int) -> set[bytes]:
    """All strings of `LEAST_BYTES` in what is left of some uploads without constants and rounded times."""
    known = [re.escape(constant) for constant in sorted([*CONSTANTS, b"127.0.0.1:%d" % port], key=len, reverse=True)]
    constants = re.compile(b"|".join([*known, TIME]))
    fragments = [rest for request in requests for text in _texts(request) for rest in constants.split(text)]
    return {rest[at : at + LEAST_BYTES] for rest in fragments for at in range(len(rest) - LEAST_BYTES + 1)}


def _assert_unlinkable(endpoint: Endpoint) -> None:
    by_session = _by_session(endpoint)
    strings = {session: _strings(requests, endpoint.port) for session, requests in by_session.items()}
    for one, other in combinations(strings, 2):
        assert strings[one] & strings[other] == set()
        assert {request.peer for request in by_session[one]} & {request.peer for request in by_session[other]} == set()
    assert all(request.header("Cookie") is None for request in endpoint.requests)
    assert all(_is_function_of_plain(request.body) for request in endpoint.requests)
    for session, requests in by_session.items():
        assert all(session.encode() in decompress(request.body) for request in requests), "the comparison has a subject"


def _arrived(endpoint: Endpoint) -> int:
    return sum(json.loads(line)["event"] == "done" for request in endpoint.requests for line in request.lines)


WITH_COOKIE = Answer(
    200, (("Set-Cookie", "id=b1946ac92492d2347c6235b4d2611184; Path=/"), ("ETag", '"b1946ac92492d234"'))
)


def test_sessions_one_after_the_other_share_no_string(start: Callable[..., Host], home: Path) -> None:
    with Endpoint(decide=lambda _: WITH_COOKIE) as endpoint:
        for events in (30, 41, 52):
            host = start(endpoint.url)
            _emit(host, events)
            host.leave()
            wait_until(lambda: not shippers_of(home))

        assert _arrived(endpoint) == 123
        assert len(_by_session(endpoint)) == 3
        _assert_unlinkable(endpoint)


def test_sessions_before_and_after_a_renewal_of_processes_that_live_on_share_no_string(
    start: Callable[..., Host],
) -> None:
    with Endpoint(decide=lambda _: WITH_COOKIE) as endpoint:
        hosts = [start(endpoint.url, session_seconds=1.0) for _ in range(2)]
        emitted = 0
        while len(_by_session(endpoint)) < 3:
            for host in hosts:
                _emit(host, 7)
            emitted += 14
        for host in hosts:
            host.leave()
        wait_until(lambda: _arrived(endpoint) == emitted)

        _assert_unlinkable(endpoint)
        tables = [
            {json.loads(line).get("table") for request in requests for line in request.lines} - {None}
            for requests in _by_session(endpoint).values()
        ]
        assert all(one & other == set() for one, other in combinations(tables, 2)), "the names were the same"
        assert max(map(len, tables)) == 3, "within a session they can be told apart"


def test_the_comparison_finds_a_string_that_two_sessions_share(start: Callable[..., Host], home: Path) -> None:
    with Endpoint() as endpoint:
        for _ in range(2):
            host = start(endpoint.url)
            host.emit(1, "done", number=123_456_789)
            host.leave()
            wait_until(lambda: not shippers_of(home))

        with pytest.raises(AssertionError, match="12345678"):
            _assert_unlinkable(endpoint)


def test_a_ledger_header_covers_its_session_alone(start: Callable[..., Host], home: Path) -> None:
    with Endpoint() as endpoint:
        for events in (30, 4):
            host = start(endpoint.url, segment_seconds=3600.0)
            host.emit(events, "done", number=1)
            host.leave()
            wait_until(lambda: not shippers_of(home))

        first, second = (request.header("Telemetry-Ledger") for request in endpoint.requests)
        assert first in {"emitted=30; kept=30", "emitted=31; kept=31"}, "it may have its report by then"
        assert second in {"emitted=4; kept=4", "emitted=5; kept=5"}


# The installation's days.


def test_of_an_installations_days_one_session_tells_that_it_is_the_first_and_no_other_tells_anything(
    start: Callable[..., Host], home: Path
) -> None:
    with Endpoint() as endpoint:
        for events in (30, 4, 5):
            host = start(endpoint.url)
            host.emit(events, "done", number=1)
            host.leave()
            wait_until(lambda: not shippers_of(home))

        told = [{request.header("Telemetry-First") for request in of} for of in _by_session(endpoint).values()]
        assert told[0] == {"day, week, month"}
        assert told[1:] in ([{None}] * 2, [{"day"}, {None}]), "midnight may have passed"
        everything = b"".join(text for request in endpoint.requests for text in _texts(request))
        (kept,) = product_dir("acme-db").glob("active-*")
        assert re.fullmatch(r"\d{4}-\d\d-\d\d\n", kept.read_text()), "the date of a day, and no id"
        assert kept.name.partition("-")[2].encode() not in everything


def test_sessions_of_one_installation_side_by_side_do_not_count_it_twice(start: Callable[..., Host]) -> None:
    with Endpoint() as endpoint:
        hosts = [start(endpoint.url, segment_bytes=4096 + number) for number in range(3)]  # settings: a shipper each
        for host in hosts:
            host.emit(10, "done", number=1)
            host.leave()
        wait_until(lambda: len(_by_session(endpoint)) == 3)

        told = [{request.header("Telemetry-First") for request in of} for of in _by_session(endpoint).values()]
        assert sum(of != {None} for of in told) == 1


# Rhythm.


def test_a_shipper_that_nobody_needs_any_more_does_not_wait(start: Callable[..., Host], home: Path) -> None:
    with Endpoint() as endpoint:
        host = start(endpoint.url, upload_jitter_seconds=3600.0)
        host.emit(10, "done", number=1)
        wait_until(lambda: gather("acme-db")["spool"]["segments"]["sealed"])
        assert endpoint.requests == []
        host.leave()
        wait_until(lambda: not shippers_of(home))

        assert _arrived(endpoint) == 10


def test_who_asks_for_a_seal_does_not_wait(start: Callable[..., Host], home: Path) -> None:
    assert home.exists()
    with Endpoint() as endpoint:
        host = start(endpoint.url, upload_jitter_seconds=3600.0, segment_seconds=3600.0)
        host.emit(10, "done", number=1)
        (rendezvous,) = find_rendezvous("acme-db")
        rendezvous.ask("seal", 30)
        wait_until(lambda: _arrived(endpoint) == 10)


# State of the shipper.


@pytest.fixture
def shipper(home: Path, catalog: Path, refusing: str) -> Iterator[Shipper]:
    directory = rendezvous_dir("acme-db", "0" * 64, refusing)
    directory.mkdir(parents=True, mode=0o700)
    sockets = bind(directory)
    shipper = Shipper(ShipperConfig("acme-db", catalog, refusing, ShipperSettings()), sockets, directory, spawned=False)
    assert home.exists()
    yield shipper
    shipper._intake.seal_all()
    shipper._spool.close()
    sockets.close()


def _frame(name: str, events: int, first: int) -> bytes:
    context = {"pid": 1, "catalog": "x", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
    packed: bytes = msgpack.packb([1, b"p" * 16, context, first, {}, [[name, time.time_ns(), {}]] * events])
    assert decode_frame(packed)
    return packed


def _sealed(shipper: Shipper) -> list[dict[str, Any]]:
    """The events sealed so far, in order."""
    bodies = sorted((shipper._spool.directory / "sealed").glob("*.zst"))
    return [json.loads(line) for body in bodies for line in decompress(body.read_bytes()).splitlines()]


def test_a_session_ends_with_its_day_wherever_in_the_world_as_everybodys_does(
    shipper: Shipper, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening = dt.datetime(2026, 1, 31, 23, 59, 59, tzinfo=dt.UTC).timestamp()
    for number, seconds in enumerate([0.0, 0.5, 1.0]):
        monkeypatch.setattr(shipper._intake, "_clock", partial(float, evening + seconds))
        shipper._intake.take([_frame("done", 1, number)])
    shipper._intake.seal_all()

    one, two, three = (event["session"] for event in _sealed(shipper))
    assert one == two != three


def test_what_a_cap_held_back_does_not_weigh_in_the_next_session(shipper: Shipper) -> None:
    shipper._intake.take([_frame("rare", 50, 0)])
    shipper._intake.renew_session()
    shipper._intake.take([_frame("rare", 1, 50)])
    shipper._intake.renew_session()

    assert [event["weight"] for event in _sealed(shipper)] == [1.0, 1.0]


def test_a_report_tells_how_long_its_session_runs_and_each_session_has_its_own(shipper: Shipper) -> None:
    shipper._began -= 100_000.0
    first: list[Receipt] = []
    for number in range(2):
        shipper._intake.take([_frame("done", 1, number)])
        first = first or shipper._writer.receipts
        shipper._intake.report_if_due()
        shipper._intake.report_if_due()
        shipper._intake.renew_session()

    reports = [event for event in _sealed(shipper) if event["event"] == "machine"]
    assert [report["up_time_seconds"] for report in reports] == [0, 0]
    assert len({report["session"] for report in reports}) == 2


# Connections.


def _certificate(directory: Path) -> Path:
    names = ("-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1")
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    command = ["openssl", "req", "-x509", *key, *names, "-keyout", "server.pem", "-out", "server.crt"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    pem = directory / "server.pem"
    pem.write_text(pem.read_text() + (directory / "server.crt").read_text())
    return pem


def test_no_tls_session_is_resumed_over_a_sessions_end(tmp_path: Path) -> None:
    pem = _certificate(tmp_path)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(pem)
    server.maximum_version = ssl.TLSVersion.TLSv1_2  # where a client can resume without having read anything
    settings = ShipperSettings(ca_file=str(tmp_path / "server.crt"))
    spool = open_spool(tmp_path / "spool")
    with Endpoint(decide=lambda _: Answer(200, (("Connection", "close"),)), tls=server) as endpoint:
        sink = HttpSink(endpoint.url, settings, {})
        for session in ("s1", "s1", "s2", "s2", "s1"):
            active = spool.begin(make_head(session=session))
            append(active, 3)
            spool.seal(active, Tally(emitted=3, kept=3))
            seal = spool.take()
            assert seal is not None
            sink.deliver(seal, b"body")
            spool.ack(seal, 0)
        sink.close()
        spool.close()
        assert [request.is_resumed for request in endpoint.requests] == [False] * 5
        assert _resumes(endpoint, tmp_path / "server.crt"), "a client that wants to can resume here"


def _resumes(endpoint: Endpoint, certificate: Path) -> bool:
    """Whether a client that resumes is seen to."""
    context = ssl.create_default_context(cafile=str(certificate))
    session = None
    for _ in range(2):
        plain = socket.create_connection(("127.0.0.1", endpoint.port), 30)
        with context.wrap_socket(plain, server_hostname="127.0.0.1", session=session) as line:
            session = line.session
            line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            while line.recv(4096):
                pass
    return endpoint.requests[-1].is_resumed
