"""Real processes for the tests that need them: a home of their own, hosts, shippers, a collector."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import psutil
import pytest

from telemetry.consent.decide import _CI_VARIABLES
from telemetry.redact.text import TextRedactor
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 60.0

CATALOG = """
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
"""

PROMPT = {"retry_max_seconds": 1.0, "upload_jitter_seconds": 0.0}
"""What lets a test see an upload soon."""

_HOST = """
import json, sys, telemetry
from telemetry.settings import ShipperSettings
init, settings = json.loads(sys.argv[1])
telemetry.init(**init, shipper=ShipperSettings(**settings))
print("ready", flush=True)
for line in sys.stdin:
    number, name, fields = json.loads(line)
    for _ in range(number):
        telemetry.emit(name, **fields)
    print(telemetry.flush(60.0), flush=True)
"""


def wait_until(predicate: Callable[[], object], timeout: float = DEADLINE_SECONDS) -> None:
    """Poll until `predicate` holds; fail after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < deadline, f"it did not come true within {timeout} s"
        time.sleep(0.01)


def made_in(home: Path) -> set[str]:
    """The names of what lies in a home and was not there from the start."""
    return {path.name for path in home.iterdir()} - {"cache"}


def shippers_of(home: Path) -> list[psutil.Process]:
    """The shippers that hosts of a home have spawned, and that run."""
    found = []
    for process in psutil.process_iter():
        try:
            if "ship" in process.cmdline() and process.environ().get("TELEMETRY_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue  # gone, or not ours
    return found


def shipper_of(home: Path) -> psutil.Process:
    """The only shipper of a home: a second one that was spawned while it started leaves when it finds the first."""
    wait_until(lambda: len(shippers_of(home)) == 1)
    return shippers_of(home)[0]


def kill_shippers_of(home: Path) -> None:
    """Kill them outright, and return when the kernel has let go of their locks."""
    killed = shippers_of(home)
    for process in killed:
        process.kill()
    wait_until(lambda: all(map(_is_gone, killed)))
    # The first thread of a process is a zombie while others may still end, and hold its files.
    wait_until(lambda: not any(map(shipper_runs, home.glob("run/*"))))


def _remove(home: Path) -> bool:
    """Kill its shippers and remove it; one that is just starting may be at work there still."""
    kill_shippers_of(home)
    shutil.rmtree(home, ignore_errors=True)
    return not home.exists()


def _is_gone(process: psutil.Process) -> bool:
    """A zombie has no files any more; a process that just ends has no command line, but has them still."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Host:
    """A program that uses the library, in a process of its own."""

    def __init__(self, init: dict[str, Any], settings: dict[str, Any]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", _HOST, json.dumps([init, settings])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if self._line() != "ready\n":
            self.kill()
            pytest.fail("the host did not come up")

    def emit(self, number: int, event: str = "query_finished", /, **fields: object) -> None:
        """Emit and flush; the shipper has all of it on disk, or counted, when this returns."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps([number, event, fields or {"duration_ms": 1.5}]) + "\n")
        self.process.stdin.flush()
        assert self._line() == "True\n"

    def leave(self) -> None:
        """End in order; the shipper then seals what it has."""
        self.process.communicate(timeout=DEADLINE_SECONDS)

    def kill(self) -> None:
        """End at once."""
        self.process.kill()
        self.process.communicate()

    def kill_with_shippers(self, home: Path) -> None:
        """End this host and the shippers of `home` at once: a paused host can't spawn another one in between."""
        self.process.send_signal(signal.SIGSTOP)
        kill_shippers_of(home)
        self.kill()

    def _line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline()


class StartHost(Protocol):
    """Starts a host; settings are the defaults, but that segments are not sealed by age, and uploads are prompt."""

    def __call__(self, endpoint: str, *, product: str = "acme-db", **settings: object) -> Host:
        """Return when its `init` is done."""


class Collector(NamedTuple):
    """A collector of one's own."""

    endpoint: str
    store: Path


@pytest.fixture(autouse=True)
def _logs_are_heard() -> None:
    """Have `caplog` hear the package, whatever a test before has done to the logging of their process."""
    logging.disable(logging.NOTSET)
    for name in ("telemetry", "telemetry.shipper"):
        logger = logging.getLogger(name)
        logger.disabled, logger.propagate = False, True
        logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def compiled_rules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The redaction rules as hyperscan compiles them, which takes two seconds."""
    cache = tmp_path_factory.mktemp("cache")
    TextRedactor(cache)
    (compiled,) = cache.iterdir()
    return compiled


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, compiled_rules: Path) -> Iterator[Path]:
    """A `TELEMETRY_HOME`, with nothing in the environment that speaks of consent; at the end its shippers are killed.

    Not pytest's `tmp_path`: it is so long that sockets would go to the directory that all such homes share. It holds
    the compiled rules, as the home of whoever had a shipper before.
    """
    for variable in {*os.environ} & {*_CI_VARIABLES, "DO_NOT_TRACK"}:
        monkeypatch.delenv(variable)
    for variable in [name for name in os.environ if "TELEMETRY" in name]:
        monkeypatch.delenv(variable)
    path = Path(tempfile.mkdtemp(prefix="telemetry-"))
    monkeypatch.setenv("TELEMETRY_HOME", str(path))
    (path / "cache").mkdir(mode=0o700)
    shutil.copy(compiled_rules, path / "cache")
    yield path
    wait_until(lambda: _remove(path))


@pytest.fixture
def start_host(home: Path, tmp_path: Path) -> Iterator[StartHost]:
    """Starts hosts of `home` that say yes; those that still run at the end are killed."""
    catalog = tmp_path / "acme.toml"
    hosts = []

    def start(endpoint: str, *, product: str = "acme-db", **settings: object) -> Host:
        catalog.write_text(CATALOG.replace("acme-db", product))
        init = {"product": product, "catalog": str(catalog), "endpoint": endpoint, "consent": "on"}
        hosts.append(Host(init, {**PROMPT, "segment_seconds": 3600.0, **settings}))
        return hosts[-1]

    assert home.exists()
    yield start
    for host in hosts:
        host.kill()


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What a child would inherit that is forked after each lock by flock(2): another descriptor of the same opening."""
    flock, kept = fcntl.flock, []

    def take(file: int, kind: int) -> None:
        flock(file, kind)
        kept.append(os.dup(file))

    monkeypatch.setattr(fcntl, "flock", take)
    yield kept
    for file in kept:
        os.close(file)


@pytest.fixture
def refusing() -> str:
    """An endpoint that nobody listens at."""
    return "http://127.0.0.1:9/v1/batches"


@pytest.fixture
def silent() -> Iterator[str]:
    """An endpoint that takes an upload and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1/batches"


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    """A running collector."""
    store = tmp_path / "store"
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        yield Collector(f"{json.loads(process.stdout.readline())['listening']}/v1/batches", store)
        process.terminate()
