"""The application that uvicorn serves; it closes when its lifespan ends, since uvicorn then dies of the signal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.exits.host import close, init, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

init()


async def app(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """One call a request."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        close()
        await send({"type": "lifespan.shutdown.complete"})
        return
    work(1)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
