"""How long is a host without a shipper that was killed? From the kill until one runs, and until it confirms an event.

The host emits a hundred events a second meanwhile; it looks after its shipper twice a second.
"""

from __future__ import annotations

import json
import sys
from time import monotonic, sleep
from typing import Any

import psutil

import telemetry
from bench.measure import Result, progress, summarize
from bench.site import CATALOG, site
from telemetry.rendezvous.lock import LOCK_FILE, shipper_runs

PAUSE_SECONDS = 0.01


def measure(runs: int) -> list[Result]:
    """Kill a shipper that many times under a host that emits."""
    progress(f"respawn: {runs} kills")
    with site() as place:
        found = place.run("bench.respawn", place.endpoint, runs)
    return [summarize("killed shipper", metric, "s", values) for metric, values in found.items()]


def run(endpoint: str, runs: int) -> dict[str, list[float]]:
    """The kills themselves; seconds by metric."""
    found: dict[str, list[float]] = {"until the next one runs": [], "until it confirms an event": []}
    with telemetry.Client(product="bench", catalog=CATALOG, endpoint=endpoint, consent="on") as client:
        link: Any = client._link  # noqa: SLF001 there is no public word for the place
        directory = link.transport.site.directory
        for _ in range(runs):
            client.emit("query_finished", duration_ms=1.5)
            assert client.flush(60)
            shipper = psutil.Process(int((directory / LOCK_FILE).read_text()))
            killed_at = monotonic()
            shipper.kill()
            while shipper_runs(directory):
                sleep(PAUSE_SECONDS / 10)
            while not shipper_runs(directory):
                client.emit("query_finished", duration_ms=1.5)
                sleep(PAUSE_SECONDS)
            found["until the next one runs"].append(monotonic() - killed_at)
            assert client.flush(60)
            found["until it confirms an event"].append(monotonic() - killed_at)
    return found


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], int(sys.argv[2]))))
