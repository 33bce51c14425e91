"""What a program of the table calls; it runs in the program's process, and in its children.

With `EXITS_PLAIN` in the environment it is the same program without telemetry, which is then not even imported.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

RUN = int(os.environ["EXITS_RUN"])
DIRECTORY = Path(os.environ["EXITS_DIRECTORY"])
IS_PLAIN = "EXITS_PLAIN" in os.environ

# A shell that starts the table in the background has its children ignore Ctrl-C, and they theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)

if not IS_PLAIN:
    import telemetry

_numbers = itertools.count()


def init(**options: Any) -> None:
    """Begin to collect."""
    if not IS_PLAIN:
        telemetry.init(
            product="exits",
            catalog=Path(__file__).with_name("catalog.toml"),
            endpoint=os.environ["EXITS_ENDPOINT"],
            consent="on",
            shipper=telemetry.ShipperSettings(segment_seconds=0.5, upload_jitter_seconds=0.0, retry_max_seconds=1.0),
            **options,
        )


def use_black_hole() -> None:
    """Have an endpoint that takes a connection and never answers; no other program shares its shipper."""
    os.environ["EXITS_ENDPOINT"] = f"{os.environ['EXITS_BLACK_HOLE']}/{RUN}"


def use_another_endpoint() -> None:
    """Have the collector under another name, so that no shipper runs for it."""
    os.environ["EXITS_ENDPOINT"] = os.environ["EXITS_ENDPOINT"].replace("127.0.0.1", "localhost")


def lose_shipper() -> None:
    """Kill the shipper, and be a program that can't start another: `sys.executable` is no Python."""
    sys.executable = ""
    if not IS_PLAIN:
        for lock in Path(os.environ["TELEMETRY_HOME"]).glob("run/*/lock"):
            config = json.loads(lock.with_name("shipper.json").read_text())
            if config["endpoint"] == os.environ["EXITS_ENDPOINT"]:
                os.kill(int(lock.read_text()), signal.SIGKILL)


def work(calls: int = 100) -> None:
    """Emit an event a call, and count the call."""
    for _ in range(calls):
        if not IS_PLAIN:
            now_ms = time.monotonic() * 1e3
            telemetry.emit("worked", run=RUN, process=os.getpid(), number=next(_numbers), emitted_at_ms=now_ms)
            telemetry.count("calls", run=RUN)


def flush(timeout: float = 2.0) -> None:
    """Hand over now."""
    if not IS_PLAIN:
        telemetry.flush(timeout)


def close(timeout: float = 0.3) -> None:
    """Emit no more."""
    if not IS_PLAIN:
        telemetry.close(timeout)


def settle() -> None:
    """Wait, without a flush, until all that was emitted so far has arrived at the collector."""
    if not IS_PLAIN:
        _tell("settle")
        sys.stdin.readline()


def note(what: str) -> None:
    """Note that a task is `done`, or a worker has `started`, for who waits for them."""
    file = os.open(DIRECTORY / what, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, b".")
    os.close(file)


def leave(emitted: int | None = None) -> None:
    """Note when the program begins to end; and how much it has emitted where that hangs on the machine."""
    (DIRECTORY / "left").write_text(str(time.monotonic()))
    if emitted is not None:
        (DIRECTORY / "emitted").write_text(str(emitted))


def await_signal() -> None:
    """Say that the signal may come, and wait for it."""
    _tell("ready")
    while True:  # one that comes between the word and the sleep is heard when the sleep ends
        time.sleep(0.05)


def _tell(word: str) -> None:
    # In one write, and past the buffer: a forked child would write what is left in it again.
    os.write(1, f"{word}\n".encode())
