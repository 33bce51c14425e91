"""A bounded set of connections, in which those that only wait make room for newcomers.

A client that has brought an upload is worth more than one that has not yet sent a request: of the latter, the one that
has waited longest is cut first, then the one kept alive longest. An upload in progress is cut only in favour of another
upload, when uploads hold half of all places, and then the slowest of them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_GRACE_SECONDS = 2.0  # before an upload is judged by its speed


class Connection(Protocol):
    """One client's connection, from the moment it is accepted.

    Attributes:
        received_bytes: how much has arrived of the body in progress.
    """

    received_bytes: int

    def cut(self) -> None:
        """End the connection at once, whatever state it is in."""


class Connections:
    """All connections of a collector.

    Args:
        most: the greatest number at one time.
        monotonic: a clock, in seconds.

    Attributes:
        cut: how many connections have had to make room so far.
    """

    def __init__(self, most: int, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._monotonic = monotonic
        self._unproven: OrderedDict[Connection, None] = OrderedDict()
        self._uploading: dict[Connection, float] = {}
        self._busy: set[Connection] = set()
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self.cut = 0

    def __len__(self) -> int:
        return len(self._unproven) + len(self._uploading) + len(self._busy) + len(self._idle)

    def enter(self, connection: Connection) -> bool:
        """Admit a newcomer, cutting another connection if there is no room; return False if all are at work."""
        if len(self) >= self._most:
            waiting = self._unproven or self._idle
            if not waiting:
                return False
            self._cut(next(iter(waiting)))
        self._unproven[connection] = None
        return True

    def hear(self, connection: Connection) -> None:
        """Note that a newcomer has begun to speak, so that those that are silent make room before it."""
        if connection in self._unproven:
            self._unproven.move_to_end(connection)

    def upload(self, connection: Connection) -> bool:
        """Admit an upload that begins; return False if there are too many and none of them is slow.

        Return False as well if this connection had to make room meanwhile.
        """
        if len(self._uploading) >= max(1, self._most // 2):
            now = self._monotonic()
            slow = [other for other, since in self._uploading.items() if now - since > _GRACE_SECONDS]
            if not slow:
                return False
            self._cut(min(slow, key=lambda other: other.received_bytes / (now - self._uploading[other])))
        if not self._move(connection):
            return False
        self._uploading[connection] = self._monotonic()
        return True

    def work(self, connection: Connection) -> None:
        """Note that a connection's body is complete, and that the rest of the work is the collector's."""
        if self._move(connection):
            self._busy.add(connection)

    def rest(self, connection: Connection) -> None:
        """Note that a connection's upload has been answered, and that another one may follow."""
        if self._move(connection):
            self._idle[connection] = None

    def dismiss(self, connection: Connection) -> None:
        """Note that a connection has had its last answer, so that it makes room before all others."""
        if self._move(connection):
            self._unproven[connection] = None
            self._unproven.move_to_end(connection, last=False)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that has ended."""
        self._move(connection)

    def _cut(self, connection: Connection) -> None:
        self.leave(connection)
        self.cut += 1
        connection.cut()

    def _move(self, connection: Connection) -> bool:
        was_there = connection in self._busy
        self._busy.discard(connection)
        for place in (self._unproven, self._idle, self._uploading):
            was_there |= connection in place
            place.pop(connection, None)
        return was_there
