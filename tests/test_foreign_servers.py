"""What servers and proxies that others have made answer, and what an upload makes of it: real ones, as Debian has them.

None of them may cost an event: they are in the way of a batch, and say nothing of it.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import pytest
import trustme
from conftest import wait_until
from spools import Endpoint, add_segment, open_spool

from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.outcome import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.shipper.outcome import Reply

DAY = timedelta(days=1)
FAR = "far.example"
# Who hangs up with our body unread resets the connection: whether that or the end is read first is the kernel's choice.
HANGS_UP = tuple(f"{kind} (it hangs up without an answer" for kind in ("RemoteDisconnected", "ConnectionResetError"))


class Place(NamedTuple):
    """Where servers run: a directory with their certificates, a collector behind them, and a port that nobody has."""

    directory: Path
    collector: int
    nobody: int

    def settings(self, certificate: str = "", **more: object) -> ShipperSettings:
        chosen = {"client_certificate": str(self.directory / f"{certificate}.pem")} if certificate else {}
        return ShipperSettings(ca_file=str(self.directory / "ca.pem"), allow_http=True)._replace(**chosen, **more)  # type: ignore[arg-type] # names of settings


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("servers")
    now, authority = datetime.now(UTC), trustme.CA()
    leaves = {
        "server": authority.issue_cert("127.0.0.1", FAR),
        "good": authority.issue_cert("client.example"),
        "expired": authority.issue_cert("client.example", not_before=now - 3 * DAY, not_after=now - DAY),
    }
    (directory / "ca.pem").write_bytes(authority.cert_pem.bytes())
    for name, leaf in leaves.items():
        (directory / f"{name}.pem").write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
        (directory / f"{name}.pem").chmod(0o600)
    with Endpoint() as collector, socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # and does not listen: nobody else can
        yield Place(directory, collector.port, held.getsockname()[1])


@cache
def _port(_name: str) -> int:
    """A free one, the same for one name."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _runs(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def start(place: Place) -> Iterator[Callable[..., None]]:
    """Starts a server in the foreground, unless it runs, and returns when it listens at its port."""
    started: dict[tuple[str, ...], subprocess.Popen[bytes]] = {}

    def run(port: int, *command: str) -> None:
        if command in started:
            return
        if shutil.which(command[0], path="/usr/sbin:/usr/bin:/usr/local/bin") is None:
            pytest.skip(f"{command[0]} is not installed here; Debian has it")
        environ = {"PATH": "/usr/sbin:/usr/bin:/usr/local/bin", "HOME": str(place.directory)}
        process = started[command] = subprocess.Popen(
            command,
            cwd=place.directory,
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_until(lambda: _runs(port) or process.poll() is not None)
        assert _runs(port), f"{command[0]} did not start"

    yield run
    for process in started.values():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its workers too
        process.wait()


@pytest.fixture
def upload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, ShipperSettings], Reply]:
    """One batch to a URL."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def run(url: str, settings: ShipperSettings) -> Reply:
        spool = open_spool(tmp_path / "spool")
        add_segment(spool, events=200)
        seal = spool.take()
        assert seal is not None
        body = spool.read(seal)
        assert body is not None
        sink = HttpSink(url, settings, {})
        reply = sink.deliver(seal, body)
        sink.close()
        spool.close()
        return reply

    return run


def _nginx(place: Place, name: str, *servers: str) -> str:
    paths = "".join(
        f"{kind}_temp_path {place.directory}/nginx-{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = (
        f"daemon off; master_process off; pid {place.directory}/{name}.pid; error_log {place.directory}/nginx.log;"
        f"events {{ }} http {{ access_log off; client_body_temp_path {place.directory}/nginx-body; {paths}"
        + "".join(f"server {{ {server} }}" for server in servers)
        + "}"
    )
    file = place.directory / f"{name}.conf"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize(
    ("certificate", "outcome", "says"),
    [
        ("", Outcome.PAUSED, "HTTP 400 (it asks for a client certificate"),
        ("expired", Outcome.PAUSED, "HTTP 400 (it asks for a client certificate, or a different one"),
        ("good", Outcome.DELIVERED, "HTTP 200"),
    ],
)
def test_nginx_that_verifies_clients(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    certificate: str, outcome: Outcome, says: str | tuple[str, ...],
) -> None:  # fmt: skip
    port, d = _port("nginx that verifies"), place.directory
    tls = f"ssl_certificate {d}/server.pem; ssl_certificate_key {d}/server.pem; ssl_client_certificate {d}/ca.pem"
    server = (
        f"listen 127.0.0.1:{port} ssl; {tls}; ssl_verify_client on;"
        f"location / {{ proxy_pass http://127.0.0.1:{place.collector}; }}"
    )
    start(port, "nginx", "-c", _nginx(place, "verifies", server), "-p", str(place.directory))
    reply = upload(f"https://127.0.0.1:{port}/v1", place.settings(certificate))
    assert (reply.outcome, reply.cause.startswith(says)) == (outcome, True), reply
    assert reply.is_doubtful == (outcome is Outcome.PAUSED)


@pytest.mark.parametrize(
    ("url", "outcome", "says"),
    [
        ("http://127.0.0.1:{tls}/v1", Outcome.PAUSED, "HTTP 400 (it speaks TLS: the address must begin with https://)"),
        ("https://127.0.0.1:{plain}/v1", Outcome.RETRY, "SSLError: WRONG_VERSION_NUMBER (it does not speak TLS"),
        ("http://127.0.0.1:{plain}/gone", Outcome.RETRY, "HTTP 502"),
        ("http://127.0.0.1:{plain}/elsewhere", Outcome.PAUSED, "HTTP 421 (it serves no such host)"),
        ("http://127.0.0.1:{plain}/old", Outcome.PAUSED, "HTTP 426 (it asks for a protocol other than HTTP/1.1)"),
        ("http://127.0.0.1:{plain}/law", Outcome.PAUSED, "HTTP 451 (it is blocked for legal reasons)"),
        ("http://127.0.0.1:{plain}/file", Outcome.PAUSED, "HTTP 405 (nothing takes batches there: is the path right?)"),
        ("http://127.0.0.1:{plain}/moved", Outcome.PAUSED, "HTTP 301 (it redirects"),
        ("http://127.0.0.1:{plain}/busy", Outcome.RETRY, "HTTP 429"),
        ("http://127.0.0.1:{plain}/portal", Outcome.PAUSED, "HTTP 200 (an HTML page"),
        ("http://127.0.0.1:{plain}/small", Outcome.SPLIT, "HTTP 413 (this comes from a server or a proxy in between"),
        ("http://127.0.0.1:{plain}/hangs-up", Outcome.RETRY, HANGS_UP),
    ],
)  # fmt: skip
def test_nginx_s_own_answers(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    url: str, outcome: Outcome, says: str | tuple[str, ...],
) -> None:  # fmt: skip
    plain, tls, d = _port("nginx"), _port("nginx of TLS"), place.directory
    (d / "file").write_text("x")
    locations = {
        "/gone": f"proxy_pass http://127.0.0.1:{place.nobody};",
        "/elsewhere": "return 421;",
        "/old": "return 426;",
        "/law": "return 451;",
        "/moved": "return 301 /v1;",
        "/busy": "return 429;",
        "/portal": 'default_type text/html; return 200 "<html>log in</html>";',
        "/small": f"client_max_body_size 16; proxy_pass http://127.0.0.1:{place.collector};",
        "/hangs-up": "return 444;",
    }
    written = "".join(f"location {path} {{ {does} }}" for path, does in locations.items())
    config = _nginx(
        place,
        "answers",
        f"listen 127.0.0.1:{plain}; root {d}; {written}",
        f"listen 127.0.0.1:{tls} ssl; ssl_certificate {d}/server.pem; ssl_certificate_key {d}/server.pem;",
    )
    start(plain, "nginx", "-c", config, "-p", str(d))
    reply = upload(url.format(plain=plain, tls=tls), place.settings())
    assert (reply.outcome, reply.cause.startswith(says)) == (outcome, True), reply


HAPROXY = """
defaults
  mode http
  timeout connect 1s
  timeout client 5s
  timeout server 1s
