"""Processes that the demo starts: a collector and some producers. Each writes JSON objects, one a line, to stdout."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psutil

from telemetry.demo.producer import FLUSH_SECONDS
from telemetry.errors import TelemetryError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from types import FrameType, TracebackType


STOP_SECONDS = FLUSH_SECONDS + 10.0
"""Seconds before a child that was told to stop is killed. A producer flushes first, perhaps to a shipper that is still
coming up, and what it has emitted when that is killed would go uncounted. A collector finishes its uploads."""

_READ_BYTES = 1 << 16

_SHORT_CHARACTERS = 36
"""The longest home: a socket's path must not exceed some 100 characters, and ours adds 62."""

# What speaks on consent (the marks of CI systems do not: the demo's host says yes), and what turns uploads elsewhere.
_SCRUBBED = re.compile(r"CI|DO_NOT_TRACK|TELEMETRY_\w*|\w+_TELEMETRY|\w+_PROXY", re.IGNORECASE)
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class DemoError(TelemetryError):
    """Raised when the demo can't go on; the text is one line."""


class Child:
    """A process in a session of its own: Ctrl-C reaches the demo alone, which then ends the children in order.

    Leaving its `with` block ends it.
    """

    def __init__(self, name: str, module: str, arguments: Sequence[str], home: Path) -> None:
        """Start `python -m module arguments`; its stderr goes to a file in `home`."""
        self.name = name
        self.is_speaking = True
        self._complaints = home / f"{name.replace(' ', '-')}.stderr"
        self._heard = b""
        with self._complaints.open("wb") as complaints:
            self._process = subprocess.Popen(  # noqa: S603 our own modules
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        try:
            self._process.communicate(timeout=STOP_SECONDS)  # reads on, so that it can't block in a last word
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def stop(self) -> None:
        """Tell the process to end, without waiting for it."""
        self._process.terminate()

    def fileno(self) -> int:
        """Return the file descriptor of the process's stdout."""
        assert self._process.stdout is not None  # noqa: S101 it was asked for
        return self._process.stdout.fileno()

    def read(self) -> list[Any]:
        """Return the objects written since the last call; blocks if there are none."""
        data = os.read(self.fileno(), _READ_BYTES)
        self.is_speaking = bool(data)
        *lines, self._heard = (self._heard + data).split(b"\n")
        return [json.loads(line) for line in lines]

    @property
    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self._process.poll() is not None

    def obituary(self) -> DemoError:
        """Describe how the process ended: by a signal, or with an exit code and the last line on its stderr."""
        code = self._process.returncode
        if code < 0:
            return DemoError(f"{self.name} was killed by {signal.Signals(-code).name}")
        complaints = self._complaints.read_text(errors="replace").split("\n")
        last = next((line.strip() for line in reversed(complaints) if line.strip()), "it said nothing")
        return DemoError(f"{self.name} ended with exit code {code}: {last}")

    def check(self) -> None:
        """Raise `DemoError` if the process has failed."""
        if self._process.poll():
            raise self.obituary()


def hear(children: Sequence[Child], seconds: float) -> list[tuple[Child, Any]]:
    """Return the objects that the children write; blocks until one writes or ends, for at most `seconds`."""
    speaking = [child for child in children if child.is_speaking]
    if not speaking:
        time.sleep(seconds)
        return []
    with selectors.DefaultSelector() as selector:
        for child in speaking:
            selector.register(child, selectors.EVENT_READ, child)
        ready = [key.data for key, _ in selector.select(seconds)]
    return [(child, said) for child in ready for said in child.read()]


@contextmanager
def producers(processes: int, events: int, endpoint: str, home: Path) -> Iterator[list[Child]]:
    """Start the producers, each with its share of `events`; end them all at the end of the block."""
    with ExitStack() as stack:
        started = []
        for index in range(processes):
            share = events // processes + (index < events % processes)
            arguments = [str(index), str(processes), str(share), endpoint]
            child = Child(f"producer {index + 1}", "telemetry.demo.producer", arguments, home)
            started.append(stack.enter_context(child))
        try:
            yield started
        finally:
            for child in started:
                child.stop()


@contextmanager
def private_home() -> Iterator[Path]:
    """Give this process and its children a home and environment of their own; take both away at the end.

    Whatever process still lives in the home then is killed.
    """
    home = Path(tempfile.mkdtemp(prefix="telemetry-demo-", dir=_short_directory()))
    before = dict(os.environ)
    try:
        _set_environment(scrubbed(before) | {"TELEMETRY_HOME": str(home)})
        yield home
    finally:
        _set_environment(before)
        _kill_inhabitants(home)
        shutil.rmtree(home, ignore_errors=True)


def scrubbed(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment without what could say no, or yes, or send uploads elsewhere."""
    return {name: value for name, value in environment.items() if not _SCRUBBED.fullmatch(name)}


def _short_directory() -> str | None:
    return None if len(tempfile.gettempdir()) <= _SHORT_CHARACTERS else "/tmp"  # noqa: S108 mkdtemp makes it private


def _set_environment(environment: Mapping[str, str]) -> None:
    os.environ.clear()
    os.environ.update(environment)


def _kill_inhabitants(home: Path) -> None:
    """Kill what was started in `home`, and only that: the home is in its environment."""
    for process in psutil.process_iter(["environ"]):
        if (process.info["environ"] or {}).get("TELEMETRY_HOME") == str(home):
            process.kill()


class InterruptedDemoError(Exception):
    """A signal that asks the demo to end."""


class Interrupt:
    """Takes note of SIGINT, SIGTERM and SIGHUP inside its `with` block."""

    def __init__(self) -> None:
        self._came = False
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._note) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in zip(_SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `InterruptedDemoError` when a signal came."""
        if self._came:
            raise InterruptedDemoError

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
