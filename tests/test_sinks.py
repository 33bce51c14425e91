"""What holds for every sink, against real servers: nats-server, seaweedfs, librdkafka's brokers, a directory, HTTP."""

from __future__ import annotations

import getpass
import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from endpoint_faults import certificates
from far_sides import KEYS, S3, SETTINGS, Directory, FarSide, Http, JwtNats, Kafka, Nats, Silent, Stored, silent_urls
from spools import (
    Answer,
    Endpoint,
    Request,
    add_segment,
    append,
    make_head,
    make_lines,
    open_spool,
    read_balanced,
)
from taps import KafkaTap

from telemetry.consent import State
from telemetry.doctor.endpoint import examine_endpoint
from telemetry.endpoint import check_any_endpoint, without_credentials
from telemetry.errors import ConfigError
from telemetry.shipper.delivery.directory_sink import DirectorySink
from telemetry.shipper.delivery.sink import open_sink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.outcome import Outcome
from telemetry.shipper.permission import Permission
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.spool.segment import Seal
    from telemetry.spool.spool import Spool

KINDS: dict[str, type[FarSide]] = {"http": Http, "file": Directory, "nats": Nats, "s3": S3, "kafka": Kafka}


@pytest.fixture(scope="module", params=KINDS)
def far(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    kind: Any = KINDS[request.param]
    made: FarSide = kind(tmp_path_factory.mktemp(request.param))
    yield made
    made.end()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = open_spool(tmp_path / "spool")
    yield opened
    opened.close()


def _seal(spool: Spool, events: int = 3, session: str = "s1") -> tuple[Seal, bytes]:
    active = spool.begin(make_head(session=session))
    append(active, events)
    spool.seal(active, Tally(emitted=events, kept=events))
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    return seal, body


def _open(far: FarSide, **settings: Any) -> Any:
    return open_sink(far.url, SETTINGS._replace(**settings), far.environ)


def test_a_batch_is_kept_byte_for_byte_with_what_an_upload_says_of_it(far: FarSide, spool: Spool) -> None:
    seal, body = _seal(spool)
    sink = _open(far)
    reply = sink.deliver(seal, body)
    sink.close()

    assert reply.outcome is Outcome.DELIVERED, reply
    (kept,) = [stored for stored in far.stored() if stored.id == seal.head.id]
    headers = {name.lower(): value for name, value in kept.headers.items()}
    assert kept.body == body
    assert headers["content-type"] == "application/x-ndjson"
    assert headers["content-encoding"] == "zstd"
    assert headers["idempotency-key"] == seal.head.id
    assert headers["telemetry-consent"] == "level=on; basis=host; notice=0; deployment=cloud"
    assert headers["telemetry-catalog"] == "acme-db/3"
    assert headers["telemetry-ledger"] == "emitted=3; kept=3"


def test_a_batch_that_is_there_is_confirmed_again_under_the_same_id(far: FarSide, spool: Spool) -> None:
    seal, body = _seal(spool)
    for _ in range(2):
        sink = _open(far)  # as after a restart
        assert sink.deliver(seal, body).outcome is Outcome.DELIVERED
        sink.close()
    kept = [stored for stored in far.stored() if stored.id == seal.head.id]
    assert len(kept) == (1 if far.keeps_one else 2)
    assert {stored.body for stored in kept} == {body}


def test_what_is_previewed_names_no_credential_no_host_and_no_user(far: FarSide, spool: Spool) -> None:
    seal, body = _seal(spool)
    sink = _open(far)
    line, headers = sink.preview(seal, body)
    sink.close()
    said = str((line, headers))
    assert (msgspec.structs.asdict(seal.head)["id"]) in said
    # A directory's own name is this machine's, and stays here.
    own = {"sesame", "secret-secret"} | (set() if "FILE" in line else {socket.gethostname(), getpass.getuser()})
    assert not any(name in said for name in own if len(name) > 3)


def test_wrong_credentials_pause_and_keep_what_waits(far: FarSide, spool: Spool) -> None:
    if (wrong := far.wrong()) is None:
        pytest.skip("it has none")
    seal, body = _seal(spool)
    url, environ = wrong
    sink = open_sink(url, SETTINGS, environ)
    reply = sink.deliver(seal, body)
    sink.close()
    assert reply.outcome is Outcome.PAUSED, reply
    assert "sesame" not in reply.cause
    assert "wrong" not in reply.cause
    assert seal.head.id not in {stored.id for stored in far.stored()}


def test_all_arrives_once_it_is_back(far: FarSide, spool: Spool) -> None:
    if isinstance(far, Kafka):
        pytest.skip("brokers in memory can't come back")
    sink = _open(far, connect_timeout_seconds=1.0, upload_timeout_seconds=2.0)
    uploader = Uploader(spool, sink, SETTINGS, lambda: Permission(State.ON), Tripwire(lambda _: None))
    seal, _ = _seal(spool, 1)
    uploader.step()
    before = {stored.id for stored in far.stored()}
    assert seal.head.id in before
    far.stop()
    waiting = {add_segment(spool, 2, session=session).id for session in ("s1", "s2")}
    for _ in range(3):
        uploader.step()
    assert uploader.state in {"retrying", "paused"}
    assert spool.waiting == 2
    far.start()
    deadline = time.monotonic() + 60
    while spool.waiting and time.monotonic() < deadline:
        uploader.step()
    sink.close()
    assert {stored.id for stored in far.stored()} - before == waiting
    assert read_balanced(spool).delivered == 5


# ---- A far side that is silent ----


@pytest.fixture
def silent() -> Iterator[Silent]:
    listener = Silent()
    yield listener
    listener.close()


@pytest.mark.parametrize("number", range(4), ids=["http", "nats", "s3", "kafka"])
def test_one_that_is_silent_is_given_up_in_time(silent: Silent, spool: Spool, number: int) -> None:
    url, environ = list(silent_urls(silent.port))[number]
    settings = SETTINGS._replace(connect_timeout_seconds=1.0, read_timeout_seconds=1.0, upload_timeout_seconds=1.0)
    sink = open_sink(url, settings, environ)
    reply = sink.deliver(*_seal(spool))
    sink.close()
    assert reply.outcome is Outcome.RETRY
    assert re.fullmatch(r"[A-Za-z_]+( \(.*\))?", reply.cause), "a kind, never a library's text"


@pytest.mark.parametrize("number", range(4), ids=["http", "nats", "s3", "kafka"])
def test_an_upload_is_cut_off_when_consent_is_withdrawn(silent: Silent, spool: Spool, number: int) -> None:
    url, environ = list(silent_urls(silent.port))[number]
    patient = SETTINGS._replace(connect_timeout_seconds=200.0, read_timeout_seconds=200.0, upload_timeout_seconds=200.0)
    sink = open_sink(url, patient, environ)
    seal, body = _seal(spool)
    replies = []
    upload = Thread(target=lambda: replies.append(sink.deliver(seal, body)))
    upload.start()
    while upload.is_alive():
        sink.abort()  # as a shipper does as long as there is no consent
        upload.join(0.1)
    sink.close()
    assert [reply.outcome for reply in replies] == [Outcome.RETRY]


# ---- Batches that are refused ----


def test_a_batch_beyond_what_a_server_of_nats_takes_is_split(spool: Spool, tmp_path: Path) -> None:
    far = Nats(tmp_path)
    try:
        sink = _open(far)
        active = spool.begin(make_head(compressed=False))
        for number in range(40):
            append(active, 100, 100 * number)
        spool.seal(active, Tally(emitted=4000, kept=4000))
        uploader = Uploader(spool, sink, SETTINGS, lambda: Permission(State.ON), Tripwire(lambda _: None))
        while spool.waiting:
            uploader.step()
        kept = far.stored()
        assert read_balanced(spool).delivered == 4000
        assert len({stored.id for stored in kept}) == len(kept) > 2
        assert sorted(line for stored in kept for line in stored.body.splitlines()).__len__() == 4000
        # What a server knows of those who were connected says nothing of who they are.
        assert all("name" not in known for known in far.connections())
    finally:
        far.stop()


def test_a_batch_that_is_too_large_with_its_headers_alone_is_split_too(spool: Spool, tmp_path: Path) -> None:
    far = Nats(tmp_path)
    try:
        seal, _ = _seal(spool)
        assert _open(far).deliver(seal, bytes(64 << 10)).outcome is Outcome.SPLIT, "the server counts headers too"
        assert _open(far).deliver(seal, bytes(63 << 10)).outcome is Outcome.DELIVERED
    finally:
        far.stop()


def test_an_expired_certificate_is_not_trusted(spool: Spool, tmp_path: Path) -> None:
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates.authority_pem())
    leaf = certificates._certificate("expired")
    leaf.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "server.pem"))
    tls = f'tls {{ cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server.pem", handshake_first: true }}'
    settings = SETTINGS._replace(ca_file=str(authority))
    seal, body = _seal(spool)

    with Endpoint(tls=certificates.tls("expired")) as endpoint:
        sink = open_sink(endpoint.url, settings, {})
        assert "expired" in sink.deliver(seal, body).cause
        sink.close()

    (tmp_path / "nats").mkdir()
    server = _TlsNats(tmp_path / "nats", tls)
    try:
        reply = open_sink(server.url, settings, {}).deliver(seal, body)
        assert (reply.outcome, "expired" in reply.cause) == (Outcome.RETRY, True), reply
    finally:
        server.stop()


