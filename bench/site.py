"""A place for one run: a home of its own, an endpoint, and producers as child processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
CATALOG = Path(__file__).with_name("catalog.toml")


class Site(NamedTuple):
    """Where a run takes place."""

    home: Path
    endpoint: str
    environment: dict[str, str]

    def start(self, module: str, *arguments: object) -> subprocess.Popen[str]:
        """Start `python -m module arguments…` here, its output to be read."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=self.environment,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, module: str, *arguments: object) -> dict[str, Any]:
        """Run it to its end; its last line is JSON."""
        with self.start(module, *arguments) as process:
            return result_of(process)


@contextmanager
def site() -> Iterator[Site]:
    """A fresh home and endpoint; both are gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="telemetry-bench-"))
    said = ("CI", "DO_NOT_TRACK", "TELEMETRY_DISABLED", "BENCH_TELEMETRY", "TELEMETRY_TOKEN")
    environment = {name: value for name, value in os.environ.items() if name not in said}
    with subprocess.Popen([sys.executable, "-m", "bench.sink"], cwd=ROOT, stdout=subprocess.PIPE, text=True) as sink:
        assert sink.stdout is not None
        endpoint = f"http://127.0.0.1:{sink.stdout.readline().strip()}/v1/batches"
        try:
            yield Site(home, endpoint, {**environment, "TELEMETRY_HOME": str(home)})
        finally:
            sink.kill()
            shutil.rmtree(home, ignore_errors=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for a process whose last line of output is JSON."""
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"bench: {process.args!r} failed with exit code {process.returncode}")
    result: dict[str, Any] = json.loads(output.splitlines()[-1])
    return result
