"""The user changes their mind while everything runs: hosts, their children, shippers in every state, uploads under way.

Each test waits with a deadline that is far above what it should take; see `WITHIN_SECONDS`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from conftest import DEADLINE_SECONDS, kill_shippers_of, shipper_of, shippers_of, wait_until
from msgspec import UNSET
from spools import Endpoint, Request, add_segment, decompress, make_head, names, open_spool

from telemetry.cli.status import gather
from telemetry.consent import State, Stored, read_stored, store_choice
from telemetry.paths import consent_file, spool_dir
from telemetry.rendezvous.directory import rendezvous_dir
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.permission import permission_of
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import bind
from telemetry.shipper.watch import SILENT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

WITHIN_SECONDS = 10.0
"""A second on an idle machine, which this one may not be."""

PRODUCT = "acme-db"

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

[events.queries]
kind = "counter"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
"""

MIXED = f"""{CATALOG}
[events.opened]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "interaction"
[events.opened.fields]
number = {{ type = "int", purpose = "tests" }}

[events.clicks]
kind = "counter"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "interaction"
"""

# Does what it is told, line by line, and answers each with one line.
HOST = """
import json, os, signal, sys, threading, time, telemetry
from telemetry.settings import ShipperSettings

init, settings = json.loads(sys.argv[1])
client = telemetry.init(**init, shipper=ShipperSettings(**settings))
running = []

def storm():
    while running:
        for number in range(100):
            telemetry.emit("done", number=1, table=f"table {number}")
        time.sleep(0.001)

def state():
    outbox, channel = client._link._outbox, client._link.transport.channel
    return {
        "off": outbox.off,
        "waits": len(outbox.events) + bool(outbox._backlog) + len(client._link._counters.calls),
        "socket": channel.socket is not None,
    }

for line in sys.stdin:
    word, *arguments = line.split()
    if word == "emit":
        for _ in range(int(arguments[0])):
            telemetry.emit("done", number=int(arguments[1]), table=os.urandom(8).hex())
        answer = None
    elif word == "use":
        for _ in range(int(arguments[0])):
            telemetry.emit("done", number=int(arguments[1]))
            telemetry.emit("opened", number=int(arguments[1]))
            telemetry.count("queries")
            telemetry.count("clicks")
        answer = telemetry.flush(60)
    elif word == "count":
        answer = telemetry.count("queries")
    elif word == "freeze":
        for _ in range(1000):
            telemetry.count("queries")
        answer = os.kill(os.getpid(), signal.SIGSTOP)
    elif word == "flush":
        answer = telemetry.flush(60)
    elif word == "storm":
        running.append(True)
        threading.Thread(target=storm, daemon=True).start()
        answer = None
    elif word == "fork":
        child = os.fork()
        if not child:
            telemetry.emit("done", number=int(arguments[0]))
            telemetry.flush(60)
            running.append(True)
            storm()
        answer = child
    else:
        answer = state()
    print(json.dumps(answer), flush=True)
"""


class Host:
    """A host that can be asked what it holds."""

    def __init__(self, catalog: Path, endpoint: str, consent: str | None, options: dict[str, Any]) -> None:
        keys = {"flush_interval_seconds", "queue_bytes", "deployment"}
        init = {"product": PRODUCT, "catalog": str(catalog), "endpoint": endpoint, "consent": consent}
        init |= {key: value for key, value in options.items() if key in keys}
        settings = {"upload_jitter_seconds": 0.0, "retry_max_seconds": 1.0, "segment_seconds": 0.3}
        settings |= {key: value for key, value in options.items() if key not in keys}
        self.children: list[int] = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOST, json.dumps([init, settings])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ask("state")

    def ask(self, *words: object) -> Any:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def emit(self, number: int, mark: int = 0) -> None:
        """Emit and flush."""
        self.ask("emit", number, mark)
        assert self.ask("flush")

    def fork(self, mark: int) -> None:
        """Have a child that emits for ever."""
        self.children.append(self.ask("fork", mark))

    def end(self) -> None:
        for child in self.children:
            os.kill(child, signal.SIGKILL)
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


