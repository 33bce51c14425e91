"""Limit on the number of new producers that are let in at a time.

Each producer is remembered, in memory and on disk, so a sender that invents a new one for each frame, by a fault or on
purpose, has to be stopped; producers that are known already notice nothing.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from telemetry.shipper.intake.receiver import Frame

WINDOW_SECONDS = 10.0
MAX_OF_A_PROCESS = 2_000
"""The limit of one process in a window. A process is a new producer with each `init`, which takes some milliseconds."""
MAX_IN_ALL = 20_000
"""The limit of all processes in a window: some 6 MB of memory until their segment is sealed."""


class Admission:
    """The gate for frames of new producers.

    Attributes:
        refused: the number of frames refused since the start. Their events are counted, as a hole in the producer's
            numbers, when the producer is let in.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.refused = 0
        self._clock = clock
        self._began = float("-inf")
        self._let_in: set[bytes] = set()
        self._by_process: Counter[int] = Counter()

    def admit(self, frames: list[Frame], known: Container[str]) -> list[Frame]:
        """Return the frames that may go on: those of known producers, and of new ones within the limits."""
        if self._clock() - self._began >= WINDOW_SECONDS:
            self._began = self._clock()
            self._let_in.clear()
            self._by_process.clear()
        admitted = [frame for frame in frames if self._admits(frame, known)]
        self.refused += len(frames) - len(admitted)
        return admitted

    def refuse(self, frames: int) -> None:
        """Count frames that were not let in for another reason."""
        self.refused += frames

    def _admits(self, frame: Frame, known: Container[str]) -> bool:
        producer, pid = frame.producer, frame.context.pid
        if producer in self._let_in or producer.hex() in known:
            return True
        if self._by_process[pid] >= MAX_OF_A_PROCESS or len(self._let_in) >= MAX_IN_ALL:
            return False
        self._let_in.add(producer)
        self._by_process[pid] += 1
        return True
