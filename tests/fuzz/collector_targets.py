"""What the collector reads from its clients: requests and bodies."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import h11
import zstandard
from starlette.datastructures import Headers

from fuzz.run import Target
from telemetry.collector.body import find_fault
from telemetry.collector.judge import Refusal, bearer_of, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_LINES = b'{"event": "a", "time": "2026-01-01T00:00:00Z", "session": "s", "n": 1.5, "ok": true}\n{"event": "b"}\n'
_BODY = zstandard.compress(_LINES)
_HEAD = b"""POST /v1/batches HTTP/1.1\r
Host: x\r
Authorization: Bearer s3cret\r
Idempotency-Key: 0123456789abcdef0123456789abcdef\r
Telemetry-Consent: level=on; basis=host; notice=0; deployment=cloud\r
Telemetry-Catalog: acme-db/3\r
Telemetry-Ledger: emitted=2; kept=2\r
Content-Type: application/x-ndjson\r
Content-Encoding: zstd\r
"""
_SUFFIXES = (".ndjson", ".ndjson.zst", ".pb", ".pb.zst")
_MOST = 1 << 20


def targets(_scratch: Path) -> Iterator[tuple[str, int, Callable[[], Target]]]:
    """Each target's name, its share of all inputs, and how to open it."""
    yield "request", 20, _request
    yield "body", 60, _body


def _request() -> Target:
    """As the server reads it: with h11, then by its headers, then the body."""

    def read(data: bytes) -> object:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(data)
        body = b""
        request = None
        try:
            while not isinstance(event := connection.next_event(), h11.EndOfMessage | type | h11.ConnectionClosed):
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
        except h11.RemoteProtocolError:
            return "h11"
        if request is None:
            return None
        headers = Headers(raw=[(name.lower(), value) for name, value in request.headers])
        judged = judge(headers)
        bearer = bearer_of(headers, (b"other", b"s3cret"))
        if isinstance(judged, Refusal):
            return judged.status, bearer
        return judged.suffix, bearer, find_fault(io.BytesIO(body), judged.suffix, _MOST)

    length = b"Content-Length: %d\r\n\r\n" % len(_BODY)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
    return Target(
        "request", [_HEAD + length + _BODY, _HEAD + chunks, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], read, 4
    )


def _body() -> Target:
    """The first byte chooses the suffix."""

    def read(data: bytes) -> object:
        suffix = _SUFFIXES[data[0] % 4] if data else _SUFFIXES[0]
        return suffix, find_fault(io.BytesIO(data[1:]), suffix, _MOST)

    bomb = zstandard.compress(bytes(2 << 20))
    seeds = [b"\0" + _LINES, b"\1" + _BODY, b"\2\x0a\x01x", b"\3" + zstandard.compress(b"\x0a\x01x", 19), b"\1" + bomb]
    return Target("body", seeds, read)
