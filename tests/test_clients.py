"""Clients in other languages, each with a real shipper: all arrives, a kill is survived, a no is heard."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import CATALOG, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Collector

CLIENTS = Path(__file__).parent / "clients"
TELEMETRY = f"{sys.executable} -m telemetry"


@pytest.fixture(scope="module")
def c_client(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The client in C, compiled; skips where there is no compiler or no libzmq to compile it with."""
    program = tmp_path_factory.mktemp("c") / "client"
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/zmq.h").exists():
        pytest.skip("needs cc and libzmq3-dev")
    subprocess.run(
        [compiler, "-Wall", "-Wextra", "-Werror", "-o", program, CLIENTS / "c" / "client.c", "-lzmq"], check=True
    )
    return [str(program)]


@pytest.fixture(scope="module")
def node_client(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The client for Node.js, with its packages; skips where they can't be installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs Node.js and npm")
    place = tmp_path_factory.mktemp("node")
    for file in (CLIENTS / "node").iterdir():
        if file.is_file():
            shutil.copy(file, place)
    install = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    if subprocess.run(install, cwd=place, capture_output=True, timeout=100, check=False).returncode:
        pytest.skip("its packages can't be installed")
    return [node, str(place / "client.js")]


@pytest.fixture(params=["c", "node"])
def client(request: pytest.FixtureRequest) -> list[str]:
    """The command of a client."""
    command: list[str] = request.getfixturevalue(f"{request.param}_client")
    return command


class Scene:
    """A client of one product, and the shipper in the foreground that it meets."""

    def __init__(self, client: list[str], collector: Collector, directory: Path) -> None:
        self.catalog, self._config = directory / "acme.toml", directory / "ship.toml"
        self.catalog.write_text(CATALOG.replace("engine = {", 'rows = { type = "int", purpose = "size" }\nengine = {'))
        self._config.write_text(
            f'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "{collector.endpoint}"\n'
            "segment_seconds = 0.5\nupload_jitter_seconds = 0.0\nretry_max_seconds = 1.0\n"
        )
        self.shipper = self.ship()
        command = [*client, TELEMETRY, "acme-db", str(self.catalog), collector.endpoint]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ship(self) -> subprocess.Popen[bytes]:
        """Start a shipper."""
        return subprocess.Popen([sys.executable, "-m", "telemetry", "ship", "--config", self._config])

    def line(self) -> str:
        """Return the next line of the client."""
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def emit(self, events: int) -> None:
        """Have the client emit events and wait for their confirmation."""
        assert self.process.stdin
        self.process.stdin.write(f"{events}\n")
        self.process.stdin.flush()

    def end(self) -> str:
        """End the client in order; return its last line."""
        out, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0
        return out.strip()

    def close(self) -> None:
        """Kill what still runs."""
        for process in (self.process, self.shipper):
            process.kill()
            process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                stream.close()


@pytest.fixture
def start(client: list[str], collector: Collector, home: Path, tmp_path: Path) -> Iterator[Callable[[], Scene]]:
    scenes = []

    def start() -> Scene:
        assert home.exists()
        scenes.append(Scene(client, collector, tmp_path))
        return scenes[-1]

    yield start
    for scene in scenes:
        scene.close()


def _ledger() -> dict[str, Any]:
    command = [sys.executable, "-m", "telemetry", "status", "--product", "acme-db", "--json"]
    ledger: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, check=False).stdout)["ledger"]
    return ledger


def test_ten_thousand_events_arrive_with_their_fields(start: Callable[[], Scene]) -> None:
    scene = start()
    assert scene.line() == "on"
    scene.emit(10_000)
    assert scene.line() == "on true {}"
    assert scene.end() == "on true {}"
    wait_until(lambda: _ledger()["delivered"] == 10_000)
    ledger = _ledger()
    assert (ledger["emitted"], ledger["dropped"], ledger["fields_dropped"]) == (10_000, {}, {})


def test_a_killed_shipper_loses_nothing_that_was_confirmed_and_the_rest_is_counted(start: Callable[[], Scene]) -> None:
    scene = start()
    assert scene.line() == "on"
    scene.emit(5_000)
    assert scene.line() == "on true {}"
    scene.emit(20_000)
    scene.shipper.kill()
    scene.shipper.wait()
    scene.shipper = scene.ship()
    assert scene.line() == "on true {}"
    assert scene.end() == "on true {}"
    wait_until(lambda: _ledger()["on_disk"] == _ledger()["in_flight"] == 0)
    ledger = _ledger()
    assert ledger["emitted"] == 25_000
    assert ledger["dropped"].keys() <= {"in_transit"}
    assert ledger["delivered"] == 25_000 - sum(ledger["dropped"].values()) >= 5_000


def test_a_withdrawal_is_heard_and_nothing_more_is_collected(start: Callable[[], Scene]) -> None:
    scene = start()
    assert scene.line() == "on"
    scene.emit(1_000)
    assert scene.line() == "on true {}"
    subprocess.run([sys.executable, "-m", "telemetry", "off", "--product", "acme-db"], check=True, capture_output=True)
    scene.emit(1_000)
    assert scene.line() == "off true {}"
    assert scene.end() == "off true {}"
    assert _ledger()["on_disk"] == 0


@pytest.mark.usefixtures("home")
def test_a_client_that_may_not_collect_is_told_so(client: list[str], tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    subprocess.run([sys.executable, "-m", "telemetry", "off", "--product", "acme-db"], check=True, capture_output=True)
    command = [*client, TELEMETRY, "acme-db", str(tmp_path / "acme.toml"), "http://127.0.0.1:9/v1/batches"]
    done = subprocess.run(command, input="100\n", capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split("\n")[0] == "off"
    assert _ledger()["emitted"] == 0
