"""The oracle's ear: an endpoint that knows what may arrive, and that is at fault itself now and then."""

from __future__ import annotations

import hashlib
import http.server
import json
import random
import socket
import struct
from array import array
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

import zstandard

from kills.producer import check
from telemetry.receipt import BATCH_HEADER, LEDGER_HEADER

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

TOO_MANY_EVENTS = 100
TOO_MANY = 32
"""One batch in eight, always the same by its id, may hold no more events, else 413 is answered: so that batches are
split under the kills as well."""
FAULTS = {"before": 0.04, "after": 0.04, "busy": 0.04}
"""How often the connection is reset before an upload is taken, or after, or 503 answered."""

_RESET = struct.pack("ii", 1, 0)


class Collector:
    """An HTTP server in this process.

    Attributes:
        wrong: what should not have been, in words; empty at the end, or there is a bug.
        batches: by id, the digest of the body: the same id must always bring the same bytes.
        arrived: for each producer and number, how many batches brought the event.
        newest: for each producer, the highest number that arrived, -1 for none.
        repeated: uploads of a batch that was known.
    """

    def __init__(self, producers: int, emitted: Callable[[int], int], seed: int) -> None:
        """Take what `producers` producers emit; `emitted` says how far one has come."""
        self.wrong: list[str] = []
        self.batches: dict[str, bytes] = {}
        self.arrived = [array("B") for _ in range(producers)]
        self.newest = [-1] * producers
        self.repeated = 0
        self._emitted = emitted
        self._rng = random.Random(seed)
        self._lock = Lock()
        self._gone_until = float("-inf")
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1/batches"

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def be_gone(self, seconds: float) -> None:
        """Answer nobody for a while, as a collector that was killed, and comes back."""
        self._gone_until = monotonic() + seconds

    def has(self, producer: int, number: int) -> bool:
        """Whether an event has arrived."""
        times = self.arrived[producer]
        return number < len(times) and times[number] > 0

    def answer(self, batch: str, ledger: str, body: bytes) -> int:
        """The status of the reply; 0 to reset the connection."""
        with self._lock:
            fault = self._rng.choices([*FAULTS, ""], [*FAULTS.values(), 1 - sum(FAULTS.values())])[0]
            if monotonic() < self._gone_until:
                return 0
            if fault in {"before", "busy"}:
                return 0 if fault == "before" else 503
            events = _events(body)
            if len(events) > TOO_MANY_EVENTS and bytes.fromhex(batch)[0] < TOO_MANY:
                return 413
            self._check_ledger(batch, ledger)
            self._take(batch, body, events)
            return 0 if fault == "after" else 200

    def _take(self, batch: str, body: bytes, events: list[dict[str, Any]]) -> None:
        digest = hashlib.sha256(body).digest()
        if batch in self.batches:
            self.repeated += 1
            if self.batches[batch] != digest:
                self.wrong.append(f"batch {batch} came again with other bytes")
            return
        self.batches[batch] = digest
        for event in events:
            self._take_event(batch, event)

    def _take_event(self, batch: str, event: dict[str, Any]) -> None:
        try:
            producer, number = event["producer"], event["number"]
            known = 0 <= producer < len(self.arrived) and 0 <= number < self._emitted(producer)
            whole = event["event"] == "tick" and event["check"] == check(producer, number)
        except (LookupError, TypeError):
            known = whole = False
        if not (known and whole):
            self.wrong.append(f"batch {batch} brought what was never emitted: {event}")
            return
        times = self.arrived[producer]
        times.extend([0] * (number + 1 - len(times)))
        times[number] += 1
        self.newest[producer] = max(self.newest[producer], number)
        if times[number] > 1:
            self.wrong.append(f"event {number} of producer {producer} came in a second batch, {batch}")

    def _check_ledger(self, batch: str, header: str) -> None:
        counts = {name: int(events) for name, _, events in (part.partition("=") for part in header.split("; "))}
        if counts["emitted"] != sum(events for name, events in counts.items() if name != "emitted"):
            self.wrong.append(f"batch {batch} bears a ledger that does not balance: {header}")


def _events(body: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in zstandard.ZstdDecompressor().decompressobj().decompress(body).splitlines()]


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed in the middle is what this is about."""


def _handler(collector: Collector) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            size_bytes = int(self.headers["Content-Length"])
            body = self.rfile.read(size_bytes)
            if len(body) < size_bytes:  # its shipper was killed amid the upload
                self.close_connection = True
                return
            status = collector.answer(self.headers[BATCH_HEADER], self.headers[LEDGER_HEADER], body)
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler
