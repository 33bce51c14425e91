"""Recorder of requests as they would go over the wire: the HTTP libraries do all their work but the sending.

They add headers of their own, in an order of their own, so nothing less would show exactly what leaves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

SECRET = "[secret]"  # noqa: S105 it stands in the place of one

_HIDDEN = frozenset({"authorization", "proxy-authorization"})


class RequestHead(NamedTuple):
    """The head of a request.

    Attributes:
        line: `POST /v1/batches HTTP/1.1`.
        headers: the headers in their order; of a credential only its kind is shown: `Bearer [secret]`.
    """

    line: str
    headers: list[tuple[str, str]]


def record(session: requests.Session, send: Callable[[requests.Session], object]) -> RequestHead:
    """Return the head of the request that `send` makes with `session`, without sending it.

    The session is of no use afterwards.

    Raises:
        Exception: any exception that `send` raises before it would connect.
    """
    adapter = _Adapter()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    try:
        send(session)
    except _Recorded as recorded:
        return read_head(recorded.data)
    finally:
        session.close()
    raise AssertionError("a request was made without its head")


def read_head(data: bytes) -> RequestHead:
    """Parse a request's head, with or without the blank line at its end; credentials are left out."""
    line, *headers = data.decode("latin-1").rstrip("\r\n").split("\r\n")
    return RequestHead(line, list(_read_headers(headers)))


def _read_headers(lines: list[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        name, _, value = line.partition(": ")
        yield name, f"{value.partition(' ')[0]} {SECRET}" if name.lower() in _HIDDEN else value


class _Recorded(Exception):  # noqa: N818 it is no error: it ends the request where it would leave the process
    def __init__(self, data: bytes) -> None:
        super().__init__()
        self.data = data


class _Adapter(HTTPAdapter):
    """An adapter whose connections lead nowhere."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        pool: Any = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _TlsConnection if pool.scheme == "https" else _Connection
        return pool


class _Connection(HTTPConnection):
    def connect(self) -> None:
        """Do nothing."""

    def send(self, data: Any) -> None:
        """Record the first data, which is the whole head, and end the request."""
        raise _Recorded(data)


class _TlsConnection(HTTPSConnection):
    def connect(self) -> None:
        self.is_verified = True  # else it is warned of, though nobody is there to verify

    send = _Connection.send
