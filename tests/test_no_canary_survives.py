"""No canary survives: emitted in every right and wrong place of a real host, none is found anywhere afterwards."""

from __future__ import annotations

import http.server
import json
import os
import re
import subprocess
import sys
import threading
from itertools import chain
from typing import TYPE_CHECKING

import pytest
import zmq
import zstandard
from conftest import shippers_of, wait_until

from bench.corpus.carriers import CARRIERS
from bench.corpus.kinds import KINDS, canaries
from telemetry.paths import runtime_root
from telemetry.redact.path import COMMON
from telemetry.redact.rules.placeholder import PLACEHOLDERS
from telemetry.rendezvous.control import Control
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Collector

    from bench.corpus.canary import Canary

CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.done]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = { type = "int", min = 0, max = 1000, purpose = "tests" }
ratio = { type = "float", min = 0, max = 1, purpose = "tests" }
ok = { type = "bool", purpose = "tests" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "tests" }
table = { type = "identifier", purpose = "tests" }
statement = { type = "sql", purpose = "tests" }
file = { type = "path", purpose = "tests" }
driver = { type = "version", purpose = "tests" }
failure = { type = "error", purpose = "tests" }
detail = { type = "text", max_length = 4000, purpose = "tests" }
"""
# What the host does with each private value and the texts that carry it.
HOST = """
import json, sys, telemetry
from telemetry.settings import ShipperSettings
settings = ShipperSettings(segment_seconds=0.5, retry_max_seconds=0.5, linger_seconds=2.0)
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
def failed(value):
    error = ValueError(value)
    error.add_note(value)
    error.__cause__ = OSError(2, value, value)
    try:
        raise ExceptionGroup(value, [error, KeyError(value)])
    except ExceptionGroup as group:
        return group
for line in sys.stdin:
    value, texts = json.loads(line)
    for text in texts:
        telemetry.emit("done", detail=text)
    for name in json.loads(sys.argv[3]):
        telemetry.emit("done", **{name: value})
    telemetry.emit("done", failure=failed(value), number=failed(value), detail=failed(value))
    telemetry.emit("done", undeclared=value)
    telemetry.emit("done", **{value: 1})
    telemetry.emit("done", **{value: value})
    telemetry.emit(value)
    telemetry.emit(value, detail=value)
    telemetry.emit(failed(value), detail=value)
    telemetry.emit("done", detail=value.encode())
    telemetry.emit("done", detail=[value], file={value: [value]}, number=int.from_bytes(value.encode()))
    telemetry.emit("done", number=int("".join(filter(str.isdecimal, value)) or "0"))
    telemetry.emit("done", detail=value + chr(0xD800))
    telemetry.emit("done", detail=value * (1 + 20000 // len(value)))
    telemetry.count(value)
    telemetry.count("done", 1, **{value: value})
    telemetry.flush(20)
telemetry.close(5)
"""
WRONG_FIELDS = ["number", "ratio", "ok", "engine", "table", "statement", "file", "driver", "failure"]
OF_EACH_KIND = 3
TRACE = 4
HEX_TRACE = 8  # ids, times and sizes are hex and decimal: shorter runs are in them by chance
_HEX = frozenset("0123456789abcdef.:- ")
_END_OF_NUMBER = re.compile(r"(?<=\d),(?=[\s\"\d\[{-])")
"""Before the next key or value: with the digits before it, it may look like the end of a port in a list of hosts."""


@pytest.fixture
def rejecting() -> Iterator[str]:
    """An endpoint that finds every batch wrong."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(422)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 http.server's name
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1/batches"
    server.shutdown()
    server.server_close()


def _run(catalog: Path, endpoint: str, lines: list[str]) -> Iterator[str]:
    """Run a host; yields all that can be read of it but for the files."""
    command = [sys.executable, "-c", HOST, str(catalog), endpoint, json.dumps(WRONG_FIELDS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as host:
        assert host.stdin
        for line in lines:
            host.stdin.write(line + "\n")
        host.stdin.flush()
        wait_until(lambda: any(map(shipper_runs, runtime_root().glob("*"))))
        for directory in filter(shipper_runs, runtime_root().glob("*")):
            with zmq.Context() as context, Control(context, directory) as control:
                yield json.dumps(control.ask({"op": "status"}, 20), default=str)
        output, errors = host.communicate(timeout=60)
    yield output + errors
    status = [sys.executable, "-m", "telemetry", "status", "--product", "acme-db", "--json"]
    yield subprocess.run(status, capture_output=True, text=True, check=False).stdout


def _files(*directories: Path) -> Iterator[str]:
    for path in chain.from_iterable(directory.rglob("*") for directory in directories):
        yield path.name
        if path.is_file():
            data = path.read_bytes()
            if path.suffix == ".zst":
                data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
            yield data.decode("utf-8", "backslashreplace")


def _everywhere(home: Path, store: Path, catalog: Path, endpoints: list[str], lines: list[str]) -> str:
    """Run a host with each endpoint, and read all that is left behind."""
    seen: list[str] = []
    for endpoint in endpoints:
        seen += _run(catalog, endpoint, lines)
        wait_until(lambda: not shippers_of(home))
    left = "\n".join([*seen, *_files(home, store)]).replace(os.fspath(home), "")
    return _END_OF_NUMBER.sub(" ", left).casefold()


def test_no_canary_is_on_disk_on_the_wire_in_a_log_or_in_an_answer(
    home: Path, tmp_path: Path, collector: Collector, rejecting: str
) -> None:
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    planted = [(kind, canary) for kind in KINDS for canary in canaries(kind, OF_EACH_KIND, seed=11)]
    carriers = list(CARRIERS.values())
    lines = [
        json.dumps([canary.text, [canary.text, carriers[turn % len(carriers)](canary.text)]])
        for turn, (_, canary) in enumerate(planted)
    ]
    endpoints = [collector.endpoint, rejecting]

    clean = _everywhere(home, collector.store, catalog, endpoints, [json.dumps(["all is well", ["all is well"]])])
    found = _everywhere(home, collector.store, catalog, endpoints, lines)

    assert "[email]" in found
    assert {"sent", "quarantine"} <= {path.parent.name for path in home.glob("state/*/spool-*/*/*.zst")}
    around = " ".join(_around(canary) for _, canary in planted)
    written = " ".join([f"[{kind}]" for kind in PLACEHOLDERS] + [carry("[]") for carry in carriers] + sorted(COMMON))
    allowed = f"{clean} {around} {written} {CATALOG}".casefold()
    left: dict[tuple[str, str], set[str]] = {}
    for size in (TRACE, HEX_TRACE):
        suspect = _grams(found, size) - _grams(allowed, size)
        left |= {(kind, canary.text): hits for kind, canary in planted if (hits := _traces(canary, size) & suspect)}
    assert not left


def _around(canary: Canary) -> str:
    text = canary.text
    for part in canary.private:
        text = text.replace(part, "\0")
    return text


def _grams(text: str, size: int) -> set[str]:
    return {text[at : at + size] for at in range(len(text) - size + 1)}


def _traces(canary: Canary, size: int) -> set[str]:
    grams = set().union(*(_grams(part.casefold(), size) for part in canary.private))
    return {gram for gram in grams if (size == HEX_TRACE) == _HEX.issuperset(gram)}
