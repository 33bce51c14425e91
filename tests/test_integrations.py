"""Frameworks' requests and tasks as events, with the real frameworks: templates of routes, and nothing of a path."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import requests
from celery import Celery
from celery.contrib.testing.worker import start_worker
from conftest import wait_until
from spools import Endpoint
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

import telemetry
from telemetry.integrations.asgi import RequestEvents
from telemetry.integrations.celery import task_events
from telemetry.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.requests import Request
    from starlette.websockets import WebSocket

CATALOG = """
[catalog]
product = "acme-web"
version = 1

[events.request]
purpose = "find slow and failing routes"
owner = "web team"
expires = "9999-01-01"
sensitivity = "interaction"
[events.request.fields]
route = { type = "enum", values = ["/users/{id}", "/down", "/talk", "users/<int:number>/", "unmatched"], purpose = "?" }
method = { type = "enum", values = ["GET", "POST", "websocket"], purpose = "how it is used" }
status = { type = "int", min = 0, max = 599, purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }

[events.task]
purpose = "find slow and failing tasks"
owner = "platform team"
expires = "9999-01-01"
sensitivity = "interaction"
[events.task.fields]
task = { type = "enum", values = ["shop.bill", "shop.fail"], purpose = "which" }
state = { type = "enum", values = ["SUCCESS", "FAILURE", "RETRY"], purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }

[events.visits]
kind = "counter"
purpose = "how much it is used"
owner = "web team"
expires = "9999-01-01"
sensitivity = "technical"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(CATALOG)
    return path


async def show(request: Request) -> PlainTextResponse:
    return PlainTextResponse(request.path_params["id"])


async def fail(_: Request) -> PlainTextResponse:
    raise LookupError


async def talk(socket_: WebSocket) -> None:
    await socket_.accept()
    await socket_.close()


async def refuse(socket_: WebSocket) -> None:
    await socket_.close()


ROUTES = [
    Route("/users/{id}", show, methods=["GET", "POST"]),
    Route("/down", fail),
    WebSocketRoute("/talk", talk),
    WebSocketRoute("/refused", refuse),
    Mount("/v2", routes=[Route("/users/{id}", show)]),
]


def ask(app: Any, path: str, method: str = "GET", type_: str = "http") -> list[dict[str, Any]]:
    """Have an application serve one connection; what it sends."""
    sent: list[dict[str, Any]] = []
    coming = [{"type": "websocket.connect"} if type_ == "websocket" else {"type": "http.request", "body": b""}]

    async def receive() -> dict[str, Any]:
        return coming.pop() if coming else {"type": f"{type_}.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": type_,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "headers": [],
        "query_string": b"",
    }
    if type_ == "http":
        scope["method"] = method
    asyncio.run(app(scope, receive, send))
    return sent


def test_a_request_is_told_of_by_its_route_s_template(catalog: Path) -> None:
    app = RequestEvents(Starlette(routes=ROUTES))
    with capture(catalog) as events:
        assert ask(app, "/users/1984-05-06")[-1]["body"] == b"1984-05-06"
        ask(app, "/users/7", method="POST")
        ask(app, "/v2/users/7")
        ask(app, "/users/jane.roe/letters")

    assert [(event["route"], event["method"], event["status"]) for event in events.all("request")] == [
        ("/users/{id}", "GET", 200),
        ("/users/{id}", "POST", 200),
        ("/users/{id}", "GET", 200),
        ("unmatched", "GET", 404),
    ]
    assert all(event["duration_ms"] >= 0 for event in events.events)
    assert events.take_problems() == []


def test_an_exception_goes_on_and_counts_as_a_failure(catalog: Path) -> None:
    app = RequestEvents(Starlette(routes=ROUTES))
    with capture(catalog) as events, pytest.raises(LookupError):
        ask(app, "/down")

    events.one("request", route="/down", status=500)


def test_a_websocket_is_told_of_once_it_has_ended(catalog: Path) -> None:
    app = RequestEvents(Starlette(routes=ROUTES))
    with capture(catalog) as events:
        ask(app, "/talk", type_="websocket")
        ask(app, "/refused", type_="websocket")

    events.one("request", route="/talk", method="websocket", status=101)
    events.one("request", method="websocket", status=403)
    assert len(events.take_problems()) == 1  # the route that the catalog does not list


def test_as_a_framework_s_own_middleware_it_sees_the_same(catalog: Path) -> None:
    app = Starlette(routes=ROUTES)
    app.add_middleware(RequestEvents, event="request")
    with capture(catalog) as events:
        ask(app, "/users/7")

    events.one("request", route="/users/{id}", status=200)


