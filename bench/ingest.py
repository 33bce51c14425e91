"""How many batches a second does one collector take in, and what does a batch of 5,000 events cost it?

Clients keep their connections and send prepared requests, each of another batch, as fast as they are answered. CPU is
that of the collector's process, apart of those that check bodies, and of the clients, who share the cores with them.
Everything is on: checks, syncs, records. With a stream, as `tools/cluster up` and `telemetry stream create` make one,
bodies are 32 KiB that nobody opens, and its servers are counted with those that check.
"""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from time import monotonic, process_time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import msgspec
import psutil
import zstandard

from bench.events import mix
from bench.measure import Result, progress, summarize
from telemetry.receipt import BATCH_HEADER, CATALOG_HEADER, CONSENT_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 16
BODIES = 8
"""Different ones, sent in turn."""

STREAMED_BYTES = 32 << 10
"""The size of a body in a stream."""

_DEADLINE_SECONDS = 60.0


class _Spent(NamedTuple):
    """CPU seconds of a collector and of its clients so far."""

    serving: float
    checking: float
    sending: float


def measure(runs: int, events: int, batches: int) -> list[Result]:
    """Measure so many runs of so many batches of so many events each, after one that warms up."""
    found: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch, _collector("--store", scratch + "/store") as (process, address):
        for run in range(runs + 1):
            progress(f"ingest: {batches:,} batches of {events:,} events, run {run}")
            seconds, spent = _one_run(process, address, _bodies(events, run), batches)
            if run:
                found.setdefault(("batches", "1/s"), []).append(batches / seconds)
                found.setdefault(("events", "1/s"), []).append(batches * events / seconds)
                found.setdefault(("serving, a batch", "ms"), []).append(spent.serving / batches * 1e3)
                found.setdefault(("checking, a batch", "ms"), []).append(spent.checking / batches * 1e3)
                found.setdefault(("sending, a batch", "ms"), []).append(spent.sending / batches * 1e3)
    return [summarize("ingest", metric, unit, values) for (metric, unit), values in found.items()]


def measure_stream(runs: int, batches: int, stream: str) -> list[Result]:
    """Measure so many runs of so many batches into a stream, after one that warms up."""
    found: dict[tuple[str, str], list[float]] = {}
    servers = [process for process in psutil.process_iter() if process.name() == "nats-server"]
    with _collector("--stream", stream) as (process, address):
        for run in range(runs + 1):
            progress(f"ingest: {batches:,} batches of 32 KiB into a stream, run {run}")
            bodies = [secrets.token_bytes(STREAMED_BYTES) for _ in range(BODIES)]
            before = _cpu_seconds(servers)
            seconds, spent = _one_run(process, address, bodies, batches)
            if run:
                found.setdefault(("batches", "1/s"), []).append(batches / seconds)
                found.setdefault(("publishing, a batch", "ms"), []).append(spent.serving / batches * 1e3)
                found.setdefault(("servers, a batch", "ms"), []).append(
                    (_cpu_seconds(servers) - before) / batches * 1e3
                )
                found.setdefault(("sending, a batch", "ms"), []).append(spent.sending / batches * 1e3)
    return [summarize("ingest --stream", metric, unit, values) for (metric, unit), values in found.items()]


def _cpu_seconds(processes: list[psutil.Process]) -> float:
    return sum(times.user + times.system for times in (process.cpu_times() for process in processes))


@contextmanager
def _collector(*where: str) -> Iterator[tuple[psutil.Process, tuple[str, int]]]:
    command = [sys.executable, "-m", "telemetry", "collect", "--listen", "127.0.0.1:0", *where]
    options = ("--max-bytes-per-second", str(1 << 40))
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            found = urlsplit(json.loads(started.stdout.readline())["listening"])
            yield psutil.Process(started.pid), (found.hostname or "", found.port or 0)
        finally:
            started.terminate()


def _bodies(events: int, seed: int) -> list[bytes]:
    compressor = zstandard.ZstdCompressor(level=3, write_checksum=True)
    encode_lines = msgspec.json.Encoder().encode_lines
    bodies = []
    for number in range(BODIES):
        stamp = {"time": "2026-01-01T00:00:00Z", "session": secrets.token_hex(16)}
        emitted = mix(events, seed=seed * BODIES + number)
        bodies.append(
            compressor.compress(encode_lines([{"event": name, **stamp, **fields} for name, fields in emitted]))
        )
    return bodies


def _one_run(
    process: psutil.Process, address: tuple[str, int], bodies: list[bytes], batches: int
) -> tuple[float, _Spent]:
    requests = iter([_request(bodies[number % BODIES]) for number in range(batches)])
    before, begun = _spent(process), monotonic()
    threads = [threading.Thread(target=_send, args=(address, requests)) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, after = monotonic() - begun, _spent(process)
    assert next(requests, None) is None, "a client gave up"
    return seconds, _Spent(*(late - early for late, early in zip(after, before, strict=True)))


def _request(body: bytes) -> bytes:
    headers = {
        "Host": "bench",
        BATCH_HEADER: secrets.token_hex(16),
        CATALOG_HEADER: "bench/1",
        CONSENT_HEADER: "level=on; basis=host; notice=0; deployment=cloud",
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "zstd",
        "Content-Length": str(len(body)),
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(["POST /v1/batches HTTP/1.1", *lines, "", ""]).encode() + body


def _send(address: tuple[str, int], requests: Iterator[bytes]) -> None:
    with ExitStack() as stack:
        line = stack.enter_context(socket.create_connection(address, timeout=_DEADLINE_SECONDS))
        for request in requests:
            line.sendall(request)
            answer = b""
            while not answer.endswith(b"}"):
                answer += (piece := line.recv(65_536))
                assert piece, answer
            assert b'"stored":true' in answer, answer


def _spent(process: psutil.Process) -> _Spent:
    times = process.cpu_times()
    checking = [child.cpu_times() for child in process.children()]
    return _Spent(times.user + times.system, sum(child.user + child.system for child in checking), process_time())