@pytest.fixture
def start(home: Path, catalog: Path) -> Iterator[Callable[..., Host]]:
    assert home.exists()
    started: list[Host] = []

    def start_host(endpoint: str, consent: str | None = "on", **options: object) -> Host:
        started.append(Host(catalog, endpoint, consent, options))
        return started[-1]

    yield start_host
    for host in started:
        host.end()


def _say(choice: str) -> None:
    """What a user types."""
    command = [sys.executable, "-m", "telemetry", choice, "--product", PRODUCT]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def _data(home: Path) -> list[Path]:
    """Files of a home that hold events; an active segment without data has counts alone."""
    folders = ("active", "sealed", "sent", "quarantine", "local")
    found = [path for folder in folders for path in home.glob(f"state/*/spool-*/{folder}/*.ndjson*")]
    return [path for path in found if _size(path)]


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _numbers(endpoint: Endpoint) -> set[int]:
    """The `number` of every event that arrived."""
    return {json.loads(line).get("number") for request in endpoint.requests for line in request.lines}


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather(PRODUCT)["ledger"]
    assert ledger["balance"] == 0
    return ledger


# Off.


@pytest.mark.parametrize("shipper", ["spawned", "foreground"])
def test_off_reaches_every_process_and_nothing_is_uploaded_after(
    start: Callable[..., Host], home: Path, catalog: Path, shipper: str
) -> None:
    with Endpoint() as endpoint:
        foreground = None if shipper == "spawned" else _foreground(home, catalog, endpoint)
        busy, forking, idle = (start(endpoint.url) for _ in range(3))
        for host in (busy, forking, idle):
            host.emit(10, 1)
        busy.ask("storm")
        forking.fork(1)
        wait_until(lambda: len(endpoint.requests) > 2 and _ledger()["delivered"] > 1000)

        store_choice(PRODUCT, State.OFF, time.time())

        wait_until(lambda: not _data(home), WITHIN_SECONDS)
        wait_until(lambda: busy.ask("state") == {"off": True, "waits": 0, "socket": False}, WITHIN_SECONDS)
        uploads = len(endpoint.requests)
        idle.ask("emit", 100, 2)
        idle.ask("count")
        wait_until(lambda: idle.ask("state") == {"off": True, "waits": 0, "socket": False}, WITHIN_SECONDS)
        assert idle.ask("flush")
        wait_until(lambda: not _data(home), WITHIN_SECONDS)
        assert len(endpoint.requests) == uploads
        assert _numbers(endpoint) & {2} == set()
        assert _ledger()["dropped"]["consent"] > 0
        if foreground:
            foreground.terminate()
            assert foreground.wait(30) == 0
            assert len(endpoint.requests) == uploads


def _foreground(home: Path, catalog: Path, endpoint: Endpoint) -> subprocess.Popen[bytes]:
    config = home / "ship.toml"
    config.write_text(
        f'product = "{PRODUCT}"\ncatalog = "{catalog}"\nendpoint = "{endpoint.url}"\n'
        "upload_jitter_seconds = 0.0\nsegment_seconds = 0.3\n"
    )
    process = subprocess.Popen([sys.executable, "-m", "telemetry", "ship", "--config", str(config)])
    wait_until(lambda: gather(PRODUCT)["shipper"]["running"])
    return process


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"retry_min_seconds": 600.0, "retry_max_seconds": 600.0}, id="in a retry wait of minutes"),
        pytest.param({"segment_seconds": 3600.0}, id="with an active segment"),
        pytest.param({"upload_jitter_seconds": 600.0}, id="waiting for its turn"),
    ],
)
def test_off_erases_what_waits_whatever_the_shipper_waits_for(
    start: Callable[..., Host], home: Path, refusing: str, options: dict[str, float]
) -> None:
    start(refusing, **options).emit(50)
    wait_until(lambda: _data(home))

    store_choice(PRODUCT, State.OFF, time.time())

    wait_until(lambda: not _data(home), WITHIN_SECONDS)
    assert _ledger()["dropped"] == {"consent": 50}


