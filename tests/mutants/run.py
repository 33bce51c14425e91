"""Mutants one after the other, each in a copy of the tree, against the tests of its module."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from mutants.mutate import Mutant, mutants

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PATIENCE = 5.0
"""A mutant that takes so many times as long as the module that it was made from waits for something for ever."""
_PARTS = ("pyproject.toml", "README.md", "telemetry", "tests", "bench", "tools")


class Fate(NamedTuple):
    """What became of a mutant."""

    mutant: Mutant
    is_killed: bool


def fates(module: str, tests: tuple[str, ...], workers: int, directory: Path) -> Iterator[Fate]:
    """Make every mutant of a module and run its tests on each, in no order that means anything.

    Args:
        module: its path below `telemetry/`.
        tests: names of its files of tests.
        workers: how many at once.
        directory: where copies of the tree are made.

    Raises:
        RuntimeError: the tests fail on the module as it is.
    """
    copies: SimpleQueue[Path] = SimpleQueue()
    for number in range(workers):
        copies.put(_copy(directory / str(number)))
    source = (ROOT / "telemetry" / module).read_text()
    copy = copies.get()
    seconds = _pass(copy, tests, 3600.0)
    copies.put(copy)
    if seconds is None:
        raise RuntimeError(f"the tests of {module} fail without any change; mend them first")

    def try_one(mutant: Mutant) -> Fate:
        copy = copies.get()
        try:
            (copy / "telemetry" / module).write_text(mutant.source)
            return Fate(mutant, _pass(copy, tests, 10.0 + PATIENCE * seconds) is None)
        finally:
            (copy / "telemetry" / module).write_text(source)
            copies.put(copy)

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(try_one, mutants(source))


def _copy(directory: Path) -> Path:
    for part in _PARTS:
        kind = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        directory.mkdir(parents=True, exist_ok=True)
        kind(ROOT / part, directory / part)
    return directory


def _pass(copy: Path, tests: tuple[str, ...], patience_seconds: float) -> float | None:
    """The seconds that the tests took; None when one failed, or they did not end."""
    files = [f"tests/test_{name}.py" for name in tests]
    # Fewer examples than a whole run, and always the same: a mutant's fate must not hang on luck.
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    begun = os.times().elapsed
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *options, *files],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            failed = process.wait(patience_seconds) != 0
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            failed = True
    return None if failed else os.times().elapsed - begun
