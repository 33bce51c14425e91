"""The application that ASGI servers serve; it begins to collect when it is loaded, and has no line for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.exits.host import init, note, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LAST_CALLS = 10
"""When all requests are answered: right before the end of the process, in each worker."""

init()


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """One call a request."""
    if scope["type"] == "lifespan":
        await receive()
        note("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        work(LAST_CALLS)
        await send({"type": "lifespan.shutdown.complete"})
        return
    work(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
