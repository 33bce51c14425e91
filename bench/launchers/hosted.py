"""Starts by somebody else: servers, task queues, notebooks, test runners, and what wraps a program to look into it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.exits.rows import FROM_HOST
from bench.exits.run import wait_until
from bench.launchers.app import CALLS
from bench.launchers.place import HANG_SECONDS, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.launchers.place import Place


def server(program: str) -> Callable[[Place], None]:
    """A server of the table of exits, which is told to end when it has done its work."""

    def launch(place: Place) -> None:
        place.product = "exits"
        place.environment |= {
            "PYTHONPATH": str(ROOT),
            "EXITS_RUN": str(place.run_number),
            "EXITS_DIRECTORY": str(place.directory),
            "EXITS_ENDPOINT": place.environment["LAUNCH_ENDPOINT"],
        }
        file = place.directory / "start.py"
        file.write_text(FROM_HOST + program)
        place.run(place.python, file)

    return launch


def uwsgi(*options: str) -> Callable[[Place], None]:
    """A master, and two workers that it forks unseen by Python; ended gracefully (telemetry/README.md, Limits)."""

    def launch(place: Place) -> None:
        file = place.directory / "wsgi.py"
        file.write_text(
            "import app\napp.init()\ndef application(environ, start):\n    app.work(1)\n"
            "    start('200 OK', [('Content-Length', '0')])\n    return []\n"
        )
        path = place.directory / "http.sock"
        command = [
            str(Path(place.python).with_name("uwsgi")),
            "--http-socket",
            str(path),
            "--master",
            "--processes",
            "2",
            "--wsgi-file",
            str(file),
        ]
        end = ["--hook-master-start", "unix_signal:15 gracefully_kill_them_all"]
        _serve(place, [*command, *end, "--disable-logging", "--need-app", *options], str(path), 2 * CALLS)

    return launch


def patched(module: str, patch: str, *, early: bool = False) -> Callable[[Place], None]:
    """Greenlets in the place of threads, before or after `init`."""

    def launch(place: Place) -> None:
        patching = f"import {module}\n{module}.{patch}\n"
        rest = "import app\napp.init()\n"
        _run_text(place, (patching + rest if early else rest + patching) + "app.work()\n")

    return launch


def ipython(place: Place) -> None:
    """IPython, with a history in the user's home."""
    place.run(place.python, "-m", "IPython", "--colors=nocolor", "-c", "import app; app.main()")


def jupyter(place: Place) -> None:
    """A cell in a notebook's kernel, which is then shut down."""
    _run_text(
        place,
        """
from jupyter_client.manager import start_new_kernel
manager, client = start_new_kernel(kernel_name="python3")
reply = client.execute_interactive("import app; app.main()", timeout=60)
assert reply["content"]["status"] == "ok", reply
client.stop_channels()
manager.shutdown_kernel()
""",
    )


def pytest(*options: str) -> Callable[[Place], None]:
    """A program's own tests, whose fixture has it collect."""

    def launch(place: Place) -> None:
        (place.directory / "test_app.py").write_text(
            "import app, pytest\n"
            "@pytest.fixture(scope='session', autouse=True)\ndef collecting():\n    app.init()\n"
            + "".join(f"def test_{number}():\n    app.work({CALLS})\n" for number in range(2 if options else 1))
        )
        place.run(place.python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "test_app.py")

    return launch


def django(place: Place) -> None:
    """The development server, which runs the program in a process of its own and watches its files."""
    (place.directory / "manage.py").write_text(
        """
import os, sys
from django.conf import settings
from django.core.management import execute_from_command_line
from django.http import HttpResponse
from django.urls import path
import app

def view(request):
    app.work(1)
    return HttpResponse("ok")

urlpatterns = [path("", view)]
if __name__ == "__main__":
    settings.configure(DEBUG=True, ROOT_URLCONF=__name__, SECRET_KEY="x", ALLOWED_HOSTS=["*"], INSTALLED_APPS=[])
    if os.environ.get("RUN_MAIN"):
        app.init()
    execute_from_command_line(sys.argv)
"""
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [place.python, "manage.py", "runserver", "--skip-checks", f"127.0.0.1:{port}"]
    _serve(place, command, port, CALLS, signal_number=signal.SIGINT, group=True)


def wrapped(*command: str) -> Callable[[Place], None]:
    """By a program that looks into others, by a sitecustomize of its own."""

    def launch(place: Place) -> None:
        nobody = {
            "DD_TRACE_AGENT_URL": "http://127.0.0.1:9",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_TRACE_STARTUP_LOGS": "false",
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "NEW_RELIC_MONITOR_MODE": "false",
            "NEW_RELIC_LICENSE_KEY": "0" * 40,
        }
        place.environment |= nobody
        place.run(*command, place.python, place.app)

    return launch


def _run_text(place: Place, text: str) -> None:
    file = place.directory / "start.py"
    file.write_text(text)
    place.run(place.python, file)


def _serve(
    place: Place,
    command: list[str],
    address: str | int,
    requests: int,
    signal_number: int = signal.SIGTERM,
    *,
    group: bool = False,
) -> None:
    """Start a server, ask it `requests` times, and end it in order."""
    with (place.directory / "said").open("w+") as said:
        process = subprocess.Popen(
            command,
            env=place.environment,
            cwd=place.directory,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        try:
            assert wait_until(lambda: _answers(address) or process.poll() is not None, HANG_SECONDS)
            for _ in range(requests - 1):
                assert _answers(address), "a request was not answered"
            (os.killpg if group else os.kill)(process.pid, signal_number)
            process.wait(HANG_SECONDS)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            said.seek(0)
            place.said += said.read()


def _answers(address: str | int) -> bool:
    family, where = (socket.AF_UNIX, address) if isinstance(address, str) else (socket.AF_INET, ("127.0.0.1", address))
    with socket.socket(family) as client:
        try:
            client.connect(where)
            client.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return b" 200 " in client.recv(4096)[:16]
        except OSError:
            time.sleep(0.02)
            return False
