"""What others cost the host, measured beside ours. They live in an environment of their own, under `.venv`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.environment import made_from
from bench.peers.libraries import PEERS
from bench.site import ROOT

__all__ = ["PEERS", "measure_peer"]

_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


def environment() -> Path:
    """The Python of the peers' environment, which is made on the first call."""
    return made_from(_REQUIREMENTS)


def measure_peer(name: str, events: int) -> dict[str, tuple[float, str]]:
    """Measure one peer in a process of its own, with a sink of its own.

    Returns:
        Figures by metric, with units; `delivered` is the share of the events that the sink got.
    """
    python, protocol = environment(), PEERS[name][1]
    with _start(sys.executable, "bench.peers.sink", protocol) as sink, tempfile.TemporaryDirectory() as home:
        port = _answer(sink)
        with _start(python, "bench.peers.subject", name, port, events, home=home) as host:
            figures: dict[str, tuple[float, str]] = json.loads(_answer(host))
            _tell(sink)
            arrived = int(_answer(sink))
            _tell(host)
        sink.kill()
    emitted, _ = figures.pop("emitted")
    return figures if protocol == "none" else {**figures, "delivered": (100.0 * arrived / emitted, "%")}


def _start(python: Path | str, module: str, *arguments: object, home: str | None = None) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMPDIR": home} if home else None
    command = [str(python), "-m", module, *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise SystemExit(f"bench: {process.args!r} ended without an answer")
    return line.strip()
