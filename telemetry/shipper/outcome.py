"""Outcome of an upload, from the endpoint's reply, and whether a collector or something on the way has replied."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from telemetry.thin import Asked


class Outcome(Enum):
    """The outcome of one upload."""

    DELIVERED = "delivered"
    RETRY = "retry"  # the same batch again, later
    SPLIT = "split"  # something in it is refused: try its halves
    REJECTED = "rejected"  # it, as a whole, is refused for good
    PAUSED = "paused"  # the endpoint is not what we take it for: no upload at all for a while


class Answer(NamedTuple):
    """The meaning of a reply for the batch that it answers, in one format.

    Attributes:
        outcome: the outcome of the upload.
        is_doubtful: whether a page refuses what a collector would refuse of a batch. Either something on the way
            refuses everything, or the collector speaks HTML about this batch: the reply alone does not tell.
        refused: the number of events that the receiver did not take of a batch that it took.
        words: the reason in words of the format, never the receiver's own; empty for none.
    """

    outcome: Outcome
    is_doubtful: bool = False
    refused: int = 0
    words: str = ""


class Reply(NamedTuple):
    """An endpoint's answer, reduced to what the uploader acts on.

    Attributes:
        outcome: the outcome of the upload.
        cause: words for the log and `telemetry status`: the status or the kind of fault, and what to do. Never a body.
        status: the HTTP status; 0 if there was none.
        retry_after_seconds: the delay that it asked for; 0 for none.
        is_doubtful: as in `Answer`.
        refused: as in `Answer`.
        warning: the endpoint's reservation about a batch that it took, in words of the format; empty for none.
        thin: the content of its request for less; None if the reply is not one in which that is heeded.
    """

    outcome: Outcome
    cause: str
    status: int = 0
    retry_after_seconds: float = 0.0
    is_doubtful: bool = False
    refused: int = 0
    warning: str = ""
    thin: Asked | None = None


_ALREADY_THERE = 409
_TOO_LARGE = 413
_SPLIT = {400, _TOO_LARGE, 422}
_RETRY = {408, 425, 429}
_NEVER_WILL = {501, 505}
_OF_THE_BATCH = {*_SPLIT, _ALREADY_THERE}

# What a body of HTML begins with, as browsers tell it: WHATWG, MIME Sniffing, 7.1.
_TAGS = "!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|center|meta"
_PAGE = re.compile(rf"(?:<\?xml[^>]*>|<!--.*?-->|\s)*<(?:{_TAGS})(?=[\s/>])".encode(), re.IGNORECASE | re.DOTALL)
_HTML_TYPES = ("text/html", "application/xhtml+xml")
_MARKS = b"\xef\xbb\xbf\xff\xfe\0"
"""The bytes that mark an encoding; zeros are UTF-16's."""

# What servers and frameworks say of a request, and never of its body, in plain words: Go's net/http, Tomcat, Starlette,
# uvicorn, and nginx where its page is replaced.
_SERVERS_WORDS = re.compile(
    rb"Client sent an HTTP request to an HTTPS server|This combination of host and port requires TLS|HTTPS port"
    rb"|Invalid host header|Invalid HTTP request received|400 Bad Request: |SSL certificate",
    re.IGNORECASE,
)
_MOST_WORDS_BYTES = 512


def read_reply(status: int, content_type: str, body: bytes) -> Answer:
    """Read a reply as our collector means it: by its status, unless it is a page."""
    return Answer(outcome_of(status, content_type, body), is_doubtful(status, content_type, body))


def outcome_of(status: int, content_type: str, body: bytes = b"") -> Outcome:
    """Return the outcome for an HTTP status, given the type and the beginning of the reply's body.

    HTML on success comes from a captive portal or a proxy, never from a collector, whatever its type; and so do a page
    that refuses a body (nginx's 400 for a client without a certificate) and one with status 409 (Cloudflare's, for a
    name that it can't resolve). A body that is too large is so whoever says it. An unexpected status (a 1xx, a 402)
    pauses: deleting on it would lose events to a mistake in somebody's proxy.
    """
    if status == _ALREADY_THERE or 200 <= status < 300:  # noqa: PLR2004 the class of HTTP statuses
        return Outcome.PAUSED if is_page(content_type, body) else Outcome.DELIVERED
    if status in _SPLIT:
        is_of_body = status == _TOO_LARGE or not is_in_the_way(content_type, body)
        return Outcome.SPLIT if is_of_body else Outcome.PAUSED
    if status in _RETRY or (status >= 500 and status not in _NEVER_WILL):  # noqa: PLR2004 the same
        return Outcome.RETRY
    return Outcome.PAUSED


def is_doubtful(status: int, content_type: str, body: bytes) -> bool:
    """Tell whether the reply alone leaves open if it concerns the batch: see `Reply`."""
    return status in _OF_THE_BATCH and is_in_the_way(content_type, body)


def is_page(content_type: str, body: bytes) -> bool:
    """Tell whether a reply is a page for people, by its type or by how it begins."""
    is_called_so = content_type.partition(";")[0].strip().lower() in _HTML_TYPES
    return is_called_so or _PAGE.match(body.translate(None, _MARKS)) is not None


def is_in_the_way(content_type: str, body: bytes) -> bool:
    """Tell whether a refusal comes from something other than a collector: it is a page, or in a server's stock words.

    JSON is a collector's, even if PHP or Flask labels it HTML for want of other instructions.
    """
    if body.lstrip()[:1] in {b"{", b"["}:
        return False
    return is_page(content_type, body) or _SERVERS_WORDS.search(body[:_MOST_WORDS_BYTES]) is not None
