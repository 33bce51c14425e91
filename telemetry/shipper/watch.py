"""Which producers live: a pid and the time its process began name one process for ever.

A producer on another machine has no process here. It lives until it says goodbye or was not heard of for an hour.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

import psutil

from telemetry.shipper.intake.receiver import REMOTE_PID
from telemetry.spool.producers import MAX_POSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.spool.ledger import Positions
    from telemetry.spool.producers import Position

REMOTE_SECONDS = 3600.0
"""A host on another machine is silent while it has nothing to say; one that was killed never says goodbye."""

MAX_WATCHED = 10_000
"""Producers; beyond it the longest known is no longer watched. Somebody invents them, or others live anyway."""


def may_live(position: Position) -> bool:
    """Whether a process of the producer's pid runs: its numbers must be remembered. A reused pid does no harm."""
    try:
        return position.pid == REMOTE_PID or psutil.pid_exists(position.pid)
    except OverflowError:  # a frame may claim any pid
        return False


def remembered(positions: Positions) -> Positions:
    """What of too many positions is kept: no dead process's, and at most the limit.

    Beyond that the process with the most producers gives way, the oldest of them first: somebody invents them.
    """
    found = {position.pid: may_live(position) for position in positions.values()}
    living = {name: position for name, position in positions.items() if found[position.pid]}
    crowds = Counter(position.pid for position in living.values())
    order = sorted(living, key=lambda name: -crowds[living[name].pid])
    for name in order[: max(0, len(living) - MAX_POSITIONS)]:
        del living[name]
    return living


def find(pid: int) -> psutil.Process | None:
    """The process that has this pid now; None when there is none."""
    try:
        return psutil.Process(pid)
    except (psutil.Error, OverflowError, ValueError):
        return None


def lives(process: psutil.Process | None) -> bool:
    """Whether it still runs, and no other one under its pid; a zombie does not.

    psutil compares the times that they began in ticks since the boot: a clock that is set does no harm.
    """
    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


class Watch:
    """The producers of one shipper that have not left.

    Only producers that sent a frame to this shipper are known; one of a predecessor's makes itself known by its next.

    Attributes:
        has_seen_any: whether a producer ever came.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.has_seen_any = False
        self._clock = clock
        self._known: dict[str, int] = {}
        # By pid: a process may have many producers, one after the other.
        self._processes: dict[int, psutil.Process | None] = {}
        self._heard_at: dict[str, float] = {}  # of those on other machines
        self._left: set[str] = set()  # kept while the process lives: a frame may come after the goodbye

    def see(self, positions: Positions) -> None:
        """Take note of the producers that a drain came from."""
        for producer, position in positions.items():
            self.has_seen_any = True
            self._known.setdefault(producer, position.pid)
            if position.pid == REMOTE_PID:
                self._heard_at[producer] = self._clock()
            elif position.pid not in self._processes:
                self._processes[position.pid] = find(position.pid)
        while len(self._known) > MAX_WATCHED:
            self._forget(next(iter(self._known)))

    def leave(self, producer: str) -> None:
        """A producer said goodbye; its process may live on."""
        if len(self._left) < 2 * MAX_WATCHED:
            self._left.add(producer)

    def look(self) -> None:
        """Forget the producers whose processes are gone, and those elsewhere that were not heard of for long."""
        gone = {pid for pid, process in self._processes.items() if not lives(process)}
        silent_since = self._clock() - REMOTE_SECONDS
        silent = {producer for producer, heard_at in self._heard_at.items() if heard_at < silent_since}
        for producer in [name for name, pid in self._known.items() if pid in gone or name in silent]:
            self._forget(producer)
        for pid in gone:
            del self._processes[pid]

    def _forget(self, producer: str) -> None:
        del self._known[producer]
        self._heard_at.pop(producer, None)
        self._left.discard(producer)

    def __len__(self) -> int:
        return len(self._known.keys() - self._left)
