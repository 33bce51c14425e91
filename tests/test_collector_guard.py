"""The collector under clients that mean no good, or can do no better: real processes, sockets and disks."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import requests
import zstandard
from test_collector import (
    BATCH,
    BODY,
    DEADLINE_SECONDS,
    HEADERS,
    LARGE,
    begin_upload,
    random_body,
    refused,
    running,
    until,
)

from telemetry.receipt import BATCH_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from test_collector import Collector


def connect(collector: Collector) -> socket.socket:
    address = urlsplit(collector.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=DEADLINE_SECONDS)


def head(*more: str, **changes: str | None) -> bytes:
    named = {**HEADERS, "Host": "x", **{name.replace("_", "-"): value for name, value in changes.items()}}
    lines = [f"{name}: {value}" for name, value in named.items() if value is not None]
    return "\r\n".join(["POST /v1/batches HTTP/1.1", *lines, *more, "", ""]).encode()


def everything(line: socket.socket) -> bytes:
    """What comes until the other end closes, in order or not."""
    got = b""
    try:
        while piece := line.recv(65_536):
            got += piece
    except ConnectionError:
        pass
    return got


def one_answer(line: socket.socket) -> bytes:
    """An answer with a JSON object as its body."""
    got = b""
    while not got.endswith(b"}"):
        piece = line.recv(65_536)
        assert piece, got
        got += piece
    return got


def test_a_zip_bomb_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-unpacked-bytes", str(1 << 20)) as collector:
        assert collector.post(zstandard.compress(b" " * (64 << 20))).status_code == 413
        assert collector.stored() == set()
        until(lambda: not collector.arriving())
        assert collector.post().status_code == 200


def test_slow_clients_are_given_up_and_others_are_served_meanwhile(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--stall-seconds", "1") as collector, ExitStack() as lines:
        silent, headless, bodiless = (lines.enter_context(connect(collector)) for _ in range(3))
        idle = lines.enter_context(connect(collector))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        headless.sendall(b"POST / HTTP/1.1\r\nX-A: ")
        bodiless.sendall(head(Content_Length=str(len(BODY))) + BODY[:5])
        until(collector.takes_in)

        assert collector.post().status_code == 200
        dripping = lines.enter_context(connect(collector))
        with pytest.raises(OSError, match=r"reset|pipe"):
            until(lambda: dripping.sendall(b"P"))  # a byte now and then makes nobody fast
        assert everything(silent) == b""
        assert everything(headless) == b""
        assert b" 408 " in everything(bodiless).splitlines()[0]
        assert b'{"ok":true}' in everything(idle)
        until(lambda: not collector.arriving())


def test_what_comes_in_crumbs_is_taken_all_the_same(tmp_path: Path) -> None:
    request = head(Content_Length=str(len(BODY))) + BODY
    with running(tmp_path / "store") as collector, connect(collector) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for place in range(len(request)):
            line.sendall(request[place : place + 1])
        assert b'"stored":true' in one_answer(line)
        for piece in (request[:-1], request[-1:]):
            line.sendall(piece)
        assert b'"stored":false' in one_answer(line)


def test_an_upload_beyond_the_bound_is_told_to_come_again_when_none_is_slow(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-connections", "2") as collector, connect(collector) as first:
        first.sendall(head(Content_Length=str(len(BODY))) + BODY[:-1])  # of two places one is for uploads
        until(collector.takes_in)
        late = collector.post(Idempotency_Key=f"{2:032x}")
        assert (late.status_code, late.headers["Retry-After"]) == (503, "5")
        first.sendall(BODY[-1:])
        assert b" 200 " in one_answer(first)


def test_who_only_waits_makes_room_for_who_comes(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-connections", "3") as collector, ExitStack() as lines:
        shipper = lines.enter_context(connect(collector))
        for _ in range(2):
            shipper.sendall(head(Content_Length=str(len(BODY))) + BODY)
            assert b" 200 " in one_answer(shipper)
            silent = [lines.enter_context(connect(collector)) for _ in range(10)]
            for line in silent[:8]:
                assert everything(line) == b""


def _health(collector: Collector) -> bytes:
    with connect(collector) as line:
        line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return everything(line)


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/v1/batches"])
def test_a_head_alone_is_what_a_load_balancer_gets_that_asks_for_it(path: str, tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector:
        for _ in range(2):  # the first is answered from the disk, the next one from what is known
            with connect(collector) as line:
                line.sendall(f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                answer = everything(line)
            assert answer.startswith(b"HTTP/1.1 405 " if path == "/v1/batches" else b"HTTP/1.1 200 ")
            assert answer.partition(b"\r\n\r\n")[1:] == (b"\r\n\r\n", b"")


def test_each_token_has_its_own_rate_and_is_told_when_to_come_again(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("old\nnew\n")
    options = ("--token-file", str(tokens), "--max-bytes-per-second", "1000")
    with running(tmp_path / "store", *options) as collector:
        statuses = [
            collector.post(Authorization=f"Bearer {token}", Idempotency_Key=f"{n:032x}")
            for n, token in enumerate(["old", "old", "new"])
        ]
        assert [reply.status_code for reply in statuses] == [200, 429, 200]
        assert 1 <= int(statuses[1].headers["Retry-After"]) <= 100
        assert len(collector.stored()) == 4
        code, out, err = collector.end()
        assert (code, "old" in out + err, "new" in out + err) == (0, False, False)


def test_tokens_come_from_the_environment_and_a_file_that_others_can_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TELEMETRY_COLLECTOR_TOKENS", "one two")
    with running(tmp_path / "store") as collector:
        assert [collector.post(Authorization=f"Bearer {token}").status_code for token in ("one", "two", "six")] == [
            200,
            200,
            401,
        ]
    tokens = tmp_path / "tokens"
    tokens.write_text("s3cret")
    tokens.chmod(0o644)
    assert "chmod 600" in refused(tmp_path, "--token-file", str(tokens))


def test_a_full_store_says_so_once_keeps_what_it_has_and_takes_repetitions(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-store-bytes", "100000") as collector:
        assert collector.post(random_body(40_000), Idempotency_Key=f"{1:032x}").status_code == 200
        for n in range(2, 6):
            reply = collector.post(random_body(80_000), Idempotency_Key=f"{n:032x}")
            assert reply.status_code == 507
            assert int(reply.headers["Retry-After"]) > 0
        until(lambda: not collector.arriving())
        assert collector.post(random_body(40_000), Idempotency_Key=f"{1:032x}").json()["stored"] is False
        assert collector.post(random_body(40_000), Idempotency_Key=f"{6:032x}").status_code == 200
        assert len(collector.stored()) == 4
        assert collector.end()[2].count("not stored") == 1
    with running(tmp_path / "store", "--max-store-bytes", "100000") as collector:  # it counts what it finds
        assert collector.post(random_body(40_000), Idempotency_Key=f"{7:032x}").status_code == 507
    with running(tmp_path / "store", "--keep-free-bytes", str(1 << 60)) as collector:
        assert collector.post(Idempotency_Key=f"{8:032x}").status_code == 507
        in_otlp = collector.post(path="/v1/logs", Idempotency_Key=f"{8:032x}")
        assert (in_otlp.status_code, "Retry-After" in in_otlp.headers) == (503, True), "507 is final there"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(head("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n", 411, id="two-lengths"),
        pytest.param(head("Content-Length: 5", "Content-Length: 6") + b"hello!", 400, id="two-content-lengths"),
        pytest.param(head("Content-Length: -1"), 400, id="negative-length"),
        pytest.param(head("Transfer-Encoding: gzip, chunked"), 411, id="unknown-coding"),
        pytest.param(head("Transfer-Encoding: chunked") + b"zz\r\n", 411, id="no-chunk"),
        pytest.param(head("Transfer-Encoding: chunked") + b"ffffffffffffffffffffffff\r\n", 411, id="endless-chunk"),
        pytest.param(head("Content-Length: 0", f"{BATCH_HEADER}: {BATCH}"), 400, id="two-ids"),
        pytest.param(b"POST /" + b"a" * 100_000, 431, id="endless-target"),
        pytest.param(head(*(f"X-{n}: 1" for n in range(200)), "Content-Length: 0"), 431, id="headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, id="tls"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, id="http-2"),
        pytest.param(b"DELETE /v1/batches HTTP/1.1\r\nHost: x\r\n\r\n", 405, id="method"),
        pytest.param(b"BREW /v1/batches HTTP/1.1\r\nHost: x\r\n\r\n", 405, id="strange-method"),
        pytest.param(head("Upgrade: websocket", "Connection: Upgrade", "Content-Length: 0"), 400, id="upgrade"),
    ],
)
def test_what_is_no_upload_is_refused_and_nothing_is_said_of_it(
    guarded_collector: Collector, request_: bytes, status: int
) -> None:
    with connect(guarded_collector) as line:
        line.sendall(request_)
        assert line.recv(65_536).startswith(f"HTTP/1.1 {status} ".encode())
    assert guarded_collector.stored() == set()
    until(lambda: not guarded_collector.arriving())


@pytest.fixture(scope="module")
def guarded_collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("guarded") / "store") as collector:
        yield collector
        code, out, err = collector.end()
        assert (code, out, [line.split()[2] for line in err.splitlines()]) == (0, "", ["start:", "end:"])


def test_pipelined_uploads_are_each_answered_in_order(tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector, connect(collector) as line:
        uploads = [head(Content_Length=str(len(BODY)), Idempotency_Key=f"{n:032x}") + BODY for n in range(20)]
        last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        line.sendall(b"".join(uploads) + last)
        replies = everything(line)
        assert replies.count(b"HTTP/1.1 200 ") == 21
        assert [replies.index(f"{n:032x}".encode()) for n in range(20)] == sorted(
            replies.index(f"{n:032x}".encode()) for n in range(20)
        )
        assert len(collector.stored()) == 40


def test_sigterm_finishes_the_upload_that_is_under_way(tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector:
        upload = begin_upload(collector, len(LARGE))
        upload.send(LARGE[:-1])
        until(collector.arriving)
        collector.process.send_signal(signal.SIGTERM)
        until(lambda: _is_deaf(collector))
        upload.send(LARGE[-1:])
        assert upload.getresponse().status == 200
        upload.close()
        assert collector.process.wait(DEADLINE_SECONDS) == 0
        assert collector.stored() == {f"{BATCH}.ndjson.zst", f"{BATCH}.json"}


def _is_deaf(collector: Collector) -> bool:
    try:
        connect(collector).close()
    except ConnectionRefusedError:
        return True
    return False


def test_it_speaks_tls_and_no_old_one(tmp_path: Path) -> None:
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    names = ("-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1")
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    key.chmod(0o600)
    with running(tmp_path / "store", "--tls-cert", str(certificate), "--tls-key", str(key)) as collector:
        assert collector.url.startswith("https://")
        taken = requests.post(
            collector.url, data=BODY, headers=HEADERS, verify=str(certificate), timeout=DEADLINE_SECONDS
        )
        assert taken.json()["stored"]
        assert b"200" not in _health(collector)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        with connect(collector) as line, pytest.raises(OSError, match=r"(?i)protocol|version|alert|ciphers|EOF"):
            old.wrap_socket(line)

    key.chmod(0o640)
    assert "chmod 600" in refused(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(key))
    key.chmod(0o600)
    assert "are not a certificate and its key" in refused(tmp_path, "--tls-cert", str(key), "--tls-key", str(key))
    assert "--tls-key" in refused(tmp_path, "--tls-cert", str(certificate))


def test_who_says_nothing_more_or_is_answered_at_once_leaves_nothing(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("ours")
    options = ("--token-file", str(tokens), "--max-connections", "4")
    with running(tmp_path / "store", *options) as collector:
        for _ in range(20):
            connect(collector).close()
            with connect(collector) as line:
                line.sendall(head(Content_Length=str(len(BODY))) + BODY)
                assert everything(line).startswith(b"HTTP/1.1 401 ")
            assert _health(collector).endswith(b'{"ok":true}')
        assert collector.post(Authorization="Bearer ours").status_code == 200
        page = requests.get(
            collector.url + "/metrics", headers={"Authorization": "Bearer ours"}, timeout=DEADLINE_SECONDS
        ).text
        assert 'requests_refused_total{status="401"} 20.0' in page
        until(lambda: not collector.arriving())


def test_a_client_that_waits_for_a_word_gets_it_or_the_refusal_before_it_sends_its_body(tmp_path: Path) -> None:
    waits = {"Expect": "100-continue", "Content_Length": str(len(BODY))}
    with running(tmp_path / "store") as collector:
        with connect(collector) as line:
            line.sendall(head(**waits))
            assert line.recv(65_536) == b"HTTP/1.1 100 Continue\r\n\r\n"
            line.sendall(BODY)
            assert one_answer(line).startswith(b"HTTP/1.1 200 ")
        for changes, status in (({"Telemetry_Consent": ""}, 403), ({}, 200), ({"Content_Length": str(1 << 40)}, 413)):
            with connect(collector) as line:
                line.sendall(head(**{**waits, **changes}))
                assert everything(line).startswith(b"HTTP/1.1 %d " % status)
        with connect(collector) as line:
            line.sendall(head(**waits, Idempotency_Key=f"{2:032x}") + BODY)  # it did not wait after all
            assert one_answer(line).startswith(b"HTTP/1.1 200 ")


def test_who_speaks_http_1_0_or_says_no_more_after_its_upload_is_answered_and_that_is_the_end(tmp_path: Path) -> None:
    whole = head(Content_Length=str(len(BODY))) + BODY
    with running(tmp_path / "store") as collector:
        with connect(collector) as line:
            line.sendall(whole.replace(b"HTTP/1.1", b"HTTP/1.0", 1))
            answer = everything(line)
            assert (answer.count(b"HTTP/1.1 200 "), answer.count(b"Connection: close")) == (1, 1)
        with connect(collector) as line:
            line.sendall(whole.replace(BATCH.encode(), b"f" * 32))
            line.shutdown(socket.SHUT_WR)
            assert b'"stored":true' in everything(line)
        with connect(collector) as line:
            line.sendall(b"".join(whole.replace(BATCH.encode(), digit * 32) for digit in (b"a", b"b", b"a")))
            line.shutdown(socket.SHUT_WR)
            assert everything(line).count(b"HTTP/1.1 200 ") == 3
        assert len(collector.stored()) == 8


def test_chunks_are_refused_with_words(guarded_collector: Collector) -> None:
    with connect(guarded_collector) as line:
        line.sendall(head("Transfer-Encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")
        answer = everything(line)
        assert answer.startswith(b"HTTP/1.1 411 ")
        assert b"Content-Length" in answer.rpartition(b"\r\n")[2]


def test_a_thousand_repeats_at_once_by_one_connection_are_each_answered(tmp_path: Path) -> None:
    whole = head(Content_Length=str(len(BODY))) + BODY
    with running(tmp_path / "store") as collector, connect(collector) as line:
        line.sendall(whole)
        one_answer(line)
        line.sendall(whole * 999 + head("Connection: close", Content_Length=str(len(BODY))) + BODY)
        assert everything(line).count(b'"stored":false') == 1000
