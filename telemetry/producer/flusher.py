"""When the outbox is drained: at once after a pause, else within the flush interval, by a thread that sleeps when idle.

    asleep   nobody is due to look at the queue. The first event after a pause is sent by its own caller; a second one
             within the interval wakes the thread.
    awake    the thread drains once an interval, the first time an interval after it woke; a caller whose event fills a
             batch drains as well.

The thread says that it falls asleep and then drains once more, and a caller appends and then looks whether it sleeps,
so an event can't be forgotten between the two.
"""

from __future__ import annotations

from queue import Empty
from time import monotonic
from typing import TYPE_CHECKING

from telemetry.producer.native import Lock, SimpleQueue, sleep, start_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable

SUPERVISE_SECONDS = 0.5
"""How often consent and shipper are looked after, while there is traffic: a withdrawal must act within a second."""


class Flusher:
    """The flush thread of one process, started when first needed.

    Attributes:
        asleep: read by `emit` on its way.
        keeps_watch: set by `supervise`; whether it is to be called while nothing is emitted too.
    """

    def __init__(self, interval_seconds: float, work: Callable[[], bool], supervise: Callable[[], None]) -> None:
        """Take the work and its rhythm.

        Args:
            interval_seconds: how long an event may wait.
            work: one round; False when something still waits.
            supervise: looks after consent and shipper; called twice a second while there is traffic.
        """
        self._interval_seconds = interval_seconds
        self._work = work
        self._supervise = supervise
        self.renew()

    def renew(self) -> None:
        """Begin without a thread: threads don't survive a fork."""
        self.asleep = True
        self.keeps_watch = False
        self._stopped = False
        self._unstarted = Lock()  # who gets it starts the thread
        self._watched_at = -SUPERVISE_SECONDS
        self._wake: SimpleQueue[None] = SimpleQueue()

    def wake(self) -> None:
        """Have the thread look at the queue within an interval. Safe in signal handlers: it waits for no lock.

        `threading.Thread.start` takes locks and waits for the thread, so the bare function it is built on is used.
        """
        self.asleep = False
        if self._unstarted.acquire(blocking=False):
            try:
                start_new_thread(self._run, ())
            except RuntimeError:  # no thread to be had, or the interpreter ends: the next caller tries again
                self.asleep = True
                self._unstarted.release()
                return
        self._wake.put(None)

    def stop(self) -> None:
        """End the thread, soon. Nobody is to wake it any more."""
        self._stopped, self.asleep = True, False
        self._wake.put(None)

    def watch(self) -> None:
        """Look after consent and shipper if that is due."""
        if self.due:
            self._watched_at = monotonic()
            self._supervise()

    @property
    def due(self) -> bool:
        """Whether nobody has looked for half a second."""
        return monotonic() - self._watched_at >= SUPERVISE_SECONDS

    def _run(self) -> None:
        while not self._stopped:
            self._sleep()
            while not self._stopped and not self._idle():
                pass

    def _sleep(self) -> None:
        """Wait to be woken, or for the next time to look."""
        try:
            self._wake.get(timeout=SUPERVISE_SECONDS if self.keeps_watch else None)
        except Empty:
            return

    def _idle(self) -> bool:
        """Wait an interval and drain; whether nothing is left to do then."""
        try:
            self._pause()
            self.asleep = True
            if self._work():
                return True
        except Exception:  # noqa: BLE001, S110 no memory, no descriptors: it may pass, and the host is not to hear of it
            pass
        self.asleep = False
        return False

    def _pause(self) -> None:
        """Wait an interval, which may be an hour, and keep watch meanwhile."""
        until = monotonic() + self._interval_seconds
        self.watch()
        while (left := until - monotonic()) > 0 and not self._stopped:
            sleep(min(left, SUPERVISE_SECONDS))
            self.watch()
