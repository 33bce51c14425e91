"""ZeroMQ in the host: one context, made when it is first needed and possible, and its sockets."""

from __future__ import annotations

import os
from contextlib import suppress
from errno import EAGAIN
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zmq

from telemetry import wire
from telemetry.errors import ShipperUnreachableError
from telemetry.native import SimpleQueue, monotonic, pause, posix, start_new_thread
from telemetry.producer.backlog import SOCKET_FRAMES
from telemetry.producer.exits import forks_in_c
from telemetry.rendezvous.control import Control
from telemetry.rendezvous.taken import Taken
from telemetry.system_calls import check_system_calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from telemetry.rendezvous.keys import Peer

EXIT_SECONDS = 0.2
"""The time that the end of a process waits for a running shipper; unconfirmed frames are left to it then."""

LOCK_SECONDS = 0.05
"""The time for a draining thread to release the lock: about as long as encoding the most that may wait."""

ASK_SECONDS = 1.0
"""The interval of questions how far events were taken, where no record tells."""

ASK_WAIT_SECONDS = 0.2
"""The time for an answer to such a question: it is asked by the thread that flushes."""

CONFIRM_POLL_SECONDS = 0.005
"""The interval of questions whether a shipper has everything; one of its drains takes about as long."""

ZMQ_DESCRIPTORS = 8
"""The descriptors that must be free, more than a context and its first socket take: without, ZeroMQ would abort."""

STANDARD_ERROR = 2

ZMQ_THREADS = 4
"""The threads that must be possible, twice what a context starts: without, ZeroMQ aborts. Trial ones may linger."""

_of_the_parent: list[object] = []
"""The contexts and sockets that a forked child must not touch, even by collecting them: their descriptors are its
parent's too."""


class Channel:
    """The connections of one process to a shipper: the socket for its frames, and those for its questions.

    Attributes:
        socket: the socket for frames, made by the first of them.
    """

    def __init__(self, find: Callable[[], Path | Peer]) -> None:
        """Connect to nothing yet.

        Args:
            find: returns where the shipper is met, a directory or another machine; may raise OSError.
        """
        self.socket: zmq.Socket[bytes] | None = None
        self._find = find
        self._zmq: zmq.Context[zmq.Socket[bytes]] | None = None
        self._asking: list[Control] = []

    def renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        _of_the_parent.extend(shared for shared in (self.socket, self._zmq) if shared is not None)
        self.socket = self._zmq = None
        self._asking = []

    def send(self, frame: bytes) -> bool:
        """Hand a frame over to ZeroMQ; False if it takes none now. Never blocks, and needs no shipper."""
        try:
            if self.socket is None:
                self.socket = self._connect()
            self.socket.send(frame, zmq.NOBLOCK)
        except (zmq.ZMQError, OSError):  # full (EAGAIN), no descriptor is left, no place to meet: each may pass
            return False
        return True

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Close the socket for frames, discarding what ZeroMQ can't send within that time."""
        if self.socket is not None:
            self.socket.close(linger=linger_milliseconds)
            self.socket = None

    def ask(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object] | None = None
    ) -> dict[str, Any] | None:
        """Ask the shipper.

        Args:
            request: the question.
            deadline: the time, by the monotonic clock, at which to give up.
            meanwhile: called between two questions, which are repeated as long as the answer is empty; None to ask
                once.

        Returns:
            The answer; None if none came in time.

        Raises:
            OSError: no connection can be had.
        """
        try:
            _take_standard_files()
            with Control(self._context(), self._find()) as control:
                self._asking.append(control)
                try:
                    while not (reply := control.ask(request, max(0.0, deadline - monotonic()))) and meanwhile:
                        meanwhile()
                        pause(CONFIRM_POLL_SECONDS)
                finally:
                    self._asking.remove(control)
        except ShipperUnreachableError:
            return None
        except zmq.ZMQError as fault:
            raise OSError(fault.errno, fault.strerror) from None
        return reply

    def ask_taken(self, producers: Iterable[bytes], seconds: float) -> Iterator[tuple[bytes, Taken]]:
        """Ask the shipper, once, how far it has taken some producers; yield what it answers.

        Blocks for at most `seconds`. Raises OSError as `ask`.
        """
        deadline = monotonic() + seconds
        for producer in producers:
            if not (reply := self.ask({"op": "confirm", "producer": producer, "shipper": None}, deadline)):
                return
            yield producer, Taken(reply["accepted"], reply["dropped"], reply.get("shipper"))

    def leave(self, producer: bytes, deadline: float) -> None:
        """Say goodbye; a shipper that does not hear it will find this process gone."""
        with suppress(OSError):
            self.ask({"op": "leave", "producer": producer}, deadline)

    def close(self) -> None:
        """End ZeroMQ's threads; call it when the socket for frames is closed."""
        # Not while somebody still asks, since that would wait for them.
        if self._zmq is not None and not self._asking:
            self._zmq.term()

    def _connect(self) -> zmq.Socket[bytes]:
        """Make the socket for frames. Raises ZMQError, OSError."""
        place = self._find()
        _take_standard_files()
        socket = self._context().socket(zmq.PUSH if isinstance(place, Path) else zmq.DEALER)
        socket.sndhwm = SOCKET_FRAMES
        socket.linger = 0
        if isinstance(place, Path):
            socket.reconnect_ivl = 10  # ms: a short-lived host must meet a shipper that is just starting
            socket.reconnect_ivl_max = 100  # ... without which an idle host would try for ever at that rate
            socket.connect(f"ipc://{place / wire.DATA_SOCKET}")
        else:
            place.connect(socket)
        return socket

    def _context(self) -> zmq.Context[zmq.Socket[bytes]]:
        if self._zmq is None:
            check_system_calls()
            _check_descriptors()
            _check_threads()
            self._zmq = zmq.Context()
        return self._zmq


def _take_standard_files() -> None:
    """Open the null device at each of 0 to 2 that the host has closed, as libc does for privileged programs.

    A descriptor of ZeroMQ's there would receive what the host, or code it calls, writes to its standard error; eight
    bytes end the process. Raises OSError.
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
