"""What the shipper reads from others: frames, control requests, replies of an endpoint, names, texts, statements."""

from __future__ import annotations

import datetime as dt
import os
import re
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

import msgpack
import msgspec
import urllib3.util.connection

from fuzz.run import Target
from telemetry.catalog.load import load
from telemetry.catalog.model import SENSITIVITIES
from telemetry.receipt import Receipt, parse_receipt
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.sql import shape
from telemetry.rendezvous.control import _answer, _decode
from telemetry.rendezvous.handover import LENGTH
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.backoff import MAX_RETRY_AFTER_SECONDS, retry_after
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.handovers import Left
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.intake.session import Session
from telemetry.shipper.outcome import outcome_of
from telemetry.shipper.questions import Questions
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.watch import Watch
from telemetry.spool.positions import Position
from telemetry.spool.segment import Head
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CATALOG = """
[catalog]
product = "acme-db"
version = 3
policy_url = "https://acme.example/privacy"
[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
rows = { type = "int", purpose = "how many", min = 0, buckets = [1, 10, 100] }
waited = { type = "duration", purpose = "how long" }
ok = { type = "bool", purpose = "whether" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
release = { type = "version", purpose = "which one" }
table = { type = "identifier", purpose = "distinct tables in a session" }
statement = { type = "sql", purpose = "shape of slow queries" }
file = { type = "path", purpose = "which kind" }
fault = { type = "error", purpose = "what was raised" }
detail = { type = "text", max_length = 200, purpose = "why it failed" }
[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.queries.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
[events.old]
purpose = "what was asked once"
owner = "query team"
expires = "2001-01-01"
sensitivity = "technical"
[events.thinned]
purpose = "how often it happens"
owner = "query team"
expires = "2099-12-31"
sensitivity = "interaction"
sample = 0.5
max_per_second = 10
[events.thinned.fields]
number = { type = "int", purpose = "how many there were" }
"""

_PRODUCER = bytes(range(16))
_CONTEXT = {"pid": 7, "catalog": "ab" * 32, "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
_FIELDS = {
    "duration_ms": 12.5,
    "rows": 2**40,
    "waited": 0.1,
    "ok": True,
    "engine": "batch",
    "release": "1.2.3",
    "table": "customers",
    "statement": "SELECT a FROM b WHERE c = 'd'",
    "file": "/home/amy/x.parquet",
    "fault": "ValueError at acme.run:12",
    "detail": "no route to 10.1.17.3 for amy@shop.example",
}
_NS = 1_800_000_000_000_000_000
_NAMES = {
    "user": ["amy", "Amelie Duval"],
    "host": ["db-7.shop.example"],
    "ip": ["10.1.17.3", "fe80::1"],
    "mac": ["02:00:5e:10:00:00"],
}
_SHAPE = re.compile(r"unparsed|[a-z_ ]+( [a-z]+=\d{1,2}){6}")

_TEXTS = (
    "compaction of level 3 took 17 ms in storage.merge, 12:30:45",
    "no route to 10.1.17.3:5432 from fe80::1%eth0, password=hunter2&user=amy",
    "duplicate key (email)=(amy@shop.example) in /home/amy/data/x.parquet line 12",
    "card 4111 1111 1111 1111, IBAN DE89370400440532013000, call +49 30 901820",
    "postgres://amy:s3cret@db-7.shop.example:5432/orders?sslmode=off failed",
    "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl; AKIAIOSFODNN7EXAMPLE",
    r'C:\\Users\\amy\\x.txt \u0061\u006dy %61%6dy &#97;my "YW15QHNob3AuZXhhbXBsZQ==" 616d794073686f70',
    "ERROR: near \"FROM\": syntax error in SELECT name FROM customers WHERE a = 'x' 3f2c6a1e-9b7d-4c52-8f10-6d4a2b9c",
)
_STATEMENTS = (
    "SELECT a, count(*) FROM t JOIN u ON t.x = u.y WHERE a = 'b' AND c IN (1, 2, 3) GROUP BY a HAVING count(*) > ?",
    "WITH x AS (SELECT 1) INSERT INTO t (a, b) VALUES (1, 'x'), ($1, E'\\'') ON CONFLICT DO NOTHING RETURNING *;",
    "CREATE MATERIALIZED VIEW v AS SELECT * FROM TUMBLE(s, t, INTERVAL '1' MINUTE) -- a\n/* b /* c */ */",
    'UPDATE `t` SET [a] = $$x$$, b = "y" WHERE EXISTS (SELECT 1 FROM u WHERE u.id = t.id); DROP TABLE z',
    "COPY t FROM '/x.csv' WITH (FORMAT csv); GRANT SELECT ON t TO amy; EXPLAIN ANALYZE SELECT CASE WHEN a THEN b END",
)
_REPLIES = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: Wed, 21 Oct 2026 07:28:00 GMT\r\nContent-Length: 1\r\n\r\n",
    b"HTTP/1.1 408 Slow\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\nSet-Cookie: a=b\r\n\r\n",
    b"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:1/x\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=x\r\nContent-Length: 99999999999999999999\r\n\r\n<html>",
)


