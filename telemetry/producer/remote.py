"""A client's way to a shipper on another machine: none is spawned, none is watched, and nothing is written here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from telemetry.producer.backlog import SOCKET_FRAMES
from telemetry.producer.channel import Channel
from telemetry.producer.link import Link

if TYPE_CHECKING:
    from telemetry.producer.site import Site
    from telemetry.rendezvous.keys import Peer


class RemoteChannel(Channel):
    """Connections to a shipper elsewhere, encrypted."""

    def __init__(self, site: Site, peer: Peer) -> None:
        self._peer = peer
        super().__init__(site)

    def connect(self) -> zmq.Socket[bytes]:
        """A socket for frames. Raises ZMQError, OSError."""
        socket = self._context().socket(zmq.DEALER)
        socket.sndhwm = SOCKET_FRAMES
        socket.linger = 0
        self._peer.connect(socket)
        return socket

    @property
    def may_answer(self) -> bool:
        """Nobody here can tell."""
        return True

    def _door(self) -> Peer:
        return self._peer


class RemoteLink(Link):
    """One process's way to a shipper elsewhere; the same promises, but for what its exit leaves behind."""

    def _supervise(self) -> None:
        """Nobody here can tell whether that shipper runs: what it does not take waits, and is dropped beyond that."""
        self._obey()

    def _follow_user(self) -> None:
        """The way there is any user's who has the keys, and they have been read."""

    def _leave_behind(self, frames: list[bytes]) -> None:
        """The place where it would be found is elsewhere."""
