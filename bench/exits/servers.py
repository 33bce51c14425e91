"""Programs that start a server, give it work, and end it in order."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIRECTORY = Path(os.environ["EXITS_DIRECTORY"])
SOCKET = str(DIRECTORY / "http.sock")
DEADLINE_SECONDS = 60.0


def gunicorn(*options: str, app: str = "bench.exits.wsgi:app", lifespans: int = 0) -> None:
    """Serve with gunicorn."""
    # A gevent worker at times misses the signal, without telemetry too, and is killed after this time.
    patience = ("--graceful-timeout", "3", "--no-control-socket")
    _serve("gunicorn", app, "--bind", f"unix:{SOCKET}", *patience, *options, lifespans=lifespans)


def uvicorn(*options: str, lifespans: int = 1, code: int = -SIGTERM) -> None:
    """Serve with uvicorn, which ends by the signal again; its supervisor of workers does not."""
    quiet = ("--log-level", "warning")
    _serve("uvicorn", "bench.exits.asgi:app", "--uds", SOCKET, *quiet, *options, lifespans=lifespans, code=code)


def hypercorn(workers: int, pause_seconds: float = 0.0) -> None:
    """Serve with workers of hypercorn, which ends the others by SIGTERM as soon as the first one has ended."""
    bound = ("--bind", f"unix:{SOCKET}", "-w", str(workers))
    _serve("hypercorn", "bench.exits.asgi:app", *bound, lifespans=workers, pause_seconds=pause_seconds)


def daphne() -> None:
    """Serve with daphne."""
    _serve("daphne", "bench.exits.asgi:app", "-u", SOCKET, "--verbosity", "0")


def waitress() -> None:
    """Serve with waitress, whose orderly end is Ctrl-C."""
    _serve("waitress", f"--unix-socket={SOCKET}", "bench.exits.wsgi:app", signal=SIGINT)


def uwsgi(*options: str) -> None:
    """Serve with uWSGI, and end it gracefully: at SIGINT it runs no exit handlers of a worker it takes for busy."""
    app = ("--http-socket", SOCKET, "--master", "--processes", "2", "--module", "bench.exits.wsgi:app")
    end = ("--hook-master-start", "unix_signal:15 gracefully_kill_them_all")
    _serve("bench.exits.uwsgi", *app, *end, "--need-app", "--disable-logging", *options)


def celery(*options: str, tasks: int = 100) -> None:
    """Run tasks with a Celery worker."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")
    from bench.exits.tasks import task  # noqa: PLC0415 it begins to collect, which servers do in their own process

    for _ in range(tasks):
        task.delay()
    with running("celery", "-A", "bench.exits.tasks", "worker", "-c", "2", *quiet, *options):
        await_noted("done", tasks)


def await_noted(what: str, times: int) -> None:
    """Wait until it has been noted that often."""
    file = DIRECTORY / what
    wait_until(lambda: times == 0 or (file.exists() and file.stat().st_size == times))


def _serve(
    module: str,
    *arguments: str,
    requests: int = 100,
    lifespans: int = 0,
    pause_seconds: float = 0.0,
    signal: int = SIGTERM,
    code: int = 0,
) -> None:
    with running(module, *arguments, signal=signal, code=code):
        await_noted("started", lifespans)
        _request(requests)
        time.sleep(pause_seconds)


@contextmanager
def running(module: str, *arguments: str, signal: int = SIGTERM, code: int = 0) -> Iterator[None]:
    """A server while the block lasts; then it is told to end by `signal`, and must do so with `code`."""
    server = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield
        (DIRECTORY / "left").write_text(str(time.monotonic()))
        server.send_signal(signal)
        found = server.wait(DEADLINE_SECONDS)
    finally:
        server.kill()
    if found != code:
        raise SystemExit(f"{module} ended with code {found}, not {code}")


def _request(requests: int) -> None:
    wait_until(_serves)
    answered = 0
    while answered < requests:
        answered += _get()


def _serves() -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(SOCKET) == 0


def _get() -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(SOCKET)
        client.sendall(b"GET / HTTP/1.0\r\nHost: exits\r\n\r\n")
        answer = b""
        while part := client.recv(4096):
            answer += part
        return b" 200 " in answer[:16]


def wait_until(predicate: Callable[[], bool]) -> None:
    """Poll until `predicate` holds."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not predicate():
        if time.monotonic() > deadline:
            raise SystemExit(f"the server did not come that far within {DEADLINE_SECONDS} s")
        time.sleep(0.02)