def targets(scratch: Path) -> Iterator[tuple[str, int, Callable[[], Target]]]:
    """Each target's name, its share of all inputs, and how to open it."""
    yield "frames", 40, lambda: _frames(scratch)
    yield "left", 30, _left
    yield "control", 100, _control
    yield "names", 30, _names
    yield "reply", 100, _reply
    yield "http", 3, _http
    yield "text", 10, _text
    yield "sql", 20, _sql
    yield "receipt", 100, _receipt


def _frames(scratch: Path) -> Target:
    file = scratch / "frames.toml"
    file.write_text(CATALOG)
    catalog = load(file)
    pipeline = Pipeline(catalog, dt.date(2026, 1, 1), NDJSON, None, Session(), lambda: 0.7)

    def read(data: bytes) -> object:
        frame = decode_frame(data)
        if frame is None:
            return None
        drains = pipeline.run([frame], {}, frame.context.consent, dict.fromkeys(SENSITIVITIES, 5))
        tally = Tally()
        for drain in drains:
            assert drain.tally.balance == 0, drain.tally
            assert drain.body.count(b"\n") == drain.tally.kept
            tally.add(drain.tally)
        return drains[-1].unreadable, tuple(tally.dropped), tuple(tally.fields_dropped), tally.kept > 1

    events = [["query_finished", _NS, _FIELDS], ["queries", _NS, {"count": 3, "engine": "x"}], ["old", _NS, {}]]
    seeds = [
        msgpack.packb([1, _PRODUCER, context, 5, dropped, found])
        for context, dropped, found in [
            (_CONTEXT, {}, events),
            ({**_CONTEXT, "names": _NAMES}, {"queue_full": 3}, [["thinned", _NS, {"number": n}] for n in range(5)]),
            ({**_CONTEXT, "consent": "local"}, {}, [["query_finished", 0, {name: None}] for name in _FIELDS]),
            ({**_CONTEXT, "consent": "technical"}, {"queue_full": 1}, events),
            (
                _CONTEXT,
                {"no_shipper": 2**47},
                [["query_finished", _NS, {name: value}] for name, value in _FIELDS.items()],
            ),
            (
                _CONTEXT,
                {},
                [["unknown", 1, {"a": [1, {"b": b"c"}]}], 7, ["query_finished", 1, {"rows": 4111111111111111}]],
            ),
            (_CONTEXT, {}, []),
        ]
    ]
    return Target("frames", seeds, read)


def _left() -> Target:
    """What a host that ended has left: its memory file, down to the frames in it."""

    def read(data: bytes) -> object:
        memory = os.memfd_create("fuzz")
        os.write(memory, data)
        left = Left(memory, 0.0)
        frames = []
        while not left.is_read:
            frames += left.read(100)
        left.close()
        assert sum(len(frame) + LENGTH.size for frame in frames) <= len(data)
        return len(frames), left.first

    frames = [msgpack.packb([1, _PRODUCER, _CONTEXT, first, {}, [["old", _NS, {}]]]) for first in range(3)]
    seeds = [b"".join(LENGTH.pack(len(frame)) + frame for frame in frames[:number]) for number in range(4)]
    return Target("left", seeds, read)


