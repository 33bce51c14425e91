"""The collector as a service: health, metrics, tokens and certificates that change, what it forgets."""

from __future__ import annotations

import json
import re
import resource
import secrets
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import UUID

import psutil
import pytest
import requests
import trustme
import zstandard
from click.testing import CliRunner
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from test_collector import BATCH, BODY, DEADLINE_SECONDS, HEADERS, running, until
from test_collector_guard import connect, everything, head

from telemetry.cli.forget import forget
from telemetry.collector.limits import REFUSALS_PER_SECOND
from telemetry.collector.store import Store

if TYPE_CHECKING:
    from pathlib import Path

    from test_collector import Collector

SESSION = "00112233445566778899aabbccddeeff"
LINE = b'{"event":"e","time":"2026-01-01T00:00:00Z","session":"%s"}\n' % SESSION.encode()
FORGET = [sys.executable, "-c", "from telemetry.cli.forget import forget; forget()"]


def get(collector: Collector, path: str, token: str | None = None) -> requests.Response:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return requests.get(collector.url + path, headers=headers, timeout=DEADLINE_SECONDS)


def values(page: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(page):  # type: ignore[no-untyped-call] # of a typed library
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name.removeprefix('telemetry_collector_')}{{{labels}}}"] = sample.value
    return found


def test_metrics_are_open_metrics_by_the_names_of_tokens(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("acme:s3cret\nother:s4cret\n")
    with running(tmp_path / "store", "--token-file", str(tokens)) as collector:
        collector.post(Authorization="Bearer s3cret")
        collector.post(Authorization="Bearer s3cret")
        collector.post(Authorization="Bearer s4cret", Telemetry_Consent="")
        collector.post(Authorization="Bearer wrong")

        assert get(collector, "/metrics").status_code == 401
        reply = get(collector, "/metrics", "s4cret")
        assert reply.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
        assert "cret" not in reply.text
        found = values(reply.text)
        assert found["uploads_total{status=200,stored=1,token=acme}"] == 1
        assert found["uploads_total{status=200,stored=0,token=acme}"] == 1
        assert found["uploads_total{status=403,stored=0,token=other}"] == 1
        assert found["requests_refused_total{status=401}"] == 2
        assert found["events_total{token=acme}"] == 2
        assert found["body_bytes_total{token=acme}"] == 2 * len(BODY)
        assert found["check_cost_seconds_total{token=acme}"] > 0
        assert found["connections{}"] >= 1
        assert found["disk_free_bytes{}"] > 0


def test_health_tells_whether_an_upload_could_be_kept(tmp_path: Path) -> None:
    with running(tmp_path / "store", "--max-store-bytes", "4300") as collector:
        assert get(collector, "/healthz").json() == {"ok": True}
        assert collector.post().status_code == 200  # that was room for a probe, and for no other one
        until(lambda: get(collector, "/healthz").status_code == 503)
        reply = get(collector, "/healthz")
        assert reply.json() == {"ok": False, "reason": "the store has no room by --max-store-bytes"}


def test_health_tells_that_the_store_was_moved_away_and_that_it_is_back(tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector:
        for folder in ("store", "store/batches", "store/incoming"):
            (tmp_path / folder).rename(tmp_path / "elsewhere")
            until(lambda: get(collector, "/healthz").status_code == 503)
            assert collector.post(Idempotency_Key=secrets.token_hex(16)).status_code == 507
            (tmp_path / "elsewhere").rename(tmp_path / folder)
            until(lambda: get(collector, "/healthz").status_code == 200)
            assert collector.post(Idempotency_Key=secrets.token_hex(16)).status_code == 200


def test_tokens_are_read_again_when_they_change_and_stay_when_they_can_not_be_read(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("acme:old")
    with running(tmp_path / "store", "--token-file", str(tokens)) as collector:
        assert collector.post(Authorization="Bearer old").status_code == 200
        tokens.write_text("acme:old\nacme:new")
        until(lambda: collector.post(Authorization="Bearer new").status_code == 200)
        tokens.write_text("acme:new")
        until(lambda: collector.post(Authorization="Bearer old").status_code == 401)
        tokens.chmod(0o644)
        until(lambda: "warning" in get(collector, "/healthz").json())
        assert collector.post(Authorization="Bearer new").status_code == 200
        _, _, err = collector.end()
        assert err.count("chmod 600") == 1
        assert err.count("tokens reloaded: acme\n") == 2
        assert not re.search(r"\b(old|new)\b", err)


def test_whose_uploads_are_refused_again_and_again_waits_for_the_answers_and_holds_nobody_up(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.touch(0o600)
    tokens.write_text("ours:0urs\ntheirs:th3irs\n")
    refused = 10 * REFUSALS_PER_SECOND + 2 * REFUSALS_PER_SECOND  # all that is there at first, and two seconds' more
    with running(tmp_path / "store", "--token-file", str(tokens)) as collector:
        began = time.monotonic()
        for _ in range(refused):
            assert collector.post(b"", Authorization="Bearer th3irs", Content_Encoding="").status_code == 415
        assert time.monotonic() - began > 1.5
        with ThreadPoolExecutor(20) as others:
            waiting = [
                others.submit(collector.post, b"", Authorization="Bearer th3irs", Content_Encoding="")
                for _ in range(20)
            ]
            assert collector.post(Authorization="Bearer 0urs").json()["stored"]
            assert {answer.result().status_code for answer in waiting} == {415}


def _write_certificate(directory: Path, authority: trustme.CA) -> None:
    leaf = authority.issue_cert("127.0.0.1")
    (directory / "key.pem").touch(0o600)
    leaf.private_key_pem.write_to_path(directory / "key.pem")
    leaf.cert_chain_pems[0].write_to_path(directory / "cert.pem")


def _is_trusted(collector: Collector, authority: trustme.CA) -> bool:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    try:
        with connect(collector) as line, context.wrap_socket(line, server_hostname="127.0.0.1"):
            return True
    except ssl.SSLCertVerificationError:
        return False


def test_a_certificate_is_read_again_when_it_changes(tmp_path: Path) -> None:
    before, after = trustme.CA(), trustme.CA()
    _write_certificate(tmp_path, before)
    options = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    with running(tmp_path / "store", *options) as collector:
        assert _is_trusted(collector, before)
        (tmp_path / "cert.pem").write_text("in the middle of a change")
        _write_certificate(tmp_path, after)
        until(lambda: _is_trusted(collector, after))
        assert not _is_trusted(collector, before)


def test_idle_connections_by_the_thousand_with_tls_hold_nobody_up(tmp_path: Path) -> None:
    authority = trustme.CA()
    _write_certificate(tmp_path, authority)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = ("--tls-cert", str(tmp_path / "cert.pem"), "--tls-key", str(tmp_path / "key.pem"))
    few = ("sh", "-c", 'ulimit -n 300; exec "$@"', "sh")  # descriptors, for 400 connections and their files
    with running(tmp_path / "store", *options, prefix=few) as collector, ExitStack() as lines:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 2000)), hard))
        address = urlsplit(collector.url)
        for _ in range(1200):
            lines.enter_context(socket.create_connection((address.hostname, address.port), timeout=DEADLINE_SECONDS))
        reply = requests.post(
            collector.url, data=BODY, headers=HEADERS, verify=str(tmp_path / "ca.pem"), timeout=DEADLINE_SECONDS
        )
        assert reply.json()["stored"]
        assert psutil.Process(collector.process.pid).num_fds() < 300
        lines.close()
        _, _, err = collector.end()
        assert len(err.splitlines()) == 2


