"""Server of the local page: the loopback address alone, for the one browser that was given the address.

The address holds a token that counts once; it becomes a cookie that no script can read. A request counts only if it
names this server as its host, which keeps out other names that lead here (DNS rebinding), and a change only if this
page is its origin. The page may load nothing from anywhere else.
"""

from __future__ import annotations

import json
import secrets
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from telemetry.errors import ConfigError, TelemetryError

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.view.facts import Facts

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/docs": ("docs.html", "text/html; charset=utf-8"),
    "/docs.js": ("docs.js", "text/javascript; charset=utf-8"),
    "/marked.js": ("marked.umd.js", "text/javascript; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/uPlot.css": ("uPlot.min.css", "text/css; charset=utf-8"),
    "/uPlot.js": ("uPlot.iife.min.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_MOST_BODY_BYTES = 4096
_STALL_SECONDS = 30
_NOT_LET_IN = (
    "This page is for the browser that opened the address printed by `telemetry view`. Run it again for a new one.\n"
)
_JSON = "application/json"


class Chapter(NamedTuple):
    """A chapter of the documentation.

    Attributes:
        place: the file that it is, or the name that stands for one, by which other chapters lead to it.
        title: its title.
        text: its text, in Markdown.
    """

    place: str
    title: str
    text: str


class _Refusal(Exception):  # noqa: N818 an answer, not a fault of the program
    """Raised for a request that is answered by a status and a text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class Server(ThreadingHTTPServer):
    """The server of the page.

    Attributes:
        url: the address for the browser, with the token.

    Args:
        facts: what the page shows.
        documentation: returns the chapters of the documentation.
        port: the port to listen at; 0 for any free one.
    """

    daemon_threads = True

    def __init__(self, facts: Facts, documentation: Callable[[], list[Chapter]], port: int = 0) -> None:
        self.facts = facts
        self.documentation = documentation
        self.cookie = secrets.token_urlsafe(32)
        self._token = secrets.token_urlsafe(32)
        super().__init__(("127.0.0.1", port), _Handler)
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"http://{self.host}/?token={self._token}"

    @property
    def cookie_name(self) -> str:
        """The name of the cookie, which tells servers of this machine apart: cookies know no ports."""
        return f"telemetry-{self.server_port}"

    def take_token(self, token: str) -> bool:
        """Return whether the token is right, which it is once."""
        if not self._token or not secrets.compare_digest(token.encode(), self._token.encode()):
            return False
        self._token = ""
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing: a browser goes away whenever it likes."""


class _Answer(NamedTuple):
    """An answer to a request."""

    status: HTTPStatus
    type: str
    body: bytes
    more: dict[str, str]


class _Handler(BaseHTTPRequestHandler):
    """The answer to one request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = _STALL_SECONDS
    server_version, sys_version = "telemetry", ""

    def do_GET(self) -> None:
        """Answer with a file of the page, or with facts."""
        self._answer(self._get)

    def do_POST(self) -> None:
        """Store a choice."""
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 the library's name
        """Print nothing."""

    def _answer(self, find: Callable[[], _Answer]) -> None:
        try:
            self._check_host()
            answer = find()
        except _Refusal as refusal:
            answer = _Answer(refusal.status, "text/plain; charset=utf-8", str(refusal).encode(), {})
        except ConfigError as fault:
            answer = _told(HTTPStatus.BAD_REQUEST, {"fault": str(fault)})
        except (TelemetryError, OSError) as fault:
            answer = _told(HTTPStatus.INTERNAL_SERVER_ERROR, {"fault": str(fault)})
        self.send_response(answer.status)
        for name, value in {**_HEADERS, **answer.more}.items():
            self.send_header(name, value)
        if answer.status >= HTTPStatus.BAD_REQUEST:  # the rest of a body may still be on its way
            self.send_header("Connection", "close")
            self.close_connection = True
        self.send_header("Content-Type", answer.type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def _get(self) -> _Answer:
        parts = urlsplit(self.path)
        asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/" and "token" in asked:
            return self._let_in(asked["token"])
        self._check_cookie()
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in {"same-origin", "none"}:
            raise _Refusal(HTTPStatus.FORBIDDEN, "another page asks\n")
        if parts.path == "/favicon.ico":
            return _Answer(HTTPStatus.NO_CONTENT, "image/x-icon", b"", {})
        if parts.path in _FILES:
            name, type_ = _FILES[parts.path]
            return _Answer(HTTPStatus.OK, type_, files("telemetry.view").joinpath("page", name).read_bytes(), {})
        return self._facts(parts.path, asked)

    def _let_in(self, token: str) -> _Answer:
        if not self.server.take_token(token):
            raise _Refusal(HTTPStatus.FORBIDDEN, _NOT_LET_IN)
        cookie = f"{self.server.cookie_name}={self.server.cookie}; HttpOnly; SameSite=Strict; Path=/"
        return _Answer(HTTPStatus.SEE_OTHER, "text/plain", b"", {"Location": "/", "Set-Cookie": cookie})

    def _facts(self, path: str, asked: dict[str, str]) -> _Answer:
        facts, product = self.server.facts, asked.get("product", "")
        found: Any
        match path:
            case "/api/docs":
                found = [chapter._asdict() for chapter in self.server.documentation()]
            case "/api/products":
                found = facts.products()
            case "/api/now":
                found = facts.now(product)
            case "/api/catalogs":
                found = facts.catalogs(product)
            case "/api/batches":
                found = facts.batches(product)
            case "/api/batch":
                found = facts.batch(product, asked.get("id", ""))
            case "/api/search":
                found = facts.search(product, asked.get("text", ""))
            case _:
                raise _Refusal(HTTPStatus.NOT_FOUND, "there is nothing here\n")
        return _told(HTTPStatus.OK, found)

    def _post(self) -> _Answer:
        self._check_cookie()
        if self.headers.get("Origin") != f"http://{self.server.host}":
            raise _Refusal(HTTPStatus.FORBIDDEN, "another page asks\n")
        if self.path != "/api/choice" or self.headers.get_content_type() != _JSON:
            raise _Refusal(HTTPStatus.NOT_FOUND, "there is nothing here\n")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BODY_BYTES:
            raise _Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "this is no choice\n")
        try:
            said = json.loads(self.rfile.read(int(length)))
            product, choice = str(said["product"]), str(said["choice"])
        except (ValueError, LookupError, TypeError, RecursionError):
            raise _Refusal(HTTPStatus.BAD_REQUEST, "this is no choice\n") from None
        return _told(HTTPStatus.OK, self.server.facts.choose(product, choice))

    def _check_host(self) -> None:
        """Raise unless the request names this server by its number: another name may be somebody else's."""
        if self.headers.get_all("Host") != [self.server.host]:
            raise _Refusal(HTTPStatus.FORBIDDEN, f"this is http://{self.server.host}\n")

    def _check_cookie(self) -> None:
        try:
            given = SimpleCookie(self.headers.get("Cookie", "")).get(self.server.cookie_name)
        except CookieError:
            given = None
        if given is None or not secrets.compare_digest(given.value.encode(), self.server.cookie.encode()):
            raise _Refusal(HTTPStatus.FORBIDDEN, _NOT_LET_IN)


def _told(status: HTTPStatus, found: Any) -> _Answer:
    return _Answer(status, _JSON, json.dumps(found).encode(), {})
