"""What goes over the wire, to whom, and what never does; what may come back is in test_endpoint_faults.py."""

from __future__ import annotations

import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest
from spools import Answer, Endpoint, append, make_head, open_spool

from telemetry.errors import ConfigError
from telemetry.receipt import First, format_first
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import MAX_REPLY_BYTES, USER_AGENT, HttpSink
from telemetry.shipper.delivery.recorder import read_head
from telemetry.shipper.outcome import Outcome
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.spool.segment import Seal

SETTINGS = ShipperSettings(connect_timeout_seconds=20.0, read_timeout_seconds=20.0)
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class Batch(NamedTuple):
    seal: Seal
    body: bytes


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    return _batch(tmp_path)


def _batch(tmp_path: Path, session: str = "s1", *, compressed: bool = True) -> Batch:
    spool = open_spool(tmp_path / f"spool-{session}-{compressed}")
    active = spool.begin(make_head(session=session, compressed=compressed))
    append(active, 3)
    spool.seal(active, Tally(emitted=5, kept=3, dropped={"invalid": 2}))
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    spool.close()
    return Batch(seal, body)


def _deliver(url: str, batch: Batch, settings: ShipperSettings = SETTINGS, **environ: str) -> Outcome:
    sink = HttpSink(url, settings, environ)
    try:
        return sink.deliver(batch.seal, batch.body).outcome
    finally:
        sink.close()


def test_a_request_has_these_headers_and_no_others(batch: Batch) -> None:
    with Endpoint() as endpoint:
        assert _deliver(endpoint.url, batch) is Outcome.DELIVERED
    (request,) = endpoint.requests

    assert (request.method, request.path, request.body) == ("POST", "/v1/batches", batch.body)
    assert dict(request.headers) == {
        "Host": f"127.0.0.1:{endpoint.port}",
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Content-Length": str(len(batch.body)),
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "zstd",
        "Idempotency-Key": batch.seal.head.id,
        "Telemetry-Catalog": "acme-db/3",
        "Telemetry-Consent": "level=on; basis=host; notice=0; deployment=cloud",
        "Telemetry-Ledger": "emitted=5; kept=3; invalid=2",
    }


@pytest.mark.parametrize("first", [First(day=True), First(day=True, week=True, month=True)])
def test_of_the_installations_days_three_words_leave_and_the_receipt_stays_as_old_collectors_read_it(
    first: First, batch: Batch
) -> None:
    head = msgspec.structs.replace(batch.seal.head, first=first)
    with Endpoint() as endpoint:
        for seal in (batch.seal, msgspec.structs.replace(batch.seal, head=head)):
            assert _deliver(endpoint.url, Batch(seal, batch.body)) is Outcome.DELIVERED
    plain, marked = (dict(request.headers) for request in endpoint.requests)

    assert marked == {**plain, "Telemetry-First": format_first(first)}


def test_a_body_that_is_not_compressed_is_not_announced_as_such(tmp_path: Path) -> None:
    with Endpoint() as endpoint:
        _deliver(endpoint.url, _batch(tmp_path, compressed=False))

    assert endpoint.requests[0].header("Content-Encoding") is None


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(("token", "user"), [("", ""), ("canary-token", ""), ("", "canary:canary@")])
@pytest.mark.parametrize("is_proxied", [False, True])
def test_what_is_previewed_is_what_is_sent(
    tmp_path: Path, *, compressed: bool, token: str, user: str, is_proxied: bool
) -> None:
    batch = _batch(tmp_path, compressed=compressed)
    with Endpoint() as endpoint:
        url = endpoint.url.replace("127.0.0.1", f"{user}127.0.0.1")
        proxy = f"http://canary:canary@127.0.0.1:{endpoint.port}" if is_proxied else ""
        sink = HttpSink(url, SETTINGS._replace(proxy=proxy), {"TELEMETRY_TOKEN": token})
        previewed = sink.preview(batch.seal, batch.body)
        assert endpoint.requests == []
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        sink.close()
    (request,) = endpoint.requests
    head = [f"POST {request.path} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    assert previewed == read_head("\r\n".join(head).encode())
    assert "canary" not in str(previewed)
    assert ("Bearer" in str(previewed)) == bool(token)


def test_a_preview_over_tls_needs_no_server(batch: Batch) -> None:
    sink = HttpSink("https://acme.example:8443/v1/batches", SETTINGS._replace(proxy="http://127.0.0.1:9"), {})
    line, headers = sink.preview(batch.seal, batch.body)
    assert (line, headers[0]) == ("POST /v1/batches HTTP/1.1", ("Host", "acme.example:8443"))


def test_a_cookie_is_not_sent_back(batch: Batch) -> None:
    with Endpoint(Answer(200, (("Set-Cookie", "id=42; Path=/"),))) as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS, {})
        for _ in range(2):
            sink.deliver(batch.seal, batch.body)
        sink.close()

    assert [request.header("Cookie") for request in endpoint.requests] == [None, None]


