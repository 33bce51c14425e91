"""A process that hosts installations: `python -m fleet.worker JSON`, which prints what became of them as JSON."""

from __future__ import annotations

import heapq
import json
import logging
import resource
import sys
from collections import Counter
from math import inf
from pathlib import Path
from threading import Condition, Thread
from time import monotonic, process_time
from typing import Any, NamedTuple

from fleet.installation import Chances, Installation, SharedTripwire, due_times

_LOOK_SECONDS = 0.5


class Work(NamedTuple):
    """What a worker is to do.

    Attributes:
        first: the number of the first installation.
        installations: how many there are.
        batches: how many each makes.
        events: of each batch.
        seconds: the time in which they are made.
        drain_seconds: the time that what waits then has to arrive.
        endpoints: the URLs that installations are given, in turn.
        place: a directory for spools.
        threads: how many upload at one time.
    """

    first: int
    installations: int
    batches: int
    events: int
    seconds: float
    drain_seconds: float
    endpoints: list[str]
    place: str
    threads: int


class Host:
    """The installations of a worker, each of which is with one thread at a time."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._until = inf
        self._changed = Condition()
        self._busy = 0
        self._due: list[tuple[float, int]] = []
        self._times: dict[int, list[float]] = {}
        self.installations: dict[int, Installation] = {}
        tripwire = SharedTripwire()
        for number in range(work.first, work.first + work.installations):
            endpoint = work.endpoints[number % len(work.endpoints)]
            place = Path(work.place, str(number))
            self.installations[number] = Installation(number, place, endpoint, Chances(), tripwire)

    def run(self) -> None:
        """Let all make and upload their batches, until nothing waits or the time is over."""
        self._until = monotonic() + self._work.seconds + self._work.drain_seconds
        for number in self.installations:
            self._times[number] = due_times(number, self._work.batches, self._work.seconds)
            heapq.heappush(self._due, (self._times[number][-1], number))
        threads = [Thread(target=self._serve) for _ in range(self._work.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        while (number := self._take()) is not None:
            again_at = self._turn(number)
            with self._changed:
                self._busy -= 1
                if again_at is not None:
                    heapq.heappush(self._due, (again_at, number))
                self._changed.notify()

    def _take(self) -> int | None:
        with self._changed:
            while monotonic() < self._until and (self._due or self._busy):
                wait_seconds = self._due[0][0] - monotonic() if self._due else _LOOK_SECONDS
                if wait_seconds <= 0:
                    self._busy += 1
                    return heapq.heappop(self._due)[1]
                self._changed.wait(min(wait_seconds, _LOOK_SECONDS))
            return None

    def _turn(self, number: int) -> float | None:
        """Do what is due at one installation; return when something is again, or None for never."""
        installation, times = self.installations[number], self._times[number]
        if times and times[-1] <= monotonic():
            times.pop()
            installation.emit(self._work.events)
        wait_seconds = installation.step() if installation.waiting else 0.0
        again_at = monotonic() + wait_seconds if installation.waiting else None
        if times:
            return min(times[-1], again_at or times[-1])
        return again_at


def main() -> None:
    """Host the installations of one worker."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    logging.disable()  # a failure is a shipper's line in its own log
    host = Host(Work(**json.loads(sys.argv[1])))
    began = process_time()
    host.run()
    cpu_seconds = process_time() - began
    waiting: list[tuple[int, int]] = []
    dropped: Counter[str] = Counter()
    for number, installation in host.installations.items():
        dropped.update(installation.account().tally.dropped)
        if installation.waiting:
            waiting += [(number, event) for event in installation.waiting_numbers()]
        installation.end()
    told: dict[str, Any] = {
        "emitted": {number: each.emitted for number, each in host.installations.items()},
        "withheld": [number for number, each in host.installations.items() if each.is_withheld],
        "waiting": waiting,
        "dropped": dropped,
        "kills": sum(each.kills for each in host.installations.values()),
        "cpu_seconds": cpu_seconds,
    }
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