class _TlsNats(Nats):
    """One that nobody asks in clear."""

    def ask(self, _what: str, _question: dict[str, Any]) -> dict[str, Any]:
        return {}


def test_an_expired_certificate_of_brokers_and_of_a_store_is_not_trusted(spool: Spool, tmp_path: Path) -> None:
    trusting = SETTINGS._replace(ca_file=certificates_file(tmp_path))
    brokers = Kafka(tmp_path, brokers=1)
    seal, body = _seal(spool)
    for kind, outcome in (("good", Outcome.DELIVERED), ("expired", Outcome.RETRY), ("for another name", Outcome.RETRY)):
        tap = KafkaTap(brokers.port, certificates.tls(kind))
        sink = open_sink(f"kafka://127.0.0.1:{tap.port}/acme-batches", trusting, {})
        reply = sink.deliver(seal, body)
        sink.close()
        tap.close()
        assert (reply.outcome, "certificate" in reply.cause) == (outcome, kind != "good"), (kind, reply)

    for kind in ("good", "expired", "for another name"):
        with Endpoint(decide=lambda _: Answer(200, (("ETag", '"x"'),)), tls=certificates.tls(kind)) as store:
            environ = {**KEYS, "AWS_ENDPOINT_URL": f"https://127.0.0.1:{store.port}"}
            told = subprocess.run(
                [sys.executable, "-c", _TO_A_STORE, json.dumps(environ)],
                env={**os.environ, "SSL_CERT_FILE": trusting.ca_file, "PYTHONPATH": str(Path(__file__).parent)},
                capture_output=True,
                text=True,
                check=False,
            )
        assert told.returncode == 0, told.stderr
        assert told.stdout.split(" ", 1)[0] == ("delivered" if kind == "good" else "retry"), told
        assert ("certificate" in told.stdout) == (kind != "good")


