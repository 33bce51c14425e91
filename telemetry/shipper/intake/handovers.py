"""Handovers of hosts that have ended: memory files come in through the handover socket, and frames out of them.

Format: telemetry/rendezvous/handover.py.

A host does not know which of its last frames had arrived the ordinary way, so it leaves all that may not have. The
numbers tell which had; and a frame that arrives the ordinary way only now, though it was left as well, is recognised
likewise.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from contextlib import suppress
from socket import recv_fds
from time import monotonic, sleep
from typing import TYPE_CHECKING

from telemetry.rendezvous.handover import LENGTH, SEALS, pass_in
from telemetry.shipper.intake.receiver import DRAIN_BYTES, decode_frame
from telemetry.spool.positions import Position
from telemetry.wire import MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from socket import socket

    from telemetry.shipper.intake.receiver import Frame
    from telemetry.spool.positions import Positions

PATIENCE_SECONDS = 1.0
"""The time for earlier frames than those left to arrive the ordinary way; then they are lost. As long may a
peer take to pass in what it came for."""

MAX_WAITING = 64
"""The number of memory files and silent peers held at a time, each a descriptor; others wait to be accepted."""

MAX_PASSED = 16
"""The number of descriptors taken from a peer, of which one is a memory file; the kernel closes any others."""

PASS_ON_SECONDS = 1.0
"""The time for which hosts may still come to a socket whose name another shipper takes: it looks twice a second."""

REMEMBERED_SECONDS = 60.0
"""The time after a host has left frames for which its others are checked for repeats."""


class Handovers:
    """The memory files that were passed in and are not taken yet. Never blocks."""

    def __init__(self, listeners: list[socket], clock: Callable[[], float] = monotonic) -> None:
        """Take in by `listeners`, a list that may grow; all but the last are closed once no peer is left there."""
        self._clock = clock
        self._listeners = listeners
        self._peers: list[tuple[socket, float]] = []
        self._left: deque[Left] = deque()
        self._ended: dict[bytes, float] = {}  # producers that have left something, and when

    @property
    def waits(self) -> bool:
        """Whether anything is still to be taken."""
        return bool(self._peers or self._left)

    def take(self, positions: Positions, *, at_once: bool = False) -> list[bytes]:
        """Return frames that were let in and are due, up to a drain's worth, all of one producer.

        Args:
            positions: the producers' positions. Frames behind a gap are due a second later.
            at_once: do not wait for that.
        """
        now = self._clock()
        for left in list(self._left):
            behind_gap = _next_of(left.producer, positions) < left.first
            if behind_gap and not at_once and now - left.came_at < PATIENCE_SECONDS:
                continue
            self._remember(left.producer, now)
            frames = left.read(DRAIN_BYTES)
            if left.is_read:
                left.close()
                self._left.remove(left)
            if frames:
                return frames
        return []

    def without_repeats(self, frames: list[Frame], positions: Positions) -> list[Frame]:
        """Return the frames without those that a host had left as well, and that were taken from there."""
        if not self._ended:
            return frames
        return [frame for frame in frames if not self._repeats(frame, positions)]

    def pass_on(self, directory: Path) -> None:
        """Pass everything on to the shipper that holds the rendezvous, which this one has found taken.

        Blocks for a second.
        """
        deadline = self._clock() + PASS_ON_SECONDS
        while self._clock() < deadline:
            self.let_in()
            while self._left:
                with suppress(OSError):
                    pass_in(directory, self._left[0].memory)
                self._left.popleft().close()
            sleep(0.02)

    def let_in(self) -> None:
        """Accept the waiting peers, and receive what they have passed in by now."""
        for listener in list(self._listeners):
            if self._accept(listener) and listener is not self._listeners[-1]:
                listener.close()
                self._listeners.remove(listener)
        self._peers = [(peer, came_at) for peer, came_at in self._peers if self._is_silent(peer, came_at)]

    def _accept(self, listener: socket) -> bool:
        """Accept the peers of a handover socket; return whether none is left."""
        try:
            while len(self._peers) + len(self._left) < MAX_WAITING:
                peer, _ = listener.accept()
                peer.settimeout(0)
                self._peers.append((peer, self._clock()))
        except BlockingIOError:
            return True
        except OSError:  # no descriptor is left: they wait to be accepted
            pass
        return False

    def _is_silent(self, peer: socket, came_at: float) -> bool:
        """Tell whether a peer has yet to pass in its file; one that has done so, or takes too long, is closed."""
        try:
            memory = _receive(peer)
        except BlockingIOError:
            if self._clock() - came_at < PATIENCE_SECONDS:
                return True
            memory = None
        except OSError:
            memory = None
        peer.close()
        if memory is not None:
            self._look_into(memory)
        return False

    def _remember(self, producer: bytes, now: float) -> None:
        self._ended = {name: ended for name, ended in self._ended.items() if now - ended < REMEMBERED_SECONDS}
        self._ended[producer] = now

    def _look_into(self, memory: int) -> None:
        left = Left(memory, self._clock())
        if left.is_read:
            left.close()
        else:
            self._left.append(left)

    def _repeats(self, frame: Frame, positions: Positions) -> bool:
        return frame.producer in self._ended and frame.first < _next_of(frame.producer, positions)


class Left:
    """A memory file, and how far it was read.

    Attributes:
        memory: its descriptor.
        came_at: the monotonic time when it was passed in.
        producer: the producer of its first frame.
        first: the number of that frame's first event.
        is_read: whether nothing readable is left in it.
    """

    def __init__(self, memory: int, came_at: float) -> None:
        self.memory = memory
        self.came_at = came_at
        self._at_bytes = 0
        frame = decode_frame(self._next() or b"")
        self._at_bytes = 0
        self.producer, self.first = (frame.producer, frame.first) if frame else (b"", 0)
        self.is_read = frame is None

    def read(self, size_bytes: int) -> list[bytes]:
        """Return the next frames, until their size reaches `size_bytes` or no frame follows."""
        frames: list[bytes] = []
        while size_bytes > 0:
            frame = self._next()
            if frame is None:
                self.is_read = True
                break
            frames.append(frame)
            size_bytes -= len(frame)
        return frames

    def close(self) -> None:
        """Close it, read or not."""
        os.close(self.memory)

    def _next(self) -> bytes | None:
        """Return the next frame; None at the end, and where no frame can begin."""
        head = os.pread(self.memory, LENGTH.size, self._at_bytes)
        if len(head) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack(head)
        if not 0 < length <= MAX_FRAME_BYTES:
            return None
        frame = os.pread(self.memory, length, self._at_bytes + LENGTH.size)
        self._at_bytes += LENGTH.size + length
        return frame if len(frame) == length else None


def _next_of(producer: bytes, positions: Positions) -> int:
    """Return the number that the producer's next event will have."""
    return positions.get(producer.hex(), Position(0)).next


def _receive(peer: socket) -> int | None:
    """Return the memory file that a peer passes in; None if it is none. Raises BlockingIOError, OSError."""
    _, found, _, _ = recv_fds(peer, 1, MAX_PASSED)
    memory = next((descriptor for descriptor in found if _is_sealed(descriptor)), None)
    for descriptor in found:
        if descriptor != memory:
            os.close(descriptor)
    return memory


def _is_sealed(descriptor: int) -> bool:
    """Tell whether it is a memory file that nobody can change any more: reading anything else might block."""
    try:
        return SEALS > 0 and fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS
    except OSError:
        return False
