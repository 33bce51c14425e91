"""Server of the collector: runs on a socket until SIGINT or SIGTERM, and logs no requests."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
from time import monotonic
from typing import TYPE_CHECKING

from telemetry.collector.answers import Answers
from telemetry.collector.connections import Connections
from telemetry.collector.conversation import Desk
from telemetry.collector.entrance import Entrance
from telemetry.collector.health import Health
from telemetry.collector.pace import Pace
from telemetry.collector.reception import Reception
from telemetry.errors import ConfigError
from telemetry.shipper.process import calm_the_allocator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from telemetry.collector.certificate import Certificate
    from telemetry.collector.keeper import Keeper
    from telemetry.collector.less import Less
    from telemetry.collector.limits import Limits
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.tokens import Tokens

_SHUTDOWN_SECONDS = 3  # for uploads under way; a client that gets no answer sends its batch again
_LOOK_SECONDS = 0.01
_SPARE_DESCRIPTORS = 100
_LAST_PORT = 65_535


def bind(listen: str) -> socket.socket:
    """Return a socket bound to `HOST:PORT`. Port 0 takes a free one; an IPv6 address stands in brackets.

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
    """Return the URL of a bound socket."""
    host, port = bound.getsockname()[:2]
    scheme = "https" if tls else "http"
    return f"{scheme}://[{host}]:{port}" if bound.family == socket.AF_INET6 else f"{scheme}://{host}:{port}"


def set_up(keeper: Keeper, limits: Limits, tokens: Tokens, metrics: Metrics, less: Less) -> Desk:
    """Assemble the parts of the collector that conversations use.

    Args:
        keeper: keeps the batches.
        limits: the bounds on clients.
        tokens: the tokens that permit uploads.
        metrics: counts requests and uploads.
        less: asks for less with each batch that is taken.
    """
    connections = Connections(_room_for(limits.connections), monotonic)
    metrics.measure("connections", "Clients that are connected.", lambda: len(connections))
    metrics.measure("connections_cut", "Clients cut off to make room for others.", lambda: connections.cut)
    health = Health(keeper.find_refusal, tokens, monotonic)
    reception = Reception(keeper, tokens, metrics)
    return Desk(connections, reception, Answers(tokens, metrics, health), health, metrics, limits, Pace(), less, set())


def serve(
    bound: socket.socket,
    desk: Desk,
    certificate: Certificate | None,
    chores: Sequence[Callable[[], Awaitable[None]]],
    on_ready: Callable[[], None],
) -> None:
    """Answer requests until a signal comes, then finish those in progress and return within some seconds.

    Args:
        bound: a socket from `bind`; closed at the end.
        desk: the parts of the collector that conversations use.
        certificate: the certificate for TLS; None for plain http.
        chores: run meanwhile, each until it returns or the server ends.
        on_ready: called once, when requests are being answered.
    """
    calm_the_allocator()  # each piece of a body, and each answer of a check, got pages of its own
    asyncio.run(_serve(bound, desk, certificate, chores, on_ready))


async def _serve(
    bound: socket.socket,
    desk: Desk,
    certificate: Certificate | None,
    chores: Sequence[Callable[[], Awaitable[None]]],
    on_ready: Callable[[], None],
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    entrance = Entrance(bound, desk, certificate.context if certificate else None)
    working = [asyncio.create_task(_run(chore)) for chore in chores]
    entrance.open()
    on_ready()
    await stopped.wait()
    entrance.close()
    bound.close()
    for conversation in tuple(desk.talking):
        conversation.retire()
    until_seconds = loop.time() + _SHUTDOWN_SECONDS
    while desk.talking and loop.time() < until_seconds:  # noqa: ASYNC110 once in a process' life
        await asyncio.sleep(_LOOK_SECONDS)
    for conversation in tuple(desk.talking):
        conversation.cut()
    for task in working:
        task.cancel()
    await asyncio.sleep(0)  # what was cut off is seen in the next turn


async def _run(chore: Callable[[], Awaitable[None]]) -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await chore()


def _room_for(connections: int) -> int:
    """Return the number of connections, reduced to what the descriptors allow: each may also have a file open."""
    wanted = 2 * connections + _SPARE_DESCRIPTORS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return max(1, min(connections, (soft - _SPARE_DESCRIPTORS) // 2))