_TO_A_STORE = """
import json, sys
from far_sides import SETTINGS
from spools import make_head
from telemetry.shipper.delivery.sink import open_sink
from telemetry.spool.segment import seal_of
from telemetry.spool.tally import Tally
sink = open_sink("s3://acme/batches", SETTINGS, json.loads(sys.argv[1]))  # authorities are read as a process begins
reply = sink.deliver(seal_of(make_head(), b"body", Tally(), {}, Tally()), b"body")
sink.close()
print(reply.outcome.value, reply.cause)
"""


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_brokers_that_ask_for_a_login_by_tls_are_given_it_and_nobody_else_s(
    spool: Spool, tmp_path: Path, mechanism: str
) -> None:
    settings = SETTINGS._replace(ca_file=certificates_file(tmp_path), sasl_mechanism=mechanism)
    brokers = Kafka(tmp_path, brokers=1)
    tap = KafkaTap(brokers.port, certificates.tls("good"), ("shipper", "sesa me"), mechanism)
    seal, body = _seal(spool)
    for password, outcome in (("sesa%20me", Outcome.DELIVERED), ("wrong", Outcome.PAUSED)):
        sink = open_sink(f"kafka://shipper:{password}@127.0.0.1:{tap.port}/acme-batches", settings, {})
        assert sink.is_authorized
        reply = sink.deliver(seal, body)
        sink.close()
        assert reply.outcome is outcome, reply
        assert "wrong" not in reply.cause
    assert [stored.id for stored in brokers.stored()] == [seal.head.id]
    tap.close()


def test_another_way_to_log_in_than_brokers_know_is_a_mistake_of_the_settings() -> None:
    with pytest.raises(ConfigError, match="must be one of PLAIN, SCRAM-SHA-256"):
        open_sink("kafka://127.0.0.1:9/acme", SETTINGS._replace(sasl_mechanism="GSSAPI"), {})


