"""Runs one target over many inputs, and says where it crashed, hung, or took too much memory."""

from __future__ import annotations

import resource
import signal
import sys
import traceback
from contextlib import contextmanager
from time import process_time
from typing import TYPE_CHECKING, NamedTuple

from fuzz.mutate import Mutator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HANG_SECONDS = 1.0
"""Of CPU: wall time would blame a target for what else the machine does."""

MEMORY_BYTES = 1 << 30
"""What all inputs together may take beyond what the process has when it begins."""


class Target(NamedTuple):
    """Something that reads what others wrote.

    Attributes:
        name: for the command line.
        seeds: valid examples.
        read: reads one input. It raises for nothing but a crash: what it documents to raise it catches, and returns
            something hashable that tells one kind of answer from another.
        max_bytes: of an input.
    """

    name: str
    seeds: list[bytes]
    read: Callable[[bytes], object]
    max_bytes: int = 8192


class Crash(NamedTuple):
    """An input that a target does not bear."""

    target: str
    seed: str
    number: int
    input: bytes
    what: str


class Hang(BaseException):
    """One input takes longer than it may."""


def fuzz(target: Target, seed: str, inputs: int) -> Crash | None:
    """Run a target over `inputs` inputs; the first one that crashes it, if any."""
    mutator = Mutator(target.seeds, f"{target.name} {seed}", target.max_bytes)
    answers: set[object] = set()
    data, number = b"", 0
    try:
        with _ticking(lambda: number):
            for number in range(inputs):
                data = target.seeds[number] if number < len(target.seeds) else mutator.next()
                answer = target.read(data)
                if answer not in answers:
                    answers.add(answer)
                    mutator.learn(data)
    except (Exception, Hang) as fault:  # noqa: BLE001 whatever it is, it is what we look for
        return Crash(target.name, seed, number, data, _describe(fault))
    return None


def replay(target: Target, data: bytes) -> Crash | None:
    """Run a target over one input."""
    return fuzz(target._replace(seeds=[data]), "replay", 1)


def limit_memory() -> None:
    """Make whatever would take too much memory from now on raise MemoryError."""
    used_bytes = 0
    if sys.platform == "linux":
        with open("/proc/self/statm") as file:  # noqa: PTH123 one line
            used_bytes = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used_bytes + MEMORY_BYTES, resource.RLIM_INFINITY))


@contextmanager
def _ticking(current: Callable[[], int]) -> Iterator[None]:
    """Raise Hang in whatever input is still the current one at a second tick of the CPU's time."""
    seen = (-1, 0.0)

    def tick(*_: object) -> None:
        nonlocal seen
        number, now = current(), process_time()
        if number == seen[0] and now - seen[1] >= 0.9 * HANG_SECONDS:
            raise Hang(f"takes over {HANG_SECONDS} s")
        seen = number, now

    before = signal.signal(signal.SIGPROF, tick)
    signal.setitimer(signal.ITIMER_PROF, HANG_SECONDS, HANG_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _describe(fault: BaseException) -> str:
    frames = traceback.extract_tb(fault.__traceback__)
    at = "; ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames[-4:])
    return f"{type(fault).__name__}: {str(fault)[:200]} ({at})"
