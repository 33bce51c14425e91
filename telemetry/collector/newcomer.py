"""Newcomers: clients that are accepted but have sent nothing, each a bare socket that costs next to nothing.

Most hostile clients go no further. A silent one costs no protocol and no TLS handshake, and one that can be answered by
its head alone costs no parser either.
"""

from __future__ import annotations

import contextlib
import select
import socket
from typing import TYPE_CHECKING

from telemetry.collector.head import MAX_HEAD_BYTES

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

LINGER_SECONDS = 30.0
"""How long a refused client may go on sending; closing at once would show it a reset instead of the answer."""

LINGER_BYTES = 64 << 20

_PIECE_BYTES = 64 << 10
_HUNG_UP = getattr(select, "POLLRDHUP", select.POLLHUP)  # Linux alone knows of the one direction


class Newcomer:
    """A client that has sent nothing yet, or one that has been answered and may still be sending.

    Args:
        accepted: its socket, which does not block.
        loop: the event loop.
        patience_seconds: how long it may stay silent.
        on_word: called once with the first bytes, which can be read again.
        on_end: called when it has gone, before its first bytes or after its answer.
    """

    received_bytes = 0

    def __init__(
        self,
        accepted: socket.socket,
        loop: asyncio.AbstractEventLoop,
        patience_seconds: float,
        on_word: Callable[[Newcomer, bytes], None],
        on_end: Callable[[Newcomer], None],
    ) -> None:
        self.accepted = accepted
        self._descriptor = accepted.fileno()  # of a socket, asyncio would ask the kernel for the addresses, six times
        self._loop = loop
        self._on_word = on_word
        self._on_end = on_end
        self._thrown_away_bytes = 0
        loop.add_reader(self._descriptor, self._hear)
        self._deadline = loop.call_later(patience_seconds, self.cut)

    def cut(self) -> None:
        """End the connection at once."""
        self.release()
        self.accepted.close()
        self._on_end(self)

    def hold(self) -> None:
        """Stop listening for now; the client may stay silent as long as before."""
        self._loop.remove_reader(self._descriptor)

    def release(self) -> None:
        """Stop watching the socket, so that something else may take it over."""
        self._deadline.cancel()
        self._loop.remove_reader(self._descriptor)

    def has_hung_up(self) -> bool:
        """Tell whether the client has closed its side of the connection."""
        poll = select.poll()
        poll.register(self.accepted, _HUNG_UP)
        return bool(poll.poll(0))

    def end_with(self, answer: bytes) -> None:
        """Send an answer, discard further input, and end when the client does."""
        self.release()
        try:
            self.accepted.send(answer)
            self.accepted.shutdown(socket.SHUT_WR)
        except OSError:
            self.cut()
            return
        self._loop.add_reader(self._descriptor, self._throw_away)
        self._deadline = self._loop.call_later(LINGER_SECONDS, self.cut)
        self._throw_away()

    def _hear(self) -> None:
        try:
            word = self.accepted.recv(MAX_HEAD_BYTES + 1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            word = b""
        if word:
            self._on_word(self, word)
        else:
            self.cut()

    def _throw_away(self) -> None:
        with contextlib.suppress(BlockingIOError, InterruptedError):
            try:
                size_bytes = len(self.accepted.recv(_PIECE_BYTES))
            except ConnectionError:
                size_bytes = 0
            self._thrown_away_bytes += size_bytes
            if not size_bytes or self._thrown_away_bytes > LINGER_BYTES:
                self.cut()
