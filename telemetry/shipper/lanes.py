"""Shippers side by side in the foreground: a process for each lane, and this one, which watches over them.

Each is forked, before anything has been started here that a fork would harm, and started anew when it ends: for its
memory's sake, say, or killed. If this process is killed, its lanes end by the end of a pipe.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

RESTART_SECONDS = 1.0
"""The least time from one start of a lane to its next."""

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Lanes:
    """The processes of the lanes, as the one that watches over them knows them.

    Args:
        run: runs the shipper of a lane, in a process of its own, and returns its exit code.
        is_final: tells whether an exit code says that no shipper can run, so that all are ended.
    """

    def __init__(self, run: Callable[[int], int], is_final: Callable[[int], bool]) -> None:
        self._run = run
        self._is_final = is_final
        self._running: dict[int, int] = {}  # the lane of each process
        self._began: dict[int, float] = {}
        self._stopping = False
        self._life, self._held = os.pipe()

    def run(self, number: int) -> int:
        """Run so many lanes until told to stop; blocks. Return 0, or the exit code that was final."""
        for lane in range(number):
            self._start(lane)
        final = 0
        while self._running:
            process, status = os.wait()
            if (ended := self._running.pop(process, None)) is None:
                continue  # an orphan that this process was given, as the first one of a container
            code = os.waitstatus_to_exitcode(status)
            if self._is_final(code):
                final = code
                self.stop()
            elif not self._stopping:
                sys.stderr.write(f"telemetry ship: lane {ended} ended with {code}: it is started anew\n")
                self._start(ended)
        return final

    def stop(self) -> None:
        """Have all end; for use in a signal handler, too."""
        self._stopping = True
        for process in self._running:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGTERM)

    def _start(self, lane: int) -> None:
        """Fork a lane. Signals wait meanwhile: none may come to a child as if it were this process."""
        sleep(max(0.0, self._began.get(lane, float("-inf")) + RESTART_SECONDS - monotonic()))
        self._began[lane] = monotonic()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            if self._stopping:
                return
            if (process := os.fork()) == 0:
                self._be(lane)
            self._running[process] = lane
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _be(self, lane: int) -> None:
        """Be a lane from here on, in the child. What SIGHUP asks for is done by the process that watches over all."""
        code = 1
        try:
            os.close(self._held)
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            Thread(target=_end_with, args=[self._life], name="life", daemon=True).start()
            code = self._run(lane)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)


def _end_with(life: int) -> None:
    """End this process in order when the one that holds the other end of a pipe is gone."""
    os.read(life, 1)
    os.kill(os.getpid(), signal.SIGTERM)
