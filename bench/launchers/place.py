"""Where a row is run: a directory with the application, a home without a shipper, and a collector beside it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import site as site_packages
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from bench.exits.run import Arrivals, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PACKAGES = f"{ROOT}:{site_packages.getsitepackages()[0]}"
"""For an interpreter that does not find them by itself."""
HANG_SECONDS = 90.0
ARRIVAL_SECONDS = 60.0
_numbers = count(1)


class Outcome(NamedTuple):
    """What became of a launch.

    Attributes:
        emitted: calls of `emit`, and as many of `count`.
        arrived: events at the collector, each once.
        counted: the sum of the counter's events there.
        accounted: events that the ledger knows as dropped or kept on disk.
        first_seconds: from the first call to its event's arrival; None when none arrived.
        said: all that the host printed.
        status: of the product, when not all arrived.
    """

    emitted: int
    arrived: int
    counted: int
    accounted: int
    first_seconds: float | None
    said: str
    status: str


class Place:
    """One row's directory, environment and product.

    Attributes:
        directory: holds `app.py` and what the row makes; everybody may read it.
        environment: of the host; a row may change it.
        python: an interpreter that has telemetry and what the row needs.
        bundles: made once for all rows: archives and frozen programs.
        said: what the host has printed so far.
        uid: whose state the host's is, where that is another's.
    """

    def __init__(self, directory: Path, endpoint: str, arrivals: Arrivals) -> None:
        self.run_number = next(_numbers)
        self.product = f"launch-{os.getpid()}-{self.run_number}"
        self.directory = directory / f"row-{self.run_number}"
        self.python = sys.executable
        self.bundles = directory / "bundles"
        self.said = ""
        self.uid: int | None = None
        self._arrivals = arrivals
        self._seen_at = 0.0
        self.home.mkdir(0o700, parents=True)
        shutil.copytree(directory / "warm", self.home / "telemetry")
        self.directory.chmod(0o755)
        self.app = self.directory / "app.py"
        shutil.copy(HERE / "app.py", self.app)
        catalog = self.directory / "catalog.toml"
        catalog.write_text((HERE / "catalog.toml").read_text().replace("PRODUCT", self.product))
        self.environment = {
            "PATH": f"{Path(self.python).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": str(self.home),
            "TELEMETRY_HOME": str(self.home / "telemetry"),
            "LAUNCH_RUN": str(self.run_number),
            "LAUNCH_PRODUCT": self.product,
            "LAUNCH_CATALOG": str(catalog),
            "LAUNCH_ENDPOINT": endpoint,
        }

    @property
    def home(self) -> Path:
        """The home of whoever runs the host."""
        return self.directory / "home"

    def run(self, *command: str | Path, stdin: str = "", cwd: Path | None = None, uid: int | None = None) -> None:
        """Run a host to its end, which must come, and be a good one; as another user if one is named."""
        self.uid = uid
        done = subprocess.run(
            list(map(str, command)),
            env=self.environment,
            cwd=cwd or self.directory,
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=HANG_SECONDS,
            user=uid,
            group=uid,
            extra_groups=None if uid is None else [],
            check=False,
        )
        self.said += done.stdout
        assert done.returncode == 0, f"ended with {done.returncode}: {self.said[-1500:]}"

    def outcome(self, emitted: int, *, expected: bool) -> Outcome:
        """Wait for what must arrive, or for the reason and the number when nothing can be `expected`."""
        wait_until(lambda: self._has_all(emitted) or (not expected and self._accounted() >= emitted), ARRIVAL_SECONDS)
        arrived, counted, _ = self._arrivals.of(self.run_number)
        first = [event["emitted_at_ms"] / 1e3 for event in self._arrivals.events(self.run_number) if "number" in event]
        has_all = self._has_all(emitted)
        return Outcome(
            emitted,
            arrived,
            counted,
            0 if has_all else self._accounted(),
            self._seconds_since(min(first)) if first else None,
            self.said,
            "" if has_all else json.dumps(self._status()),
        )

    def close(self) -> None:
        """Kill the row's shippers and remove its directory."""
        for process in psutil.process_iter(["cmdline"]):
            command = process.info["cmdline"] or []
            if "--spawned" in command and self._is_ours(command[-1]):
                with suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _is_ours(self, rendezvous: str) -> bool:
        # By the name that no other row has: a server's row bears the product of all of them.
        return f"/{self.environment['LAUNCH_PRODUCT']}-" in rendezvous or rendezvous.startswith(f"{self.directory}/")

    def _seconds_since(self, emitted_at: float) -> float | None:
        """Until the first arrival was seen; None when the host's clock is not ours."""
        seconds = self._seen_at - emitted_at
        return seconds if 0 <= seconds < HANG_SECONDS + ARRIVAL_SECONDS else None

    def _has_all(self, emitted: int) -> bool:
        arrived, counted, _ = self._arrivals.of(self.run_number)
        if arrived and not self._seen_at:
            self._seen_at = time.monotonic()
        return min(arrived, counted) >= emitted

    def _status(self) -> dict[str, Any]:
        command = [self.python, "-m", "telemetry", "status", "--json", "--product", self.product]
        environment = {**self.environment, "PYTHONPATH": PACKAGES}
        who: dict[str, Any] = {} if self.uid is None else {"user": self.uid, "group": self.uid, "extra_groups": []}
        done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, **who)
        with suppress(ValueError):
            found: dict[str, Any] = json.loads(done.stdout)
            return found
        return {"status": done.stdout + done.stderr}

    def _accounted(self) -> int:
        ledger: dict[str, Any] = self._status().get("ledger", {})
        return int(sum(ledger.get("dropped", {}).values()) + ledger.get("on_disk", 0) + ledger.get("in_flight", 0))


@contextmanager
def site() -> Iterator[Callable[[], AbstractContextManager[Place]]]:
    """A collector, and a maker of fresh places beside it, whose shippers are gone when they are left."""
    directory = Path(tempfile.mkdtemp(prefix="telemetry-launchers-"))
    directory.chmod(0o755)
    store = directory / "store"
    (directory / "bundles").mkdir()
    _compile_rules(directory / "warm")
    # The environment of the launchers has none of what a collector needs.
    python = ROOT / ".venv" / "bin" / "python"
    command = [str(python), "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", "--store", str(store)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=quiet, text=True) as collector:
        assert collector.stdout
        endpoint = f"{json.loads(collector.stdout.readline())['listening']}/v1/batches"
        arrivals = Arrivals(store)

        @contextmanager
        def place() -> Iterator[Place]:
            found = Place(directory, endpoint, arrivals)
            try:
                yield found
            finally:
                found.close()

        try:
            yield place
        finally:
            collector.kill()
            shutil.rmtree(directory, ignore_errors=True)


def _compile_rules(home: Path) -> None:
    """Make a home in which a shipper has been before: its scanner takes seconds to compile, and is kept."""
    environment = {**os.environ, "TELEMETRY_HOME": str(home)}
    command = [sys.executable, "-m", "telemetry", "redact"]
    subprocess.run(command, env=environment, cwd=ROOT, input=b"a text\n", stdout=subprocess.DEVNULL, check=True)
