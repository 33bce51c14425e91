"""Accepts connections some at a time between other work, with TLS or without.

asyncio's own server accepts hundreds before it looks at anything else, and where no descriptors are left it says so as
often.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from typing import TYPE_CHECKING

from telemetry.collector.answers import FULL
from telemetry.collector.conversation import Conversation, Desk
from telemetry.collector.newcomer import Newcomer

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable


_log = logging.getLogger(__name__)

_BACKLOG = 1024
# Two thousand a second: with fewer, those who knock and run would fill the queue before those who mean it.
_AT_ONCE = 4
_REST_SECONDS = 0.002
_BETWEEN_SECONDS = 0.004  # two beginnings of TLS, each of which costs a millisecond
_BEGINNING = 32  # with TLS, at one time
_GRACE_SECONDS = 0.25  # before one of them makes room
_PAUSE_SECONDS = 0.5  # after an accept that failed for want of something
_GONE = {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO}  # the client's affair, accept(2)


class Entrance:
    """Where clients come in, from `open` to `close`.

    Args:
        listening: a bound socket.
        desk: whom those who have come in turn to.
        tls: gives what a server needs for TLS at the moment; None for plain http.
    """

    def __init__(
        self,
        listening: socket.socket,
        desk: Desk,
        tls: Callable[[], ssl.SSLContext] | None,
    ) -> None:
        self._listening = listening
        self._desk = desk
        self._connections = desk.connections
        self._tls = tls
        self._handshake_seconds = desk.limits.handshake_seconds
        self._patience_seconds = desk.limits.handshake_seconds if tls else desk.limits.stall_seconds
        self._loop = asyncio.get_running_loop()
        self._newcomers: set[Newcomer] = set()
        self._greeted: dict[Newcomer, None] = {}  # by TLS, and not yet answered
        self._beginning: dict[asyncio.Task[None], tuple[Conversation, float]] = {}
        self._rest: asyncio.TimerHandle | None = None
        self._is_failing = False
        self._is_closed = False

    def open(self) -> None:
        """Accept whoever comes."""
        self._listening.settimeout(0)
        self._listening.listen(_BACKLOG)
        self._resume()

    def close(self) -> None:
        """Accept nobody any more, and end what has only begun."""
        self._is_closed = True
        self._loop.remove_reader(self._listening)
        for newcomer in tuple(self._newcomers):
            newcomer.cut()
        for task in self._beginning:
            task.cancel()

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        """Take in some of those who wait, then nobody for a moment: whoever is in already comes first."""
        self._loop.remove_reader(self._listening)
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = self._listening.accept()
            except OSError as fault:
                if fault.errno not in _GONE:
                    self._say_failing(fault)
                    self._loop.call_later(_PAUSE_SECONDS, self._resume)
                    return
                break
            self._is_failing = False
            self._greet_newcomer(accepted)
        self._loop.call_later(_REST_SECONDS, self._resume)

    def _greet_newcomer(self, accepted: socket.socket) -> None:
        accepted.settimeout(0)
        newcomer = Newcomer(accepted, self._loop, self._patience_seconds, self._hear, self._lose)
        if self._connections.enter(newcomer):
            self._newcomers.add(newcomer)
        else:
            newcomer.release()
            self._turn_away(accepted)

    def _hear(self, newcomer: Newcomer, word: bytes) -> None:
        """Answer at once if there is an answer to the first bytes, or let the protocol read them."""
        if self._tls is None and isinstance(answer := self._desk.answers.hear(word), bytes):
            newcomer.end_with(answer)
            return
        newcomer.hold()
        self._greeted[newcomer] = None
        self._answer_greetings()

    def _answer_greetings(self) -> None:
        if self._rest is None:
            self._answer_next()

    def _answer_next(self) -> None:
        """Begin with some at a time: the beginning of TLS is the dearest of all, and takes memory until it ends.

        Who has come last is first: it may have patience left. Who has begun and not gone on makes room.
        """
        self._rest = None
        while self._greeted and self._rest is None and not self._is_closed:
            if len(self._beginning) >= _BEGINNING:
                slowest, since = next(iter(self._beginning.values()))
                left_seconds = since + _GRACE_SECONDS - self._loop.time()
                if left_seconds <= 0:
                    slowest.cut()
                self._rest = self._loop.call_later(max(left_seconds, _BETWEEN_SECONDS), self._answer_next)
                return
            newcomer, _ = self._greeted.popitem()
            if self._tls is not None and newcomer.has_hung_up():
                newcomer.cut()
                continue
            newcomer.release()
            self._lose(newcomer)
            protocol = Conversation(newcomer.accepted, self._desk)
            self._connections.enter(protocol)  # there is room: one has just left
            task = self._loop.create_task(self._begin(protocol, newcomer.accepted))
            self._beginning[task] = protocol, self._loop.time()
            task.add_done_callback(self._has_begun)
            if self._tls is not None:
                self._rest = self._loop.call_later(_BETWEEN_SECONDS, self._answer_next)

    def _has_begun(self, task: asyncio.Task[None]) -> None:
        del self._beginning[task]
        self._answer_greetings()

    def _lose(self, newcomer: Newcomer) -> None:
        self._newcomers.discard(newcomer)
        self._greeted.pop(newcomer, None)
        self._connections.leave(newcomer)

    def _say_failing(self, fault: OSError) -> None:
        """No descriptor, no memory: said once, until one can be accepted again."""
        if not self._is_failing:
            reason = os.strerror(fault.errno or 0)
            _log.error("no connection can be accepted: %s; until one can, no more of this is said", reason)
        self._is_failing = True

    async def _begin(self, protocol: Conversation, accepted: socket.socket) -> None:
        tls = self._tls() if self._tls else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: protocol,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=self._handshake_seconds if tls else None,
                ssl_shutdown_timeout=self._handshake_seconds if tls else None,
            )
        except (OSError, asyncio.CancelledError):  # it speaks no TLS, is too slow, or was cut off
            self._connections.leave(protocol)

    def _turn_away(self, accepted: socket.socket) -> None:
        with contextlib.suppress(OSError), accepted:
            if self._tls is None:
                accepted.send(FULL)
