"""The whole way with real processes: hosts, shipper, disk, collector; and that every event of it is accounted for."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
import zstandard
from conftest import Collector, Host, shipper_of, shippers_of, wait_until

from telemetry.consent import State, store_choice
from telemetry.paths import consent_file, runtime_root
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.wire import DATA_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.done]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = { type = "int", min = 0, max = 1000, purpose = "tests" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "tests" }
table = { type = "identifier", purpose = "tests" }
statement = { type = "sql", purpose = "tests" }
file = { type = "path", purpose = "tests" }
detail = { type = "text", max_length = 60, purpose = "tests" }

[events.old]
purpose = "tests"
owner = "tests"
expires = "2020-12-31"
sensitivity = "technical"

[events.rare]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
max_per_second = 1
"""

CANARIES = {
    "detail": "mail jane.roe@canary-mail.example from 203.0.113.77 to /srv/canary/file",
    "table": "canary_customers",
    "statement": "SELECT canary_column FROM canary_customers WHERE name = 'canary-literal'",
    "file": "/home/canary-user/notes.txt",
}


def _account(product: str = "acme-db") -> dict[str, Any]:
    """The ledger as `telemetry status` prints it; it balances, whatever is asked of it."""
    command = [sys.executable, "-m", "telemetry", "status", "--product", product, "--json"]
    output = subprocess.run(command, capture_output=True, text=True, check=False)
    report: dict[str, Any] = json.loads(output.stdout)
    ledger: dict[str, Any] = report["ledger"]
    lost = sum(ledger["dropped"].values())
    assert ledger["emitted"] == ledger["delivered"] + ledger["on_disk"] + ledger["in_flight"] + lost
    return report


def _is_drained() -> bool:
    ledger = _ledger()
    return bool(ledger["on_disk"] == ledger["in_flight"] == 0)


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = _account()["ledger"]
    return ledger


def _folders() -> set[str]:
    """Those of the spool that hold segments."""
    return {folder for folder, number in _account()["spool"]["segments"].items() if number}


def _stored(store: Path) -> list[dict[str, Any]]:
    """Every event in a collector's store."""
    bodies = (path.read_bytes() for path in sorted(store.glob("batches/*.ndjson.zst")))
    plain = (zstandard.ZstdDecompressor().decompressobj().decompress(body) for body in bodies)
    return [json.loads(line) for line in chain.from_iterable(body.splitlines() for body in plain)]


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "catalog.toml"
    path.write_text(CATALOG)
    return path


def _init(catalog: Path, endpoint: str, **more: str) -> dict[str, Any]:
    return {"product": "acme-db", "catalog": str(catalog), "endpoint": endpoint, "consent": "on", **more}


@pytest.fixture
def hosts(home: Path, catalog: Path) -> Iterator[_Hosts]:
    assert home.exists()
    hosts = _Hosts(catalog)
    yield hosts
    for host in hosts.started:
        host.kill()


class _Hosts:
    def __init__(self, catalog: Path) -> None:
        self.started: list[Host] = []
        self.catalog = catalog

    def start(self, endpoint: str, *, consent: str = "on", product: str = "acme-db", **settings: object) -> Host:
        init = _init(self.catalog, endpoint, consent=consent, product=product)
        fast = {"retry_max_seconds": 0.5, "segment_seconds": 0.5, "linger_seconds": 2.0, "upload_jitter_seconds": 0.0}
        self.started.append(Host(init, {**fast, **settings}))
        return self.started[-1]


@pytest.fixture
def endpoint() -> Iterator[_Endpoint]:
    with _Endpoint() as endpoint:
        yield endpoint