def test_a_server_of_nats_may_know_its_users_by_keys_or_by_a_token(spool: Spool, tmp_path: Path) -> None:
    for name in ("jwt", "token"):
        (tmp_path / name).mkdir()
    seal, body = _seal(spool)
    far = JwtNats(tmp_path / "jwt")
    try:
        sink = open_sink(far.url, SETTINGS._replace(token_file=str(far.creds)), {})
        assert sink.is_authorized
        assert sink.deliver(seal, body).outcome is Outcome.DELIVERED
        assert open_sink(far.url, SETTINGS, {}).deliver(seal, body).outcome is Outcome.PAUSED
        assert [(stored.id, stored.body) for stored in far.stored()] == [(seal.head.id, body)]
    finally:
        far.stop()

    token = tmp_path / "token-file"
    token.write_text("sesame-seed")
    token.chmod(0o600)
    of_token = Nats(tmp_path / "token", token="sesame-seed")
    try:
        url = of_token.url.replace("shipper:sesame@", "")
        by_file = open_sink(url, SETTINGS._replace(token_file=str(token)), {})
        assert by_file.deliver(seal, body).outcome is Outcome.DELIVERED
        token.write_text("another")
        reply = by_file.deliver(seal, body)
        assert (reply.outcome, "sesame" in reply.cause) == (Outcome.PAUSED, False), "it was read again"
        assert (
            open_sink(url, SETTINGS, {"TELEMETRY_TOKEN": "sesame-seed"}).deliver(seal, body).outcome
            is Outcome.DELIVERED
        )
        assert [stored.id for stored in of_token.stored()] == [seal.head.id]
    finally:
        of_token.stop()


def test_a_batch_that_was_stored_before_a_crash_is_not_stored_again_after_it(far: FarSide, tmp_path: Path) -> None:
    directory = tmp_path / "spool"
    spool = open_spool(directory)
    seal, body = _seal(spool)
    sink = _open(far)
    assert sink.deliver(seal, body).outcome is Outcome.DELIVERED
    sink.close()
    spool.close()  # killed before the ack

    spool = open_spool(directory)
    assert spool.waiting == 1
    sink = _open(far)
    uploader = Uploader(spool, sink, SETTINGS, lambda: Permission(State.ON), Tripwire(lambda _: None))
    deadline = time.monotonic() + 30
    while spool.waiting and time.monotonic() < deadline:
        uploader.step()
    sink.close()
    kept = [stored for stored in far.stored() if stored.id == seal.head.id]
    assert {stored.body for stored in kept} == {body}
    assert len(kept) == (1 if far.keeps_one else 2)
    assert read_balanced(spool).delivered == 3
    spool.close()


# ---- Batches that are larger than a server takes ----


def _split_down(spool: Spool, sink: Any, events: int = 400) -> None:
    active = spool.begin(make_head(compressed=False))
    append(active, events)
    spool.seal(active, Tally(emitted=events, kept=events))
    uploader = Uploader(spool, sink, SETTINGS, lambda: Permission(State.ON), Tripwire(lambda _: None))
    deadline = time.monotonic() + 60
    while spool.waiting and time.monotonic() < deadline:
        uploader.step()
    sink.close()
    assert read_balanced(spool).delivered == events


def _lines(kept: list[Stored]) -> list[bytes]:
    assert len({stored.id for stored in kept}) == len(kept) > 2
    return sorted(line for stored in kept for line in stored.body.splitlines())


def test_a_batch_beyond_what_brokers_take_is_split(spool: Spool, tmp_path: Path) -> None:
    brokers = Kafka(tmp_path, brokers=1)
    tap = KafkaTap(brokers.port, most_bytes=5000)
    _split_down(spool, open_sink(f"kafka://127.0.0.1:{tap.port}/acme-batches", SETTINGS, {}))
    assert _lines(brokers.stored()) == sorted(make_lines(400).splitlines())
    tap.close()


def test_a_batch_beyond_what_a_store_takes_is_split(spool: Spool) -> None:
    kept: list[Stored] = []

    def take(request: Request) -> Answer:
        if len(request.body) > 5000:
            return Answer(400, (), b"<Error><Code>EntityTooLarge</Code></Error>") if len(kept) else Answer(413)
        kept.append(Stored(request.path, request.body, {}))
        return Answer(200, (("ETag", '"x"'),))

    with Endpoint(decide=take) as store:
        environ = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}"}
        _split_down(spool, open_sink("s3://acme/batches", SETTINGS, environ))
    assert _lines(kept) == sorted(make_lines(400).splitlines())


