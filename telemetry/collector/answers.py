"""Answers of the collector as bytes, and the decisions that need no more than the head of a request.

A refusal ends the connection: a refused client has to connect again, as a newcomer that others need not wait for.
"""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from telemetry.collector.head import Head, read_head
from telemetry.collector.judge import Refusal

if TYPE_CHECKING:
    from telemetry.collector.health import Health
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.tokens import Tokens

GO_ON = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The interim response to a client that sends no body before it has been told to."""

JSON = "application/json"

_END = b"\r\n\r\n"
_MORE = {401: "WWW-Authenticate: Bearer\r\n", 405: "Allow: POST\r\n"}  # RFC 9110, 15.5.2 and 15.5.6


def answer(status: int, body: bytes, content_type: str = JSON, *, more: str = "", is_last: bool = True) -> bytes:
    """Build a complete response. With `is_last`, the connection ends after it; otherwise another request may follow."""
    more += "Connection: close\r\n" if is_last else ""
    head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{more}Content-Type: {content_type}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("ascii") + body


def refuse(refusal: Refusal) -> bytes:
    """Build the complete response for a refusal: its status, its reason, and when to try again."""
    more = _MORE.get(refusal.status, "")
    if refusal.retry_after_seconds:
        more += f"Retry-After: {math.ceil(refusal.retry_after_seconds)}\r\n"
    return answer(refusal.status, msgspec.json.encode({"error": refusal.reason}), more=more)


def without_body(said: bytes) -> bytes:
    """Return the head alone of a response, which is all that a client may be sent for HEAD."""
    return said[: said.index(_END) + len(_END)]


FULL = refuse(Refusal(503, "too many clients are at work", 5.0))
"""The response to a client beyond the limit on connections."""

_REFUSALS = {
    status: refuse(Refusal(status, reason))
    for status, reason in {
        400: "this is not a request in HTTP/1.1, or it can be read in two ways",
        401: "the bearer token is missing or wrong",
        405: "POST a batch; or GET /healthz or /metrics",
        411: "give the body's length as Content-Length: Transfer-Encoding is not supported",
        431: "the head is longer than 20 KiB, or than 100 headers",
    }.items()
}


class Answers:
    """Responses that depend on the head of a request alone.

    Args:
        tokens: the tokens that permit uploads.
        metrics: counts the refusals.
        health: supplies the last known state of health.
    """

    def __init__(self, tokens: Tokens, metrics: Metrics, health: Health) -> None:
        self._tokens = tokens
        self._metrics = metrics
        self._health = health

    def hear(self, data: bytes) -> bytes | Head | None:
        """Read the head of a request.

        Args:
            data: the bytes received so far.

        Returns:
            The complete response, after which the connection ends; or the head, if answering takes more than the head;
            None while the head is incomplete.
        """
        heard = self._hear(data)
        return without_body(heard) if isinstance(heard, bytes) and data.startswith(b"HEAD ") else heard

    def _hear(self, data: bytes) -> bytes | Head | None:
        found = read_head(data)
        if isinstance(found, Head):
            is_health = found.path == "/healthz" and found.method != "POST"
            if is_health and (known := self._health.known()):
                return answer(*known)
            if is_health or self._tokens.holder_of(found.headers.get("authorization", [""])[0]):
                return found
            found = 401
        if found is None:
            return None
        self._metrics.refused(found)
        return _REFUSALS[found]

    def name_of(self, head: Head) -> str:
        """Return the name of the token that a request's head bears, or an empty string if it bears no valid one."""
        holder = self._tokens.holder_of(head.headers.get("authorization", [""])[0])
        return holder.name if holder else ""