def test_old_batches_are_removed_while_it_runs(tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector:
        collector.post()
    record = tmp_path / "store" / "batches" / f"{BATCH}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "received": "2026-01-01T00:00:00Z"}))
    with running(tmp_path / "store", "--keep-days", "7") as collector:
        until(lambda: not collector.stored())
        assert collector.post().json() == {"batch": BATCH, "stored": False}
        assert collector.post(Idempotency_Key=f"{1:032x}").json()["stored"] is True
        assert "1 batch from before" in collector.end()[2]


def test_a_session_is_erased_while_it_runs(tmp_path: Path) -> None:
    mine = zstandard.compress(2 * LINE)
    with running(tmp_path / "store") as collector:
        collector.post(mine)
        command = [*FORGET, str(UUID(SESSION)).upper(), "--store", str(collector.store), "--json"]
        said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        assert said == {"session": SESSION, "batches": 1, "rewritten": 0, "events": 2, "unreadable": []}
        assert collector.stored() == set()
        assert collector.post(mine).json() == {"batch": BATCH, "stored": False}
        assert collector.post(mine, Idempotency_Key=f"{1:032x}").json()["stored"] is False


@pytest.mark.parametrize("session", ["../s1", "abc123", "0" * 31, "0" * 33, "g" * 32, f"{SESSION[:16]}-{SESSION[16:]}"])
def test_what_is_no_session_s_id_is_not_erased(tmp_path: Path, session: str) -> None:
    Store(tmp_path).close()
    wrong = CliRunner().invoke(forget, [session, "--store", str(tmp_path)])
    assert (wrong.exit_code, wrong.stdout) == (2, "")
    assert "32 hexadecimal digits, or a UUID" in wrong.stderr


def test_a_session_of_which_nothing_is_here_will_not_be_taken(tmp_path: Path) -> None:
    with running(tmp_path / "store") as collector:
        said = CliRunner().invoke(forget, [SESSION, "--store", str(collector.store)])
        assert (said.exit_code, said.stdout) == (
            0,
            "nothing of this session is stored here; it will be refused from now on\n",
        )
        assert collector.post(zstandard.compress(LINE)).json()["stored"] is False


def test_in_a_directory_that_is_no_store_nothing_is_erased_or_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").write_bytes(b"precious")
    monkeypatch.chdir(tmp_path)
    for directory in (str(tmp_path), "."):
        said = CliRunner().invoke(forget, [SESSION, "--store", directory])
        assert (said.exit_code, said.stdout) == (1, "")
        assert f"{directory} is no collector's store" in said.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_follows_a_refusal_on_the_same_connection_is_not_read(tmp_path: Path) -> None:
    smuggled = head(Content_Length=str(len(BODY))) + BODY
    with running(tmp_path / "store") as collector:
        for first in (
            head("Transfer-Encoding: chunked") + b"0\r\n\r\n",
            head("Transfer-Encoding : chunked", "Content-Length: 0"),
            b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n",
            head(Telemetry_Consent="", Content_Length="0"),
        ):
            with connect(collector) as line:
                line.sendall(first + smuggled)
                line.shutdown(socket.SHUT_WR)
                assert everything(line).count(b"HTTP/1.1 ") == 1
        assert collector.stored() == set()
