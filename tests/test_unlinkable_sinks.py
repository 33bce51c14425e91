"""What goes over the wire to each sink's server joins no two sessions, and names nobody: every byte is looked at."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import socket
import struct
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import wait_until
from far_sides import S3, SETTINGS, Directory, FarSide, Http, Kafka, Nats
from spools import append, make_head, open_spool
from taps import KafkaTap, Tap

from telemetry.shipper.delivery.sink import open_sink
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

KINDS: dict[str, Any] = {
    "http": Http,
    "nats": Nats,
    "s3": S3,
    "kafka": lambda place: Kafka(place, brokers=1),
}
LEAST_BYTES = 8
"""A string of so many bytes that two sessions share would be a link, unless it is of a few values, as numbers are."""

LEAST_VALUES = 6

SESSIONS = ("5e551" + "0" * 27, "5e552" + "a" * 27)


class Wire:
    """A far side behind a tap."""

    def __init__(self, kind: str, place: Path) -> None:
        self.far: FarSide = KINDS[kind](place)
        url = self.far.environ.get("AWS_ENDPOINT_URL", self.far.url)
        port = int(re.findall(r":(\d+)", url)[-1])
        self.tap = (KafkaTap if kind == "kafka" else Tap)(port)
        self.url = self.far.url.replace(f":{port}", f":{self.tap.port}")
        self.environ = {
            name: value.replace(f":{port}", f":{self.tap.port}") for name, value in self.far.environ.items()
        }

    def heard(self, start: int = 0) -> bytes:
        return b"\0".join(bytes(line.heard) for line in self.tap.lines[start:])

    def close(self) -> None:
        self.tap.close()
        self.far.end()


@pytest.fixture(scope="module", params=KINDS)
def wire(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wire]:
    made = Wire(request.param, tmp_path_factory.mktemp(request.param))
    yield made
    made.close()


def deliver(url: str, environ: dict[str, str], place: Path, *sessions: str) -> Generator[str]:
    """Deliver two batches of each session by one sink, and yield it after each."""
    spool = open_spool(place)
    sink = open_sink(url, SETTINGS, environ)
    try:
        for session in sessions:
            for _ in range(2):
                active = spool.begin(make_head(session=session))
                append(active, 3)
                spool.seal(active, Tally(emitted=3, kept=3))
                seal = spool.take()
                assert seal is not None
                body = spool.read(seal)
                assert body is not None
                reply = sink.deliver(seal, os.urandom(200))  # what a body holds is looked at in test_unlinkable
                assert reply.outcome.value == "delivered", reply
                spool.ack(seal, 0)
            yield session
    finally:
        sink.close()
        spool.close()


def _strings(data: bytes) -> set[bytes]:
    # The time of the upload is what its receiver knows, headers come in any order, and ids are compared by themselves.
    now = re.escape(struct.pack(">q", int(time.time() * 1000))[:4])
    times = rb"\d{4}-?\d\d-?\d\d[T ]?\d\d:?\d\d|\d\d:\d\d:\d\d|\d{8}"
    parts = re.split(times + rb"|[0-9a-f]{32}|_INBOX\.\S+|\r\n|" + now, data)
    found = {part[at : at + LEAST_BYTES] for part in parts for at in range(len(part) - LEAST_BYTES + 1)}
    return {string for string in found if len(set(string)) >= LEAST_VALUES}


def _ids(data: bytes) -> set[bytes]:
    return set(re.findall(rb"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])|_INBOX\.[^.\s]+", data))


_ELSEWHERE = """
import json, sys
from pathlib import Path
from test_unlinkable_sinks import deliver
url, environ, place, session = json.loads(sys.argv[1])
list(deliver(url, environ, Path(place), session))
"""


def test_two_sessions_share_nothing_but_what_another_installation_says_too(wire: Wire, tmp_path: Path) -> None:
    begin = len(wire.tap.lines)
    deliveries = deliver(wire.url, wire.environ, tmp_path / "here", *SESSIONS)
    next(deliveries)
    middle = len(wire.tap.lines)
    next(deliveries)
    deliveries.close()
    one = b"\0".join(bytes(line.heard) for line in wire.tap.lines[begin:middle])
    other = wire.heard(middle)
    start = len(wire.tap.lines)
    arguments = json.dumps([wire.url, wire.environ, str(tmp_path / "there"), "e15e" * 8])
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    subprocess.run([sys.executable, "-c", _ELSEWHERE, arguments], check=True, env=environ, cwd="/")
    elsewhere = wire.heard(start)

    assert len(one) > 500
    assert len(_ids(one)) >= 2
    assert _ids(one) & _ids(other) == set()
    assert (_strings(one) & _strings(other)) - _strings(elsewhere) == set()


def test_no_connection_outlives_its_session(wire: Wire, tmp_path: Path) -> None:
    begin = len(wire.tap.lines)
    deliveries = deliver(wire.url, wire.environ, tmp_path, *SESSIONS)
    next(deliveries)
    of_first = wire.tap.lines[begin:]
    assert of_first
    next(deliveries)
    wait_until(lambda: all(line.ended.is_set() for line in of_first))
    assert next(deliveries, None) is None
    wait_until(lambda: all(line.ended.is_set() for line in wire.tap.lines))


def _own_names() -> Iterator[str]:
    """What this machine, its user and this process are called, where it is long enough to be told from chance."""
    yield from (socket.gethostname(), getpass.getuser(), str(Path.home()), platform.release(), platform.version())
    yield f"{uuid.getnode():012x}"
    yield ":".join(f"{uuid.getnode():012x}"[at : at + 2] for at in range(0, 12, 2))
    for file in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):
        with suppress(OSError):
            yield Path(file).read_text().strip()


def test_no_byte_names_this_machine_its_user_or_this_process(wire: Wire, tmp_path: Path) -> None:
    start = len(wire.tap.lines)
    list(deliver(wire.url, wire.environ, tmp_path, *SESSIONS))
    heard = wire.heard(start).lower()
    assert SESSIONS[0].encode() not in heard, "an id of a session is in the body alone"
    for name in _own_names():
        if len(name) > 3:
            assert name.lower().encode() not in heard, name
    assert not re.search(rb"(?<!\d)%d(?!\d)" % os.getpid(), heard)
    assert str(tmp_path).encode() not in heard


def test_a_client_says_of_itself_what_all_say(wire: Wire, tmp_path: Path) -> None:
    start = len(wire.tap.lines)
    list(deliver(wire.url, wire.environ, tmp_path, SESSIONS[0]))
    heard = wire.heard(start)
    if isinstance(wire.far, Nats):
        for said in re.findall(rb"CONNECT (\{.*?\})\r\n", heard):
            assert b'"name"' not in said or b'"name":null' in said.replace(b" ", b"")
    elif isinstance(wire.far, Kafka):
        names = set(re.findall(rb"\0\x09(telemetry|[ -~]{9})", heard))
        assert b"telemetry" in names
    else:
        agents = set(re.findall(rb"(?i)user-agent: ([^\r\n]*)", heard))
        assert len(agents) == 1
        assert re.fullmatch(rb"telemetry(/[0-9a-z.]+)?", agents.pop())


def test_a_file_in_a_directory_names_nobody_either(tmp_path: Path) -> None:
    far = Directory(tmp_path)
    list(deliver(far.url, {}, tmp_path / "spool", *SESSIONS))
    kept = {path.name: path.read_bytes() for path in (tmp_path / "batches").iterdir()}
    said = "".join(kept).encode() + b"".join(data for name, data in kept.items() if name.endswith(".json"))
    assert len(kept) == 8
    assert not any(name.encode() in said for name in _own_names() if len(name) > 3)
    assert len({path.stat().st_mode & 0o777 for path in (tmp_path / "batches").iterdir()}) == 1
