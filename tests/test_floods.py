"""Who floods the shipper, by a fault or on purpose, harms nobody but themselves."""

from __future__ import annotations

import os
import resource
import socket
import time
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
import zmq
from conftest import shipper_of, wait_until
from test_life import NAME, holder
from test_validator import VALIDATOR, validate

from telemetry.cli.status import gather
from telemetry.drops import DropReason
from telemetry.paths import LIVING
from telemetry.rendezvous.control import Control
from telemetry.shipper.intake import admission
from telemetry.shipper.intake.admission import WINDOW_SECONDS, Admission
from telemetry.shipper.intake.receiver import Frame, decode_frame
from telemetry.shipper.intake.validator import UnreadableEventsError
from telemetry.shipper.limits import MAX_MESSAGE_BYTES
from telemetry.shipper.watch import remembered
from telemetry.spool.positions import MAX_POSITIONS, REMOTE_PID, Position
from telemetry.spool.tally import Tally
from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET, MAX_EVENT_FIELDS, MAX_FRAME_EVENTS

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import StartHost

CONTEXT: dict[str, Any] = {
    "pid": os.getpid(),
    "catalog": "",
    "consent": "on",
    "basis": "host",
    "notice": 0,
    "deployment": "cloud",
}


def _message(producer: bytes = b"0123456789abcdef", events: object = (), first: int = 0, **context: object) -> bytes:
    packed: bytes = msgpack.packb([1, producer, CONTEXT | context, first, {}, events])
    return packed


def _frame(number: int, pid: int = 1) -> Frame:
    frame = decode_frame(_message(number.to_bytes(16, "big"), pid=pid))
    assert frame is not None
    return frame


# One frame.


def test_a_frame_of_more_events_than_there_may_be_is_unreadable_at_once() -> None:
    tally = Tally()
    VALIDATOR.validate(msgpack.packb([None] * MAX_FRAME_EVENTS), tally)
    assert tally.dropped == {"invalid": MAX_FRAME_EVENTS}
    for event in (None, ["query", 1, {}]):
        with pytest.raises(UnreadableEventsError):
            VALIDATOR.validate(msgpack.packb([event] * (MAX_FRAME_EVENTS + 1)), tally)


def test_an_event_of_more_fields_than_there_may_be_is_invalid_as_a_whole() -> None:
    fields, tally = validate(["query", 1, {f"x{number}": 1 for number in range(MAX_EVENT_FIELDS + 1)}])
    assert (fields, tally.dropped, tally.fields_dropped) == ([], {DropReason.INVALID: 1}, {})


@pytest.mark.parametrize(
    "names",
    [
        pytest.param({f"kind{number}": ["x"] for number in range(17)}, id="too many kinds"),
        pytest.param({f"kind{number}": ["x"] * 100 for number in range(6)}, id="too many names"),
    ],
)
def test_a_frame_with_more_names_than_a_process_may_have_is_none(names: object) -> None:
    assert decode_frame(_message(names=names)) is None


# Producers invented.


def test_a_process_that_invents_producers_is_stopped_and_others_are_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_OF_A_PROCESS", 10)
    now = 0.0
    gate = Admission(lambda: now)
    assert len(gate.admit([_frame(number) for number in range(100)], {})) == 10
    assert len(gate.admit([_frame(number) for number in range(10)], {})) == 10  # those that are in already
    assert len(gate.admit([_frame(50)], {_frame(50).producer.hex()})) == 1
    assert len(gate.admit([_frame(1000 + number, pid=2) for number in range(5)], {})) == 5
    now = WINDOW_SECONDS
    assert len(gate.admit([_frame(50)], {})) == 1

    assert gate.refused == 90


def test_processes_that_invent_processes_are_stopped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "MAX_IN_ALL", 10)
    gate = Admission()

    assert len(gate.admit([_frame(number, pid=number) for number in range(100)], {})) == 10


def test_of_too_many_positions_those_of_the_dead_and_of_who_invents_them_are_forgotten(tmp_path: Path) -> None:
    inventor, other = Position(REMOTE_PID), Position(os.getpid())
    invented = {str(number): inventor for number in range(MAX_POSITIONS)}
    with holder(tmp_path):
        (tmp_path / LIVING / "dead").touch()
        kept = remembered(tmp_path, {NAME: other, **invented, "dead": other})

    assert len(kept) == MAX_POSITIONS
    assert NAME in kept
    assert not {"dead", "0"} & kept.keys()


# The whole shipper.


def test_a_flooder_starves_nobody_and_the_shipper_does_not_grow(start_host: StartHost, home: Path) -> None:
    """Four connections send what costs most, as fast as they can; a modest host's events all arrive."""
    host = start_host("https://127.0.0.1:9/")
    host.emit(1)
    (directory,) = home.glob("run/*")
    shipper = shipper_of(home)
    worst = [
        _message(events=[None] * MAX_FRAME_EVENTS),
        _message(events=[["query_finished", 1, {f"x{n}": 1 for n in range(50_000)}]]),
        _message(events=[["query_finished", 1, {"duration_ms": "x"}]] * 5_000),
        os.urandom(100_000),
        b"\x91" * 200_000,
        bytes(MAX_MESSAGE_BYTES + 1),
    ]
    with zmq.Context() as context:
        flooders = []
        for _ in range(4):
            flooders.append(context.socket(zmq.PUSH))
            flooders[-1].linger = 0
            flooders[-1].connect(f"ipc://{directory / DATA_SOCKET}")

        def flood() -> int:
            sent = 0
            for flooder in flooders:
                for message in [*worst, *(_message(os.urandom(16)) for _ in range(50))]:
                    try:
                        flooder.send(message, zmq.NOBLOCK)
                        sent += 1
                    except zmq.Again:
                        break
            return sent

        assert sum(flood() for _ in range(4)) > 0
        for _ in range(3):
            flood()
            host.emit(300)  # confirmed: it is on disk
        for flooder in flooders:
            flooder.close()
    ledger = gather("acme-db")["ledger"]

    assert ledger["emitted"] - ledger["dropped"].get("invalid", 0) - ledger["dropped"].get("in_transit", 0) >= 901
    assert ledger["on_disk"] >= 901
    assert shipper.is_running()
    assert shipper.memory_info().rss < 400 << 20


def test_thousands_of_connections_keep_nobody_from_an_answer(start_host: StartHost, home: Path) -> None:
    """Silent ones, half a greeting, and rubbish, on both sockets; `tools` or a shell may well open so many."""
    host = start_host("https://127.0.0.1:9/")
    host.emit(1)
    (directory,) = home.glob("run/*")
    crowd: list[socket.socket] = []
    for number in range(min(1000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)):
        name = CONTROL_SOCKET if number % 2 else DATA_SOCKET
        one = socket.socket(socket.AF_UNIX)
        one.settimeout(0.0)
        crowd.append(one)
        deadline = time.monotonic() + 30.0
        while one.connect_ex(str(directory / name)) and time.monotonic() < deadline:
            time.sleep(0.001)  # its backlog is full for a moment
        if number % 3:
            one.send([b"\xff\0\0", os.urandom(64)][number % 2])
    with zmq.Context() as context, Control(context, directory) as control:
        assert control.ask({"op": "status"}, 30.0)["pid"]
    host.emit(1)
    for one in crowd:
        one.close()

    assert gather("acme-db")["ledger"]["emitted"] == 2
    wait_until(lambda: "pid" in gather("acme-db")["shipper"])
