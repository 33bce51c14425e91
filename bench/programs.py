"""Real programs, each with what it is given to trip over; what they are given holds `CANARY`."""

from __future__ import annotations

import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Steps = Iterator[Callable[[], object]]

CANARY = "wilhelmina7"
_HOST = f"{CANARY}.invalid"


class _Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        code = int(self.path.rpartition("/")[2])
        self.send_response(code)
        if code in {301, 302}:
            self.send_header("Location", f"/{CANARY}/200")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _client() -> Steps:
    """Requests, by urllib3: answers, redirects, retries, what can't be resolved, what is no URL."""
    import requests  # noqa: PLC0415 a program of its own
    from urllib3.util.retry import Retry  # noqa: PLC0415 as above

    server = HTTPServer(("127.0.0.1", 0), _Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{server.server_port}/{CANARY}"
    with requests.Session() as session:
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=Retry(2, status_forcelist=[503])))
        session.trust_env = False
        for code in (200, 204, 301, 302, 404, 503):
            yield partial(session.get, f"{base}/{code}", timeout=5)
            yield lambda code=code: session.get(f"{base}/{code}", timeout=5).raise_for_status()  # type: ignore[misc]
        for url in (f"http://{_HOST}/", f"{CANARY}://x", f"http:///{CANARY}", f"http://[{CANARY}]/", f"//{CANARY}"):
            yield partial(session.get, url, timeout=5)
        yield partial(session.get, f"{base}/200", proxies={"http": f"{CANARY}://x"})
        yield partial(session.get, f"{base}/200", headers={CANARY: "a\nb"})
    server.shutdown()
    server.server_close()


