"""The control socket's side of the shipper: what is asked is answered, what is no request is left unanswered.

Format: telemetry/wire.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgpack
import zmq

Answer = Callable[[dict[str, Any]], dict[str, Any]]

MAX_REQUEST_BYTES = 4096

MAX_REQUESTS = 256
"""Answered in one go; who asks without end must not keep the shipper from its frames."""


def answer_all(socket: zmq.Socket[bytes], answers: Mapping[str, Answer]) -> None:
    """Answer the requests that wait; never blocks, and no request can stop it.

    Args:
        socket: a ROUTER.
        answers: by `op`; an answer gets the request and may raise LookupError, TypeError, AttributeError or ValueError
            for one that is not of its form.
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
        with suppress(zmq.ZMQError):  # who asked is gone
            socket.send_multipart([identity, msgpack.packb(reply)], zmq.NOBLOCK)


def _answer(message: bytes, answers: Mapping[str, Answer]) -> dict[str, Any] | None:
    if len(message) > MAX_REQUEST_BYTES:
        return None
    try:
        request = msgpack.unpackb(message)
        return answers[request["op"]](request)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, msgpack.UnpackException):
        return None
