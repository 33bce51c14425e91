"""Over TCP: hosts and a shipper that know each other's keys, and nobody else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgpack
import pytest
import zmq
import zstandard
from conftest import PROMPT, wait_until
from spools import Endpoint
from standin import CATALOG, PRODUCT

from telemetry.cli.status import gather
from telemetry.client import Client
from telemetry.consent.decide import _CI_VARIABLES
from telemetry.errors import ConfigError
from telemetry.rendezvous.control import Control
from telemetry.rendezvous.keys import Peer, make_keys
from telemetry.settings import RemoteShipper, ShipperSettings
from telemetry.shipper.config import Listen, read_config
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.remote import Remote
from telemetry.shipper.shipper import LOOK_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTEXT = {"pid": 2**22 + 1, "catalog": "", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
_NUMBER = re.compile(rb'"number":\d+')


class Site(NamedTuple):
    """A running shipper that listens, and what its hosts need."""

    directory: Path
    address: str
    process: subprocess.Popen[str]
    endpoint: Endpoint

    def shipper(self, key: str = "host", of: str = "shipper.pub") -> RemoteShipper:
        return RemoteShipper(self.address, str(self.directory / key), str(self.directory / of))

    def client(self, **options: Any) -> Client:
        arguments: dict[str, Any] = {"shipper": self.shipper(), "consent": "on", "flush_interval_seconds": 0.01}
        return Client(
            product=PRODUCT, catalog=self.directory / "acme.toml", endpoint="https://h/", **arguments | options
        )

    @property
    def shipper_state(self) -> dict[str, Any]:
        """As `telemetry status` has it, once there is an answer."""
        found: dict[str, Any] = {}
        wait_until(lambda: found.update(gather(PRODUCT)["shipper"]) or "uptime_seconds" in found)
        return found

    @property
    def refused(self) -> int:
        found: int = self.shipper_state["remote"]["refused_peers"]
        return found

    @property
    def emitted(self) -> int:
        """What is accounted for; nothing of it may be lost."""
        ledger = gather(PRODUCT)["ledger"]
        assert ledger["dropped"] == {}
        found: int = ledger["emitted"]
        return found


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """A home for all of these tests: a shipper takes its time to start."""
    path = Path(tempfile.mkdtemp(prefix="telemetry-"))
    with pytest.MonkeyPatch.context() as patch:
        for variable in {*_CI_VARIABLES, "DO_NOT_TRACK", *(name for name in os.environ if "TELEMETRY" in name)}:
            patch.delenv(variable, raising=False)
        patch.setenv("TELEMETRY_HOME", str(path))
        yield path
    shutil.rmtree(path)


@pytest.fixture
def keys(base: Path) -> Path:
    """Pairs of a shipper, of a host that it knows, and of one that it does not know."""
    directory = Path(tempfile.mkdtemp(dir=base))
    _make_keys(directory)
    return directory


def _make_keys(directory: Path) -> None:
    for name in ("shipper", "host", "stranger"):
        make_keys(directory / name)
    (directory / "clients").write_text("# ours\n\n" + (directory / "host.pub").read_text())
    (directory / "acme.toml").write_text(CATALOG)


def _ship(keys: Path) -> tuple[subprocess.Popen[str], str]:
    """A shipper by the configuration there, and its address."""
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(keys / "shipper.toml")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    line = process.stderr.readline()
    found = re.search(r"listening at (tcp://\S+) for 1 known keys", line)
    assert found, line
    return process, found[1]


@pytest.fixture(scope="module")
def site(base: Path) -> Iterator[Site]:
    keys = base / "site"
    keys.mkdir()
    _make_keys(keys)
    settings = "".join(f"{name} = {value}\n" for name, value in {**PROMPT, "segment_seconds": 0.1}.items())
    with Endpoint() as endpoint:
        (keys / "shipper.toml").write_text(f"""
            product = "{PRODUCT}"
            catalog = "acme.toml"
            endpoint = "{endpoint.url}"
            listen = "tcp://127.0.0.1:0"
            key_file = "shipper"
            clients_file = "clients"
            {settings}""")
        process, address = _ship(keys)
        site = Site(keys, address, process, endpoint)
        wait_until(lambda: "uptime_seconds" in site.shipper_state)
        yield site
        process.terminate()
        process.communicate(timeout=60)
        assert process.returncode == 0


def _arrived(endpoint: Endpoint) -> int:
    bodies = (zstandard.ZstdDecompressor().decompressobj().decompress(r.body) for r in endpoint.requests)
    return sum(len(_NUMBER.findall(body)) for body in bodies)


def test_what_a_known_host_emits_arrives_and_is_confirmed(site: Site) -> None:
    before = site.emitted
    client = site.client()
    for number in range(1000):
        client.emit("query_finished", number=number)
    assert client.flush(60.0)
    wait_until(lambda: _arrived(site.endpoint) == 1000)
    assert site.shipper_state["producers"] == 1
    client.close(60.0)
    wait_until(lambda: site.shipper_state["producers"] == 0)

    assert site.emitted == before + 1000


def test_a_host_starts_nothing_and_writes_nothing_on_its_own_machine(site: Site, tmp_path: Path) -> None:
    code = f"""