def test_off_erases_copies_quarantine_and_local_data_too(start: Callable[..., Host], home: Path) -> None:
    def decide(request: Request) -> int:
        return 400 if b'"number":2,' in b"".join(request.lines) else 200

    with Endpoint(decide=decide) as endpoint:
        local, host = start(endpoint.url, consent="local"), start(endpoint.url)
        local.emit(10, 1)
        host.emit(10, 2)
        wait_until(lambda: _ledger()["dropped"].get("rejected") == 10)
        host.emit(10, 3)
        wait_until(lambda: _ledger()["delivered"] == 10)
        wait_until(lambda: {path.parent.name for path in _data(home)} == {"sent", "quarantine", "local"})

        store_choice(PRODUCT, State.OFF, time.time())

        wait_until(lambda: not _data(home), WITHIN_SECONDS)


def test_off_in_the_middle_of_an_upload_cuts_it_off(start: Callable[..., Host], home: Path) -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server.bind(("127.0.0.1", 0))
        server.listen()
        host = start(f"http://127.0.0.1:{server.getsockname()[1]}/v1/batches", segment_seconds=3600.0)
        host.ask("emit", 60_000, 1)
        assert host.ask("flush")
        body_bytes = _seal(home)
        connection, _ = server.accept()
        connection.settimeout(30)
        received = len(connection.recv(2048))

        store_choice(PRODUCT, State.OFF, time.time())

        wait_until(lambda: not _data(home), WITHIN_SECONDS)
        with connection:
            assert received + _read_to_the_end(connection) < body_bytes / 2


def _read_to_the_end(connection: socket.socket) -> int:
    received = 0
    try:
        while data := connection.recv(1 << 16):
            received += len(data)
    except ConnectionResetError:
        return received
    pytest.fail("the upload came to an orderly end")


def _seal(home: Path) -> int:
    """Have the shipper seal; the size of the body."""
    from telemetry.rendezvous.find import find_rendezvous  # noqa: PLC0415 here alone

    (rendezvous,) = find_rendezvous(PRODUCT)
    rendezvous.ask("seal", 30)
    (body,) = home.glob("state/*/spool-*/sealed/*.zst")
    size = _size(body)
    assert size > 300_000, "more than the endpoint's window"
    return size


def test_off_while_the_endpoint_hangs_erases_all_the_same(start: Callable[..., Host], home: Path, silent: str) -> None:
    start(silent).emit(20)
    wait_until(lambda: gather(PRODUCT)["shipper"].get("in_flight") == 20)

    _say("off")

    assert not _data(home)
    assert _ledger()["dropped"] == {"consent": 20}


def test_an_idle_host_without_a_shipper_lets_go_of_what_waits(
    start: Callable[..., Host], home: Path, catalog: Path, refusing: str
) -> None:
    catalog.write_text(CATALOG.replace('"int"', '"integer"'))  # no shipper can start with it
    host = start(refusing)
    wait_until(lambda: gather(PRODUCT)["shipper"]["refused"] and not gather(PRODUCT)["shipper"]["running"])
    host.ask("emit", 50, 1)
    host.ask("count")
    assert host.ask("state")["socket"]

    store_choice(PRODUCT, State.OFF, time.time())

    wait_until(lambda: host.ask("state") == {"off": True, "waits": 0, "socket": False}, WITHIN_SECONDS)
    assert not _data(home)


def test_a_host_that_flushes_once_an_hour_hears_it_too(start: Callable[..., Host], refusing: str) -> None:
    host = start(refusing, flush_interval_seconds=3600.0)
    for _ in range(2):  # the second one waits
        host.ask("emit", 1, 1)
    assert host.ask("state")["waits"]

    store_choice(PRODUCT, State.OFF, time.time())

    wait_until(lambda: host.ask("state") == {"off": True, "waits": 0, "socket": False}, WITHIN_SECONDS)


