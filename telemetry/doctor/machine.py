"""Examination of this machine: the installed package, the places of state and sockets, and the room for them."""

from __future__ import annotations

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from telemetry import paths
from telemetry.doctor.step import Step, fault, good, note
from telemetry.files import check_private

if TYPE_CHECKING:
    from collections.abc import Iterator

LOW_BYTES = 64 << 20
"""The room on the spool's disk below which it is told."""

_COMMAND = "telemetry.__main__:main"


def examine_package() -> Iterator[Step]:
    """Look at what is installed under our name, and tell whether free text can be redacted here."""
    python = f"Python {sys.version_info.major}.{sys.version_info.minor} at {sys.executable}"
    others = [name for name in dict.fromkeys(packages_distributions().get("telemetry", ())) if not _is_ours(name)]
    if others:
        yield fault(
            "package",
            f"another distribution, {', '.join(others)}, brings a package `telemetry` into this environment ({python})",
            f"each overwrites the other's files: pip uninstall {' '.join(others)}, then "
            "pip install --force-reinstall telemetry-shipper",
        )
    else:
        yield good("package", f"{Path(__file__).parents[1]}, {python}")
    if find_spec("hyperscan") is None:
        yield note(
            "package", "hyperscan is not installed", "free text is dropped and counted; install its wheel to have it"
        )


def _is_ours(name: str) -> bool:
    try:
        return any(point.value == _COMMAND for point in distribution(name).entry_points)
    except PackageNotFoundError:
        return False


def examine_place() -> Iterator[Step]:
    """Check that state and sockets have a place that this user alone can write, and that the disk has room."""
    said = os.environ.get("TELEMETRY_HOME", "")
    if said and not os.path.isabs(said):  # noqa: PTH117 as the variable is read
        yield note("place", f"TELEMETRY_HOME={said!r} is no absolute path, and is ignored", "write an absolute path")
    for what, find in (("spools", paths.state_dir), ("sockets", paths.runtime_root)):
        directory = find()
        try:
            check_private(directory)
        except OSError as refusal:
            yield fault("place", f"{what}: {refusal}", "fix it, or move all state with TELEMETRY_HOME")
            continue
        standing = next(path for path in (directory, *directory.parents) if path.exists())
        if not os.access(standing, os.W_OK | os.X_OK):
            yield fault(
                "place",
                f"{what} would lie in {directory}, and user {os.getuid()} can't write in {standing}",
                "fix its mode, or move all state with TELEMETRY_HOME",
            )
            continue
        found = os.statvfs(standing)
        if not found.f_blocks:  # /proc and its like, which say that anybody may write there
            yield fault(
                "place",
                f"{what} would lie in {directory}, where no file can be made",
                "move all state with TELEMETRY_HOME",
            )
            continue
        free_bytes = found.f_bavail * found.f_frsize
        if free_bytes < LOW_BYTES or (found.f_files and not found.f_favail):
            yield fault(
                "place", f"{what} lie in {directory}, whose disk has {free_bytes >> 20} MiB left", "free the disk"
            )
        else:
            yield good("place", f"{what} lie in {directory}")
