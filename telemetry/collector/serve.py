"""Runs the collector's application on a socket until SIGINT or SIGTERM, logging no requests."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import uvicorn

from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.applications import Starlette

_SHUTDOWN_SECONDS = 1  # for uploads under way; a client that gets no answer sends its batch again
_LAST_PORT = 65_535


def bind(listen: str) -> socket.socket:
    """A socket bound to `HOST:PORT`; port 0 takes a free one, an IPv6 address stands in brackets.

    Raises:
        ConfigError: the text is no such pair, or the address can't be had.
    """
    host, colon, port = listen.rpartition(":")
    if not (host and colon and port.isdecimal() and port.isascii() and int(port) <= _LAST_PORT):
        raise ConfigError(f"cannot listen on {listen!r}: write HOST:PORT, for example 127.0.0.1:8000")
    name = host.removeprefix("[").removesuffix("]")
    try:
        found = socket.getaddrinfo(name, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, *_, address = found[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, UnicodeError) as fault:  # the latter from a name that no resolver would take
        reason = getattr(fault, "strerror", None) or "no such host"
        raise ConfigError(f"cannot listen on {listen}: {reason}; name another address or port") from None


def url_of(bound: socket.socket) -> str:
    """The URL that reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"http://{host}:{port}"


def serve(app: Starlette, bound: socket.socket, on_ready: Callable[[], None]) -> None:
    """Answer requests until a signal comes, then return within about a second.

    Args:
        app: the application.
        bound: a socket from `bind`; closed at the end.
        on_ready: called once, when requests are being answered.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,  # leaves warnings and errors, which name no client
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )
    server = _AnnouncingServer(config, on_ready)

    # uvicorn sends a signal it caught on to the handler from before: this one, so that the process ends well.
    def stop(*_: object) -> None:
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server.run(sockets=[bound])


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()
