"""Flusher of the outbox.

Drains at once after a pause, else within the flush interval, by a thread that sleeps when idle.

    asleep   nobody is due to look at the queue. The first event after a pause is sent by its own caller; a second one
             within the interval wakes the thread.
    awake    the thread drains once an interval, the first time an interval after it woke; a caller whose event fills a
             chunk drains as well.

The thread announces that it falls asleep and then drains once more, and a caller appends and then looks whether it
sleeps, so no event can be forgotten between the two. A thread that something ends, a caller that could not start or
wake it, and a child that has none, all leave the flag clear: so the next event does what is due.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.native import Empty, Lock, SimpleQueue, monotonic, sleep, start_new_thread
from telemetry.producer.flag import Flag

if TYPE_CHECKING:
    from collections.abc import Callable

SUPERVISE_SECONDS = 0.5
"""The interval of looks at consent and shipper while there is traffic: a withdrawal must act within a second."""


FRESH_SECONDS = 0.1
"""The time for which a look is fresh, and none is needed even if something seems wrong."""

FAULT_SECONDS = 0.05
"""The time for which the thread rests when something failed: most often there is no memory."""


class Flusher:
    """The flush thread of one process, started when first needed.

    Attributes:
        awake: the flag that `emit` reads on its way.
        keeps_watch: set by `supervise`; whether it is to be called even while nothing is emitted.
    """

    def __init__(self, interval_seconds: float, work: Callable[[], bool], supervise: Callable[[], None]) -> None:
        """Take the work and its rhythm.

        Args:
            interval_seconds: how long an event may wait.
            work: does one round; returns False if something still waits.
            supervise: looks after consent and shipper; called twice a second while there is traffic.
        """
        self._interval_seconds = interval_seconds
        self._work = work
        self._supervise = supervise
        self.awake = Flag()
        self.renew()

    def renew(self) -> None:
        """Begin without a thread: threads don't survive a fork."""
        self.keeps_watch = False
        self._stopped = False
        self._running = Lock()  # held by the thread
        self._watched_at = -SUPERVISE_SECONDS
        self._wake: SimpleQueue[None] = SimpleQueue()
        self.awake.own()

    def wake(self) -> None:
        """Have the thread look at the queue within an interval. Safe in signal handlers: it waits for no lock.

        `threading.Thread.start` takes locks and waits for the thread, so the bare function it is built on is used.
        """
        self.awake.set()
        try:
            if not self._running.locked():
                start_new_thread(self._live, ())
            self._wake.put(None)
        except Exception:  # noqa: BLE001 no thread to be had, no memory, or the interpreter ends: the next caller tries again
            self.awake.clear()
        except BaseException:  # Ctrl-C
            self.awake.clear()
            raise

    def stop(self) -> None:
        """End the thread soon; nobody may wake it any more."""
        self._stopped = True
        self.awake.set()
        self._wake.put(None)

    def watch(self) -> None:
        """Look after consent and shipper if that is due."""
        if self.due:
            self.watch_now()

    def watch_now(self) -> None:
        """Look after consent and shipper."""
        self._watched_at = monotonic()
        self._supervise()

    @property
    def due(self) -> bool:
        """Whether nobody has looked for half a second."""
        return monotonic() - self._watched_at >= SUPERVISE_SECONDS

    @property
    def is_fresh(self) -> bool:
        """Whether somebody has looked a moment ago."""
        return monotonic() - self._watched_at < FRESH_SECONDS

    def _live(self) -> None:
        """Run until stopped, whatever happens. Two callers may have started a thread: one is enough."""
        if not self._running.acquire(blocking=False):
            return
        try:
            self._run()
        except BaseException:  # noqa: BLE001, S110 no memory even for what follows a fault: the host is not to hear of it
            pass
        finally:
            self._running.release()
            if not self._stopped:
                self.awake.clear()

    def _run(self) -> None:
        done = True
        while not self._stopped:
            try:
                if done:
                    self._sleep()
                done = self._stopped or self._idle()
            except BaseException:  # noqa: BLE001 it may pass; a host may throw anything into its threads, SystemExit too
                done = False
                self.awake.set()
                sleep(FAULT_SECONDS)

    def _sleep(self) -> None:
        """Wait to be woken, or for the next time to look."""
        with suppress(Empty):
            self._wake.get(timeout=SUPERVISE_SECONDS if self.keeps_watch else None)

    def _idle(self) -> bool:
        """Wait an interval and drain; return whether nothing is left to do."""
        self._pause()
        self.awake.clear()
        if self._work():
            return True
        self.awake.set()
        return False

    def _pause(self) -> None:
        """Wait an interval, which may be an hour, and keep watch meanwhile."""
        until = monotonic() + self._interval_seconds
        self.watch()
        while (left := until - monotonic()) > 0 and not self._stopped:
            sleep(min(left, SUPERVISE_SECONDS))
            self.watch()
