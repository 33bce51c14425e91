"""Strict reader of request heads: a head that two servers could read differently is refused. Pure.

A head is bounded in bytes and in lines, as each line costs time. A body must have a length, and no transfer encoding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

MAX_HEAD_BYTES = 20 << 10
"""The greatest length of a head; Nginx and Apache accept less."""

_MAX_LINES = 102  # 100 headers are what Apache takes
_MOST_DIGITS = 18  # of a length

_END = re.compile(rb"\n\r?\n")  # what it begins with is looked for at once: a CR that may be there, at each place
_BEGINNING = re.compile(rb"\r?\n?(?:[!#$%&'*+.^_`|~0-9A-Za-z-]|\Z)")
_REQUEST = re.compile(rb"(?:\r\n)?+([!#$%&'*+.^_`|~0-9A-Za-z-]++) ([!-~]++) HTTP/1\.([01])\r\n")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]++):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)\r\n")
_HEADERS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]++:[^\x00-\x08\x0a-\x1f\x7f]*+\r\n)*+\r\n")
# As a header of its own, and as what a lenient server in front might take for one.
_TRANSFER_ENCODING = re.compile(rb"\n[ \t]*transfer[-_]encoding[ \t]*:", re.IGNORECASE)
_ORIGIN = re.compile(r"https?://[^/?]*", re.IGNORECASE)  # RFC 9112, 3.2.2: has to be taken, means nothing here
_READ = ("/healthz", "/metrics")
_READING = ("GET", "HEAD")

Headers = Mapping[str, list[str]]
"""The values of each header, by its name in lower case."""


class Head(NamedTuple):
    """The head of a readable request.

    Attributes:
        method: `GET`, `HEAD` or `POST`.
        path: the path of the target, without the query.
        headers: the values by their names in lower case.
        head_bytes: the length of the head.
        body_bytes: the length of the body that follows.
        is_last: whether no other request follows over the same connection.
        expects_word: whether the client waits for `100 Continue` before it sends the body.
    """

    method: str
    path: str
    headers: Headers
    head_bytes: int
    body_bytes: int
    is_last: bool
    expects_word: bool


def read_head(data: bytes) -> Head | int | None:  # noqa: PLR0911 a list of reasons
    """Return the head that `data` begins with, the status that refuses it, or None if it is incomplete."""
    found = _END.search(data)
    head = data[: found.end()] if found else data
    if len(head) > MAX_HEAD_BYTES or head.count(b"\n") > _MAX_LINES:
        return 431
    if found is None:  # a client that speaks TLS or SOCKS would wait for an answer in vain
        return None if _BEGINNING.match(head) else 400
    request = _REQUEST.match(head)
    if request is None:
        return 400
    method, target, minor = (part.decode("ascii") for part in request.groups())
    path = _ORIGIN.sub("", target, 1).partition("?")[0]
    if method != "POST" and not (method in _READING and path in _READ):
        return 405
    if _TRANSFER_ENCODING.search(head):
        return 411
    if not _HEADERS.fullmatch(head, request.end()):
        return 400
    headers: dict[str, list[str]] = {}
    for name, value in _HEADER.findall(head, request.end()):
        headers.setdefault(name.decode("ascii").lower(), []).append(value.decode("latin-1").rstrip(" \t"))
    lengths = headers.get("content-length", ["0"] if method in _READING else [])
    if not lengths:
        return 411
    is_length = lengths[0].isascii() and lengths[0].isdecimal() and len(lengths[0]) <= _MOST_DIGITS
    is_new = minor == "1"
    if not (
        is_length and len(lengths) == 1 and len(headers.get("host", ())) <= 1 and (not is_new or "host" in headers)
    ):
        return 400
    connection = ",".join(headers.get("connection", ())).lower()
    is_last = not is_new or "close" in [word.strip() for word in connection.split(",")]
    expects_word = is_new and headers.get("expect", [""])[0].lower() == "100-continue"
    return Head(method, path, headers, len(head), int(lengths[0]), is_last, expects_word)
