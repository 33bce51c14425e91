"""Which producers live: a pid and the time its process began name one process for ever."""

from __future__ import annotations

import psutil

from telemetry.shipper.ledger import Positions
from telemetry.shipper.producers import Position


def may_live(position: Position) -> bool:
    """Whether a process of the producer's pid runs: its numbers must be remembered. A reused pid does no harm."""
    return psutil.pid_exists(position.pid)


def started(pid: int) -> float:
    """When a process began, UNIX seconds; 0 when it is gone or a zombie."""
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except (psutil.Error, OverflowError):
        return 0.0


class Watch:
    """The producers of one shipper that have not left.

    Only producers that sent a frame to this shipper are known; one of a predecessor's makes itself known by its next.
    """

    def __init__(self) -> None:
        self._started: dict[str, tuple[int, float]] = {}
        self._left: set[str] = set()

    def see(self, positions: Positions) -> None:
        """Take note of the producers that a drain came from."""
        for producer, position in positions.items():
            if producer not in self._started and producer not in self._left:
                self._started[producer] = position.pid, started(position.pid)

    def leave(self, producer: str) -> None:
        """A producer said goodbye; its process may live on."""
        self._left.add(producer)
        self._started.pop(producer, None)

    def look(self) -> None:
        """Forget the producers whose processes are gone."""
        gone = [name for name, (pid, began) in self._started.items() if not began or started(pid) != began]
        for producer in gone:
            self.leave(producer)

    @property
    def has_seen_any(self) -> bool:
        """Whether a producer ever came."""
        return bool(self._started or self._left)

    def __len__(self) -> int:
        return len(self._started)
