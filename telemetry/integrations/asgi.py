"""ASGI middleware: one event a request, by the route's template and never by its path.

app = RequestEvents(app)                      # any ASGI application
app.add_middleware(RequestEvents)             # FastAPI, Starlette

[events.request]
purpose = "find slow and failing routes"
owner = "web team"
expires = "2027-06-30"
sensitivity = "interaction"
[events.request.fields]
route = { type = "enum", values = ["/users/{id}", "unmatched"], purpose = "which route" }
method = { type = "enum", values = ["GET", "POST", "websocket"], purpose = "how it is used" }
status = { type = "int", min = 0, max = 599, purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import telemetry
from telemetry.api import hand_over
from telemetry.native import perf_counter

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

UNMATCHED = "unmatched"
"""The route of a request that no route takes, or of a framework that does not tell which does."""

_FAILED = 500


class RequestEvents:
    """Middleware that emits an event with `route`, `method`, `status` and `duration_ms` when a request has ended.

    The route is the template given by Starlette, FastAPI (`scope["route"]`) and Litestar (`scope["path_template"]`);
    in a mounted application, only its own part. An exception that the application raises counts as status 500, and
    is passed on; a WebSocket has the method `websocket`, and its status is 101 once accepted. When the server ends,
    all events are handed over.

    Args:
        app: the application.
        event: the name of the event, which the catalog declares.
    """

    def __init__(self, app: Application, *, event: str = "request") -> None:
        self._app = app
        self._event = event

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, _handing_over(send))
        elif scope["type"] in {"http", "websocket"}:
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Message, receive: Receive, send: Send) -> None:
        status = _FAILED

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                status = message["status"]
            elif message["type"] == "websocket.accept":
                status = 101
            elif message["type"] == "websocket.close" and status == _FAILED:
                status = 403  # refused before it was accepted, which a server answers so
            await send(message)

        began = perf_counter()
        try:
            await self._app(scope, receive, send_and_note)
        except BaseException:
            status = _FAILED
            raise
        finally:
            telemetry.emit(
                self._event,
                route=route_of(scope),
                method=scope.get("method", scope["type"]),
                status=status,
                duration_ms=(perf_counter() - began) * 1e3,
            )


def route_of(scope: Message) -> str:
    """Return the template of the route that took a request; `unmatched` if none did."""
    found = getattr(scope.get("route"), "path", None) or scope.get("path_template")
    return found if isinstance(found, str) else UNMATCHED


def _handing_over(send: Send) -> Send:
    async def hand_over_and_send(message: Message) -> None:
        if message["type"].startswith("lifespan.shutdown."):
            hand_over()
        await send(message)

    return hand_over_and_send