class _Endpoint(http.server.ThreadingHTTPServer):
    """An HTTP server that keeps what it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.uploads: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_port}/api/v2/report"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.uploads.append((self.path, dict(self.headers), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
        pass


def test_events_of_several_hosts_arrive_once_and_the_ledger_balances(hosts: _Hosts, collector: Collector) -> None:
    three = [hosts.start(collector.endpoint) for _ in range(3)]
    for host in three:
        host.emit(20_000, "done", number=7, engine="batch")
        host.leave()
    wait_until(lambda: _ledger()["delivered"] == 60_000)

    ledger = _ledger()

    assert (ledger["emitted"], ledger["dropped"], ledger["on_disk"]) == (60_000, {}, 0)
    assert len(_stored(collector.store)) == 60_000


def test_one_shipper_serves_all_hosts_and_leaves_after_the_last(
    hosts: _Hosts, collector: Collector, home: Path
) -> None:
    two = [hosts.start(collector.endpoint) for _ in range(2)]
    for host in two:
        host.emit(1, "done", number=1)
    assert shipper_of(home)

    for host in two:
        host.leave()

    wait_until(lambda: not shippers_of(home))
    assert _ledger()["delivered"] == 2


def test_the_first_host_may_end_at_once(home: Path, catalog: Path, collector: Collector) -> None:
    code = (
        "import sys, telemetry\n"
        "telemetry.init(product='acme-db', catalog=sys.argv[1], endpoint=sys.argv[2], consent='on')\n"
        "for n in range(1000): telemetry.emit('done', number=n)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(catalog), collector.endpoint], check=True)

    wait_until(lambda: not shippers_of(home))

    assert _ledger() | {"delivered": 1000, "emitted": 1000, "dropped": {}} == _ledger()
    assert len(_stored(collector.store)) == 1000


def test_what_the_catalog_does_not_allow_is_dropped_by_reason_and_the_rest_goes_on(
    hosts: _Hosts, collector: Collector
) -> None:
    host = hosts.start(collector.endpoint)
    host.emit(5, "done", number=1)
    host.emit(3, "unheard_of", number=1)
    host.emit(2, "old")
    host.emit(1, "done", number=1, surprise="x")
    host.emit(1, "done", number="seven", engine="batch")
    host.emit(1, "done", number=1001)
    host.emit(1, "done", detail="word " * 50)
    host.emit(1, "done", number=2, engine="quantum")
    host.leave()
    wait_until(_is_drained)

    ledger = _ledger()

    assert (ledger["emitted"], ledger["delivered"]) == (15, 10)
    assert ledger["dropped"] == {"undeclared": 3, "expired": 2}
    assert ledger["fields_dropped"] == {"undeclared": 1, "invalid": 3}
    events = _stored(collector.store)
    assert {"engine": "other", "number": 2} in [
        {name: event[name] for name in ("engine", "number") if name in event} for event in events
    ]
    assert all("surprise" not in event for event in events)


def test_what_a_cap_holds_back_is_counted_and_travels_as_weight(hosts: _Hosts, collector: Collector) -> None:
    host = hosts.start(collector.endpoint)
    host.emit(500, "rare")
    host.leave()
    wait_until(_is_drained)

    ledger = _ledger()

    assert ledger["emitted"] == 500
    assert ledger["dropped"] == {"sampled": 500 - ledger["delivered"]}
    assert 1 <= sum(event["weight"] for event in _stored(collector.store)) <= 500


def test_no_private_value_is_on_disk_on_the_wire_or_in_a_log(hosts: _Hosts, collector: Collector, home: Path) -> None:
    host = hosts.start(collector.endpoint)
    host.emit(10, "done", **CANARIES)
    host.leave()
    wait_until(lambda: _ledger()["delivered"] == 10)

    (event,) = {json.dumps(event, sort_keys=True) for event in _stored(collector.store)}

    assert "[email]" in event
    for path in chain(home.rglob("*"), collector.store.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if path.suffix == ".zst":
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        assert b"canary" not in data.replace(os.fsencode(home), b""), path
        assert b"203.0.113" not in data, path


def test_rubbish_on_the_data_socket_is_counted_and_stops_nothing(hosts: _Hosts, collector: Collector) -> None:
    host = hosts.start(collector.endpoint)
    host.emit(10, "done", number=1)
    (directory,) = runtime_root().iterdir()
    rubbish = [b"", b"\x00", os.urandom(5000), b"\x91" * 10_000, msgpack.packb([1, b"short", {}, 0, {}, []])]
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket_:
        socket_.connect(f"ipc://{directory / DATA_SOCKET}")
        for message in rubbish:
            socket_.send(message)
        socket_.close(linger=10_000)
    wait_until(lambda: _account()["shipper"]["unreadable_frames"] == len(rubbish))

    host.emit(10, "done", number=2)

    host.leave()
    wait_until(lambda: _ledger()["delivered"] == 20)


def test_an_event_of_a_megabyte_is_dropped_alone(hosts: _Hosts, collector: Collector) -> None:
    host = hosts.start(collector.endpoint)
    host.emit(5, "done", number=1)
    host.emit(1, "done", detail="x" * 1_000_000)
    host.emit(5, "done", number=2)
    host.leave()
    wait_until(lambda: _ledger()["delivered"] == 10)

    assert _ledger()["dropped"] == {"too_large": 1}


def test_a_killed_shipper_comes_back_and_what_it_had_not_written_is_counted(
    hosts: _Hosts, collector: Collector, home: Path
) -> None:
    host = hosts.start(collector.endpoint, segment_seconds=60.0)
    host.emit(5000, "done", number=1)
    shipper = shipper_of(home)
    shipper.kill()

    host.emit(5000, "done", number=2)  # the kernel may have taken all of it for the one that dies
    host.emit(1, "done", number=3)

    host.leave()
    wait_until(_is_drained)
    ledger = _ledger()
    assert ledger["emitted"] == 10_001
    assert ledger["dropped"].keys() <= {"in_transit", "corrupt"}
    assert len(_stored(collector.store)) == ledger["delivered"]
    assert sum(event["number"] == 3 for event in _stored(collector.store)) == 1


def test_an_outage_loses_nothing_and_ends_when_the_endpoint_is_back(hosts: _Hosts, home: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    host = hosts.start(f"http://127.0.0.1:{port}/v1/batches", linger_seconds=60.0)
    host.emit(100, "done", number=1)
    host.leave()
    wait_until(lambda: _account()["shipper"].get("upload") == "retrying")
    ledger = _ledger()
    assert ledger["on_disk"] + ledger["in_flight"] == 100

    command = [
        sys.executable,
        "-m",
        "telemetry",
        "collect",
        "--listen",
        f"127.0.0.1:{port}",
        "--store",
        str(tmp_path / "s"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as collector:
        wait_until(lambda: _ledger()["delivered"] == 100)
        collector.terminate()

    wait_until(lambda: not shippers_of(home))
    assert len(_stored(tmp_path / "s")) == 100


def test_the_spool_of_a_killed_shipper_is_delivered_by_the_next_one(
    hosts: _Hosts, collector: Collector, home: Path, refusing: str
) -> None:
    first = hosts.start(refusing, segment_seconds=60.0)
    first.emit(1000, "done", number=1)
    first.process.send_signal(signal.SIGSTOP)  # it must not spawn another
    for shipper in shippers_of(home):
        shipper.kill()
    wait_until(lambda: not shippers_of(home))
    first.kill()
    assert _ledger()["on_disk"] == 1000

    second = hosts.start(refusing, segment_seconds=60.0)
    second.emit(500, "done", number=2)

    ledger = _ledger()  # an upload that is about to be refused may be under way
    assert (ledger["emitted"], ledger["on_disk"] + ledger["in_flight"]) == (1500, 1500)
    assert not collector.store.joinpath("batches").exists() or not _stored(collector.store)


def test_a_broken_catalog_disturbs_no_host_and_status_says_what_is_wrong(hosts: _Hosts, refusing: str) -> None:
    hosts.catalog.write_text(CATALOG.replace('"int"', '"integer"'))
    code = (
        "import sys, telemetry\n"
        "telemetry.init(product='acme-db', catalog=sys.argv[1], endpoint=sys.argv[2], consent='on')\n"
        "for n in range(1000): telemetry.emit('done', number=n)\n"
        "telemetry.flush(0.1)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(hosts.catalog), refusing], check=True, capture_output=True, text=True
    )
    assert (result.stdout, result.stderr) == ("", "")

    wait_until(lambda: _account()["shipper"]["refused"])

    refused = _account()["shipper"]["refused"]
    assert "number" in refused
    assert "integer" in refused


def test_local_events_stay_on_this_machine(hosts: _Hosts, collector: Collector, home: Path) -> None:
    host = hosts.start(collector.endpoint, consent="local")
    host.emit(10, "done", number=1)
    host.leave()

    wait_until(lambda: not shippers_of(home))

    assert (_ledger()["on_disk"], _ledger()["delivered"]) == (10, 0)
    assert len(list(home.glob("state/*/spool-*/local/*.zst"))) == 1
    assert _stored(collector.store) == []


def test_a_no_at_run_time_erases_what_waits_and_is_counted(hosts: _Hosts, refusing: str, home: Path) -> None:
    host = hosts.start(refusing)
    host.emit(10, "done", number=1)

    store_choice("acme-db", State.OFF, 0.0)

    wait_until(lambda: _ledger()["dropped"].get("consent") == 10)
    host.emit(5, "done", number=2)
    ledger = _ledger()
    assert ledger["dropped"] == {"consent": ledger["emitted"]}, "what reached the shipper, which may be nothing"
    folders = ("sealed", "sent", "quarantine", "local")
    assert not [path for folder in folders for path in home.glob(f"state/*/spool-*/{folder}/*")]
    assert consent_file("acme-db").exists()


def test_a_no_at_run_time_sends_nothing_that_was_waiting(hosts: _Hosts, collector: Collector) -> None:
    several = [hosts.start(collector.endpoint, segment_seconds=60.0) for _ in range(2)]
    hosts.started.append(Host(_init(hosts.catalog, collector.endpoint, deployment="cloud"), {"segment_seconds": 60.0}))
    for host in [*several, hosts.started[-1]]:  # two receipts, so two segments
        host.emit(10, "done", number=1)

    store_choice("acme-db", State.OFF, 0.0)

    wait_until(lambda: _ledger()["dropped"].get("consent") == 30)
    assert _stored(collector.store) == []


def test_local_at_run_time_keeps_here_what_waits_and_what_follows(hosts: _Hosts, collector: Collector) -> None:
    host = hosts.start(collector.endpoint, segment_seconds=60.0)
    host.emit(10, "done", number=1)

    store_choice("acme-db", State.LOCAL, 0.0)

    wait_until(lambda: _folders() == {"local"})
    host.emit(5, "done", number=2)
    host.leave()
    wait_until(lambda: _folders() == {"local"})  # in how many segments depends on when the host hears of the choice
    assert (_ledger()["on_disk"], _ledger()["delivered"]) == (15, 0)
    assert _stored(collector.store) == []


def test_a_shipper_that_starts_after_a_no_sends_nothing(hosts: _Hosts, collector: Collector, home: Path) -> None:
    host = hosts.start(collector.endpoint, segment_seconds=60.0)
    host.emit(10, "done", number=1)
    host.process.send_signal(signal.SIGSTOP)  # it must not spawn another
    for shipper in shippers_of(home):
        shipper.kill()
    wait_until(lambda: not shippers_of(home))
    host.kill()
    store_choice("acme-db", State.OFF, 0.0)
    config = home / "ship.toml"
    config.write_text(f'product = "acme-db"\ncatalog = "{hosts.catalog}"\nendpoint = "{collector.endpoint}"\n')

    with subprocess.Popen([sys.executable, "-m", "telemetry", "ship", "--config", str(config)]) as process:
        wait_until(lambda: _ledger()["dropped"].get("consent") == 10)
        process.terminate()

    assert _stored(collector.store) == []


def test_hosts_one_after_the_other_share_no_session(hosts: _Hosts, collector: Collector) -> None:
    for number in range(4):
        host = hosts.start(collector.endpoint)
        host.emit(3, "done", number=number, table="customers")
        if number % 2:
            host.leave()
        else:
            host.kill()
    wait_until(lambda: _ledger()["delivered"] == 12)

    events = _stored(collector.store)

    assert len({(event["session"], event["number"]) for event in events}) == 4
    assert len({event["session"] for event in events}) == 4
    assert len({event["table"] for event in events}) == 4


def test_the_risingwave_format_reaches_its_routes(hosts: _Hosts, endpoint: _Endpoint, home: Path) -> None:
    hosts.catalog = Path(pb.__file__).parents[2] / "catalog" / "risingwave.toml"
    host = hosts.start(endpoint.url, product="risingwave", format="risingwave", node="frontend", is_test=True)
    host.emit(3, "connection_ref", event_stage="create_stream_job", object="source", connector_name="Kafka")
    wait_until(lambda: any(path.endswith("/frontend") for path, _, _ in endpoint.uploads))
    host.emit(247, "connection_ref", event_stage="create_stream_job", object="source", connector_name="Kafka")
    host.leave()
    wait_until(lambda: not shippers_of(home))

    by_route = {path: (headers, body) for path, headers, body in endpoint.uploads}
    batches = [
        pb.BatchEventMessage.FromString(body) for path, _, body in endpoint.uploads if path == "/api/v2/report/events"
    ]

    headers, _ = by_route["/api/v2/report/events"]
    assert max(len(batch.events) for batch in batches) <= 100
    events = [event for batch in batches for event in batch.events]
    assert [(event.event_name, event.connector_name, event.is_test) for event in events] == [
        ("connection_ref", "kafka", True)
    ] * 250
    assert headers["Content-Type"] == "application/x-protobuf"
    assert "Content-Encoding" not in headers
    report = pb.FrontendReport.FromString(by_route["/api/v2/report/frontend"][1])
    assert report.base.tracking_id == report.base.session_id == events[0].tracking_id
    assert report.base.system_data.memory.total.bit_count() == 1


def test_a_foreground_shipper_serves_hosts_and_ends_on_sigterm(
    hosts: _Hosts, collector: Collector, home: Path, tmp_path: Path
) -> None:
    config = tmp_path / "ship.toml"
    config.write_text(
        f'product = "acme-db"\ncatalog = "{hosts.catalog}"\nendpoint = "{collector.endpoint}"\nsegment_seconds = 60.0\n'
    )
    with subprocess.Popen([sys.executable, "-m", "telemetry", "ship", "--config", str(config)]) as shipper:
        wait_until(lambda: _account()["shipper"]["running"])
        host = hosts.start(collector.endpoint)
        host.emit(10, "done", number=1)
        assert [process.pid for process in shippers_of(home)] == [shipper.pid]
        host.leave()

        shipper.terminate()

        assert shipper.wait(30) == 0
    assert (_ledger()["delivered"], len(_stored(collector.store))) == (10, 10)


# Tokens are random, so that their events can't be compressed into what is left of the last page.
FLOOD = """
import sys, telemetry
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on")
for number in range(5000):
    telemetry.emit("done", table=f"table {number}")
assert telemetry.flush(50)  # what the disk has refused is confirmed once it is counted
"""


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.skipif(os.getuid() != 0, reason="mounts a small file system")
def test_a_full_disk_costs_what_does_not_fit_and_no_more(hosts: _Hosts, home: Path, refusing: str) -> None:
    state = home / "state"
    state.mkdir(0o700)
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k,mode=0700", "tmpfs", str(state)], check=False
    ).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        host = hosts.start(refusing, segment_seconds=60.0)
        host.emit(100, "done", number=1)
        filler = state / "filler"
        with pytest.raises(OSError, match="No space"):
            _fill(filler)
        flooding = subprocess.run([sys.executable, "-c", FLOOD, str(hosts.catalog), refusing], check=True, timeout=60)
        assert flooding.returncode == 0

        filler.unlink()

        host.emit(100, "done", number=3)
        wait_until(lambda: _ledger()["emitted"] == 5200)
        ledger = _ledger()
        assert ledger["dropped"].keys() == {"write_failed"}
        assert 200 <= ledger["on_disk"] < 5200
    finally:
        for process in shippers_of(home):
            process.kill()
        wait_until(lambda: not shippers_of(home))
        subprocess.run(["umount", "-l", str(state)], check=True)