def _web() -> Steps:
    """Uvicorn with starlette: a whole life, with an application that fails."""
    import asyncio  # noqa: PLC0415 as above

    import uvicorn  # noqa: PLC0415 as above
    from starlette.applications import Starlette  # noqa: PLC0415 as above
    from starlette.routing import Route  # noqa: PLC0415 as above

    def fail(_request: Any) -> Any:
        raise RuntimeError(CANARY)

    config = uvicorn.Config(
        Starlette(routes=[Route("/fail", fail)]), port=0, log_config=None, lifespan="auto", access_log=True
    )

    async def serve() -> None:
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        await server.startup()
        port = server.servers[0].sockets[0].getsockname()[1]
        for request in (f"GET /{CANARY} HTTP/1.1", "GET /fail HTTP/1.1", f"{CANARY}"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(f"{request}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            await reader.read()
            writer.close()
        await server.shutdown()

    yield lambda: asyncio.run(serve())
    yield partial(Route, CANARY, fail)
    yield lambda: Starlette().url_path_for(CANARY)


def _site() -> Steps:
    """Django: requests that find nothing or fail, faulty queries, forms and settings."""
    import django  # noqa: PLC0415 as above
    from django.conf import settings  # noqa: PLC0415 as above

    settings.configure(
        ALLOWED_HOSTS=["localhost"],
        ROOT_URLCONF="bench.programs",
        SECRET_KEY="x" * 50,
        LOGGING_CONFIG=None,
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    )
    django.setup()
    from django.apps import apps  # noqa: PLC0415 as above
    from django.core.management import call_command  # noqa: PLC0415 as above
    from django.core.validators import URLValidator, validate_email, validate_ipv4_address  # noqa: PLC0415 as above
    from django.db import connection  # noqa: PLC0415 as above
    from django.template import engines  # noqa: PLC0415 as above
    from django.test import RequestFactory  # noqa: PLC0415 as above
    from django.test.client import Client  # noqa: PLC0415 as above
    from django.urls import reverse  # noqa: PLC0415 as above
    from django.utils.module_loading import import_string  # noqa: PLC0415 as above

    client = Client(raise_request_exception=False, headers={"host": "localhost"})
    yield partial(client.get, f"/{CANARY}")
    yield partial(client.get, "/", headers={"host": _HOST})
    yield RequestFactory(headers={"host": _HOST}).get("/").get_host
    yield partial(reverse, CANARY)
    yield partial(import_string, CANARY)
    yield partial(import_string, f"os.{CANARY}")
    yield partial(apps.get_app_config, CANARY)
    yield partial(apps.get_model, f"{CANARY}.x")
    yield partial(call_command, CANARY)
    yield lambda: engines[CANARY]
    yield partial(validate_email, CANARY)
    yield partial(validate_ipv4_address, CANARY)
    yield lambda: URLValidator()(CANARY)
    yield lambda: connection.cursor().execute("SELECT 1")
    yield lambda: connection.cursor().execute(f"SELECT {CANARY}")
    yield lambda: getattr(settings, CANARY.upper())


urlpatterns: list[object] = []


def _queries() -> Steps:
    """Sqlglot: statements that are none, functions and types that there are not."""
    import sqlglot  # noqa: PLC0415 as above
    from sqlglot import exp  # noqa: PLC0415 as above
    from sqlglot.optimizer import optimize  # noqa: PLC0415 as above

    for statement in (f"SELECT FROM {CANARY} WHERE (", f"SELECT '{CANARY}", f"CREATE TABLE ({CANARY}", f"{CANARY} ("):
        yield partial(sqlglot.parse_one, statement)
    yield partial(sqlglot.parse_one, "SELECT 1", read=CANARY)
    yield partial(optimize, f"SELECT {CANARY} FROM a, b", schema={"a": {"x": "int"}})  # noqa: S608 as above
    yield partial(sqlglot.transpile, f"SELECT {CANARY} -- x\n FROM x FOR UPDATE", write="duckdb")  # noqa: S608 as above
    yield partial(exp.DataType.build, f"{CANARY} (")
    yield partial(sqlglot.parse, f"ALTER {CANARY} x; KILL {CANARY} 5; VACUUM {CANARY}")


def _documents() -> Steps:
    """Jsonschema: documents that do not fit."""
    import jsonschema  # noqa: PLC0415 as above

    cases: list[tuple[Any, dict[str, Any]]] = [
        (CANARY, {"type": "integer"}),
        (CANARY, {"enum": ["x"]}),
        (CANARY, {"const": 5}),
        (CANARY, {"maxLength": 3}),
        (CANARY, {"minLength": 30}),
        (CANARY, {"pattern": "^x$"}),
        (CANARY, {"not": {"type": "string"}}),
        (CANARY, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        ({CANARY: 1}, {"required": ["x"]}),
        ({CANARY: 1}, {"additionalProperties": False}),
        ({CANARY: 1}, {"maxProperties": 0}),
        ({CANARY: 1}, {"minProperties": 2}),
        ([CANARY, CANARY], {"uniqueItems": True}),
        ([CANARY], {"maxItems": 0}),
        ([CANARY], {"minItems": 2}),
        ([CANARY], {"contains": {"type": "integer"}}),
        (CANARY, {"type": CANARY}),
        (7, {"maximum": 3}),
        (7, {"minimum": 30}),
        (7, {"multipleOf": 2}),
    ]

    def check(document: Any, schema: dict[str, Any]) -> None:
        try:
            jsonschema.validate(document, schema)
        except (jsonschema.ValidationError, jsonschema.SchemaError) as error:
            raise ValueError(error.message) from None  # without the document and the schema

    for document, schema in cases:
        yield partial(check, document, schema)


PROGRAMS: dict[str, tuple[tuple[str, ...], Callable[[], Steps]]] = {
    "requests and urllib3": (("requests", "urllib3"), _client),
    "uvicorn and starlette": (("uvicorn", "starlette", "asyncio"), _web),
    "django": (("django", "asyncio"), _site),
    "sqlglot": (("sqlglot",), _queries),
    "jsonschema": (("jsonschema",), _documents),
}
"""By name: the packages whose source says its messages, and its steps."""
