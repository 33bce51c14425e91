"""ZeroMQ in the host: one context, made when it is first needed and can be, and the ways to the shipper through it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from errno import EAGAIN
from typing import TYPE_CHECKING

import zmq

from telemetry import wire
from telemetry.native import SimpleQueue, posix, start_new_thread
from telemetry.producer.backlog import SOCKET_FRAMES
from telemetry.producer.exits import forks_in_c
from telemetry.rendezvous import handover
from telemetry.rendezvous.control import Control
from telemetry.rendezvous.lock import shipper_runs
from telemetry.system_calls import check_system_calls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.producer.site import Site
    from telemetry.rendezvous.keys import Peer

ZMQ_DESCRIPTORS = 8
"""More than a ZeroMQ context and its first socket take: when it gets none for its poller, it aborts the process."""

STANDARD_ERROR = 2

ZMQ_THREADS = 4
"""Twice what a context starts: when it gets none, it aborts the process. Those we try with may still be ending."""

_of_the_parent: list[object] = []
"""Contexts that a forked child must not touch, not even by collecting them."""


class Channel:
    """One process's connections to the shipper of a site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._zmq: zmq.Context[zmq.Socket[bytes]] | None = None
        self._asking: list[Control] = []

    def renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        if self._zmq is not None:
            _of_the_parent.append(self._zmq)
        self._zmq, self._asking = None, []

    def connect(self) -> zmq.Socket[bytes]:
        """A socket for frames. Connecting does not need a shipper. Raises ZMQError, OSError."""
        directory = self._site.make_private()
        _take_standard_files()
        socket = self._context().socket(zmq.PUSH)
        socket.sndhwm = SOCKET_FRAMES
        socket.linger = 0
        socket.reconnect_ivl = 10  # ms: a short-lived host must meet a shipper that is just starting
        socket.reconnect_ivl_max = 100  # ... without which an idle host would try for ever at that rate
        socket.connect(f"ipc://{directory / wire.DATA_SOCKET}")
        return socket

    @property
    def may_answer(self) -> bool:
        """Whether a shipper runs, or is about to."""
        return shipper_runs(self._site.directory)

    def hand_over(self, frames: list[bytes]) -> None:
        """Leave frames to the shipper, which may only be starting; one is spawned if there is none. Raises OSError."""
        try:
            handover.hand_over(self._site.directory, frames)
        except (FileNotFoundError, ConnectionRefusedError):
            self._site.look()
            handover.hand_over(self._site.make_private(), frames)

    @contextmanager
    def control(self) -> Iterator[Control]:
        """A connection to ask on. Raises ZMQError, OSError."""
        _take_standard_files()
        with Control(self._context(), self._door()) as control:
            self._asking.append(control)
            try:
                yield control
            finally:
                self._asking.remove(control)

    def close(self) -> None:
        """End ZeroMQ's threads; call when the socket for frames is closed."""
        # Not while somebody still asks, since that would wait for them.
        if self._zmq is not None and not self._asking:
            self._zmq.term()

    def _door(self) -> Path | Peer:
        """Where the shipper is asked."""
        return self._site.make_private()

    def _context(self) -> zmq.Context[zmq.Socket[bytes]]:
        if self._zmq is None:
            check_system_calls()
            _check_descriptors()
            _check_threads()
            self._zmq = zmq.Context()
        return self._zmq


def _take_standard_files() -> None:
    """Have the null device at each of 0 to 2 that the host has closed, as libc has it for privileged programs.

    A descriptor of ZeroMQ's there would get what the host, or what it calls, writes to its standard error; eight bytes
    end the process. Raises OSError.
    """
    while (taken := posix.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)) <= STANDARD_ERROR:
        pass
    os.close(taken)


def _check_descriptors() -> None:
    """Raise OSError unless as many descriptors are free as a ZeroMQ context takes."""
    taken: list[int] = []
    try:
        while len(taken) < ZMQ_DESCRIPTORS:
            taken.append(posix.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    finally:
        for descriptor in taken:
            os.close(descriptor)


def _check_threads() -> None:
    """Raise OSError unless threads can be started: a process table may be full, a container's limit reached."""
    if forks_in_c():
        return
    hold: SimpleQueue[None] = SimpleQueue()
    ended: SimpleQueue[None] = SimpleQueue()

    def wait() -> None:
        hold.get()
        ended.put(None)

    started = 0
    try:
        for _ in range(ZMQ_THREADS):
            start_new_thread(wait, ())
            started += 1
    except RuntimeError as fault:
        if "shutdown" not in str(fault):  # at its end Python starts none, but ZeroMQ can
            raise OSError(EAGAIN, "no thread can be started") from None
    finally:
        for _ in range(started):
            hold.put(None)
        for _ in range(started):
            ended.get()
