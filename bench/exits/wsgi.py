"""The application that gunicorn serves; it begins to collect when it is loaded, with preload in the master."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.exits.host import init, work

if TYPE_CHECKING:
    from collections.abc import Callable

init()


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
    """One call a request."""
    assert environ
    work(1)
    start_response("200 OK", [("Content-Length", "0")])
    return []
