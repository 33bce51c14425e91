"""Runs the collector's application on a socket until SIGINT or SIGTERM, logging no requests."""

from __future__ import annotations

import os
import signal
import socket
import ssl
from typing import TYPE_CHECKING

import uvicorn

from telemetry.collector.guard import guarded
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.applications import Starlette

    from telemetry.collector.limits import Limits

_SHUTDOWN_SECONDS = 3  # for uploads under way; a client that gets no answer sends its batch again
_KEEP_ALIVE_SECONDS = 5
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


def url_of(bound: socket.socket, *, tls: bool = False) -> str:
    """The URL that reaches a bound socket."""
    host, port = bound.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"


def load_tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server needs for TLS 1.2 and newer.

    Raises:
        ConfigError: the files are not a certificate, with its chain, and its key, in PEM; or others can read the key.
    """
    try:
        mode = key.stat().st_mode
        if mode & 0o077:
            raise ConfigError(f"{key}: others can read it (mode {mode & 0o777:o}); chmod 600 it")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # Without a password: else OpenSSL would ask the terminal for that of an encrypted key.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as fault:
        reason = fault.reason or "the key asks for a password; write it without one"
        raise ConfigError(f"{certificate} and {key} are no pair of a certificate and its key: {reason}") from None
    except OSError as fault:
        reason = os.strerror(fault.errno or 0)
        raise ConfigError(f"the files for TLS, {certificate} and {key}, can't be read: {reason}") from None
    return context


def serve(
    app: Starlette,
    bound: socket.socket,
    limits: Limits,
    on_ready: Callable[[], None],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Answer requests until a signal comes, then finish those under way and return within some seconds.

    Args:
        app: the application.
        bound: a socket from `bind`; closed at the end.
        limits: what its clients may ask for.
        on_ready: called once, when requests are being answered.
        tls: from `load_tls`; None for plain http.
    """
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=guarded(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # a warning for each malformed request would let anybody fill the disk
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        ssl_context_factory=(lambda _config, _default: tls) if tls else None,
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
