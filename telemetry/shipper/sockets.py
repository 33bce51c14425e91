"""The shipper's sockets. Bound before anything heavy is imported, so that a short-lived host meets its shipper."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import zmq

from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.shipper.remote import Remote

MAX_MESSAGE_BYTES = 1 << 20
"""Four frames: what is larger is no frame, and not worth its memory. ZeroMQ cuts such a peer off."""

RECEIVE_FRAMES = 64
"""For each producer; what this does not hold waits on the producer's side."""


class Sockets(NamedTuple):
    """Where frames come in (PULL), and where questions are answered (ROUTER); `remote` is for other machines."""

    context: zmq.Context[zmq.Socket[bytes]]
    data: zmq.Socket[bytes]
    control: zmq.Socket[bytes]
    remote: Remote | None = None

    def close(self) -> None:
        """Close all; when this returns, their names are gone from the rendezvous."""
        if self.remote:
            self.remote.close()
        self.data.close()
        self.control.close(linger=100)
        self.context.term()


def bind(directory: Path) -> Sockets:
    """Bind both sockets in a rendezvous directory; a name left by a dead shipper is taken over."""
    context = zmq.Context()
    sockets = Sockets(context, context.socket(zmq.PULL), context.socket(zmq.ROUTER))
    for socket, name in ((sockets.data, DATA_SOCKET), (sockets.control, CONTROL_SOCKET)):
        socket.rcvhwm = RECEIVE_FRAMES
        socket.maxmsgsize = MAX_MESSAGE_BYTES
        socket.bind(f"ipc://{directory / name}")
    return sockets