def test_a_no_in_the_environment_silences_its_process_within_a_second(home: Path, catalog: Path, refusing: str) -> None:
    code = (
        "import os, sys, time, telemetry\n"
        "client = telemetry.init(product='acme-db', catalog=sys.argv[1], endpoint=sys.argv[2], consent='on')\n"
        "telemetry.emit('done', number=1)\n"
        "assert telemetry.flush(60)\n"
        "os.environ['DO_NOT_TRACK'] = '1'\n"
        "deadline = time.monotonic() + 10\n"
        "while not client._link._outbox.off and time.monotonic() < deadline:\n"
        "    telemetry.emit('done', number=2)\n"
        "    time.sleep(0.01)\n"
        "assert client._link.transport.channel.socket is None\n"
        "telemetry.emit('done', number=3)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(catalog), refusing], check=True, timeout=60)
    assert _data(home), "it touches no file: that is for a stored no"


# On again.


def test_on_again_works_without_a_restart_and_brings_nothing_back(start: Callable[..., Host]) -> None:
    with Endpoint() as endpoint:
        hosts = [start(endpoint.url, segment_seconds=3600.0) for _ in range(2)]
        for host in hosts:
            host.emit(10, 1)
        _say("off")
        for host in hosts:
            host.ask("emit", 10, 2)
            host.ask("count")
            # It looks under traffic: what it emits meanwhile is let go.
            wait_until(lambda host=host: (host.ask("emit", 1, 2), host.ask("state")["off"])[1], WITHIN_SECONDS)  # type: ignore[misc]

        _say("on")

        for host in hosts:
            wait_until(lambda host=host: _emits(host), WITHIN_SECONDS)  # type: ignore[misc]
            host.emit(10, 4)
            host.end()
        wait_until(lambda: (ledger := _ledger())["on_disk"] == ledger["in_flight"] == 0)
        assert _numbers(endpoint) <= {3, 4}
        assert 4 in _numbers(endpoint)
        assert {request.header("Telemetry-Consent") for request in endpoint.requests} == {
            "level=on; basis=stored; notice=0; deployment=unknown"
        }


def _emits(host: Host) -> bool:
    host.ask("emit", 1, 3)
    return not host.ask("state")["off"]


def test_what_a_host_handed_over_before_a_no_is_not_uploaded_when_it_is_read_after_the_yes(
    start: Callable[..., Host], home: Path
) -> None:
    with Endpoint() as endpoint:
        host = start(endpoint.url)
        host.emit(1, 1)
        shipper = shipper_of(home)
        shipper.suspend()
        host.ask("emit", 50, 2)
        wait_until(lambda: host.ask("state")["waits"] == 0)  # ZeroMQ has them; the shipper does not read
        store_choice(PRODUCT, State.OFF, time.time())
        store_choice(PRODUCT, State.ON, time.time())

        shipper.resume()

        wait_until(lambda: _reaches(host, endpoint, 3), 30)
        assert 2 not in _numbers(endpoint)
        assert _losses(endpoint) == set(), "not even as a number"


@pytest.mark.parametrize("shipper", ["leaves", "is killed before"])
def test_what_a_host_emits_after_a_no_is_numbered_anew(start: Callable[..., Host], home: Path, shipper: str) -> None:
    with Endpoint() as endpoint:
        host = start(endpoint.url)
        host.emit(100, 1)
        if shipper == "is killed before":
            host.process.send_signal(signal.SIGSTOP)
            kill_shippers_of(home)
        _say("off")
        host.process.send_signal(signal.SIGCONT)
        wait_until(lambda: (host.ask("emit", 1, 2), host.ask("state")["off"])[1], WITHIN_SECONDS)
        wait_until(lambda: not shippers_of(home))  # it forgets those that are gone

        _say("on")

        wait_until(lambda: _reaches(host, endpoint, 3), 30)
        assert _ledger()["dropped"].keys() <= {"consent"}
        assert _losses(endpoint) == set()


def test_what_a_host_lost_under_local_is_told_here_and_in_no_upload(start: Callable[..., Host], home: Path) -> None:
    with Endpoint() as endpoint:
        _say("local")
        host = start(endpoint.url, queue_bytes=8 << 20, segment_seconds=3600.0)
        host.emit(1, 1)
        shipper = shipper_of(home)
        shipper.suspend()
        host.ask("emit", 300_000, 1)

        _say("on")

        shipper.resume()
        wait_until(lambda: host.ask("state")["waits"] == 0, 30)
        wait_until(lambda: _reaches(host, endpoint, 3), 30)
        assert _ledger()["dropped"]["queue_full"] > 0
        assert _losses(endpoint) == set()


def _losses(endpoint: Endpoint) -> set[str]:
    """The reasons for losses that uploads told."""
    ledgers = (request.header("Telemetry-Ledger") or "" for request in endpoint.requests)
    return {count.partition("=")[0] for ledger in ledgers for count in ledger.split("; ")} - {"emitted", "kept"}


# Local.


def test_local_in_every_process_keeps_here_what_waits_and_what_follows(start: Callable[..., Host], home: Path) -> None:
    with Endpoint() as endpoint:
        hosts = [start(endpoint.url, segment_seconds=3600.0) for _ in range(3)]
        for host in hosts:
            host.emit(10, 1)

        _say("local")

        wait_until(lambda: {path.parent.name for path in _data(home)} == {"local"}, WITHIN_SECONDS)
        for host in hosts:
            host.emit(10, 2)
            host.end()
        wait_until(lambda: not shippers_of(home))
        assert endpoint.requests == []
        assert (_ledger()["on_disk"], _ledger()["delivered"]) == (60, 0)


@pytest.mark.parametrize("then", ["all goes on", "the shipper is killed"])
def test_what_was_local_is_never_uploaded_after_a_yes(start: Callable[..., Host], home: Path, then: str) -> None:
    with Endpoint() as endpoint:
        _say("local")
        host = start(endpoint.url, segment_seconds=3600.0)
        host.emit(10, 1)
        if then == "the shipper is killed":
            kill_shippers_of(home)

        _say("on")

        host.ask("emit", 10, 2)  # may still be under "local": the host looks twice a second
        wait_until(lambda: _reaches(host, endpoint, 3), 30)
        host.end()
        # For a producer without a sign, whose last frames came after another had begun, it is that long.
        wait_until(lambda: not shippers_of(home), SILENT_SECONDS + DEADLINE_SECONDS)
        assert 1 not in _numbers(endpoint)
        assert {path.parent.name for path in _data(home)} == {"sent", "local"}


def _reaches(host: Host, endpoint: Endpoint, mark: int) -> bool:
    host.emit(1, mark)
    from telemetry.rendezvous.find import find_rendezvous  # noqa: PLC0415 here alone

    for rendezvous in find_rendezvous(PRODUCT):
        if rendezvous.runs:
            rendezvous.ask("seal", 10)
    return mark in _numbers(endpoint)


@pytest.mark.parametrize("first", ["on", None], ids=["a stored yes", "the host's yes"])
def test_what_a_host_has_counted_under_an_earlier_yes_never_leaves_though_it_was_stopped_meanwhile(
    start: Callable[..., Host], first: str | None
) -> None:
    """A suspended machine, or a paused container: nothing of the host runs between the two."""
    if first:
        _say(first)
    with Endpoint() as endpoint:
        host = start(endpoint.url)
        host.emit(1, 1)
        assert host.process.stdin
        assert host.process.stdout
        host.process.stdin.write("freeze\n")
        host.process.stdin.flush()
        wait_until(lambda: psutil.Process(host.process.pid).status() == psutil.STATUS_STOPPED)
        _say("off")
        _say("on")
        host.process.send_signal(signal.SIGCONT)
        assert host.process.stdout.readline() == "null\n"
        wait_until(lambda: _reaches(host, endpoint, 3), 30)

        assert not [line for request in endpoint.requests for line in request.lines if b"queries" in line]


def test_a_shipper_that_recovers_old_data_after_local_and_on_uploads_none_of_it(
    start: Callable[..., Host], home: Path
) -> None:
    with Endpoint() as endpoint:
        host = start(endpoint.url, segment_seconds=3600.0)
        host.emit(10, 1)
        host.process.send_signal(signal.SIGSTOP)
        kill_shippers_of(home)  # the segment is active still, and of level "on"
        store_choice(PRODUCT, State.LOCAL, time.time())
        store_choice(PRODUCT, State.ON, time.time())
        host.process.send_signal(signal.SIGCONT)

        wait_until(lambda: _reaches(host, endpoint, 2), 30)

        assert 1 not in _numbers(endpoint)
        assert "local" in {path.parent.name for path in _data(home)}


# Technical.


@pytest.fixture
def mixed(catalog: Path) -> None:
    """A catalog that has both sensitivities."""
    catalog.write_text(MIXED)


def _by_event(endpoint: Endpoint) -> dict[str, set[int | None]]:
    """What arrived: by the name of the event, the numbers."""
    found: dict[str, set[int | None]] = {}
    for request in endpoint.requests:
        for event in map(json.loads, request.lines):
            found.setdefault(event["event"], set()).add(event.get("number"))
    return found


@pytest.mark.parametrize("way", ["the user", "the host", "the environment"])
@pytest.mark.usefixtures("mixed")
def test_under_technical_what_is_technical_leaves_and_the_rest_stays_here_even_as_a_number(
    start: Callable[..., Host], home: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    if way == "the user":
        _say("technical")
    elif way == "the environment":
        monkeypatch.setenv("ACME_DB_TELEMETRY", "technical")
    with Endpoint() as endpoint:
        host = start(endpoint.url, consent="technical" if way == "the host" else "on", segment_seconds=3600.0)
        assert host.ask("use", 10, 1)
        host.end()
        wait_until(lambda: not shippers_of(home))

        assert _by_event(endpoint) == {"done": {1}, "queries": {None}}
        (request,) = endpoint.requests
        arrived = len(request.lines)
        assert request.header("Telemetry-Ledger") == f"emitted={arrived}; kept={arrived}"
        basis = {"the user": "stored", "the host": "host", "the environment": "environment"}[way]
        level = f"level=technical; basis={basis}; notice=0; deployment=unknown"
        assert request.header("Telemetry-Consent") == level
        ledger = _ledger()
        assert (ledger["delivered"], ledger["dropped"]) == (arrived, {})
        assert ledger["on_disk"] > 10
        assert {path.parent.name for path in _data(home)} == {"sent", "local"}


REPORTS = "".join(
    f"""
[events.{name}]
kind = "report"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "{sensitivity}"
[events.{name}.fields]
up_time_seconds = {{ type = "int", purpose = "tests" }}
"""
    for name, sensitivity in (("machine", "technical"), ("habits", "interaction"))
)
TECHNICAL_EVENTS = {"done", "queries", "machine"}
ALL_EVENTS = TECHNICAL_EVENTS | {"opened", "clicks", "habits"}


@pytest.mark.parametrize(
    ("host", "user", "leaves"),
    [
        ("on", None, ALL_EVENTS),
        ("on", State.ON, ALL_EVENTS),
        ("technical", None, TECHNICAL_EVENTS),
        ("technical", State.ON, TECHNICAL_EVENTS),
        ("on", State.TECHNICAL, TECHNICAL_EVENTS),
        ("technical", State.TECHNICAL, TECHNICAL_EVENTS),
        ("local", State.TECHNICAL, set()),
        ("technical", State.LOCAL, set()),
    ],
)
def test_what_leaves_is_told_by_the_stricter_of_host_and_user_of_events_counters_and_reports(
    home: Path, catalog: Path, refusing: str, host: str, user: State | None, leaves: set[str]
) -> None:
    assert home.exists()
    catalog.write_text(MIXED + REPORTS)
    if user:
        store_choice(PRODUCT, user, 1_000.0)
    directory = rendezvous_dir(PRODUCT, "0" * 64, refusing)
    directory.mkdir(parents=True, mode=0o700)
    sockets = bind(directory)
    shipper = Shipper(ShipperConfig(PRODUCT, catalog, refusing, ShipperSettings()), sockets, directory, spawned=False)
    shipper._obey_the_user()
    context = {"pid": 1, "catalog": "x", "consent": host, "basis": "host", "deployment": "cloud", "since": 1_000.0}
    events: list[object] = [[name, time.time_ns(), {}] for name in ("done", "opened")]
    events += [[name, time.time_ns(), {"count": 3}] for name in ("queries", "clicks")]
    shipper._intake.take([msgspec.msgpack.encode([1, b"p" * 16, context, 0, {}, events])])
    shipper._intake.report_if_due()
    shipper._intake.seal_all()
    shipper._spool.close()
    sockets.close()

    found = {
        folder: {
            json.loads(line)["event"]
            for path in (shipper._spool.directory / folder).glob("*.zst")
            for line in decompress(path.read_bytes()).splitlines()
        }
        for folder in ("sealed", "local")
    }
    assert found["sealed"] == leaves
    assert found["local"] == (ALL_EVENTS if leaves else ALL_EVENTS - {"machine", "habits"}) - leaves


@pytest.mark.parametrize("shipper", ["lives", "is killed before"])
@pytest.mark.usefixtures("mixed")
def test_a_step_down_moves_files_and_what_a_host_keeps_follows_it_and_a_step_up_brings_nothing_back(
    start: Callable[..., Host], home: Path, shipper: str
) -> None:
    refuses = [True]
    with Endpoint(decide=lambda _: 503 if refuses else 200) as endpoint:
        host = start(endpoint.url, retry_max_seconds=0.5)
        assert host.ask("use", 10, 1)
        wait_until(lambda: len([path for path in _data(home) if path.parent.name == "sealed"]) >= 2)
        if shipper == "is killed before":
            host.process.send_signal(signal.SIGSTOP)
            kill_shippers_of(home)

        _say("technical")

        host.process.send_signal(signal.SIGCONT)
        host.ask("use", 10, 2)  # some of it may still be under "on": the host looks twice a second
        wait_until(lambda: "local" in {path.parent.name for path in _data(home)}, WITHIN_SECONDS)
        endpoint.requests.clear()
        refuses.clear()
        wait_until(lambda: _by_event(endpoint).get("done") == {1, 2}, 30)
        assert _by_event(endpoint).keys() <= {"done", "queries"}

        _say("on")

        wait_until(lambda: _uses(host, endpoint, 3), 30)
        host.end()
        wait_until(lambda: not shippers_of(home))
        assert _by_event(endpoint)["done"] == {1, 2, 3}
        assert _by_event(endpoint)["opened"] == {3}
        assert _ledger()["dropped"].keys() <= {"in_transit", "consent"}


def _uses(host: Host, endpoint: Endpoint, mark: int) -> bool:
    host.ask("use", 1, mark)
    return mark in _by_event(endpoint).get("opened", set())


@pytest.mark.usefixtures("mixed")
def test_an_old_collector_that_refuses_the_level_pauses_uploads_and_loses_nothing(
    start: Callable[..., Host], home: Path
) -> None:
    knows: list[bool] = []

    def decide(request: Request) -> int:
        return 200 if knows or (request.header("Telemetry-Consent") or "").startswith("level=on") else 403

    with Endpoint(decide=decide) as endpoint:
        host = start(endpoint.url, consent="technical", pause_seconds=1.0)
        assert host.ask("use", 10, 1)
        wait_until(lambda: gather(PRODUCT)["shipper"].get("upload") == "paused")
        assert _ledger()["delivered"] == 0

        knows.append(True)

        wait_until(lambda: _ledger()["delivered"] > 10, 30)
        assert _ledger()["dropped"] == {}
        assert "local" in {path.parent.name for path in _data(home)}


# Older than the consent.


@pytest.mark.parametrize("hours", [-24, 0, 24], ids=["a slow clock", "a right clock", "a fast clock"])
def test_what_is_older_than_the_yes_is_kept_here_whatever_the_clock_says(home: Path, catalog: Path, hours: int) -> None:
    with Endpoint() as endpoint:
        spool = open_spool(spool_dir(PRODUCT, endpoint.url))
        survivor = add_segment(spool, created_ns=time.time_ns() + hours * 3600 * 10**9)
        spool.close()
        store_choice(PRODUCT, State.ON, time.time())
        process = _foreground(home, catalog, endpoint)
        wait_until(lambda: names(spool.directory / "local"), WITHIN_SECONDS)
        process.terminate()
        process.wait(30)
        assert endpoint.requests == []
        assert survivor.file in names(spool.directory / "local")


def test_a_yes_dated_in_the_future_still_lets_new_events_leave(start: Callable[..., Host], home: Path) -> None:
    assert home.exists()
    with Endpoint() as endpoint:
        store_choice(PRODUCT, State.ON, time.time() + 86_400)  # the clock has been set back since
        host = start(endpoint.url, consent=None)
        host.emit(1, 1)
        host.emit(1, 2)  # the first one is older than the shipper, which takes the yes to be as old as itself
        wait_until(lambda: 2 in _numbers(endpoint))


def test_a_segment_leaves_only_under_the_consent_it_was_begun_under() -> None:
    chosen = permission_of(Stored(State.ON, 5.0))
    assert chosen.lets_leave(_begun_under(5.0))
    assert not chosen.lets_leave(_begun_under(4.0))
    assert not chosen.lets_leave(_begun_under(0.0))
    notified = permission_of(Stored(None, 5.0, notice=2))
    assert notified.lets_leave(_begun_under(4.0)), "the host's own yes does not rest on the notice"
    assert not notified.lets_leave(_begun_under(4.0, basis="cloud-default"))
    assert notified.lets_leave(_begun_under(5.0, basis="cloud-default"))


def test_a_technical_segment_leaves_under_each_consent_that_follows_without_a_break() -> None:
    narrowed = permission_of(Stored(State.TECHNICAL, 7.0, unbroken=(0.0, 5.0)))
    for since in (0.0, 5.0, 7.0):
        assert narrowed.lets_leave(_begun_under(since, sensitivity="technical"))
        assert not narrowed.lets_leave(_begun_under(since, sensitivity="interaction"))
        assert not narrowed.lets_leave(_begun_under(since)), "of an earlier version: it may hold both"
    assert not narrowed.lets_leave(_begun_under(6.0, sensitivity="technical"))
    widened = permission_of(Stored(State.ON, 9.0, unbroken=(5.0, 7.0)))
    assert widened.lets_leave(_begun_under(5.0, sensitivity="technical"))
    assert not widened.lets_leave(_begun_under(5.0, sensitivity="interaction"))
    assert widened.lets_leave(_begun_under(9.0, sensitivity="interaction"))


@pytest.mark.parametrize(
    "stored",
    [Stored(State.OFF, 5.0), Stored(State.LOCAL, 5.0), Stored(State.OFF, fault="can't be read")],
    ids=["off", "local", "unreadable"],
)
def test_without_a_yes_no_segment_leaves(stored: Stored) -> None:
    assert not permission_of(stored).lets_leave(_begun_under(5.0))


def _begun_under(since: float, basis: str = "host", sensitivity: Any = UNSET) -> Any:
    head = make_head(sensitivity=sensitivity)
    return type(head)(
        **{name: getattr(head, name) for name in head.__struct_fields__}
        | {"since_unix_seconds": since, "receipt": head.receipt._replace(basis=basis)}
    )


# A disk, or a file, that refuses.


def test_what_a_disk_refuses_to_erase_is_erased_when_it_can_be(
    home: Path, catalog: Path, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = rendezvous_dir(PRODUCT, "0" * 64, refusing)
    directory.mkdir(parents=True, mode=0o700)
    sockets = bind(directory)
    shipper = Shipper(ShipperConfig(PRODUCT, catalog, refusing, ShipperSettings()), sockets, directory, spawned=False)
    add_segment(shipper._spool)
    refusals = iter([True])
    real = shipper._spool._erase

    def erase() -> None:
        if next(refusals, False):
            raise OSError(30, "read-only")
        real()

    monkeypatch.setattr(shipper._spool, "_erase", erase)
    store_choice(PRODUCT, State.OFF, time.time())
    left = []
    for _ in range(2):
        shipper._obey_the_user()
        left.append(len(_data(home)))
    sockets.close()
    shipper._spool.close()
    assert left == [1, 0]


def test_a_choice_that_cannot_be_read_stops_everything_and_erases_nothing(
    start: Callable[..., Host], home: Path
) -> None:
    with Endpoint() as endpoint:
        _say("on")
        host = start(endpoint.url, segment_seconds=3600.0)
        host.emit(10, 1)
        kept = consent_file(PRODUCT).read_bytes()
        consent_file(PRODUCT).write_bytes(b"{")
        wait_until(lambda: [path for path in _data(home) if path.parent.name == "sealed"], WITHIN_SECONDS)
        host.emit(10, 2)
        assert _ledger()["dropped"] == {"consent": 10}
        assert endpoint.requests == []

        consent_file(PRODUCT).write_bytes(kept)

        wait_until(lambda: _numbers(endpoint) == {1})
        assert read_stored(PRODUCT).choice is State.ON


def test_purge_keeps_a_no(start: Callable[..., Host], home: Path, refusing: str) -> None:
    start(refusing).emit(10)
    _say("off")
    command = [sys.executable, "-m", "telemetry", "purge", "--product", PRODUCT, "--yes"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    assert read_stored(PRODUCT).choice is State.OFF
    assert not _data(home)