def _control() -> Target:
    """Requests as the shipper answers them, and replies as who asked reads them."""
    positions = {_PRODUCER.hex(): Position(7, 5, {"queue_full": 3})}
    intake: Any = SimpleNamespace(
        position_of=lambda producer: positions.get(producer, Position(0)), make_durable=lambda: True, part=lambda: None
    )
    shipper: Any = SimpleNamespace(_intake=intake, _watch=Watch(Path(os.devnull)), _is_leaving=False, stop=lambda: None)
    answers = {
        "confirm": lambda request: Questions._confirm(shipper, request),
        "leave": lambda request: Shipper._leave(shipper, request),
        "stop": lambda request: Shipper._stop(shipper, request),
    }

    def read(data: bytes) -> object:
        answer = _answer(data, answers)
        if answer is not None:
            msgpack.packb(answer)
        return answer is None, len(_decode(data) or {})

    requests = [{"op": op, "producer": _PRODUCER, "accepted": 7, "dropped": 3} for op in answers]
    seeds = [
        msgpack.packb(value) for value in [*requests, {"op": "status"}, {"op": ["seal"]}, {"accepted": 5, "dropped": 0}]
    ]
    return Target("control", seeds, read)


def _names() -> Target:
    """The names that a producer hands over, from its frame's context to the expressions that look for them."""
    decoder = msgspec.json.Decoder(dict[str, list[str]])

    def read(data: bytes) -> object:
        try:
            found = decoder.decode(data)
        except (ValueError, RecursionError):
            return None
        if sum(map(len, found.values())) > 50:
            return "many"
        known = names_to_find(found, {"acme"})
        for name in known:
            re.compile(name.pattern)
        return len(known), tuple(sorted({(name.kind, name.reach.name) for name in known}))

    return Target(
        "names", [msgspec.json.encode(_NAMES), b'{"home":["/home/amy"],"x":["a b-c_d.e","\\u0130"]}'], read, 30
    )


def _reply() -> Target:
    """Status and headers, down to the outcome."""

    def read(data: bytes) -> object:
        status, _, rest = data.decode("latin-1").partition(" ")
        kind, _, after = rest.partition("|")
        seconds = retry_after(after, 1_800_000_000.0)
        assert 0.0 <= seconds <= MAX_RETRY_AFTER_SECONDS, seconds
        outcome = outcome_of(int(status) if status.isascii() and status.isdigit() and len(status) < 9 else 0, kind)
        return outcome.name, seconds == 0.0

    dates = (
        "Wed, 21 Oct 2026 07:28:00 GMT",
        "Wednesday, 21-Oct-26 07:28:00 GMT",
        "Wed Oct 21 07:28:00 2026",
        "120",
        "",
    )
    return Target("reply", [f"503 text/html; x|{date}".encode() for date in dates] + [b"200 a|1", b"409 |9"], read)


def _http() -> Target:
    """A reply's raw bytes through the HTTP libraries: over a pair of sockets, without a server."""
    sink = HttpSink("http://127.0.0.1:9/v1", ShipperSettings(read_timeout_seconds=1.0, allow_http=True), {})
    head = Head(
        id="ab" * 16,
        file="",
        format="ndjson",
        compressed=True,
        content_type="application/x-ndjson",
        route="",
        catalog="a/1",
        session="s",
        receipt=Receipt("on", "host", 0, "cloud"),
    )
    seal: Any = SimpleNamespace(head=head, session_tally=Tally())

    def read(data: bytes) -> object:
        def connect(*_: object, **__: object) -> socket.socket:
            ours, theirs = socket.socketpair()
            theirs.sendall(data)
            theirs.shutdown(socket.SHUT_WR)
            kept.append(theirs)
            return ours

        kept: list[socket.socket] = []
        with mock.patch.object(urllib3.util.connection, "create_connection", connect):
            reply = sink.deliver(seal, b"body")
        sink._session.close()
        for line in kept:
            line.close()
        return reply.outcome.name, reply.cause

    return Target("http", list(_REPLIES), read)


def _text() -> Target:
    redactor = FreeTextRedactor(names_to_find(_NAMES))

    def read(data: bytes) -> object:
        text = data.decode("utf-8", "replace")
        finding = redactor._redact([text]).get(0)  # not `redact`, which never raises
        return finding and (finding.text is None, finding.rules)

    return Target("text", [text.encode() for text in _TEXTS], read, 1024)


def _sql() -> Target:
    def read(data: bytes) -> object:
        found = shape(data.decode("utf-8", "replace"))
        assert _SHAPE.fullmatch(found), found
        return found

    return Target("sql", [statement.encode() for statement in _STATEMENTS], read, 2048)


def _receipt() -> Target:
    def read(data: bytes) -> object:
        receipt = parse_receipt(data.decode("latin-1"))
        return receipt and receipt.basis

    seeds = [
        b"level=on; basis=host; notice=0; deployment=cloud",
        b"level=on; basis=cloud-default; notice=3; deployment=cloud",
    ]
    return Target("receipt", seeds, read)
