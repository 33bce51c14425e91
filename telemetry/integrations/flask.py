"""Flask: one event a request, by the rule of its route and never by its path.

request_events(app)

The event's fields are those of telemetry/integrations/asgi.py; a rule is written as the application has it,
`/users/<int:number>`.
"""

from __future__ import annotations

from typing import Any

import flask
from flask import Flask, Response, g
from flask.signals import request_finished, request_started, request_tearing_down

import telemetry
from telemetry.integrations.asgi import UNMATCHED
from telemetry.native import perf_counter

_FAILED = 500
_KEPT = "_telemetry_request"


def request_events(app: Flask, *, event: str = "request") -> None:
    """Emit an event with `route`, `method`, `status` and `duration_ms` for each request that an application ends.

    An exception that nothing in the application handles counts as status 500.

    Args:
        app: the application.
        event: the name of the event, which the catalog declares.
    """

    def start(_: Flask, **__: Any) -> None:
        setattr(g, _KEPT, [perf_counter(), _FAILED])

    def finish(_: Flask, response: Response, **__: Any) -> None:
        if (kept := g.get(_KEPT)) is not None:
            kept[1] = response.status_code

    def emit(_: Flask, **__: Any) -> None:
        if (kept := g.pop(_KEPT, None)) is not None:
            began, status = kept
            rule = flask.request.url_rule
            telemetry.emit(
                event,
                route=rule.rule if rule else UNMATCHED,
                method=flask.request.method,
                status=status,
                duration_ms=(perf_counter() - began) * 1e3,
            )

    # As signals, which come before and after all functions of the application's own, and can't answer in their place.
    request_started.connect(start, app, weak=False)
    request_finished.connect(finish, app, weak=False)
    request_tearing_down.connect(emit, app, weak=False)