import telemetry
telemetry.init(product={PRODUCT!r}, catalog={str(site.directory / "acme.toml")!r}, endpoint="https://h/", consent="on",
    shipper=telemetry.RemoteShipper{tuple(site.shipper())})
telemetry.emit("query_finished", number=1)
assert telemetry.flush(60.0)
telemetry.close(0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={**os.environ, "TELEMETRY_HOME": str(tmp_path)})

    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_has_a_connection_of_its_own(site: Site) -> None:
    before = site.emitted
    client = site.client()
    client.emit("query_finished", number=1)
    assert client.flush(60.0)
    child = os.fork()
    if not child:
        client.emit("query_finished", number=2)
        os._exit(0 if client.flush(60.0) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    client.emit("query_finished", number=3)
    assert client.flush(60.0)
    client.close(60.0)

    assert site.emitted == before + 3


def test_a_host_without_a_known_key_gets_nothing_in(site: Site) -> None:
    before, refused = site.emitted, site.refused
    stranger = site.client(shipper=site.shipper("stranger"))
    stranger.emit("query_finished", number=1)
    wait_until(lambda: site.refused > refused)
    assert not stranger.flush(0.2)
    stranger.close(0.0)

    assert site.emitted == before


def test_a_key_that_is_taken_out_of_the_file_opens_no_connection_any_more(site: Site) -> None:
    before, clients = site.emitted, (site.directory / "clients").read_text()
    (site.directory / "clients").write_text((site.directory / "stranger.pub").read_text())
    late = site.client()
    late.emit("query_finished", number=1)
    assert not late.flush(0.3)
    late.close(0.0)
    again = site.client(shipper=site.shipper("stranger"))
    again.emit("query_finished", number=1)
    assert again.flush(60.0)
    again.close(60.0)
    (site.directory / "clients").write_text(clients)

    assert site.emitted == before + 1


def test_a_host_does_not_talk_to_a_shipper_of_another_key(site: Site) -> None:
    before = site.emitted
    client = site.client(shipper=site.shipper(of="stranger.pub"))
    client.emit("query_finished", number=1)
    assert not client.flush(0.3)
    client.close(0.0)

    assert site.emitted == before


def test_peers_without_curve_scanners_and_rubbish_get_nothing_in_and_stop_nothing(site: Site) -> None:
    before = site.emitted
    port = int(site.address.rpartition(":")[2])
    frame = msgpack.packb([1, bytes(16), CONTEXT, 0, {}, [["started", 1, {}]]])
    assert decode_frame(frame)
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"CURVE".ljust(20, b"\0") + bytes(32)
    plain = greeting.replace(b"CURVE", b"NULL\0")
    scans = (b"", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), greeting + os.urandom(5000), greeting, plain + frame)
    with zmq.Context() as context, ExitStack() as stack:
        for kind in (zmq.DEALER, zmq.PUSH, zmq.REQ, zmq.ROUTER):
            peer = stack.enter_context(context.socket(kind))
            peer.linger = 0
            peer.connect(site.address)
            if kind != zmq.ROUTER:
                peer.send(frame, zmq.NOBLOCK)
        for data in scans * 10:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            connection.sendall(data)
        client = site.client()
        client.emit("query_finished", number=1)
        assert client.flush(60.0)
        client.close(60.0)

    assert site.emitted == before + 1
    assert site.shipper_state["unreadable_frames"] == 0


