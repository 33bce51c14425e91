"""Refusals: reasons why no shipper starts in a rendezvous, for producers that would start another, and for status.

    refused     {"why": ..., "of": ...}, by a shipper that could not start, or by a host that can't start one
    start.log   the standard error of a process that was to be the shipper, until it served

A refusal holds for the very configuration that was refused, down to the contents of the files that it names. One
without a configuration holds nobody back. When a shipper serves here, both files are gone. Standard library only: the
host imports it.
"""

from __future__ import annotations

import json
import os
import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from telemetry.digest import sha256_hex
from telemetry.files import private_file, write_private
from telemetry.native import posix, time
from telemetry.settings import FILES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REFUSED_FILE = "refused"
START_LOG_FILE = "start.log"

HELD_SECONDS = 60.0
"""The time for which a refused configuration is not tried again: the fault may be one that no file shows."""

_MAX_BYTES = 64 << 10


class Refusal:
    """A reason why no shipper starts.

    Attributes:
        why: the reason in words.
        of: the `identity` of the refused configuration; empty if it holds nobody back.
        age_seconds: the time since then; negative if the clock was set back.
    """

    def __init__(self, why: str, of: str, age_seconds: float) -> None:
        self.why = why
        self.of = of
        self.age_seconds = age_seconds

    def holds(self, config: bytes) -> bool:
        """Tell whether a shipper with this configuration is not to be started now."""
        return bool(self.of) and 0 <= self.age_seconds < HELD_SECONDS and self.of == identity(config)


def identity(config: bytes) -> str:
    """Return a digest of a configuration: of its text, and of the state of the files that it names."""
    try:
        said = json.loads(config)
        files = [said.get(name) for name in ("catalog", *FILES)]
    except (ValueError, AttributeError, RecursionError):
        files = []
    return sha256_hex(config + repr([*map(_known_of, files)]).encode())


def refuse(directory: Path, why: str, config: bytes | None) -> None:
    """Record why no shipper starts; for a host that can't start one, `config` is None. Never raises."""
    said = {"why": why, "of": identity(config) if config is not None else ""}
    with suppress(OSError):  # on a full disk nobody can be told, and producers try again
        write_private(directory / REFUSED_FILE, json.dumps(said).encode())


def read_refusal(directory: Path) -> Refusal | None:
    """Return why no shipper has started; None if no reason was recorded."""
    try:
        data, age_seconds = _read(directory / REFUSED_FILE)
        said = json.loads(data)
        return Refusal(str(said["why"]), str(said["of"]), age_seconds)
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        pass
    try:
        data, age_seconds = _read(directory / START_LOG_FILE)
    except OSError:
        return None
    lines = data.decode(errors="replace").strip().splitlines()
    return Refusal(f"the shipper ended as it started: {lines[-1].strip()}", "", age_seconds) if lines else None


def is_beginning(directory: Path) -> bool:
    """Tell whether the shipper that was spawned last, if it runs, has not served yet."""
    return os.path.lexists(directory / START_LOG_FILE)


def foreground_command(program: Sequence[str], path: str | None, config_file: Path) -> str:
    """Return the shell command that shows why no shipper starts.

    Args:
        program: the command that runs telemetry.
        path: the PYTHONPATH that it is started with; None for none.
        config_file: the shipper's configuration.
    """
    told = f"PYTHONPATH={shlex.quote(path)} " if path is not None else ""
    return told + shlex.join([*program, "ship", "--config", str(config_file)])


def forget_refusal(directory: Path) -> None:
    """Remove the record of a refusal, because a shipper serves here."""
    for name in (REFUSED_FILE, START_LOG_FILE):
        with suppress(OSError):
            (directory / name).unlink()


def _read(path: Path) -> tuple[bytes, float]:
    file = private_file(path, os.O_RDONLY)
    try:
        return posix.read(file, _MAX_BYTES), time() - os.fstat(file).st_mtime
    finally:
        os.close(file)


def _known_of(file: Any) -> tuple[int, ...]:
    try:
        found = os.stat(file)  # noqa: PTH116 what a configuration names may be no path at all
    except (OSError, TypeError, ValueError):
        return ()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode, found.st_uid
