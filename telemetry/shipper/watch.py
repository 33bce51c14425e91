"""Which producers live: a pid and the time its process began name one process for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from telemetry.spool.ledger import Positions
    from telemetry.spool.producers import Position


def may_live(position: Position) -> bool:
    """Whether a process of the producer's pid runs: its numbers must be remembered. A reused pid does no harm."""
    try:
        return psutil.pid_exists(position.pid)
    except OverflowError:  # a frame may claim any pid
        return False


def find(pid: int) -> psutil.Process | None:
    """The process that has this pid now; None when there is none."""
    try:
        return psutil.Process(pid)
    except (psutil.Error, OverflowError):
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

    def __init__(self) -> None:
        self.has_seen_any = False
        self._known: dict[str, psutil.Process | None] = {}
        self._left: set[str] = set()  # kept while the process lives: a frame may come after the goodbye

    def see(self, positions: Positions) -> None:
        """Take note of the producers that a drain came from."""
        for producer, position in positions.items():
            self.has_seen_any = True
            if producer not in self._known:
                self._known[producer] = find(position.pid)

    def leave(self, producer: str) -> None:
        """A producer said goodbye; its process may live on."""
        self._left.add(producer)

    def look(self) -> None:
        """Forget the producers whose processes are gone."""
        gone = [name for name, process in self._known.items() if not lives(process)]
        for producer in gone:
            del self._known[producer]
            self._left.discard(producer)

    def __len__(self) -> int:
        return len(self._known.keys() - self._left)
