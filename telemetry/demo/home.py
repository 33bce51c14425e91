"""The demo's private home: a temporary TELEMETRY_HOME, an environment that says nothing, and nothing left behind."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SHORT_CHARACTERS = 36
"""A socket's path must not exceed some 100: ours adds 62."""

# What speaks on consent (the marks of CI systems do not: the demo's host says yes), and what turns uploads elsewhere.
_SCRUBBED = re.compile(r"CI|DO_NOT_TRACK|TELEMETRY_\w*|\w+_TELEMETRY|\w+_PROXY", re.IGNORECASE)


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
    """An environment without what could say no, or yes, or send uploads elsewhere."""
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