def test_an_application_that_tells_no_route_has_none(catalog: Path) -> None:
    async def app(_scope: Any, _receive: Any, send: Callable[..., Any]) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    with capture(catalog) as events:
        ask(RequestEvents(app), "/secret/path")

    events.one("request", route="unmatched", status=204)


SERVED = """
import json, sys
import telemetry
from starlette.applications import Starlette
from starlette.routing import Route
from test_integrations import ROUTES
from telemetry.integrations.asgi import RequestEvents

telemetry.init(**json.loads(sys.argv[1]))

async def count(scope, receive, send):
    telemetry.count("visits")
    await app(scope, receive, send)

app = RequestEvents(Starlette(routes=ROUTES))

import uvicorn
uvicorn.run(count, port=int(sys.argv[2]), log_level="error")
"""


def test_behind_a_server_that_is_told_to_end_all_requests_have_arrived(home: Path, catalog: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Endpoint() as endpoint:
        init = {"product": "acme-web", "catalog": str(catalog), "endpoint": endpoint.url, "consent": "on"}
        environment = {**os.environ, "PYTHONPATH": os.path.dirname(__file__)}  # noqa: PTH120 as text
        command = [sys.executable, "-c", SERVED, json.dumps(init), str(port)]
        with subprocess.Popen(command, env=environment) as server:
            try:
                wait_until(lambda: _answers(port))
                for number in range(20):
                    assert requests.get(f"http://127.0.0.1:{port}/users/{number}", timeout=20).status_code == 200
            finally:
                server.send_signal(signal.SIGTERM)
        wait_until(lambda: sum(line.get("route") == "/users/{id}" for line in _lines(endpoint)) == 20)
        wait_until(lambda: sum(line.get("count", 0) for line in _lines(endpoint)) >= 20)
    assert "/users/1" not in json.dumps(_lines(endpoint))
    assert home.exists()


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _lines(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [json.loads(line) for request in endpoint.requests for line in request.lines]


DJANGO = """
import asyncio, json, sys
from django.conf import settings
settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", SECRET_KEY="none",
    MIDDLEWARE=["telemetry.integrations.django.request_events"],
)
import django
django.setup()
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.urls import path
from telemetry.testing import capture

def show(request, number):
    return HttpResponse(str(1 // number))

urlpatterns = [path("users/<int:number>/", show)]
with capture(sys.argv[1]) as events:
    client = Client(raise_request_exception=False)
    for asked in ("/users/7/", "/users/0/", "/users/jane.roe/"):
        client.get(asked)
    async def ask():
        await AsyncClient().post("/users/8/")
    asyncio.run(ask())
    told = [[event["route"], event["method"], event["status"]] for event in events.all("request")]
    print(json.dumps([told, events.take_problems()]))
"""


def test_django_tells_of_a_request_by_its_pattern(catalog: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", DJANGO, str(catalog)], capture_output=True, text=True, check=True)

    assert json.loads(ran.stdout) == [
        [
            ["users/<int:number>/", "GET", 200],
            ["users/<int:number>/", "GET", 500],
            ["unmatched", "GET", 404],
            ["users/<int:number>/", "POST", 200],
        ],
        [],
    ]


def test_celery_tells_of_each_task_that_a_worker_has_run(catalog: Path) -> None:
    app = Celery("shop", broker="memory://", backend="cache+memory://")

    @app.task(name="shop.bill")  # type: ignore[untyped-decorator] # Celery has no types
    def bill(amount: int) -> int:
        return amount

    @app.task(name="shop.fail")  # type: ignore[untyped-decorator] # the same
    def fail_(amount: int) -> int:
        raise LookupError(amount)

    task_events()
    task_events()  # twice is once
    with capture(catalog) as events, start_worker(app, perform_ping_check=False):
        assert bill.delay(1984).get(timeout=20) == 1984
        with pytest.raises(LookupError):
            fail_.delay(1984).get(timeout=20)
        wait_until(lambda: len(events.all("task")) == 2)

    assert events.one("task", task="shop.bill", state="SUCCESS")["duration_ms"] >= 0
    events.one("task", task="shop.fail", state="FAILURE")
    assert "1984" not in repr(events.events)


def test_a_timer_times_an_async_block(catalog: Path) -> None:
    async def work() -> None:
        async with telemetry.timer("request", route="/down"):
            await asyncio.sleep(0)

    with capture(catalog) as events:
        asyncio.run(work())

    assert events.one("request", route="/down")["duration_ms"] >= 0
