"""Questions to a shipper over its control socket, and their answers: the whole of that protocol. The host imports it.

A message is one msgpack map, and this module alone packs and unpacks them. Requests are `{"op": "confirm" | "deliver" |
"leave" | "seal" | "status" | "stop", ...}`, each answered by one map; anything else is left unanswered. From other
machines, only `REMOTE_OPERATIONS` are answered. A request whose answer did not arrive in time leaves the connection out
of step: open a new one.

The first three name a `producer`. `confirm` is answered with the numbers of its events that are durable or accounted
for, `{accepted, dropped}`; the request may give by the same names the numbers it waits for, and until they are reached
the answer is empty. To a request that has `shipper`, the same is added, another value for each shipper. `deliver` gives
the numbers it waits for likewise. Those events are sealed and uploaded at once; the answer is `{"delivered": true}`
when each has left the spool, false when nothing is uploaded now, and empty until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
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

    from telemetry.rendezvous.keys import Peer

Message = dict[str, Any]
Answer = Callable[[Message], Message]

REMOTE_OPERATIONS = ("confirm", "deliver", "leave")
"""The operations permitted to other machines; all others are for this machine's own user."""

MAX_REQUEST_BYTES = 4096

MAX_REQUESTS = 256
"""The number of requests answered in one go; an endless stream must not keep the shipper from its frames."""

MAX_WAIT_SECONDS = 86_400.0
"""The longest wait: a lock's timeout has a limit, and a caller may pass infinity, or something that is no number."""

POLL_SECONDS = 0.001
"""The interval between looks for an answer."""


class Control:
    """A connection to the shipper that listens in a directory, or to a peer elsewhere; not shared between threads.

    Connecting does not need a shipper: one that starts later answers the same request.
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

    def ask(self, request: Message, timeout_seconds: float) -> Message:
        """Send a request and wait for its reply.

        Raises:
            ShipperUnreachableError: no reply within `timeout_seconds` (a day at most), or one that is no map.
        """
        self._socket.send(_encode(request), zmq.NOBLOCK)
        if not self._answered(timeout_seconds):
            raise ShipperUnreachableError(
                f"no shipper answered in {self._shipper} within {timeout_seconds:.2f} s: "
                "none runs there, or it is busy; see `telemetry status`"
            )
        if (reply := _decode(self._socket.recv())) is None:
            raise ShipperUnreachableError(
                f"what answered in {self._shipper} is not a shipper of this version: stop it, and a new one is spawned"
            )
        return reply

    def _answered(self, timeout_seconds: float) -> bool:
        """Wait for a reply, but not in ZeroMQ, where no other greenlet of the host would run."""
        deadline = monotonic() + max(0.0, min(timeout_seconds, MAX_WAIT_SECONDS))
        while not self._socket.poll(0):
            if monotonic() >= deadline:
                return False
            pause(min(POLL_SECONDS, max(0.0, deadline - monotonic())))
        return True


def answer_all(socket: zmq.Socket[bytes], answers: Mapping[str, Answer]) -> None:
    """Answer the requests that wait; never blocks, and no request can stop it.

    Args:
        socket: a ROUTER.
        answers: the functions that answer, by `op`; each gets the request and may raise LookupError, TypeError,
            AttributeError or ValueError for one that is malformed.
    """
    for _ in range(MAX_REQUESTS):
        try:
            identity, *parts = socket.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return
        answer(socket, identity, b"".join(parts), answers)


def answer(socket: zmq.Socket[bytes], identity: bytes, message: bytes, answers: Mapping[str, Answer]) -> None:
    """Answer one request, as `answer_all` does."""
    reply = _answer(message, answers)
    if reply is not None:
        with suppress(zmq.ZMQError):  # the peer is gone
            socket.send_multipart([identity, _encode(reply)], zmq.NOBLOCK)


def _answer(message: bytes, answers: Mapping[str, Answer]) -> Message | None:
    if len(message) > MAX_REQUEST_BYTES or (request := _decode(message)) is None:
        return None
    try:
        return answers[request["op"]](request)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None


_encode = msgspec.msgpack.Encoder().encode


def _decode(message: bytes) -> Message | None:
    """Decode a message to a map; return None if it is none."""
    try:
        found = msgspec.msgpack.decode(message)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
