"""Entrance for clients: accepts a few connections at a time between other work, with TLS or without.

asyncio's own server accepts hundreds before it looks at anything else, and logs as many errors when descriptors run
out.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
from asyncio.sslproto import SSLProtocol
from collections import OrderedDict
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
# Two thousand a second: with fewer, clients that connect and leave would fill the queue before serious ones. With more
# in a turn of the loop, an upload that is under way, which takes several, would wait for them at each.
_AT_ONCE = 4
_REST_SECONDS = 0.002
_BETWEEN_SECONDS = 0.003  # two beginnings of TLS, each of which costs a millisecond
_READ_BYTES = 32 << 10  # at once of TLS; asyncio would keep 256 KiB for each connection
_PAUSE_SECONDS = 0.5  # after an accept that failed for want of descriptors or memory
_GONE = {errno.EAGAIN, errno.ECONNABORTED, errno.EINTR, errno.EPROTO}  # the client's affair, accept(2)


class Entrance:
    """The listening socket of a collector, from `open` to `close`.

    Args:
        listening: a bound socket.
        desk: the parts of the collector that conversations use.
        tls: returns the current TLS context; None for plain http.
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
        self._greeted: OrderedDict[Newcomer, None] = OrderedDict()  # by TLS, and not yet answered
        self._is_latest_next = True
        self._beginning: set[asyncio.Task[None]] = set()
        self._rest: asyncio.TimerHandle | None = None
        self._is_failing = False
        self._is_closed = False

    def open(self) -> None:
        """Begin to accept clients."""
        SSLProtocol.max_size = _READ_BYTES
        self._listening.settimeout(0)
        self._listening.listen(_BACKLOG)
        self._resume()

    def close(self) -> None:
        """Stop accepting clients, and cut those that have sent no request yet."""
        self._is_closed = True
        self._loop.remove_reader(self._listening.fileno())
        for newcomer in tuple(self._newcomers):
            newcomer.cut()
        for task in self._beginning:
            task.cancel()

    def _resume(self) -> None:
        if not self._is_closed:
            self._loop.add_reader(self._listening.fileno(), self._accept)

    def _accept(self) -> None:
        """Accept a few clients, then pause: the clients already admitted come first."""
        self._loop.remove_reader(self._listening.fileno())
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
        """Answer a newcomer at once if its first bytes permit it; otherwise let the protocol read them."""
        if self._tls is None and isinstance(answer := self._desk.answers.hear(word), bytes):
            newcomer.end_with(answer)
            return
        newcomer.hold()
        self._connections.hear(newcomer)
        self._greeted[newcomer] = None
        if self._rest is None:
            self._answer_next()

    def _answer_next(self) -> None:
        """Start a few conversations at a time: a TLS handshake is the dearest step, and takes memory until it ends.

        The latest newcomer and the one that has waited longest take turns: a crowd that came before delays nobody much,
        and one that keeps coming buries nobody. A stalled handshake keeps its place while there is room: a client that
        is cut off comes again, at the same cost.
        """
        self._rest = None
        while self._greeted and self._rest is None and not self._is_closed:
            newcomer, _ = self._greeted.popitem(last=self._is_latest_next)
            if self._tls is not None and newcomer.has_hung_up():
                newcomer.cut()
                continue
            self._is_latest_next = not self._is_latest_next
            newcomer.release()
            self._lose(newcomer)
            protocol = Conversation(newcomer.accepted, self._desk)
            self._connections.enter(protocol)  # there is room: one has just left
            task = self._loop.create_task(self._begin(protocol, newcomer.accepted))
            self._beginning.add(task)
            task.add_done_callback(self._beginning.discard)
            if self._tls is not None:
                self._rest = self._loop.call_later(_BETWEEN_SECONDS, self._answer_next)

    def _lose(self, newcomer: Newcomer) -> None:
        self._newcomers.discard(newcomer)
        self._greeted.pop(newcomer, None)
        self._connections.leave(newcomer)

    def _say_failing(self, fault: OSError) -> None:
        """Log, once until a connection is accepted again, that none can be for want of descriptors or memory."""
        if not self._is_failing:
            reason = os.strerror(fault.errno or 0)
            _log.error("no connection can be accepted: %s; this is not logged again until one can", reason)
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