# Connections.


def test_a_connection_is_kept_within_a_session_and_never_over_its_end(tmp_path: Path) -> None:
    one, two = _batch(tmp_path, "s1"), _batch(tmp_path, "s2")
    with Endpoint() as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS, {})
        for batch in (one, one, two, two):
            sink.deliver(batch.seal, batch.body)
        sink.close()
    peers = [request.peer for request in endpoint.requests]

    assert peers[0] == peers[1]
    assert peers[2] == peers[3]
    assert peers[0] != peers[2]


def test_a_reply_of_any_length_does_not_fill_the_memory(batch: Batch) -> None:
    with Endpoint(Answer(200, (), b"x" * (MAX_REPLY_BYTES + 1)), Answer(500, (), b"y" * MAX_REPLY_BYTES)) as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS, {})
        outcomes = [sink.deliver(batch.seal, batch.body).outcome for _ in range(3)]
        sink.close()
    peers = [request.peer for request in endpoint.requests]

    assert outcomes == [Outcome.DELIVERED, Outcome.RETRY, Outcome.DELIVERED]
    assert peers[0] != peers[1] == peers[2]


def test_an_upload_is_not_begun_on_a_connection_that_was_cut_as_it_was_made(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Endpoint() as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS, {})
        monkeypatch.setattr(sink._lines, "open", lambda: None)
        sink.abort()
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.RETRY
        monkeypatch.undo()
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        sink.close()

    assert len(endpoint.requests) == 1


def test_a_head_that_time_cuts_short_is_no_reply(batch: Batch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        said = thread.submit(_say_half, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        sink = HttpSink(url, SETTINGS._replace(upload_timeout_seconds=0.5), {})
        reply = sink.deliver(batch.seal, batch.body)
        sink.close()
        said.result(30)

    assert (reply.outcome, reply.status) == (Outcome.RETRY, 0)


def _say_half(server: socket.socket) -> None:
    line, _ = server.accept()
    with line:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n")
        while line.recv(65536):
            pass


# TLS.


def _openssl(directory: Path, name: str, *more: str) -> None:
    subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:P-256",
                "-nodes",
                "-days",
                "2",
            ),
            *("-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.crt", *more),
        ],
        cwd=directory,
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certificates")
    _openssl(directory, "server", "-addext", "subjectAltName=IP:127.0.0.1")
    _openssl(directory, "client")
    (directory / "client.pem").write_text(
        (directory / "client.crt").read_text() + (directory / "client.key").read_text()
    )
    (directory / "client.pem").chmod(0o600)
    return directory


