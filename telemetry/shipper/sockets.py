"""Sockets of the shipper, bound before anything heavy is imported, so that a short-lived host meets its shipper.

They listen under names that we put in place and remove: ZeroMQ would remove a name when it closes, though by then it
may be that of the next shipper.
"""

from __future__ import annotations

from contextlib import suppress
from socket import socket
from typing import TYPE_CHECKING, NamedTuple

import zmq

from telemetry.files import is_at
from telemetry.rendezvous.unix import listen_at
from telemetry.shipper.limits import MAX_MESSAGE_BYTES, RECEIVE_FRAMES
from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET, HANDOVER_SOCKET

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from telemetry.shipper.remote import Remote


class Ready(NamedTuple):
    """The sockets of a shipper that have something.

    Attributes:
        frames: whether the data socket has.
        questions: whether the control socket has.
        remote: whether the port for other machines has frames or questions.
        newcomer: whether a peer waits to be let in to that port.
    """

    frames: bool
    questions: bool
    remote: bool
    newcomer: bool

    @property
    def is_idle(self) -> bool:
        """Whether no frame can have arrived."""
        return not (self.frames or self.remote)


class Sockets:
    """The sockets for frames (PULL) and for questions (ROUTER).

    Attributes:
        listeners: the handover sockets, where hosts that end leave their last frames; the last one has the name.
        remote: the port for other machines, if they may send.
    """

    def __init__(self, listeners: Iterable[socket] = ()) -> None:
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.data = self._open(zmq.PULL)
        self.control = self._open(zmq.ROUTER)
        self.listeners = [*listeners]
        self.remote: Remote | None = None
        self._names: dict[Path, os.stat_result] = {}
        self._poller: zmq.Poller | None = None

    def listen(self, directory: Path) -> None:
        """Listen in a rendezvous directory under any name that is not ours yet; connections are kept.

        Raises:
            OSError: the directory is gone, or its disk refuses.
        """
        for ours, path in ((self.data, directory / DATA_SOCKET), (self.control, directory / CONTROL_SOCKET)):
            if not self._is_found(path):
                self._names[path] = _listen(ours, path)
        path = directory / HANDOVER_SOCKET
        if not self._is_found(path):
            opened, self._names[path] = listen_at(path)
            self.listeners.append(socket(fileno=opened.detach()))

    def wait(self, seconds: float) -> Ready:
        """Wait until a socket has something, for at most `seconds`."""
        if self._poller is None:
            self._poller = zmq.Poller()
            also = (self.remote.socket, self.remote.zap) if self.remote else ()
            for socket in (self.data, self.control, *also):
                self._poller.register(socket, zmq.POLLIN)
        ready = {socket for socket, _ in self._poller.poll(int(seconds * 1000))}
        remote = self.remote
        return Ready(
            self.data in ready,
            self.control in ready,
            remote is not None and remote.socket in ready,
            remote is not None and remote.zap in ready,
        )

    @property
    def are_found(self) -> bool:
        """Whether the names still lead to us."""
        return all(map(self._is_found, self._names))

    def hide(self) -> None:
        """Remove the names, unless they are another's by now, so that newcomers wait for the next shipper."""
        for path, ours in self._names.items():
            if is_at(path, ours):
                with suppress(OSError):
                    path.unlink()
        self._names = {}

    def close(self) -> None:
        """Close all sockets; on return, their names are gone from the rendezvous."""
        self.hide()
        if self.remote:
            self.remote.close()
        for listener in self.listeners:
            listener.close()
        self.data.close()
        self.control.close(linger=100)
        self.context.term()

    def _is_found(self, path: Path) -> bool:
        return path in self._names and is_at(path, self._names[path])

    def _open(self, kind: int) -> zmq.Socket[bytes]:
        opened = self.context.socket(kind)
        opened.rcvhwm = RECEIVE_FRAMES
        opened.maxmsgsize = MAX_MESSAGE_BYTES
        return opened


def bind(directory: Path) -> Sockets:
    """Bind both sockets in a rendezvous directory; a name left by a dead shipper is taken over."""
    sockets = Sockets()
    sockets.listen(directory)
    return sockets


def _listen(ours: zmq.Socket[bytes], path: Path) -> os.stat_result:
    """Have a socket listen at `path`; return the state of the file there."""
    listening, found = listen_at(path)
    ours.setsockopt(zmq.USE_FD, listening.fileno())
    ours.bind(f"ipc://{path}")
    listening.detach()
    return found