def test_a_batch_beyond_what_a_file_may_hold_is_split(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    far = Directory(tmp_path / "far")
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as Python does at its start
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(DirectorySink, "_put", _within(5000, DirectorySink._put))
            _split_down(spool, _open(far))
    finally:
        signal.signal(signal.SIGXFSZ, before)
    assert _lines(far.stored()) == sorted(make_lines(400).splitlines())


def _within(most_bytes: int, put: Any) -> Any:
    """The writing of a file where none may be larger, as by `ulimit -f`; the spool's own are beside it."""

    def put_within(*arguments: Any) -> None:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        try:
            put(*arguments)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return put_within


def test_nothing_goes_in_clear_to_another_machine(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "nats").mkdir()
    server = Nats(tmp_path / "nats")
    try:
        # As if it were another machine, and one that offers no TLS.
        sink = open_sink(server.url, SETTINGS._replace(ca_file=certificates_file(tmp_path)), {})
        assert sink.deliver(*_seal(spool)).outcome is Outcome.RETRY
        assert server.stored() == []
    finally:
        server.stop()


def certificates_file(place: Path) -> str:
    file = place / "authority.pem"
    file.write_bytes(certificates.authority_pem())
    return str(file)


# ---- URLs and extras ----


@pytest.mark.parametrize(
    "url",
    [
        "file:///var/spool/acme",
        "s3://acme-bucket/some/prefix",
        "s3://acme",
        "nats://a.example,b.example:4223/acme.batches",
        "nats://user:p%40ss@127.0.0.1:4222/acme",
        "kafka://[::1]:9092/topic",
    ],
)
def test_an_endpoint_may_be_a_sink_s(url: str) -> None:
    check_any_endpoint(url, allow_http=False)
    assert "p%40ss" not in without_credentials(url)


@pytest.mark.parametrize(
    "url",
    [
        "file://relative/path",
        "file://",
        "s3://",
        "s3://A/b",
        "s3://acme/../x",
        "nats://a.example",
        "nats://a.example/a b",
        "nats://a.example/a.*",
        "nats://a.example/>",
        "kafka://a.example/",
        "kafka://a.example/a/b",
        "ftp://a.example/",
    ],
)
def test_one_that_is_none_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError, match="must be a URL such as"):
        check_any_endpoint(url, allow_http=False)


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("nats://127.0.0.1:4222/acme", "nats", "nats"),
        ("s3://acme/x", "obstore", "s3"),
        ("kafka://127.0.0.1:9092/acme", "confluent_kafka", "kafka"),
    ],
)
def test_a_missing_extra_is_an_error_that_names_it(url: str, library: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from telemetry.settings import ShipperSettings
from telemetry.doctor.endpoint import examine_endpoint
print([(step.verdict.name, step.found) for step in examine_endpoint({url!r}, ShipperSettings(), {{}})])
from telemetry.shipper.delivery.directory_sink import DirectorySink
from telemetry.shipper.delivery.sink import open_sink
open_sink({url!r}, ShipperSettings(), {{}})
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert told.stdout.count(f"telemetry-shipper[{extra}]") == 1
    assert told.stderr.strip().endswith(f"run: pip install 'telemetry-shipper[{extra}]'")


def test_no_library_of_a_sink_is_loaded_where_none_is_chosen() -> None:
    program = (
        "import sys; from telemetry.shipper import shipper; import telemetry.client;"
        "sys.exit(bool({'nats', 'obstore', 'confluent_kafka'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        ("s3://acme/x", KEYS),
        ("nats://user:word@127.0.0.1:1/acme", {}),
        ("kafka://user:word@127.0.0.1:1/acme", {}),
        ("https://127.0.0.1:1/", {}),
    ],
)
def test_doctor_warns_of_credentials_that_one_installation_alone_has(
    url: str, environ: dict[str, str], tmp_path: Path
) -> None:
    shown = tmp_path / "client.pem"
    certificates._certificate("good").private_key_and_cert_chain_pem.write_to_path(str(shown))
    shown.chmod(0o600)
    settings = SETTINGS._replace(client_certificate=str(shown) if url.startswith("https") else "")
    told = [step.found for step in examine_endpoint(url, settings, environ) if step.verdict.name == "NOTE"]
    assert any("would join its sessions" in found for found in told)


def test_doctor_looks_at_a_directory(tmp_path: Path) -> None:
    (good,) = examine_endpoint(f"file://{tmp_path}", SETTINGS, {})
    (fault,) = examine_endpoint(f"file://{tmp_path}/none", SETTINGS, {})
    assert "takes files" in str(good)
    assert "make it, or mount it" in str(fault)
    assert list(tmp_path.iterdir()) == []
