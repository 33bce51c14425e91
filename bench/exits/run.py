"""Running a row: its program as a process of its own, beside a real shipper and a real collector. Arrivals count."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import zstandard

from bench.exits.rows import FROM_HOST
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.exits.rows import Row

ROOT = Path(__file__).parents[2]
DEADLINE_SECONDS = 60.0
POLL_SECONDS = 0.05
PROGRAMS = {"redis-server"}
"""That rows need, and which are no packages."""

_runs = count(1)

_KEEPER = "init(); work(1); flush(20); settle()"
"""A host without which the shipper would leave between two rows."""


class Result(NamedTuple):
    """What became of a program.

    Attributes:
        name: of its row.
        emitted: calls of `emit`, and as many of `count`, or at least as many.
        arrived: events at the collector.
        counted: the sum of the counter's events there.
        duplicates: events that arrived more than once.
        exit_seconds: from the beginning of the end to the end of the process.
    """

    name: str
    emitted: int
    arrived: int
    counted: int
    duplicates: int
    exit_seconds: float


class Arrivals:
    """What a collector's store holds; each batch is read once."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._read: dict[Path, list[dict[str, Any]]] = {}

    def events(self, run: int) -> list[dict[str, Any]]:
        """Of one run."""
        for path in [*self._store.glob("batches/*.ndjson.zst")]:
            if path not in self._read:
                self._read[path] = [json.loads(line) for line in _lines(path)]
        return [event for batch in [*self._read.values()] for event in batch if event.get("run") == run]

    def of(self, run: int) -> tuple[int, int, int]:
        """Events, the counter's sum, and duplicates of one run."""
        events = self.events(run)
        worked = [(event["process"], event["number"]) for event in events if "number" in event]
        counted = sum(event["count"] for event in events if "count" in event)
        return len(worked), counted, len(worked) - len(set(worked))


class Site:
    """A home, and what stands beside it."""

    def __init__(self, home: Path, endpoint: str, black_hole: str, store: Path) -> None:
        self.home = home
        self.arrivals = Arrivals(store)
        said = {"CI", "DO_NOT_TRACK", "TELEMETRY_DISABLED", "EXITS_TELEMETRY", "TELEMETRY_TOKEN", "TELEMETRY_DEBUG"}
        environment = {name: value for name, value in os.environ.items() if name not in said}
        self._environment = {
            **environment,
            "TELEMETRY_HOME": str(home),
            "EXITS_ENDPOINT": endpoint,
            "EXITS_BLACK_HOLE": black_hole,
            "PYTHONPATH": str(ROOT),
        }

    def start(self, program: str, *, plain: bool = False, spawns: bool = False) -> Program:
        """Start a program of the table, or the same one without telemetry; with a home of its own when it `spawns`."""
        own = {"TELEMETRY_HOME": tempfile.mkdtemp(prefix="home-", dir=self.home)} if spawns else {}
        return Program(program, self._environment | own | ({"EXITS_PLAIN": "1"} if plain else {}))

    def exit_seconds(self, row: Row, *, plain: bool = False) -> float:
        """Run a row to its end, with telemetry or without it; how long the end took."""
        return self.start(row.program, plain=plain).end(row, lambda _: None)

    def run(self, row: Row) -> Result:
        """Run a row to its end, and return when all that must arrive has done so, or a deadline has passed."""
        program = self.start(row.program, spawns=row.spawns)
        exit_seconds = program.end(row, lambda emitted: self._await(program.run, emitted))
        emitted = program.emitted if row.emitted is None else row.emitted
        self._await(program.run, emitted if row.kept is None else row.kept)
        return Result(row.name, emitted, *self.arrivals.of(program.run), exit_seconds)

    def _await(self, run: int, calls: int) -> None:
        wait_until(lambda: min(self.arrivals.of(run)[:2]) >= calls)


class Program:
    """A program of the table, running."""

    def __init__(self, text: str, environment: dict[str, str]) -> None:
        self.run = next(_runs)
        self._directory = Path(tempfile.mkdtemp(prefix="program-", dir=environment["TELEMETRY_HOME"]))
        file = self._directory / "program.py"
        file.write_text(text if FROM_HOST in text else FROM_HOST + text)
        pipe = subprocess.PIPE
        with (self._directory / "stderr").open("w") as errors:
            self._process = subprocess.Popen(
                [sys.executable, str(file)],
                env={**environment, "EXITS_RUN": str(self.run), "EXITS_DIRECTORY": str(self._directory)},
                cwd=self._directory,
                stdin=pipe,
                stdout=pipe,
                stderr=errors,
                text=True,
            )

    def end(self, row: Row, settle: Callable[[int], None]) -> float:
        """Accompany the program to its end; returns how many seconds that took."""
        assert self._process.stdin
        assert self._process.stdout
        sent_at = None
        for line in self._process.stdout:
            if line == "settle\n":
                settle(row.kept or 0)
                self._process.stdin.write("\n")
                self._process.stdin.flush()
            elif line == "ready\n":
                sent_at = time.monotonic()
                self._process.send_signal(row.signal or 0)
        code = self._process.wait(DEADLINE_SECONDS)
        ended_at = time.monotonic()
        self._process.communicate()
        assert code == row.code, f"{row.name} ended with {code}, not {row.code}: {self.errors[-2000:]}"
        return ended_at - (sent_at or float((self._directory / "left").read_text()))

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Have the program run until the block ends; it waits for a line."""
        assert self._process.stdout
        self._process.stdout.readline()
        try:
            yield
        finally:
            self._process.communicate("\n", DEADLINE_SECONDS)

    @property
    def errors(self) -> str:
        """What it said on stderr."""
        return (self._directory / "stderr").read_text()

    @property
    def emitted(self) -> int:
        """How much it says that it has emitted."""
        return int((self._directory / "emitted").read_text())


def missing(row: Row) -> list[str]:
    """The packages and programs that a row needs and this machine lacks."""
    return [name for name in row.needs if not (shutil.which(name) if name in PROGRAMS else find_spec(name))]


def wait_until(predicate: Callable[[], object], timeout_seconds: float = DEADLINE_SECONDS) -> bool:
    """Poll until `predicate` holds; whether it did in time."""
    deadline = time.monotonic() + timeout_seconds
    while not predicate():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


@contextmanager
def site() -> Iterator[Site]:
    """A fresh home, a collector and a running shipper; all are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="telemetry-exits-"))
    store = home / "store"
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as collector,
    ):
        assert collector.stdout
        try:
            endpoint = f"{json.loads(collector.stdout.readline())['listening']}/v1/batches"
            found = Site(home, endpoint, f"http://127.0.0.1:{silent.getsockname()[1]}", store)
            with found.start(_KEEPER).kept():
                yield found
        finally:
            collector.kill()
            _kill_shippers(home)
            shutil.rmtree(home, ignore_errors=True)


def _kill_shippers(home: Path) -> None:
    for lock in home.glob("**/run/*/lock"):
        if shipper_runs(lock.parent):
            os.kill(int(lock.read_text()), signal.SIGKILL)


def _lines(path: Path) -> list[bytes]:
    with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True) as stream:
        return stream.read().splitlines()
