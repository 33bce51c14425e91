"""What an endpoint's reply means for a batch."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Outcome(Enum):
    """What became of one upload."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same batch again, later
    SPLIT = "split"  # something in it is refused: try its halves
    REJECTED = "rejected"  # it, as a whole, is refused for good
    PAUSED = "paused"  # the endpoint is not what we take it for: no upload at all for a while


class Reply(NamedTuple):
    """An endpoint's answer, reduced to what the uploader acts on.

    Attributes:
        outcome: what it means.
        cause: for the log and `telemetry status`: the status, or the kind of fault. Never a body.
        status: of HTTP; 0 when there was none.
        retry_after_seconds: what it asked for; 0 when nothing.
    """

    outcome: Outcome
    cause: str
    status: int = 0
    retry_after_seconds: float = 0.0


_SPLIT = {400, 413, 422}
_RETRY = {408, 425, 429}
_ALREADY_THERE = 409
_NOT_IMPLEMENTED = 501
_HTML = (b"<!doctype html", b"<html")


def outcome_of(status: int, content_type: str, body: bytes = b"") -> Outcome:
    """The outcome of an HTTP status, with the type and the beginning of what came with it.

    HTML on success is a captive portal or a proxy that speaks, never a collector, whatever it is called. A status
    that nobody expects (a 1xx, a 402) pauses: deleting on it would lose events to a mistake in somebody's proxy.
    """
    if status == _ALREADY_THERE:
        return Outcome.DELIVERED
    if 200 <= status < 300:  # noqa: PLR2004 the class of HTTP statuses
        return Outcome.PAUSED if _is_html(content_type, body) else Outcome.DELIVERED
    if status in _SPLIT:
        return Outcome.SPLIT
    if status in _RETRY or (status >= 500 and status != _NOT_IMPLEMENTED):  # noqa: PLR2004 the same
        return Outcome.RETRY
    return Outcome.PAUSED


def _is_html(content_type: str, body: bytes) -> bool:
    return content_type.strip().lower().startswith("text/html") or body.lstrip()[:16].lower().startswith(_HTML)
