"""What the collector reads from its clients: requests and bodies."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import zstandard

from fuzz.run import Target
from telemetry.collector.body import find_fault, grant_for
from telemetry.collector.head import Head, read_head
from telemetry.collector.judge import Refusal, judge

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
    """As the server reads it: its head as bytes, then by its headers, then the body."""

    def read(data: bytes) -> object:
        head = read_head(data)
        if not isinstance(head, Head):
            return head
        judged = judge(head.headers)
        if isinstance(judged, Refusal):
            return judged.status
        body = data[head.head_bytes :][: head.body_bytes]
        return judged.suffix, find_fault(io.BytesIO(body), judged.suffix, _MOST, grant_for(len(body)))

    length = b"Content-Length: %d\r\n\r\n" % len(_BODY)
    chunks = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
    return Target(
        "request", [_HEAD + length + _BODY, _HEAD + chunks, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"], read, 4
    )


def _body() -> Target:
    """The first byte chooses the suffix."""

    def read(data: bytes) -> object:
        suffix = _SUFFIXES[data[0] % 4] if data else _SUFFIXES[0]
        return suffix, find_fault(io.BytesIO(data[1:]), suffix, _MOST, grant_for(len(data)))

    bomb = zstandard.compress(bytes(2 << 20))
    seeds = [b"\0" + _LINES, b"\1" + _BODY, b"\2\x0a\x01x", b"\3" + zstandard.compress(b"\x0a\x01x", 19), b"\1" + bomb]
    return Target("body", seeds, read)
