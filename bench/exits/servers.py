"""Programs that start a server, give it work, and end it in order."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DIRECTORY = Path(os.environ["EXITS_DIRECTORY"])
SOCKET = str(DIRECTORY / "http.sock")
DEADLINE_SECONDS = 60.0


def gunicorn(*options: str, requests: int = 100) -> None:
    """Serve with gunicorn."""
    # A gevent worker at times misses the signal, without telemetry too, and is killed after this time.
    patience = ("--graceful-timeout", "3")
    with _running(
        "gunicorn", "bench.exits.wsgi:app", "--bind", f"unix:{SOCKET}", "--no-control-socket", *patience, *options
    ):
        _request(requests)


def uvicorn(*, requests: int = 100) -> None:
    """Serve with uvicorn."""
    with _running("uvicorn", "bench.exits.asgi:app", "--uds", SOCKET, "--log-level", "warning", code=-15):
        _request(requests)


def celery(*options: str, tasks: int = 100) -> None:
    """Run tasks with a Celery worker of prefork processes."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "error")
    from bench.exits.tasks import task  # noqa: PLC0415 it begins to collect, which gunicorn and uvicorn do elsewhere

    for _ in range(tasks):
        task.delay()
    with _running("celery", "-A", "bench.exits.tasks", "worker", "-c", "2", *quiet, *options):
        done = DIRECTORY / "done"
        _wait_until(lambda: done.exists() and done.stat().st_size == tasks)


@contextmanager
def _running(module: str, *arguments: str, code: int = 0) -> Iterator[None]:
    """A server while the block lasts; then it is told to end, and must do so with `code`."""
    server = subprocess.Popen([sys.executable, "-m", module, *arguments])
    try:
        yield
        (DIRECTORY / "left").write_text(str(time.monotonic()))
        server.terminate()
        found = server.wait(DEADLINE_SECONDS)
    finally:
        server.kill()
    if found != code:
        raise SystemExit(f"{module} ended with code {found}, not {code}")


def _request(requests: int) -> None:
    _wait_until(_serves)
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


def _wait_until(predicate: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not predicate():
        if time.monotonic() > deadline:
            raise SystemExit(f"the server did not come that far within {DEADLINE_SECONDS} s")
        time.sleep(0.02)