frontend verifies
  bind 127.0.0.1:{port} ssl crt {d}/server.pem ca-file {d}/ca.pem verify optional crt-ignore-err all ca-ignore-err all
  http-request deny deny_status 400 unless {{ ssl_fc_has_crt }}
  http-request deny deny_status 403 if {{ ssl_c_verify gt 0 }}
  default_backend collector
frontend newer
  bind 127.0.0.1:{newer} proto h2
  default_backend collector
frontend gone
  bind 127.0.0.1:{gone}
  default_backend nobody
backend collector
  server one 127.0.0.1:{collector}
backend nobody
  server one 127.0.0.1:{nobody}
"""


@pytest.mark.parametrize(
    ("url", "certificate", "outcome", "says"),
    [
        ("https://127.0.0.1:{port}/", "", Outcome.PAUSED, "HTTP 400 (this comes from a server or a proxy in between"),
        ("https://127.0.0.1:{port}/", "expired", Outcome.PAUSED, "HTTP 403 (it refuses access"),
        ("https://127.0.0.1:{port}/", "good", Outcome.DELIVERED, "HTTP 200"),
        ("http://127.0.0.1:{port}/", "", Outcome.RETRY, HANGS_UP),
        ("http://127.0.0.1:{newer}/", "", Outcome.RETRY, HANGS_UP),
        ("http://127.0.0.1:{gone}/", "", Outcome.RETRY, "HTTP 503"),
    ],
)  # fmt: skip
def test_haproxy(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    url: str, certificate: str, outcome: Outcome, says: str | tuple[str, ...],
) -> None:  # fmt: skip
    ports = {name: _port(f"haproxy {name}") for name in ("port", "newer", "gone")}
    file = place.directory / "haproxy.cfg"
    file.write_text(HAPROXY.format(d=place.directory, collector=place.collector, nobody=place.nobody, **ports))
    start(ports["port"], "haproxy", "-db", "-f", str(file))
    reply = upload(url.format(**ports), place.settings(certificate))
    assert (reply.outcome, reply.cause.startswith(says)) == (outcome, True), reply


@pytest.mark.parametrize("tls", ["", "s"])
def test_a_server_of_http_2_alone(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply], tls: str
) -> None:
    port, pem = _port(f"nghttpd {tls}"), str(place.directory / "server.pem")
    start(port, "nghttpd", "-a", "127.0.0.1", *([str(port), pem, pem] if tls else ["--no-tls", str(port)]))
    reply = upload(f"http{tls}://127.0.0.1:{port}/", place.settings())
    assert reply.outcome is Outcome.RETRY
    assert "only HTTP/2" in reply.cause or "does it speak HTTP/1.1" in reply.cause or "or HTTP/2?" in reply.cause


APACHE = """
ServerRoot {d}
PidFile {d}/apache.pid
ErrorLog {d}/apache.log
ServerName localhost
{modules}
Listen 127.0.0.1:{plain}
Listen 127.0.0.1:{tls}
<VirtualHost 127.0.0.1:{plain}>
ProxyPass /gone http://127.0.0.1:{nobody}/
</VirtualHost>
<VirtualHost 127.0.0.1:{tls}>
SSLEngine on
SSLCertificateFile {d}/server.pem
SSLCACertificateFile {d}/ca.pem
SSLVerifyClient require
ProxyPass / http://127.0.0.1:{collector}/
</VirtualHost>
"""
MODULES = ("mpm_event", "authz_core", "ssl", "proxy", "proxy_http", "socache_shmcb")


@pytest.mark.parametrize(
    ("url", "certificate", "outcome", "says"),
    [
        ("https://127.0.0.1:{tls}/", "", Outcome.RETRY, "SSLError: TLSV13_ALERT_CERTIFICATE_REQUIRED (it asks"),
        ("https://127.0.0.1:{tls}/", "expired", Outcome.RETRY, "SSLError: SSLV3_ALERT_CERTIFICATE_EXPIRED (our client"),
        ("https://127.0.0.1:{tls}/", "good", Outcome.DELIVERED, "HTTP 200"),
        ("http://127.0.0.1:{tls}/", "", Outcome.PAUSED, "HTTP 400 (it speaks TLS"),
        ("https://127.0.0.1:{plain}/", "", Outcome.RETRY, "SSLError: WRONG_VERSION_NUMBER (it does not speak TLS"),
        ("http://127.0.0.1:{plain}/gone", "", Outcome.RETRY, "HTTP 503"),
        ("http://127.0.0.1:{plain}/", "", Outcome.PAUSED, "HTTP 40"),
    ],
)  # fmt: skip
def test_apache(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    url: str, certificate: str, outcome: Outcome, says: str | tuple[str, ...],
) -> None:  # fmt: skip
    ports = {name: _port(f"apache {name}") for name in ("plain", "tls")}
    modules = "\n".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in MODULES)
    file = place.directory / "apache.conf"
    fill = {"d": place.directory, "collector": place.collector, "nobody": place.nobody, "modules": modules, **ports}
    file.write_text(APACHE.format(**fill))
    start(ports["plain"], "apache2", "-f", str(file), "-DFOREGROUND")
    reply = upload(url.format(**ports), place.settings(certificate))
    if reply.cause.startswith(("SSLEOFError", "ConnectionResetError")):
        pytest.skip("the alert came after the reset: which is read is the kernel's choice")
    assert (reply.outcome, reply.cause.startswith(says)) == (outcome, True), reply


@pytest.mark.parametrize(
    ("certificate", "outcome"), [("", Outcome.RETRY), ("expired", Outcome.RETRY), ("good", Outcome.DELIVERED)]
)
def test_stunnel(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    certificate: str, outcome: Outcome,
) -> None:  # fmt: skip
    port, d = _port("stunnel"), place.directory
    file = d / "stunnel.conf"
    file.write_text(
        f"foreground = yes\npid =\n[collector]\naccept = 127.0.0.1:{port}\nconnect = 127.0.0.1:{place.collector}\n"
        f"cert = {d}/server.pem\nCAfile = {d}/ca.pem\nverifyChain = yes\n"
    )
    start(port, "stunnel", str(file))
    reply = upload(f"https://127.0.0.1:{port}/", place.settings(certificate))
    assert reply.outcome is outcome
    assert outcome is Outcome.DELIVERED or " (" in reply.cause


SQUID = """
http_port 127.0.0.1:{port}
pid_filename none
access_log none
cache_log /dev/null
cache deny all
coredump_dir {d}
shutdown_lifetime 0 seconds
acl denied dstdomain denied.example
acl asked dstdomain asked.example
auth_param basic program /usr/lib/squid/basic_fake_auth
acl never proxy_auth REQUIRED
http_access deny denied
http_access deny asked !never
http_access allow all
"""


@pytest.mark.parametrize(
    ("url", "outcome", "says"),
    [
        ("http://asked.example/", Outcome.PAUSED, "HTTP 407 (the proxy asks for a user and a password"),
        ("https://asked.example/", Outcome.RETRY, "proxy: HTTP 407 (the proxy asks for a user and a password"),
        ("http://denied.example/", Outcome.PAUSED, "HTTP 403 (it refuses access"),
        ("https://denied.example/", Outcome.RETRY, "proxy: HTTP 403 (the proxy does not let us through"),
        ("http://nobody.invalid/", Outcome.RETRY, "HTTP 50"),
        ("https://nobody.invalid/", Outcome.RETRY, "proxy: HTTP 50"),
    ],
)
def test_squid(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply],
    url: str, outcome: Outcome, says: str | tuple[str, ...],
) -> None:  # fmt: skip
    port = _port("squid")
    file = place.directory / "squid.conf"
    file.write_text(SQUID.format(port=port, d=place.directory))
    start(port, "squid", "-N", "-f", str(file))
    reply = upload(url, place.settings(proxy=f"http://127.0.0.1:{port}"))
    assert (reply.outcome, reply.cause.startswith(says)) == (outcome, True), reply


def test_a_proxy_taken_for_a_collector_costs_nothing(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply]
) -> None:
    port = _port("squid")
    file = place.directory / "squid.conf"
    file.write_text(SQUID.format(port=port, d=place.directory))
    start(port, "squid", "-N", "-f", str(file))
    reply = upload(f"http://127.0.0.1:{port}/v1/batches", place.settings())
    assert (reply.outcome, reply.status, reply.is_doubtful) == (Outcome.PAUSED, 400, True)


def test_tinyproxy(place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply]) -> None:
    port = _port("tinyproxy")
    file = place.directory / "tinyproxy.conf"
    file.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 5\nMaxClients 10\nBasicAuth user pass\nConnectPort 443\n")
    start(port, "tinyproxy", "-d", "-c", str(file))
    asked = upload("https://far.example:8443/", place.settings(proxy=f"http://127.0.0.1:{port}"))
    barred = upload("https://far.example:8443/", place.settings(proxy=f"http://user:pass@127.0.0.1:{port}"))
    assert asked.cause.startswith("proxy: HTTP 407 (the proxy asks for a user and a password")
    assert barred.cause.startswith("proxy: HTTP 403 (the proxy does not let us through")


@pytest.mark.parametrize("command", ["microsocks -i 127.0.0.1 -p {port}", "danted -f {file}"])
def test_a_socks_proxy_taken_for_one_of_http_is_called_what_it_is(
    place: Place, start: Callable[..., None], upload: Callable[[str, ShipperSettings], Reply], command: str
) -> None:
    port = _port(command)
    file = place.directory / "danted.conf"
    file.write_text(
        f"logoutput: /dev/null\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nsocksmethod: none\n"
        "client pass { from: 0/0 to: 0/0 }\nsocks pass { from: 0/0 to: 0/0 }\n"
    )
    start(port, *command.format(port=port, file=file).split())
    reply = upload("http://far.example/", place.settings(proxy=f"http://127.0.0.1:{port}"))
    assert reply.outcome is Outcome.RETRY
    assert "a SOCKS proxy answers there" in reply.cause or "it hangs up" in reply.cause