def _tls(certificates: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    return context


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_upload_can_be_cut_off_from_another_thread_and_the_next_one_goes(
    batch: Batch, certificates: Path, scheme: str
) -> None:
    asked, go = Event(), Event()

    def decide(_: object) -> int:
        asked.set()
        go.wait(30)
        return 200

    tls = _tls(certificates) if scheme == "https" else None
    with Endpoint(decide=decide, tls=tls) as endpoint, ThreadPoolExecutor(1) as thread:
        sink = HttpSink(endpoint.url, SETTINGS._replace(ca_file=str(certificates / "server.crt")), {})
        reply = thread.submit(sink.deliver, batch.seal, batch.body)
        assert asked.wait(30)
        sink.abort()
        assert reply.result(10).outcome is Outcome.RETRY
        go.set()
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        sink.close()


def test_a_server_of_the_given_authority_is_trusted(batch: Batch, certificates: Path) -> None:
    settings = SETTINGS._replace(ca_file=str(certificates / "server.crt"))
    with Endpoint(tls=_tls(certificates)) as endpoint:
        assert _deliver(endpoint.url, batch, settings) is Outcome.DELIVERED


def test_a_server_that_nobody_vouches_for_gets_nothing(batch: Batch, certificates: Path) -> None:
    with Endpoint(tls=_tls(certificates)) as endpoint:
        assert _deliver(endpoint.url, batch, SETTINGS) is Outcome.RETRY

    assert endpoint.requests == []


@pytest.mark.parametrize(
    ("given", "outcome"),
    [pytest.param("client.pem", Outcome.DELIVERED, id="given"), pytest.param("", Outcome.RETRY, id="not given")],
)
def test_a_client_certificate_is_given_to_a_server_that_asks(
    batch: Batch, certificates: Path, given: str, outcome: Outcome
) -> None:
    context = _tls(certificates)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates / "client.crt")
    settings = SETTINGS._replace(
        ca_file=str(certificates / "server.crt"), client_certificate=given and str(certificates / given)
    )
    with Endpoint(tls=context) as endpoint:
        assert _deliver(endpoint.url, batch, settings) is outcome

    assert len(endpoint.requests) == (outcome is Outcome.DELIVERED)


# Proxies.

FAR = "http://telemetry.example/v1/batches"
FAR_TLS = "https://telemetry.example/v1/batches"


def test_the_configured_proxy_is_used(batch: Batch) -> None:
    with Endpoint() as proxy:
        settings = SETTINGS._replace(allow_http=True, proxy=f"http://127.0.0.1:{proxy.port}")
        assert _deliver(FAR, batch, settings) is Outcome.DELIVERED

    assert [request.path for request in proxy.requests] == [FAR]


@pytest.mark.parametrize(
    ("variable", "url", "asked"),
    [
        ("HTTP_PROXY", FAR, ("POST", FAR)),
        ("http_proxy", FAR, ("POST", FAR)),
        ("HTTPS_PROXY", FAR_TLS, ("CONNECT", "telemetry.example:443")),
        ("ALL_PROXY", FAR_TLS, ("CONNECT", "telemetry.example:443")),
    ],
)
def test_the_usual_variables_name_a_proxy(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, variable: str, url: str, asked: tuple[str, str]
) -> None:
    with Endpoint(decide=lambda request: 403 if request.method == "CONNECT" else 200) as proxy:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{proxy.port}")
        _deliver(url, batch, SETTINGS._replace(allow_http=True))

    assert {(request.method, request.path) for request in proxy.requests} == {asked}
    assert all(request.body == b"" for request in proxy.requests if request.method == "CONNECT")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "user@127.0.0.1"])
@pytest.mark.parametrize("named_by", ["variable", "setting"])
def test_nothing_for_this_machine_goes_to_a_proxy(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, host: str, named_by: str
) -> None:
    with Endpoint() as proxy, Endpoint() as endpoint:
        url = f"http://127.0.0.1:{proxy.port}"
        if named_by == "variable":
            monkeypatch.setenv("HTTP_PROXY", url)
            monkeypatch.setenv("ALL_PROXY", url)
        settings = SETTINGS._replace(proxy=url if named_by == "setting" else "")

        assert _deliver(endpoint.url.replace("127.0.0.1", host), batch, settings) is Outcome.DELIVERED
    assert (len(proxy.requests), len(endpoint.requests)) == (0, 1)


@pytest.mark.parametrize("no_proxy", ["telemetry.example:80", ".example", "x, TELEMETRY.example"])
def test_a_host_in_no_proxy_is_reached_directly(batch: Batch, monkeypatch: pytest.MonkeyPatch, no_proxy: str) -> None:
    with Endpoint() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        monkeypatch.setattr("socket.getaddrinfo", _nobody)

        assert _deliver(FAR, batch, SETTINGS._replace(allow_http=True)) is Outcome.RETRY
    assert proxy.requests == []


