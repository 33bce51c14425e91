"""Asking a shipper over its control socket; producers and commands share it.

Requests are `{"op": "confirm" | "leave" | "seal" | "status" | "consent" | "stop", ...}`, each answered by one map.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import msgpack
import zmq

from telemetry.errors import ShipperUnreachableError
from telemetry.wire import CONTROL_SOCKET


class Control:
    """A connection to the shipper that listens in `directory`; not shared between threads.

    Connecting does not need a shipper: one that comes up later answers the same request.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], directory: Path) -> None:
        self._directory = directory
        self._socket = context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.reconnect_ivl = 10
        self._socket.connect(f"ipc://{directory / CONTROL_SOCKET}")

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        """Send a request and wait for its reply.

        Raises:
            ShipperUnreachableError: no reply within `timeout_seconds`.
        """
        self._socket.send(msgpack.packb(request))
        if not self._socket.poll(max(0, int(timeout_seconds * 1000))):
            raise ShipperUnreachableError(
                f"no shipper answered in {self._directory} within {timeout_seconds:.2f} s: "
                "none runs there, or it is busy; `telemetry status` tells"
            )
        reply: dict[str, Any] = msgpack.unpackb(self._socket.recv())
        return reply
