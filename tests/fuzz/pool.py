"""Runs the targets in processes of their own, chunk by chunk."""

from __future__ import annotations

import logging
import os
import tempfile
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from fuzz import collector_targets, disk_targets, shipper_targets
from fuzz.run import Crash, Target, fuzz, limit_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_FIRST_CHUNK, _LARGEST_CHUNK = 20, 2000
"""Inputs of one share in one go: few at first, so that each target soon has its turn; then more, to learn from.

Each chunk has a seed of its own, so that one can be run again alone.
"""


class Chunk(NamedTuple):
    """A run of one target."""

    target: str
    seed: str
    inputs: int


class Opener(NamedTuple):
    """A target that is not opened yet.

    Attributes:
        share: of all inputs: fast targets get most.
        open: makes it ready, which may take a second.
    """

    share: int
    open: Callable[[], Target]


def openers(scratch: Path) -> dict[str, Opener]:
    """The targets by their names; once opened, they write below `scratch`."""
    modules = (shipper_targets, disk_targets, collector_targets)
    return {name: Opener(share, open_) for module in modules for name, share, open_ in module.targets(scratch)}


_opened: dict[str, Target] = {}


def begin(folder: str, names: tuple[str, ...]) -> None:
    """Open the targets in a process of their own."""
    scratch = Path(tempfile.mkdtemp(dir=folder))
    os.environ["TELEMETRY_HOME"] = str(scratch)
    logging.disable()
    _opened.update({name: opener.open() for name, opener in openers(scratch).items() if name in names})
    limit_memory()


def run_chunk(chunk: Chunk) -> Crash | None:
    """One chunk, in the process that `begin` has opened."""
    return fuzz(_opened[chunk.target], chunk.seed, chunk.inputs)


def chunks(names: tuple[str, ...], seed: int) -> Iterator[Chunk]:
    """Without end: of each target in turn, as many inputs as its share."""
    known = openers(Path("unopened"))
    number = 0
    while True:
        size = min(_LARGEST_CHUNK, _FIRST_CHUNK << min(number, 10))
        for name in names:
            yield Chunk(name, f"{seed}/{number}", known[name].share * size)
        number += 1


class Tally(NamedTuple):
    """What was run, and what crashed."""

    inputs: dict[str, int]
    crashes: list[Crash]
    died: list[Chunk]


def run(names: tuple[str, ...], seed: int, inputs: int | None, seconds: float, workers: int) -> Tally:
    """Fuzz until so many inputs or seconds have passed, or a target crashed; blocks.

    Args:
        names: of the targets.
        seed: the same gives the same inputs.
        inputs: at least so many, of all targets together; None for no such end.
        seconds: the other end.
        workers: processes.
    """
    memory = Path("/dev/shm")  # noqa: S108 a directory of our own below it
    deadline = monotonic() + seconds
    tally = Tally(dict.fromkeys(names, 0), [], [])
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        todo = chunks(names, seed)
        with ProcessPoolExecutor(workers, get_context("spawn"), begin, (folder, names)) as pool:
            running: dict[Future[Crash | None], Chunk] = {}
            while not (tally.crashes or tally.died):
                enough = monotonic() > deadline or (inputs is not None and sum(tally.inputs.values()) >= inputs)
                while not enough and len(running) < 2 * workers:
                    chunk = next(todo)
                    running[pool.submit(run_chunk, chunk)] = chunk
                if not running:
                    break
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    _note(tally, running.pop(future), future)
    return tally


def _note(tally: Tally, chunk: Chunk, future: Future[Crash | None]) -> None:
    try:
        crash = future.result()
    except BrokenProcessPool:
        tally.died.append(chunk)
        return
    tally.inputs[chunk.target] += chunk.inputs if crash is None else crash.number + 1
    if crash is not None:
        tally.crashes.append(crash)
