"""What is launched: it emits and counts, and that is all. It is copied to where a row wants it, and stands alone."""

from __future__ import annotations

import itertools
import os
import time
from typing import Any

import telemetry

CALLS = 20

_numbers = itertools.count()


def init(**options: Any) -> None:
    """Begin to collect; a shipper must be spawned, since none runs in the row's home."""
    telemetry.init(
        product=os.environ["LAUNCH_PRODUCT"],
        catalog=os.environ["LAUNCH_CATALOG"],
        endpoint=os.environ["LAUNCH_ENDPOINT"],
        consent="on",
        shipper=telemetry.ShipperSettings(segment_seconds=0.2, upload_jitter_seconds=0.0, retry_max_seconds=1.0),
        **options,
    )


def work(calls: int = CALLS) -> None:
    """Emit an event a call, and count the call."""
    run = int(os.environ["LAUNCH_RUN"])
    for _ in range(calls):
        now_ms = time.monotonic() * 1e3
        telemetry.emit("worked", run=run, process=os.getpid(), number=next(_numbers), emitted_at_ms=now_ms)
        telemetry.count("calls", run=run)


def main() -> None:
    """Do the work and end; in a container, which ends with its program, wait for the upload."""
    init()
    work()
    if seconds := os.environ.get("LAUNCH_FLUSH_SECONDS"):
        telemetry.flush(float(seconds), until="delivered")


if __name__ == "__main__":
    main()