def test_over_tcp_nobody_can_stop_or_question_the_shipper(site: Site) -> None:
    with zmq.Context() as context, Control(context, Peer(site.shipper())) as control:
        for op in ("stop", "status", "seal", "none"):
            control._socket.send(msgpack.packb({"op": op, "producer": bytes(16)}))
        # The first answer is that of the first question that has one.
        assert control.ask({"op": "confirm", "producer": bytes(16)}, 60.0) == {"accepted": 0, "dropped": 0}

    assert site.shipper_state["running"]


def test_rubbish_of_a_known_peer_is_counted_and_stops_nothing(site: Site) -> None:
    before, unreadable = site.emitted, site.shipper_state["unreadable_frames"]
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        Peer(site.shipper()).connect(peer)
        for body in (b"", b"\x90", b"\xdd\xff\xff\xff\xff", b"\x91" * 100_000, b"\x81\xa2op", os.urandom(1000)):
            peer.send(body)
        peer.send_multipart([b"\x90"] * 50)
        client = site.client()
        client.emit("query_finished", number=1)
        assert client.flush(60.0)
        client.close(60.0)
        wait_until(lambda: site.shipper_state["unreadable_frames"] >= unreadable + 3)

    assert site.emitted == before + 1


def test_a_pid_of_another_machine_is_not_looked_for_here(site: Site) -> None:
    """Its number may be anybody's here; who says nothing and no goodbye is there all the same."""
    before, others = site.emitted, site.shipper_state["producers"]
    with zmq.Context() as context, context.socket(zmq.DEALER) as peer:
        peer.linger = 0
        Peer(site.shipper()).connect(peer)
        peer.send(msgpack.packb([1, b"elsewhere, alone", CONTEXT, 0, {}, [["started", 1, {}]]]))
        wait_until(lambda: site.emitted == before + 1)
        at = site.shipper_state["uptime_seconds"]
        wait_until(lambda: site.shipper_state["uptime_seconds"] > at + 2 * LOOK_SECONDS)
        assert site.shipper_state["producers"] == others + 1
    with zmq.Context() as context, Control(context, Peer(site.shipper())) as control:
        question = {"op": "confirm", "producer": b"elsewhere, alone"}
        assert control.ask({**question, "accepted": 1, "dropped": 0}, 60.0) == {"accepted": 1, "dropped": 0}
        # What has not come yet is not confirmed.
        assert control.ask({**question, "accepted": 2}, 60.0) == control.ask({**question, "dropped": 1}, 60.0) == {}
        assert control.ask({"op": "leave", "producer": b"elsewhere, alone"}, 60.0) == {}

    assert site.shipper_state["producers"] == others


def test_a_shipper_that_comes_back_has_what_was_emitted_meanwhile(site: Site, keys: Path) -> None:
    """On the port of the one before, as a service has it; a spool of its own, by another endpoint."""
    config = (site.directory / "shipper.toml").read_text().replace("/v1/batches", "/v1/other")
    (keys / "shipper.toml").write_text(config)
    process, address = _ship(keys)
    (keys / "shipper.toml").write_text(config.replace("tcp://127.0.0.1:0", address))
    client = Client(
        product=PRODUCT,
        catalog=keys / "acme.toml",
        endpoint="https://h/",
        consent="on",
        shipper=RemoteShipper(address, str(keys / "host"), str(keys / "shipper.pub")),
    )
    before = site.emitted
    client.emit("query_finished", number=0)
    assert client.flush(60.0)
    process.kill()
    process.communicate()
    for number in range(1, 100):
        client.emit("query_finished", number=number)
    process, _ = _ship(keys)
    assert client.flush(60.0)
    client.close(60.0)
    process.terminate()
    process.communicate(timeout=60)

    assert site.emitted == before + 100


# Configuration.


