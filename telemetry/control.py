"""Asking a shipper over its control socket; producers and commands share it.

A request whose answer did not come in time leaves the connection out of step: open a new one.

Requests are `{"op": "confirm" | "deliver" | "leave" | "seal" | "status" | "stop", ...}`, each answered by one map; what
is no request is left unanswered. From other machines, `confirm`, `deliver` and `leave` are.

The first three name a `producer`. `confirm` is answered with how many of its events are durable or accounted for,
`{accepted, dropped}`; it may say how many it waits for by the same names, and until they have come the answer is empty.
`deliver` says likewise how many it waits for. They are sealed and uploaded at once; `{"delivered": true}` when each has
left the spool, false when nothing is uploaded now, and empty until either is so.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import zmq

from telemetry.errors import ShipperUnreachableError
from telemetry.native import monotonic, pause
from telemetry.wire import CONTROL_SOCKET

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from telemetry.curve import Peer

MAX_WAIT_SECONDS = 86_400.0
"""A lock's timeout has a limit, and a caller may say infinity, or nothing that is a number."""

POLL_SECONDS = 0.001
"""How often it is looked whether the answer is there."""


class Control:
    """A connection to the shipper that listens in a directory, or to a peer elsewhere; not shared between threads.

    Connecting does not need a shipper: one that comes up later answers the same request.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], shipper: Path | Peer) -> None:
        self._shipper = shipper
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        if isinstance(shipper, Path):
            self._socket.reconnect_ivl = 10
            self._socket.connect(f"ipc://{shipper / CONTROL_SOCKET}")
        else:
            shipper.connect(self._socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            ShipperUnreachableError: no reply within `timeout_seconds` (a day at most), or one that is no map.
        """
        self._socket.send(msgspec.msgpack.encode(request), zmq.NOBLOCK)
        if not self._answered(timeout_seconds):
            raise ShipperUnreachableError(
                f"no shipper answered in {self._shipper} within {timeout_seconds:.2f} s: "
                "none runs there, or it is busy; `telemetry status` tells"
            )
        return self._reply(self._socket.recv())

    def _answered(self, timeout_seconds: float) -> bool:
        """Wait for a reply: not in ZeroMQ, where no greenlet of the host but ours would run."""
        deadline = monotonic() + max(0.0, min(timeout_seconds, MAX_WAIT_SECONDS))
        while not self._socket.poll(0):
            if monotonic() >= deadline:
                return False
            pause(min(POLL_SECONDS, max(0.0, deadline - monotonic())))
        return True

    def _reply(self, message: bytes) -> dict[str, Any]:
        try:
            reply = msgspec.msgpack.decode(message)
        except (msgspec.DecodeError, ValueError, RecursionError):
            reply = None
        if not isinstance(reply, dict):
            raise ShipperUnreachableError(
                f"what answered in {self._shipper} is no shipper of this version: stop it, a new one is spawned"
            )
        return reply
