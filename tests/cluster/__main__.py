"""`tools/cluster up [DIR]` starts the servers of a fleet and says where they are; `down` ends them."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from far_sides import S3

from cluster.servers import NatsCluster, Postgres, postgres_programs

_STATE = "cluster.json"


def main() -> None:
    """Start the servers, or end them."""
    parser = argparse.ArgumentParser(prog="tools/cluster", description=__doc__)
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("directory", nargs="?", type=Path, default=Path("cluster"), help="for their files (./cluster)")
    options = parser.parse_args()
    (_up if options.what == "up" else _down)(options.directory)


def _up(place: Path) -> None:
    if (place / _STATE).exists():
        sys.exit(f"tools/cluster: {place} has one already; end it by: tools/cluster down {place}")
    place = place.absolute()
    place.mkdir(parents=True, exist_ok=True)
    nats, s3 = NatsCluster(place), S3(place)
    programs = postgres_programs()
    postgres = Postgres(programs) if programs else None
    found = {
        "stream": f"{nats.url}/telemetry",
        "monitors": nats.monitors,
        "s3": {"bucket": "s3://acme", **s3.environ},
        "postgres": postgres.url if postgres else None,
    }
    pids = [*nats.pids.values(), s3.pid, *([postgres.pid] if postgres else [])]
    state = {**found, "pids": pids, "postgres_directory": str(postgres.directory) if postgres else None}
    (place / _STATE).write_text(json.dumps(state))
    print(json.dumps(found, indent=2))


def _down(place: Path) -> None:
    try:
        state = json.loads((place / _STATE).read_text())
    except FileNotFoundError:
        sys.exit(f"tools/cluster: there is none in {place}")
    for pid in state["pids"]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT if pid == state["pids"][-1] and state["postgres_directory"] else signal.SIGKILL)
    if state["postgres_directory"]:
        deadline = time.monotonic() + 20
        while Path(f"/proc/{state['pids'][-1]}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        shutil.rmtree(state["postgres_directory"], ignore_errors=True)
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