def _refusal(keys: Path, text: str) -> str:
    path = keys / "shipper.toml"
    path.write_text(f'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "https://h/"\n{text}')
    with pytest.raises(ConfigError) as refused:
        read_config(path)
    return str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        'listen = "tcp://127.0.0.1:0"',
        'listen = "tcp://127.0.0.1:0"\nkey_file = "shipper"',
        'listen = "tcp://127.0.0.1:0"\nkey_file = "shipper"\nclients_file = ""',
        'key_file = "shipper"',
    ],
)
def test_plain_tcp_is_refused(keys: Path, text: str) -> None:
    assert "over TCP, CURVE is required" in _refusal(keys, text)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:1", "tcp://127.0.0.1", "tcp://h:99999", "ipc:///x", "tcp://a;b:1", "tcp://h:1/x", "pgm://h:1"],
)
def test_what_is_no_tcp_address_is_refused(keys: Path, address: str) -> None:
    refusal = _refusal(keys, f'listen = "{address}"\nkey_file = "shipper"\nclients_file = "clients"')
    assert "must be an address such as tcp://10.0.0.5:4381" in refusal


@pytest.mark.parametrize("missing", ["key_file", "shipper_key_file"])
def test_a_host_without_keys_is_refused(keys: Path, missing: str) -> None:
    remote = RemoteShipper("tcp://127.0.0.1:1", "host", "shipper.pub")._replace(**{missing: ""})
    with pytest.raises(ConfigError, match="CURVE is required"):
        Client(product=PRODUCT, catalog=keys / "acme.toml", endpoint="https://h/", shipper=remote)


def test_with_consent_off_no_key_is_read(keys: Path) -> None:
    remote = RemoteShipper("tcp://127.0.0.1:1", "/none", "/none.pub")
    client = Client(product=PRODUCT, catalog=keys / "acme.toml", endpoint="https://h/", shipper=remote, consent="off")
    client.close()


def _spoil_mode(keys: Path) -> None:
    (keys / "shipper").chmod(0o640)


def _spoil_text(keys: Path) -> None:
    (keys / "shipper").write_text("canary\n")


def _give_the_public_one(keys: Path) -> None:
    (keys / "shipper").write_text((keys / "shipper.pub").read_text())


def _remove(keys: Path) -> None:
    (keys / "shipper").unlink()


def _open_the_list(keys: Path) -> None:
    (keys / "clients").chmod(0o666)


def _list_a_secret(keys: Path) -> None:
    (keys / "clients").write_text((keys / "host").read_text())


def _take_the_port(keys: Path) -> None:
    assert keys


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_spoil_mode, r"key_file=.*mode 640\); chmod 600"),
        (_spoil_text, "key_file=.*holds no secret key"),
        (_give_the_public_one, "key_file=.*holds no secret key"),
        (_remove, "key_file=.*No such file"),
        (_open_the_list, "clients_file=.*others may write it"),
        (_list_a_secret, "clients_file=.*line 1 must be `curve-public KEY`"),
        (_take_the_port, "listen=.*choose another address"),
    ],
)
def test_keys_that_can_t_be_trusted_are_refused_and_not_repeated(keys: Path, spoil: Any, why: str) -> None:
    secrets = [(keys / name).read_text().split()[1] for name in ("host", "shipper")]
    spoil(keys)
    with zmq.Context() as context, socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigError, match=why) as refused:
            Remote(context, Listen(address, keys / "shipper", keys / "clients"))

    assert not any(secret in str(refused.value) for secret in secrets)


def test_without_curve_in_libzmq_both_sides_refuse(keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq, "has", lambda _: False)
    remote = RemoteShipper("tcp://127.0.0.1:1", str(keys / "host"), str(keys / "shipper.pub"))
    with pytest.raises(ConfigError, match="no CURVE"):
        Peer(remote)
    with zmq.Context() as context, pytest.raises(ConfigError, match="no CURVE"):
        Remote(context, Listen("tcp://127.0.0.1:0", keys / "shipper", keys / "clients"))


def test_the_settings_of_a_spawned_shipper_know_no_port() -> None:
    assert not {"listen", "key_file", "clients_file"} & ShipperSettings()._asdict().keys()


def test_keys_are_made_once_and_the_secret_one_is_private(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "telemetry", "keys", str(tmp_path / "host")]
    first = subprocess.run(command, check=True, capture_output=True, text=True)
    assert first.stdout == (tmp_path / "host.pub").read_text()
    assert (tmp_path / "host").stat().st_mode & 0o777 == 0o600
    secret = (tmp_path / "host").read_text()
    assert secret.split()[1] not in first.stdout
    second = subprocess.run(command, check=False, capture_output=True, text=True)

    assert (second.returncode, (tmp_path / "host").read_text()) == (2, secret)
    assert "name a file that does not exist yet" in second.stderr