def _nobody(*_: object, **__: object) -> None:
    raise socket.gaierror


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1080", "socks5h://u:canary@h:1080", "http://[", "http://a b"])
def test_a_proxy_that_can_t_be_used_is_named_and_nothing_goes_around_it(
    batch: Batch, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    monkeypatch.setattr("socket.getaddrinfo", _nobody)
    sink = HttpSink(FAR_TLS, SETTINGS, {})
    reply = sink.deliver(batch.seal, batch.body)
    sink.close()

    assert reply.outcome is Outcome.PAUSED
    assert reply.cause.startswith("ALL_PROXY names ")
    assert "set `proxy`, or telemetry.example in NO_PROXY" in reply.cause
    assert "canary" not in reply.cause


def test_plain_http_goes_nowhere_else_though_the_name_of_this_machine_leads_there(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resolver that is wrong: the connection is asked where it has led, before a byte is sent."""
    with Endpoint() as endpoint:
        monkeypatch.setattr("socket.socket.getpeername", lambda _: ("10.1.2.3", 80))
        sink = HttpSink(endpoint.url.replace("127.0.0.1", "localhost"), SETTINGS, {"TELEMETRY_TOKEN": "canary"})
        reply = sink.deliver(batch.seal, batch.body)
        sink.close()
    assert reply.outcome is Outcome.RETRY
    assert reply.cause.startswith("LeavesThisMachineError (plain http")
    assert endpoint.requests == []


def test_over_tls_or_allowed_by_name_a_request_may_go_anywhere(
    batch: Batch, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.socket.getpeername", lambda _: ("10.1.2.3", 80))
    with Endpoint(tls=_tls(certificates)) as endpoint:
        trusting = SETTINGS._replace(ca_file=str(certificates / "server.crt"))
        assert _deliver(endpoint.url, batch, trusting) is Outcome.DELIVERED
    with Endpoint() as endpoint:
        assert _deliver(endpoint.url, batch, SETTINGS._replace(allow_http=True)) is Outcome.DELIVERED


# Configuration.


@pytest.mark.parametrize("where", ["variable", "file"])
def test_the_token_goes_with_every_upload(batch: Batch, tmp_path: Path, where: str) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret\n")
    file.chmod(0o600)
    settings = SETTINGS._replace(token_file=str(file))
    with Endpoint() as endpoint:
        if where == "variable":
            _deliver(endpoint.url, batch, settings, TELEMETRY_TOKEN="from-variable")
        else:
            _deliver(endpoint.url, batch, settings)

    assert (
        endpoint.requests[0].header("Authorization") == f"Bearer {'from-variable' if where == 'variable' else 's3cret'}"
    )


def test_the_path_of_an_endpoint_is_what_it_is(batch: Batch) -> None:
    with Endpoint() as endpoint:
        for end in ("/", "//", "/a%2Fb/"):
            _deliver(endpoint.url + end, batch)
    assert [request.path for request in endpoint.requests] == ["/v1/batches/", "/v1/batches//", "/v1/batches/a%2Fb/"]


def test_a_format_s_route_follows_the_path_of_an_endpoint_unless_it_stands_there_already(batch: Batch) -> None:
    seal = msgspec.structs.replace(batch.seal, head=msgspec.structs.replace(batch.seal.head, route="/v1/logs"))
    with Endpoint() as endpoint:
        for end in ("", "/", "/v1/logs", "/v1/logs/"):
            _deliver(endpoint.url + end, Batch(seal, batch.body))
    base = "/v1/batches/v1/logs"
    assert [request.path for request in endpoint.requests] == [base, base, base, f"{base}/"]


def test_a_user_and_a_token_are_one_too_many() -> None:
    with pytest.raises(ConfigError, match="a user or password, and a token is set") as refused:
        HttpSink("https://canary:canary@h/", SETTINGS, {"TELEMETRY_TOKEN": "canary"})
    assert "canary" not in str(refused.value)


def _replaced(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.chmod(0o600)
    new.replace(file)


def _rewritten(file: Path, text: str) -> None:
    file.write_text(text)


def _relinked(file: Path, text: str) -> None:
    """As the secrets of Kubernetes are: a link to a directory that is changed in one step."""
    target = file.with_name(f"target-{text}")
    target.write_text(text)
    target.chmod(0o600)
    link = file.with_name("link")
    link.symlink_to(target)
    link.replace(file)


@pytest.mark.parametrize("change", [_replaced, _rewritten, _relinked])
def test_a_token_is_read_again_when_its_file_has_changed(
    batch: Batch, tmp_path: Path, change: Callable[[Path, str], None]
) -> None:
    file = tmp_path / "token"
    _replaced(file, "first")
    with Endpoint() as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS._replace(token_file=str(file)), {})
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        change(file, "secnd")  # of one length: what is asked is not the size alone
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        file.write_text("")
        reply = sink.deliver(batch.seal, batch.body)
        _replaced(file, "third")
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        sink.close()

    shown = [request.header("Authorization") for request in endpoint.requests]
    assert shown == ["Bearer first", "Bearer secnd", "Bearer third"]
    assert (reply.outcome, "holds no token" in reply.cause) == (Outcome.RETRY, True)


def test_a_certificate_that_was_replaced_is_used_after_a_pause(batch: Batch) -> None:
    """A server asks for it once a connection, so the one that was refused is not kept."""
    with Endpoint(Answer(400, (("Content-Type", "text/html"),), b"<html>The SSL certificate error"), 200) as endpoint:
        sink = HttpSink(endpoint.url, SETTINGS, {})
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.PAUSED
        assert sink.deliver(batch.seal, batch.body).outcome is Outcome.DELIVERED
        sink.close()
    first, second = endpoint.requests
    assert first.peer != second.peer


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_a_token_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"token_file=.*mode {mode:o}\); chmod 600"):
        HttpSink("https://h/", SETTINGS._replace(token_file=str(file)), {})


@pytest.mark.parametrize("token", [b"", b"\n", b"two\nlines", b"a b", b"\xff\xfe", "sn\u00f6".encode()])
def test_what_can_t_be_a_token_is_refused_and_not_repeated(tmp_path: Path, token: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(token)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="holds no token") as refused:
        HttpSink("https://h/", SETTINGS._replace(token_file=str(file)), {})

    assert "lines" not in str(refused.value)


@pytest.mark.parametrize("name", ["ca_file", "client_certificate", "token_file"])
def test_a_file_that_can_t_be_read_is_refused(tmp_path: Path, name: str) -> None:
    file = str(tmp_path / "none.pem")
    with pytest.raises(ConfigError, match=rf"{name}='.*none.pem': No such file"):
        HttpSink("https://h/", SETTINGS._replace(**{name: file}), {})  # type: ignore[arg-type] # all of them texts


@pytest.mark.parametrize("proxy", ["proxy.example:3128", "socks5://x", "http://"])
def test_what_is_no_proxy_is_refused(proxy: str) -> None:
    with pytest.raises(ConfigError, match="proxy: must be a URL"):
        HttpSink("https://h/", SETTINGS._replace(proxy=proxy), {})


def _others_may_read(directory: Path) -> Path:
    (directory / "client.pem").chmod(0o640)
    return directory / "client.pem"


def _key_alone(directory: Path) -> Path:
    (directory / "client.key").chmod(0o600)
    return directory / "client.key"


def _with_a_passphrase(directory: Path) -> Path:
    command = ["openssl", "pkey", "-in", "client.key", "-aes256", "-passout", "pass:canary", "-out", "locked.key"]
    subprocess.run(command, cwd=directory, check=True, capture_output=True)
    locked = directory / "locked.pem"
    locked.write_text((directory / "client.crt").read_text() + (directory / "locked.key").read_text())
    locked.chmod(0o600)
    return locked


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_others_may_read, r"mode 640\); chmod 600"),
        (_key_alone, "in PEM and without a passphrase"),
        (_with_a_passphrase, "in PEM and without a passphrase"),
    ],
)
def test_a_client_certificate_that_can_t_be_used_is_refused_at_once(
    certificates: Path, spoil: Callable[[Path], Path], why: str
) -> None:
    file = spoil(certificates)
    with pytest.raises(ConfigError, match=why):
        HttpSink("https://h/", SETTINGS._replace(client_certificate=str(file)), {})
    (certificates / "client.pem").chmod(0o600)
