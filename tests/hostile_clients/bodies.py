"""What clients send: heads, bodies that are fit, and bodies made to cost."""

from __future__ import annotations

import json
import random
import secrets
from functools import partial
from typing import TYPE_CHECKING

import zstandard

from telemetry.receipt import BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable

EVENTS = 5000
_BOMB_BYTES = 60 << 20
_FRAME = b"\x28\xb5\x2f\xfd"


def head(length: int, token: str, *more: str, batch: str = "") -> bytes:
    """A head that is fit, with a batch id of its own."""
    lines = (
        "POST /v1/batches HTTP/1.1",
        "Host: x",
        f"Authorization: Bearer {token}",
        f"{BATCH_HEADER}: {batch or secrets.token_hex(16)}",
        f"{CATALOG_HEADER}: acme-db/1",
        f"{CONSENT_HEADER}: level=on; basis=host; notice=0; deployment=cloud",
        "Content-Type: application/x-ndjson",
        "Content-Encoding: zstd",
        *([f"Content-Length: {length}"] if length >= 0 else []),
        *more,
    )
    return "\r\n".join([*lines, "", ""]).encode()


def fit(events: int = EVENTS) -> bytes:
    """A body as a shipper sends it."""
    dice = random.Random(7)
    session = secrets.token_hex(16)
    lines = [
        json.dumps(
            {
                "event": dice.choice(["query_finished", "started", "compacted"]),
                "time": "2026-01-01T00:00:00Z",
                "session": session,
                "duration_ms": round(dice.random() * 1e3, 3),
                "engine": dice.choice(["batch", "stream"]),
                "rows": dice.randrange(100_000),
                "table": f"{dice.getrandbits(64):016x}",
            },
            separators=(",", ":"),
        )
        for _ in range(events)
    ]
    return zstandard.compress(("\n".join(lines) + "\n").encode())


_UNITS = {
    "newlines": b"\n",
    "small objects": b'{"a":1}\n',
    "spaces": b'{"a": 1}\n',
    "escapes": b'{"a":"\\u0061"}\n',
    "wide": b"{" + b",".join(b'"%x":1' % n for n in range(1900)) + b"}\n",
    "floats": b"{" + b",".join(b'"%x":1.2345678901234567e-300' % n for n in range(30)) + b"}\n",
    "long floats": b"{" + b",".join(b'"%x":1e300' % n for n in range(1900)) + b"}\n",
    "long texts": b'{"a":"' + b"\\n" * 450_000 + b'"}\n',
    "deep": b'{"a":' + b"[" * 900_000 + b"\n",
    "numbers": b'{"a":' + b"9" * 4000 + b"}\n",
    "one key": b"{" + b",".join([b'"a":1'] * 100_000) + b"}\n",
    "one line": b"x" * 1000,
}


def _repeated(unit: bytes) -> bytes:
    compressor = zstandard.ZstdCompressor(level=1).compressobj()
    block = unit * max(1, (1 << 20) // len(unit))
    return b"".join(compressor.compress(block) for _ in range(_BOMB_BYTES // len(block))) + compressor.flush()


BOMBS: dict[str, Callable[[], bytes]] = {
    **{name: partial(_repeated, unit) for name, unit in _UNITS.items()},
    "many frames": lambda: zstandard.compress(b"") * 100_000,
    "skippable": lambda: (b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip") * 100_000,
    "window": lambda: _FRAME + b"\x00\xff\x01\x00\x00",
    "exabytes": lambda: _FRAME + b"\xe0" + (2**63).to_bytes(8, "little") + b"\x01\x00\x00",
    "dictionary": lambda: _FRAME + b"\x01\x58\x07\x01\x00\x00",
    "tiny blocks": lambda: _FRAME + b"\x00\x58" + b"\x08\x00\x00x" * 200_000 + b"\x09\x00\x00x",
    "rubbish": lambda: secrets.token_bytes(100_000),
    "nothing": lambda: b"",
}
"""Bodies of some KiB that unpack to much, or ask for much, made when they are asked for."""


def forged(token: str) -> list[bytes]:
    """Requests whose end two servers would see in different places, and others that are none."""
    inner = head(0, token)
    return [
        head(5, token, "Transfer-Encoding: chunked") + b"0\r\n\r\n" + inner,
        head(-1, token, "Transfer-Encoding : chunked") + b"0\r\n\r\n" + inner,
        head(-1, token, " Transfer-Encoding: chunked") + b"0\r\n\r\n" + inner,
        head(-1, token, "Transfer-Encoding: xchunked") + b"0\r\n\r\n" + inner,
        head(-1, token, "Transfer-Encoding: chunked", "Transfer-Encoding: identity") + b"0\r\n\r\n" + inner,
        head(-1, token, "Transfer-Encoding:\x0bchunked") + b"0\r\n\r\n" + inner,
        head(-1, token, "Transfer_Encoding: chunked", "Content-Length: 3") + b"abc" + inner,
        head(5, token, "Content-Length: 6") + b"hello!" + inner,
        head(-1, token, "Content-Length: +5") + b"hello" + inner,
        head(-1, token, "Content-Length: 0x5") + b"hello" + inner,
        head(-1, token, "Content-Length: 5, 6") + b"hello!" + inner,
        head(-1, token, "Content-Length: -1") + inner,
        head(-1, token, "Content-Length: " + "9" * 400) + inner,
        head(-1, token, "Content-Length: \n5") + b"hello" + inner,
        head(1, token) + b"x" * 100 + inner,
        head(0, token, "X: a\r\n b\r\n\tc"),
        head(0, token, "X: a\x00b"),
        head(0, token, "X\x00: a"),
        head(0, token, ": a"),
        head(0, token, "no colon"),
        head(0, token).replace(b"\r\n", b"\n"),
        head(0, token).replace(b"\r\n", b"\r"),
        head(0, token).replace(b"HTTP/1.1", b"HTTP/0.9"),
        head(0, token).replace(b"HTTP/1.1", b"HTTP/1.1 x"),
        head(0, token).replace(b"POST /v1", b"POST  /v1"),
        head(0, token).replace(b"POST /v1/batches", b"POST http://[::1/\xff"),
        head(0, token, "Expect: 100-continue", "Upgrade: h2c", "Connection: Upgrade, HTTP2-Settings"),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(1000),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(512),
        b"\x00" * 65_536,
        b"\r\n" * 30_000,
        b"GET /healthz\r\n\r\n",
    ]
