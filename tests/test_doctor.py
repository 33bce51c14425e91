"""`telemetry doctor`: each arranged failure is named, with what to do."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from conftest import CATALOG, wait_until

from telemetry.consent import State, store_choice
from telemetry.doctor.machine import examine_package
from telemetry.doctor.remedies import REMEDIES
from telemetry.doctor.shipping import examine_losses
from telemetry.doctor.step import Verdict
from telemetry.drops import DropReason
from telemetry.files import private_dir
from telemetry.rendezvous.directory import CONFIG_FILE, rendezvous_dir
from telemetry.rendezvous.lock import LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Collector, StartHost

ELSEWHERE = "http://127.0.0.1:9/v1/batches"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


def _doctor(*arguments: object, **environ: str) -> tuple[int, list[dict[str, str]]]:
    command = [sys.executable, "-m", "telemetry", "doctor", "--json", *map(str, arguments)]
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**ours, **environ})
    assert not done.stderr
    return done.returncode, json.loads(done.stdout)["steps"]


def _found(steps: list[dict[str, str]], step: str, verdict: str) -> str:
    return "\n".join(
        f"{one['found']} -> {one['advice']}" for one in steps if (one["step"], one["verdict"]) == (step, verdict)
    )


@pytest.mark.usefixtures("home")
def test_where_all_is_well_each_step_says_so_and_the_batch_of_nothing_is_taken(
    start_host: StartHost, collector: Collector
) -> None:
    host = start_host(collector.endpoint)
    host.emit(3)

    code, steps = _doctor("--product", "acme-db", "--send", "--host", "on")

    assert code == 0, [one for one in steps if one["verdict"] == "fault"]
    assert f"process {host.process.pid}: on (by host, deployment unknown)" in _found(steps, "consent", "good")
    assert "takes connections" in _found(steps, "endpoint", "good")
    assert "a batch of no events was acknowledged" in _found(steps, "send", "good")
    assert "3 emitted" in _found(steps, "losses", "good")
    assert {one["step"] for one in steps} == {
        "package", "catalog", "consent", "place", "shipper", "spool", "endpoint", "send", "losses",
    }  # fmt: skip


@pytest.mark.usefixtures("home")
def test_a_batch_of_nothing_is_not_sent_unless_consent_is_on(catalog: Path, collector: Collector) -> None:
    for said in ("off", "local"):
        subprocess.run(
            [sys.executable, "-m", "telemetry", said, "--product", "acme-db"], check=True, capture_output=True
        )
        code, steps = _doctor("--catalog", catalog, "--endpoint", collector.endpoint, "--send")
        assert code == 1
        assert f"nothing is sent: consent is {said}" in _found(steps, "send", "fault")
    assert not list(collector.store.glob("batches/*"))


def test_under_technical_it_says_what_leaves_and_its_batch_of_nothing_bears_the_level(
    home: Path, catalog: Path, collector: Collector
) -> None:
    assert home.exists()
    store_choice("acme-db", State.TECHNICAL, 1_000.0)
    _, steps = _doctor("--catalog", catalog, "--endpoint", collector.endpoint, "--send")
    assert "technical (stored choice)" in _found(steps, "consent", "note")
    assert "a batch of no events was acknowledged" in _found(steps, "send", "good")
    (record,) = collector.store.glob("batches/*.json")
    assert json.loads(record.read_bytes())["receipt"]["level"] == "technical"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"DO_NOT_TRACK": "1"}, "off (DO_NOT_TRACK=1)"),
        ({"ACME_DB_TELEMETRY": "off"}, "off (ACME_DB_TELEMETRY=off)"),
        ({"CI": "true"}, "off (CI)"),
        ({}, "off (deployment unknown)"),
    ],
)
def test_why_a_host_is_off_is_said(catalog: Path, environ: dict[str, str], said: str) -> None:
    _, steps = _doctor("--catalog", catalog, **environ)
    assert said in _found(steps, "consent", "note")


@pytest.mark.usefixtures("home")
def test_a_variable_that_the_catalog_names_is_heard_here_and_for_clients_in_other_languages(catalog: Path) -> None:
    catalog.write_text(CATALOG.replace("version = 3", 'version = 3\nno_unless = { ENABLE_TELEMETRY = ["true"] }'))
    _, steps = _doctor("--catalog", catalog, ENABLE_TELEMETRY="false")
    assert "off (ENABLE_TELEMETRY=false)" in _found(steps, "consent", "note")
    command = [
        sys.executable,
        "-m",
        "telemetry",
        "consent",
        "--product",
        "acme-db",
        "--catalog",
        str(catalog),
        "--json",
    ]
    for value, state in (("false", "off"), ("true", "on")):
        done = subprocess.run(
            [*command, "--host", "on"], capture_output=True, check=True, env={**os.environ, "ENABLE_TELEMETRY": value}
        )
        assert json.loads(done.stdout)["state"] == state


@pytest.mark.usefixtures("home")
def test_debugging_sends_nothing(catalog: Path) -> None:
    code, steps = _doctor("--catalog", catalog, TELEMETRY_DEBUG="1")
    assert code == 1
    assert "TELEMETRY_DEBUG" in _found(steps, "consent", "fault")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("2099-12-31", "2001-01-01"), "expired after 2001-01-01"),
        (("purpose =", "prupose ="), "there is no key `prupose`"),
        (("[catalog]", "[catalog"), "is not TOML"),
        (('"acme-db"', '"other"'), "is the catalog of other, not of acme-db"),
    ],
    ids=["expired", "misspelt", "no TOML", "another product's"],
)
def test_what_is_wrong_with_a_catalog_is_said(catalog: Path, change: tuple[str, str], said: str) -> None:
    catalog.write_text(CATALOG.replace(*change))
    code, steps = _doctor("--product", "acme-db", "--catalog", catalog)
    assert code == 1
    assert said in _found(steps, "catalog", "fault")


@pytest.fixture
def plain_server() -> Iterator[int]:
    """A port that takes connections and says what a server of plain HTTP says to TLS."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1024)
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def untrusted_server() -> Iterator[int]:
    """A port of TLS whose certificate nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as server, context.wrap_socket(server, server_side=True) as secured:

        def serve() -> None:
            while True:
                try:
                    secured.accept()[0].close()
                except ssl.SSLError:
                    continue
                except OSError:
                    return

        Thread(target=serve, daemon=True).start()
        yield secured.getsockname()[1]
        secured.shutdown(socket.SHUT_RDWR)


@pytest.mark.usefixtures("home")
def test_what_is_wrong_on_the_way_out_is_said(catalog: Path, plain_server: int, untrusted_server: int) -> None:
    for endpoint, environ, said in (
        (ELSEWHERE, {}, "nobody listens there"),
        ("http://nobody.invalid/v1", {}, "plain http goes to this machine only"),
        ("https://nobody.invalid/v1", {}, "there is no such name: nobody.invalid"),
        (f"https://127.0.0.1:{plain_server}/v1", {}, "it does not speak TLS"),
        (f"https://127.0.0.1:{untrusted_server}/v1", {}, "its certificate is not trusted here"),
        ("https://t.acme.example/v1", {"ALL_PROXY": "socks5://127.0.0.1:9"}, "ALL_PROXY names a socks5 proxy"),
        (
            "https://t.acme.example/v1",
            {"HTTPS_PROXY": "http://127.0.0.1:9"},
            "the proxy http://127.0.0.1:9: Connection",
        ),
        ("http://127.0.0.1:9/v1\n", {}, "it contains a space or a line break"),
        (ELSEWHERE, {"TELEMETRY_TOKEN": "two words"}, "holds no token"),
    ):
        code, steps = _doctor("--catalog", catalog, "--endpoint", endpoint, **environ)
        assert code == 1
        assert said in _found(steps, "endpoint", "fault"), endpoint


@pytest.mark.usefixtures("home")
def test_a_collector_that_wants_a_token_is_told_apart(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("sesame")
    (tmp_path / "token").chmod(0o600)
    store = tmp_path / "guarded"
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
    with subprocess.Popen([*command, "--token-file", tmp_path / "token"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        endpoint = f"{json.loads(process.stdout.readline())['listening']}/v1/batches"
        subprocess.run(
            [sys.executable, "-m", "telemetry", "on", "--product", "acme-db"], check=True, capture_output=True
        )
        code, steps = _doctor("--catalog", catalog, "--endpoint", endpoint, "--send")
        assert (code, "asks for a token" in _found(steps, "send", "fault")) == (1, True)
        code, steps = _doctor("--catalog", catalog, "--endpoint", endpoint, "--send", TELEMETRY_TOKEN="sesame")
        assert (code, "acknowledged" in _found(steps, "send", "good")) == (0, True)
        process.terminate()


def test_what_is_dropped_is_named_by_event_and_field(start_host: StartHost, home: Path) -> None:
    assert home.exists()
    host = start_host(ELSEWHERE, segment_seconds=0.1)
    host.emit(2, "undeclared", user="x")
    host.emit(3, duration_ms="long")

    _, steps = _doctor("--product", "acme-db")

    losses = _found(steps, "losses", "note")  # not all: 3 were kept, without their field
    assert "2 events: undeclared -> the program emits an event" in losses
    assert "3 values of query_finished.duration_ms: invalid -> " in losses
    assert "emitted, and not in the catalog: undeclared (2)" in _found(steps, "shipper", "fault")
    wait_until(lambda: "nobody listens there" in _found(_doctor("--product", "acme-db")[1], "spool", "fault"))


def test_a_place_that_can_not_be_written_is_named(catalog: Path) -> None:
    code, steps = _doctor("--catalog", catalog, TELEMETRY_HOME=str(catalog))
    assert code == 1
    assert f"can't write in {catalog}" in _found(steps, "place", "fault")


def test_a_place_in_which_no_file_can_be_made_is_no_full_disk(catalog: Path) -> None:
    code, steps = _doctor("--catalog", catalog, TELEMETRY_HOME="/proc/nope")
    assert code == 1
    assert "where no file can be made" in _found(steps, "place", "fault")


def test_a_home_that_is_ignored_is_told(catalog: Path) -> None:
    _, steps = _doctor("--catalog", catalog, TELEMETRY_HOME="rel/ative")
    assert "is no absolute path, and is ignored" in _found(steps, "place", "note")


@pytest.mark.usefixtures("home")
def test_a_product_that_nobody_knows_is_a_wrong_call() -> None:
    command = [sys.executable, "-m", "telemetry", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--product" in done.stderr


def test_another_distribution_in_our_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "telemetry_of_others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: telemetry-of-others\nVersion: 1.0\n")
    (info / "top_level.txt").write_text("telemetry\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    faults: list[Any] = [step for step in examine_package() if step.verdict is Verdict.FAULT]
    assert [("telemetry-of-others" in step.found) for step in faults] == [True]
    told = "pip uninstall telemetry-of-others, then pip install --force-reinstall telemetry-shipper"
    assert faults[0].advice.endswith(told)


def test_every_reason_has_a_remedy() -> None:
    assert REMEDIES.keys() == set(DropReason)
    assert all(REMEDIES.values())


def test_a_shipper_that_only_starts_is_no_fault(home: Path, catalog: Path) -> None:
    place = rendezvous_dir("acme-db", hashlib.sha256(catalog.read_bytes()).hexdigest(), ELSEWHERE)
    private_dir(place)
    assert home.exists()
    lock = os.open(place / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    (place / CONFIG_FILE).write_text(json.dumps({"product": "acme-db", "catalog": str(catalog), "endpoint": ELSEWHERE}))
    (place / CONFIG_FILE).chmod(0o600)
    _, steps = _doctor("--product", "acme-db")
    os.close(lock)

    assert "starts" in _found(steps, "shipper", "note")
    assert not _found(steps, "shipper", "fault")


def test_that_all_is_dropped_is_a_fault(start_host: StartHost, home: Path) -> None:
    assert home.exists()
    start_host(ELSEWHERE).emit(2, "undeclared")
    code, steps = _doctor("--product", "acme-db")
    assert code == 1
    assert "2 events: undeclared" in _found(steps, "losses", "fault")


def test_messages_that_fit_no_template_are_named_by_field_with_what_collects_them() -> None:
    ledger = {
        "emitted": 5,
        "delivered": 5,
        "on_disk": 0,
        "in_flight": 0,
        "dropped": {},
        "unmatched": {"failed.detail": 3},
    }
    _, missing = examine_losses(ledger, {})
    assert missing.verdict is Verdict.NOTE
    assert "3 messages of failed.detail" in missing.found
    assert "telemetry catalog templates" in missing.advice
