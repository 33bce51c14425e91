"""The collector as a real process, over real sockets, on a real disk."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import secrets
import select
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import pytest
import requests
import zstandard

from telemetry.receipt import BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER, LEDGER_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COLLECT = [sys.executable, "-c", "from telemetry.cli.collect import collect; collect()"]
QUERY = [sys.executable, "-c", "from telemetry.cli.query import query; query()"]
BATCH = "0123456789abcdef0123456789abcdef"
CONSENT = "level=on; basis=host; notice=0; deployment=cloud"
HEADERS = {
    BATCH_HEADER: BATCH,
    CONSENT_HEADER: CONSENT,
    CATALOG_HEADER: "acme-db/3",
    LEDGER_HEADER: '{"emitted": 2}',
    "Content-Type": "application/x-ndjson",
    "Content-Encoding": "zstd",
}
EVENTS = (
    b'{"event": "started", "time": "2026-01-01T00:00:00Z", "session": "s1"}\n'
    b'{"event": "query_finished", "time": "2026-01-01T00:01:00Z", "session": "s1", "duration_ms": 1.5}\n'
)
BODY = zstandard.compress(EVENTS)
OTHER = b'{"event": "other"}\n'
DEADLINE_SECONDS = 20.0


class Collector(NamedTuple):
    process: subprocess.Popen[str]
    url: str
    store: Path

    def post(self, body: bytes = BODY, /, path: str = "/v1/batches", **headers: str | None) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.post(self.url + path, data=body, headers={**HEADERS, **named}, timeout=DEADLINE_SECONDS)

    def stored(self) -> set[str]:
        return {path.name for path in (self.store / "batches").iterdir()}

    def arriving(self) -> list[Path]:
        return list((self.store / "incoming").iterdir())

    def takes_in(self) -> bool:
        """Whether something of a first body has come, in memory or on disk."""
        counted = requests.get(self.url + "/metrics", timeout=DEADLINE_SECONDS).text
        return "telemetry_collector_store_bytes 0.0" not in counted

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str, str]:
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=DEADLINE_SECONDS)
        return self.process.returncode, out, err


@contextlib.contextmanager
def running(store: Path, *options: str, prefix: tuple[str, ...] = ()) -> Iterator[Collector]:
    command = [*prefix, *COLLECT, "--listen", "127.0.0.1:0", "--store", str(store), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            yield Collector(process, json.loads(line)["listening"], store)
        finally:
            process.kill()


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with running(tmp_path / "store") as collector:
        yield collector


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it did not come to hold in time"
        threading.Event().wait(0.01)


def random_body(size_bytes: int) -> bytes:
    """A body of about this size, compressed."""
    return zstandard.compress(b'{"event": "%b"}\n' % secrets.token_hex(size_bytes).encode())


LARGE = random_body(300_000)  # gets a file before it has come whole


def begin_upload(collector: Collector, announced_bytes: int, **headers: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(collector.url).netloc, timeout=DEADLINE_SECONDS)
    connection.putrequest("POST", "/v1/batches")
    for name, value in {**HEADERS, "Content-Length": str(announced_bytes), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders()
    return connection


def refused(tmp_path: Path, *options: str) -> str:
    """Start a collector that must not start; its one line of complaint."""
    defaults = ["--listen", "127.0.0.1:0", "--store", str(tmp_path / "store")]
    ended = subprocess.run(
        [*COLLECT, *defaults, *options], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    return ended.stderr


def test_a_body_is_stored_as_it_came_with_its_record(collector: Collector) -> None:
    reply = collector.post()

    assert (reply.status_code, reply.json()) == (200, {"batch": BATCH, "stored": True})
    assert (collector.store / "batches" / f"{BATCH}.ndjson.zst").read_bytes() == BODY
    record = json.loads((collector.store / "batches" / f"{BATCH}.json").read_bytes())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:00Z", record.pop("received"))
    assert record == {
        "batch": BATCH,
        "catalog": "acme-db/3",
        "receipt": {"level": "on", "basis": "host", "notice": 0, "deployment": "cloud"},
        "ledger": '{"emitted": 2}',
        "route": "/v1/batches",
        "bytes": len(BODY),
        "catalog_digest": "",
        "first": {"day": False, "week": False, "month": False},
        "aside": [],
    }
    until(lambda: not collector.arriving())


def test_what_the_collector_makes_is_private(collector: Collector) -> None:
    collector.post()

    for path in [collector.store, *collector.store.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


@pytest.mark.parametrize(
    ("content_type", "encoding", "body", "name"),
    [
        pytest.param("application/x-ndjson", None, EVENTS, f"{BATCH}.ndjson", id="ndjson-as-it-is"),
        pytest.param("application/x-ndjson; charset=utf-8", "ZSTD", BODY, f"{BATCH}.ndjson.zst", id="parameters"),
        pytest.param("application/x-ndjson", "gzip", gzip.compress(EVENTS), f"{BATCH}.ndjson.gz", id="gzip"),
        pytest.param("application/x-protobuf", None, b"\x0a\x01x", f"{BATCH}.pb", id="protobuf"),
        pytest.param("application/x-protobuf", "zstd", BODY, f"{BATCH}.pb.zst", id="compressed-protobuf"),
    ],
)
def test_the_name_of_a_body_tells_its_format(
    collector: Collector, content_type: str, encoding: str | None, body: bytes, name: str
) -> None:
    assert collector.post(body, Content_Type=content_type, Content_Encoding=encoding).status_code == 200
    assert (collector.store / "batches" / name).read_bytes() == body


def test_the_route_is_recorded(collector: Collector) -> None:
    assert collector.post(path="/v1/batches/compute").status_code == 200
    assert json.loads((collector.store / "batches" / f"{BATCH}.json").read_bytes())["route"] == "/v1/batches/compute"


def test_a_repeated_batch_is_acknowledged_and_the_first_one_stays(collector: Collector) -> None:
    collector.post()
    repeated = collector.post(zstandard.compress(OTHER))
    in_other_format = collector.post(OTHER, Content_Type="application/x-protobuf", Content_Encoding=None)

    for reply in (repeated, in_other_format):
        assert (reply.status_code, reply.json()) == (200, {"batch": BATCH, "stored": False})
    assert collector.stored() == {f"{BATCH}.ndjson.zst", f"{BATCH}.json"}
    assert (collector.store / "batches" / f"{BATCH}.ndjson.zst").read_bytes() == BODY
    until(lambda: not collector.arriving())


def test_of_twenty_uploads_at_once_under_one_id_exactly_one_is_stored(collector: Collector) -> None:
    bodies = [random_body(300_000) for _ in range(20)]
    start = threading.Barrier(len(bodies))

    def upload(body: bytes) -> bool:
        start.wait()
        reply = collector.post(body)
        assert reply.status_code == 200
        return bool(reply.json()["stored"])

    with ThreadPoolExecutor(len(bodies)) as threads:
        stored = list(threads.map(upload, bodies))

    assert stored.count(True) == 1
    kept = (collector.store / "batches" / f"{BATCH}.ndjson.zst").read_bytes()
    assert kept == bodies[stored.index(True)]
    until(lambda: not collector.arriving())


@pytest.mark.parametrize(
    "consent",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("yes please", id="no-receipt"),
        pytest.param(CONSENT.replace("=on", "=local"), id="local"),
        pytest.param(CONSENT.replace("=on", "=off"), id="off"),
        pytest.param(CONSENT.replace("=on", "=ON"), id="another-level"),
        pytest.param(CONSENT.replace("notice=0; ", ""), id="no-notice"),
        pytest.param(CONSENT.replace("notice=0", "notice=-1"), id="notice-negative"),
        pytest.param(CONSENT.replace("notice=0", "notice=\u00b2"), id="notice-in-other-digits"),
        pytest.param(CONSENT + "; level=local", id="two-levels"),
        pytest.param("level=local; " + CONSENT, id="two-levels-the-other-way"),
        pytest.param(CONSENT + "; install=42", id="one-name-more"),
        pytest.param(CONSENT + ";", id="an-empty-part"),
        pytest.param(CONSENT.replace("basis=host", "basis=none"), id="nobody-said-yes"),
        pytest.param(CONSENT.replace("basis=host", "basis="), id="no-basis"),
        pytest.param(CONSENT.replace("basis=host", "basis=jane"), id="another-basis"),
        pytest.param(CONSENT.replace("basis=host", "basis=cloud-default"), id="a-default-without-a-notice"),
        pytest.param(CONSENT.replace("deployment=cloud", "deployment=acme"), id="another-deployment"),
    ],
)
def test_without_consent_nothing_is_kept(collector: Collector, consent: str | None) -> None:
    assert collector.post(Telemetry_Consent=consent).status_code == 403
    assert collector.stored() == set()
    until(lambda: not collector.arriving())


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("../../../../tmp/0123456789abcdef", id="traversal"),
        pytest.param("%2e%2e%2f" + BATCH[:23], id="encoded-traversal"),
        pytest.param("/" + BATCH[1:], id="absolute"),
        pytest.param(BATCH.upper(), id="upper-case"),
        pytest.param(BATCH[1:], id="short"),
        pytest.param(BATCH + "0", id="long"),
        pytest.param("\N{SUPERSCRIPT TWO}" * 32, id="other-digits"),
    ],
)
def test_a_batch_id_that_is_no_id_is_refused(collector: Collector, batch: str | None) -> None:
    before = set(collector.store.parent.rglob("*"))
    assert collector.post(Idempotency_Key=batch).status_code == 400
    assert set(collector.store.parent.rglob("*")) == before


@pytest.mark.parametrize("catalog", [None, "", "acme-db", "acme-db/", "/3", "acme-db/three", "a/b/3", "../x/3"])
def test_a_catalog_header_that_is_none_is_refused(collector: Collector, catalog: str | None) -> None:
    assert collector.post(Telemetry_Catalog=catalog).status_code == 400
    assert collector.stored() == set()


@pytest.mark.parametrize(
    ("content_type", "encoding"),
    [
        pytest.param("text/plain", "zstd", id="type"),
        pytest.param(None, "zstd", id="no-type"),
        pytest.param("application/x-ndjson", "br", id="encoding"),
        pytest.param("application/x-ndjson", "zstd, zstd", id="twice"),
    ],
)
def test_an_unknown_type_or_encoding_is_refused(collector: Collector, content_type: str | None, encoding: str) -> None:
    assert collector.post(Content_Type=content_type, Content_Encoding=encoding).status_code == 415
    assert collector.stored() == set()


@pytest.mark.parametrize("body", [pytest.param(b"", id="empty"), pytest.param(EVENTS, id="plain")])
def test_a_body_that_is_not_the_zstd_it_claims_to_be_is_refused(collector: Collector, body: bytes) -> None:
    assert collector.post(body).status_code == 400
    assert collector.stored() == set()
    until(lambda: not collector.arriving())


def test_a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-body-bytes", str(len(BODY))) as collector:
        assert collector.post(BODY + b"!").status_code == 413
        assert collector.stored() == set()
        until(lambda: not collector.arriving())
        assert collector.post().status_code == 200


def test_a_body_that_says_it_is_too_large_takes_no_room(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-body-bytes", "100000") as collector:
        upload = begin_upload(collector, 300_000)
        for _ in range(30):
            upload.send(b"x" * 10_000)
            assert not collector.arriving()
        assert upload.getresponse().status == 413
        assert collector.stored() == set()
        upload.close()


def test_a_refusal_waits_for_all_the_client_sends_so_that_no_reset_swallows_it(collector: Collector) -> None:
    upload = begin_upload(collector, 1_000_000, **{CONSENT_HEADER: ""})
    upload.send(b"x" * 500_000)
    assert not select.select([upload.sock], [], [], 0.5)[0]

    upload.send(b"x" * 500_000)
    assert upload.getresponse().status == 403
    upload.close()


def test_a_body_of_unannounced_length_is_refused(collector: Collector) -> None:
    chunks = (b"x" * 100_000 for _ in range(200))
    reply = requests.post(collector.url, data=chunks, headers=HEADERS, timeout=DEADLINE_SECONDS)
    assert reply.status_code == 411
    assert collector.stored() == set()


def test_a_body_cut_short_is_not_kept(collector: Collector) -> None:
    upload = begin_upload(collector, len(LARGE))
    upload.send(LARGE[:-1])
    until(collector.arriving)
    upload.close()

    until(lambda: not collector.arriving())
    assert collector.stored() == set()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param("Bearer s3cret", 200, id="right"),
        pytest.param("bearer s3cret", 200, id="scheme-in-lower-case"),
        pytest.param("Bearer s3cres", 401, id="wrong"),
        pytest.param("Bearer ", 401, id="empty"),
        pytest.param("Basic s3cret", 401, id="other-scheme"),
        pytest.param(None, 401, id="none"),
    ],
)
def test_only_who_bears_the_token_may_upload(tmp_path: Path, authorization: str | None, status: int) -> None:
    token_file = tmp_path / "token"
    token_file.write_text("s3cret\n")
    token_file.chmod(0o600)
    with running(tmp_path / "store", "--token-file", str(token_file)) as collector:
        assert collector.post(Authorization=authorization).status_code == status
        assert bool(collector.stored()) == (status == 200)


def test_a_disk_that_refuses_is_answered_507_and_leaves_nothing(tmp_path: Path) -> None:
    limited = ("sh", "-c", 'ulimit -f 100; exec "$@"', "sh")  # blocks of at most 1 KiB a file
    with running(tmp_path / "store", prefix=limited) as collector:
        body = random_body(1_000_000)
        assert collector.post(body).status_code == 507
        assert collector.stored() == set()
        until(lambda: not collector.arriving())
        assert collector.post().status_code == 200
        assert BATCH in collector.end()[2]


def test_health_and_methods(collector: Collector) -> None:
    health = requests.get(collector.url + "/healthz", timeout=DEADLINE_SECONDS)
    assert (health.status_code, health.json()) == (200, {"ok": True})
    assert requests.get(collector.url + "/v1/batches", timeout=DEADLINE_SECONDS).status_code == 405


def test_no_trace_of_a_client_is_left_anywhere(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has all of 127.0.0.0/8 to come from")
    with running(tmp_path / "store") as collector:
        address, forwarded = "127.83.61.97", "203.0.113.45"
        own_ports = []
        for changes in ({}, {CONSENT_HEADER: ""}, {BATCH_HEADER: "x"}, {"Content-Length": "nonsense"}):
            client = http.client.HTTPConnection(
                urlsplit(collector.url).netloc, timeout=DEADLINE_SECONDS, source_address=(address, 0)
            )
            headers = {**HEADERS, "X-Forwarded-For": forwarded, "Forwarded": f"for={forwarded}", **changes}
            client.request("POST", "/v1/batches", BODY, headers)
            own_ports.append(client.sock.getsockname()[1])
            client.getresponse().read()
            client.close()
        assert collector.stored() == {f"{BATCH}.ndjson.zst", f"{BATCH}.json"}

        code, out, err = collector.end()
        said = (
            out
            + err
            + "".join(
                f"{path} {path.read_bytes().decode('latin-1')}"
                for path in (tmp_path / "store").rglob("*")
                if path.is_file()
            )
        )
        assert code == 0
        for trace in (address, forwarded, *(f":{port}" for port in own_ports)):
            assert trace not in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well_even_while_an_upload_stalls(collector: Collector, number: signal.Signals) -> None:
    upload = begin_upload(collector, len(LARGE))
    upload.send(LARGE[:-1])
    until(collector.arriving)

    begun = time.monotonic()
    code, out, _ = collector.end(number)

    assert (code, out) == (0, "")
    assert time.monotonic() - begun < 5.0
    until(lambda: not collector.arriving())
    assert collector.stored() == set()
    upload.close()


def test_its_log_says_start_address_store_and_end_and_nothing_else(collector: Collector) -> None:
    with requests.Session() as session:  # a connection that is kept alive holds nothing up
        session.post(collector.url, data=BODY, headers=HEADERS, timeout=DEADLINE_SECONDS)
        code, out, err = collector.end()
        assert (code, out) == (0, "")
        start, end = err.splitlines()
        assert re.fullmatch(rf"\S+Z INFO start: {collector.url}, store {collector.store}, no token is asked for", start)
        assert re.fullmatch(rf"\S+Z INFO end: {collector.url}", end)


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert address in refused(tmp_path, "--listen", address)


@pytest.mark.parametrize(
    "listen",
    ["8000", ":8000", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "192.0.2.1:80", f"{'a' * 70}:80"],
)
def test_an_address_that_can_not_be_had_is_said_in_one_line(tmp_path: Path, listen: str) -> None:
    assert listen in refused(tmp_path, "--listen", listen)


def test_a_store_that_is_no_directory_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert "not a directory" in refused(tmp_path, "--store", str(file))
    assert str(file) in refused(tmp_path, "--store", str(file / "below"))


def test_a_token_file_that_is_missing_or_empty_is_said_in_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "token"
    empty.touch(0o600)
    assert "no token" in refused(tmp_path, "--token-file", str(empty))
    assert "missing" in refused(tmp_path, "--token-file", str(tmp_path / "missing"))


def test_a_second_collector_on_one_store_is_refused(collector: Collector, tmp_path: Path) -> None:
    assert "another collector" in refused(tmp_path)
    assert collector.post().status_code == 200


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_store_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    os.chown(tmp_path / "store", 12_345, 12_345)
    assert "12345" in refused(tmp_path)


def test_an_ordinary_directory_serves_as_a_store_and_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store").chmod(0o755)
    with running(tmp_path / "store") as collector:
        assert collector.post().status_code == 200
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "store" / "batches").stat().st_mode) == 0o700


def test_killed_in_the_middle_of_uploads_it_leaves_only_whole_batches(tmp_path: Path) -> None:
    sent: dict[str, bytes] = {}
    acknowledged: set[str] = set()

    def keep_uploading(collector: Collector) -> None:
        with contextlib.suppress(requests.RequestException):
            while True:
                batch = secrets.token_hex(16)
                sent[batch] = random_body(200_000)
                if collector.post(sent[batch], Idempotency_Key=batch).json()["stored"]:
                    acknowledged.add(batch)

    with running(tmp_path / "store") as collector, ThreadPoolExecutor(8) as threads:
        stalled = begin_upload(collector, len(LARGE))
        stalled.send(LARGE[:-1])
        for _ in range(7):
            threads.submit(keep_uploading, collector)
        until(lambda: len(acknowledged) >= 20 and collector.arriving())
        collector.process.kill()
        stalled.close()
        assert "Traceback" not in collector.process.communicate(timeout=DEADLINE_SECONDS)[1]
    assert collector.arriving(), "the kill was to come in the middle of an upload"

    with running(tmp_path / "store") as collector:
        until(lambda: not collector.arriving())
        kept = {name.partition(".")[0] for name in collector.stored()}
        assert acknowledged <= kept
        assert collector.stored() == {f"{batch}{end}" for batch in kept for end in (".ndjson.zst", ".json")}
        for batch in kept:
            assert (tmp_path / "store" / "batches" / f"{batch}.ndjson.zst").read_bytes() == sent[batch]
        assert collector.post().json()["stored"]


def test_a_query_counts_what_was_uploaded_while_the_collector_runs(collector: Collector) -> None:
    for batch in range(5):
        assert collector.post(Idempotency_Key=f"{batch:032x}").json()["stored"]
    collector.post(Idempotency_Key=f"{0:032x}")

    sql = "SELECT (SELECT count(*) FROM events) AS events, (SELECT sum(bytes) FROM batches) AS bytes"
    answered = subprocess.run(
        [*QUERY, sql, "--store", str(collector.store), "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(answered.stdout) == {"events": 10, "bytes": 5 * len(BODY)}
