"""Django middleware: one event a request, by the route's pattern and never by its path.

    MIDDLEWARE = ["telemetry.integrations.django.request_events", ...]
    TELEMETRY_REQUEST_EVENT = "request"           # unless the catalog calls it otherwise

The event's fields are those of telemetry/integrations/asgi.py; a route is written as `urlpatterns` has it,
`articles/<int:year>/`.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.utils.decorators import sync_and_async_middleware

import telemetry
from telemetry.integrations.asgi import UNMATCHED
from telemetry.native import perf_counter

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


@sync_and_async_middleware  # type: ignore[untyped-decorator] # Django has no types
def request_events(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Emit an event with `route`, `method`, `status` and `duration_ms` for each request that is answered.

    Place it first, so that it sees what the others answer themselves. An exception in a view is an answer by then.

    Args:
        get_response: the next handler, synchronous or not.
    """
    event = getattr(settings, "TELEMETRY_REQUEST_EVENT", "request")

    def emit(request: HttpRequest, response: HttpResponse, began: float) -> None:
        telemetry.emit(
            event,
            route=_route_of(request),
            method=request.method,
            status=response.status_code,
            duration_ms=(perf_counter() - began) * 1e3,
        )

    if iscoroutinefunction(get_response):

        async def answer_later(request: HttpRequest) -> HttpResponse:
            began = perf_counter()
            response = await get_response(request)
            emit(request, response, began)
            return response

        return answer_later

    def answer(request: HttpRequest) -> HttpResponse:
        began = perf_counter()
        response = get_response(request)
        emit(request, response, began)
        return response

    return answer


def _route_of(request: HttpRequest) -> str:
    match = request.resolver_match
    return UNMATCHED if match is None else str(match.route)
