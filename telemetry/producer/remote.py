"""A client's way to a shipper on another machine: none is spawned, none is watched, and nothing is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zmq

from telemetry.control import Control
from telemetry.producer.link import Link
from telemetry.producer.outbox import SOCKET_FRAMES

if TYPE_CHECKING:
    from telemetry.curve import Peer


class RemoteLink(Link):
    """One process's way to a shipper elsewhere; the same promises, but for what its exit leaves behind."""

    def __init__(self, peer: Peer, *of_any_link: Any) -> None:
        """As any link, to `peer`."""
        self._peer = peer
        super().__init__(*of_any_link)

    def _connect(self) -> zmq.Socket[bytes]:
        socket = self._context().socket(zmq.DEALER)
        socket.sndhwm = SOCKET_FRAMES
        socket.linger = 0
        self._peer.connect(socket)
        return socket

    def _open_control(self) -> Control:
        return Control(self._context(), self._peer)

    def _supervise(self) -> None:
        """Nobody here can tell whether that shipper runs: what it does not take waits, and is dropped beyond that."""
        self._obey()

    def _leave_tombstone(self) -> None:
        """The spool that it would lie in is elsewhere."""
