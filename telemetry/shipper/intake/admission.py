"""How many new producers are let in at a time.

Each one is remembered, in memory and on disk, so who invents a new one for each frame, by a fault or on purpose, must
come to an end; those that are known already feel nothing of it.
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
"""In a window. A process is a new producer with each `init`, which takes it some milliseconds."""
MAX_IN_ALL = 20_000
"""In a window, of all processes together: some 6 MB of memory until their segment is sealed."""


class Admission:
    """The gate that frames of new producers go through.

    Attributes:
        refused: how many frames were, since the start. What their events were is counted, as a hole in the producer's
            numbers, when it is let in.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.refused = 0
        self._clock = clock
        self._began = float("-inf")
        self._let_in: set[bytes] = set()
        self._by_process: Counter[int] = Counter()

    def admit(self, frames: list[Frame], known: Container[str]) -> list[Frame]:
        """The frames that may go on: all of known producers, and those of new ones as long as they are not too many."""
        if self._clock() - self._began >= WINDOW_SECONDS:
            self._began = self._clock()
            self._let_in.clear()
            self._by_process.clear()
        admitted = [frame for frame in frames if self._admits(frame, known)]
        self.refused += len(frames) - len(admitted)
        return admitted

    def refuse(self, frames: int) -> None:
        """Take note that so many frames more were not let in, for another reason."""
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
