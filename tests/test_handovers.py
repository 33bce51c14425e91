"""What a host that ends unconfirmed leaves is taken in once, whoever is up by then; what is none is let go."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from conftest import Collector, shipper_of, shippers_of, wait_until
from test_receiver import CONTEXT

from telemetry.cli.status import gather
from telemetry.consent import State
from telemetry.consent.stored import store_choice
from telemetry.rendezvous import handover
from telemetry.rendezvous.handover import LENGTH, hand_over, pass_in
from telemetry.shipper import process
from telemetry.shipper.intake import handovers
from telemetry.shipper.intake.handovers import MAX_WAITING, PATIENCE_SECONDS, Handovers
from telemetry.shipper.intake.receiver import DRAIN_BYTES, Frame, decode_frame
from telemetry.shipper.place import Place
from telemetry.shipper.sockets import Sockets
from telemetry.spool.positions import Position
from telemetry.wire import HANDOVER_SOCKET, MAX_FRAME_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psutil

PRODUCER = bytes(range(16))
BURST = 20_000


def _frame(first: int, events: int = 1, padding: str = "") -> bytes:
    packed: bytes = msgpack.packb([1, PRODUCER, CONTEXT, first, {}, [["done", 1, {"text": padding}]] * events])
    return packed


def _decoded(messages: list[bytes]) -> list[Frame]:
    return [frame for message in messages if (frame := decode_frame(message)) is not None]


def _open_listener(directory: Path) -> socket.socket:
    return socket.socket(fileno=handover.open_listener(directory).detach())


def _descriptors() -> set[str]:
    return {path.name for path in Path("/dev/fd").iterdir()}


class _Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class _Reception:
    """A listener, and who takes in by it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.listeners = [_open_listener(directory)]
        self.clock = _Clock()
        self.handovers = Handovers(self.listeners, self.clock)
        self.positions: dict[str, Position] = {}

    def come_to(self, number: int) -> None:
        self.positions[PRODUCER.hex()] = Position(7, number)

    def take(self, *, at_once: bool = False) -> list[bytes]:
        self.handovers.let_in()
        return self.handovers.take(self.positions, at_once=at_once)


@pytest.fixture
def reception(tmp_path: Path) -> Iterator[_Reception]:
    before = _descriptors()
    opened = _Reception(tmp_path)
    yield opened
    for listener in opened.listeners:
        listener.close()
    opened.clock.now += 10 * PATIENCE_SECONDS
    while opened.handovers.waits:
        opened.take()
    assert _descriptors() == before, "no descriptor is left open"


# Taking in.


def test_frames_that_were_left_come_in_as_they_are(reception: _Reception) -> None:
    frames = [_frame(number) for number in range(5)]
    hand_over(reception.directory, frames)
    assert reception.take() == frames
    assert reception.take() == []
    assert not reception.handovers.waits


def test_a_lot_is_taken_drain_by_drain(reception: _Reception) -> None:
    frames = [_frame(number, padding="x" * (200 << 10)) for number in range(50)]
    hand_over(reception.directory, frames)
    taken = []
    while drained := reception.take():
        assert sum(map(len, drained)) < DRAIN_BYTES + MAX_FRAME_BYTES
        taken += drained
        reception.come_to(len(taken))
    assert taken == frames


def test_what_had_come_before_is_taken_for_a_repeat(reception: _Reception) -> None:
    reception.come_to(3)
    hand_over(reception.directory, [_frame(number) for number in range(5)])
    kept = reception.handovers.without_repeats(_decoded(reception.take()), reception.positions)
    assert [frame.first for frame in kept] == [3, 4]


def test_what_comes_the_ordinary_way_only_after_it_was_left_is_a_repeat_too(reception: _Reception) -> None:
    late = _decoded([_frame(number) for number in range(6)])
    assert reception.handovers.without_repeats(late, reception.positions) == late
    hand_over(reception.directory, [_frame(number) for number in range(5)])
    reception.take()
    reception.come_to(5)
    assert [frame.first for frame in reception.handovers.without_repeats(late, reception.positions)] == [5]


def test_what_is_before_a_gap_has_a_second_to_come(reception: _Reception) -> None:
    hand_over(reception.directory, [_frame(3)])
    assert reception.take() == []
    assert reception.handovers.waits
    reception.come_to(3)
    assert reception.take() == [_frame(3)]
    hand_over(reception.directory, [_frame(8)])
    assert reception.take() == []
    reception.clock.now += PATIENCE_SECONDS
    assert reception.take() == [_frame(8)]
    hand_over(reception.directory, [_frame(20)])
    assert reception.take(at_once=True) == [_frame(20)], "a shipper that leaves does not wait"


def test_one_that_waits_for_a_gap_holds_up_no_other(reception: _Reception) -> None:
    other = msgpack.packb([1, bytes(16), CONTEXT, 0, {}, []])
    hand_over(reception.directory, [_frame(3)])
    hand_over(reception.directory, [other])
    assert reception.take() == [other]


def test_more_than_can_be_held_wait_to_be_accepted(reception: _Reception) -> None:
    number = 2 * MAX_WAITING
    for _ in range(number):
        hand_over(reception.directory, [_frame(0)])
    before = len(_descriptors())
    reception.handovers.let_in()
    assert len(_descriptors()) - before <= MAX_WAITING
    assert len([*iter(reception.take, [])]) == number


def test_a_former_door_is_closed_when_nobody_is_left_at_it(reception: _Reception) -> None:
    for number in range(2 * MAX_WAITING):
        hand_over(reception.directory, [_frame(number)])
    former = reception.listeners[0]
    reception.listeners.append(_open_listener(reception.directory))
    hand_over(reception.directory, [_frame(number + 1)])
    assert len([*iter(lambda: reception.take(at_once=True), [])]) == 2 * MAX_WAITING + 1
    assert former.fileno() == -1
    assert len(reception.listeners) == 1


# Rubbish.


def _memory(content: bytes, *, sealed: bool = True) -> int:
    memory = os.memfd_create("rubbish", os.MFD_ALLOW_SEALING)
    os.write(memory, content)
    if sealed:
        fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return memory


def _behind_length(frame: bytes) -> bytes:
    return LENGTH.pack(len(frame)) + frame


GOOD = _behind_length(_frame(0))


@pytest.mark.parametrize(
    ("content", "frames"),
    [
        (b"", 0),
        (b"\0\0", 0),
        (b"\0\0\0\0", 0),
        (b"\xff" * 1000, 0),
        (_behind_length(b"no frame"), 0),
        (LENGTH.pack(500) + _frame(0), 0),
        (GOOD + b"\0", 1),
        (GOOD + LENGTH.pack(MAX_FRAME_BYTES + 1) + b"x" * 100, 1),
        (GOOD + LENGTH.pack(0) + GOOD, 1),
        (GOOD + GOOD[:-1], 1),
    ],
)
def test_a_file_that_lies_gives_what_can_be_read_of_it(reception: _Reception, content: bytes, frames: int) -> None:
    memory = _memory(content)
    pass_in(reception.directory, memory)
    os.close(memory)
    assert reception.take() == [_frame(0)] * frames
    assert not reception.handovers.waits


def test_only_a_memory_file_that_nobody_can_change_is_taken(reception: _Reception, tmp_path: Path) -> None:
    """Anything else might block who reads it, or shrink under the reader."""
    plain = tmp_path / "plain"
    plain.write_bytes(GOOD)
    pipe, other = os.pipe()
    passed = [_memory(GOOD, sealed=False), os.open(plain, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY), pipe]
    for descriptor in passed:
        pass_in(reception.directory, descriptor)
        assert reception.take() == []
        assert not reception.handovers.waits
    for descriptor in (*passed, other):
        os.close(descriptor)


def test_a_peer_that_passes_nothing_in_is_let_go_after_a_second(reception: _Reception) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(reception.directory / HANDOVER_SOCKET))
        assert reception.take() == []
        assert reception.handovers.waits
        reception.clock.now += PATIENCE_SECONDS
        assert reception.take() == []
        assert not reception.handovers.waits


def test_a_peer_that_leaves_or_only_talks_does_no_harm(reception: _Reception) -> None:
    for said in (b"", b"\0", b"x" * 5000):
        with socket.socket(socket.AF_UNIX) as peer:
            peer.connect(str(reception.directory / HANDOVER_SOCKET))
            peer.sendall(said)
        assert reception.take() == []
        assert not reception.handovers.waits


def test_of_many_descriptors_none_stays_open(reception: _Reception) -> None:
    memories = [_memory(GOOD) for _ in range(20)]
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(reception.directory / HANDOVER_SOCKET))
        socket.send_fds(peer, [b"\0"], memories)
        for memory in memories:
            os.close(memory)
        assert reception.take() == [_frame(0)]


# Handing over.


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        hand_over(tmp_path, [_frame(0)])
    _open_listener(tmp_path).close()
    with pytest.raises(ConnectionRefusedError):
        hand_over(tmp_path, [_frame(0)])


def test_where_there_are_no_memory_files_there_is_no_way(
    reception: _Reception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="no memory files"):
        hand_over(reception.directory, [_frame(0)])


def test_a_door_is_inherited_only_if_it_is_one_to_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = _open_listener(tmp_path)
    monkeypatch.setattr(process, "HANDOVER_DESCRIPTOR", listener.fileno())
    found = process.inherit_listener(tmp_path)
    assert found is not None
    found.close()
    assert process.inherit_listener(tmp_path / "elsewhere") is None
    listener.close()
    assert process.inherit_listener(tmp_path) is None
    for other in (socket.socket(), socket.socket(socket.AF_UNIX), (tmp_path / "file").open("w")):
        with other:
            monkeypatch.setattr(process, "HANDOVER_DESCRIPTOR", other.fileno())
            assert process.inherit_listener(tmp_path) is None


def test_who_finds_the_place_taken_passes_on_what_it_was_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two are spawned at once, the later one's socket has the name, and the earlier one gets the place."""
    monkeypatch.setattr(handovers, "PASS_ON_SECONDS", 0.1)
    listener = _open_listener(tmp_path)
    hand_over(tmp_path, [_frame(0)])
    place = Place.take(tmp_path)
    assert place is not None
    Handovers([listener]).pass_on(tmp_path)
    listener.close()
    place.open(sockets := Sockets(place.listeners))
    taking = Handovers(sockets.listeners)
    taking.let_in()
    assert taking.take({}) == [_frame(0)]
    place.leave()
    assert list(tmp_path.iterdir()) == []


# Hosts and shippers.

SHORT = """
import sys, telemetry
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", deployment="cloud")
for number in range(int(sys.argv[3])):
    telemetry.emit("query_finished", number=number)
"""


def _short(catalog: Path, endpoint: str, events: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SHORT, str(catalog), endpoint, str(events)])


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    return ledger


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    path = tmp_path / "short.toml"
    path.write_text(
        """
[catalog]
product = "acme-db"
version = 1
policy_url = "https://acme.example/privacy"
[events.query_finished]
purpose = "decide what to optimise"
owner = "query team"
expires = "2099-01-01"
sensitivity = "technical"
[events.query_finished.fields]
number = { type = "int", purpose = "tell one from the other" }
"""
    )
    return path


def test_all_that_a_burst_of_short_hosts_emits_arrives(home: Path, catalog: Path, collector: Collector) -> None:
    """No shipper runs before, and each of them is gone before it has heard of one."""
    hosts = [_short(catalog, collector.endpoint, 1000) for _ in range(20)]
    hosts.append(_short(catalog, collector.endpoint, BURST))
    assert [host.wait() for host in hosts] == [0] * 21
    wait_until(lambda: _ledger()["delivered"] == 20 * 1000 + BURST)
    assert _ledger()["dropped"] == {}
    wait_until(lambda: not shippers_of(home))


@pytest.fixture
def stopped(home: Path, catalog: Path, collector: Collector) -> Iterator[psutil.Process]:
    """A shipper that does nothing, and whose host waits."""
    code = SHORT + "print(telemetry.flush(60), flush=True)\nsys.stdin.read()\n"
    arguments = [sys.executable, "-c", code, str(catalog), collector.endpoint, "1"]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout
        assert host.stdout.readline() == "True\n"
        shipper = shipper_of(home)
        shipper.suspend()
        yield shipper
        shipper.resume()


def test_a_shipper_that_is_stopped_takes_in_later_what_was_left(
    stopped: psutil.Process, catalog: Path, collector: Collector
) -> None:
    assert _short(catalog, collector.endpoint, BURST).wait() == 0
    stopped.resume()
    wait_until(lambda: _ledger()["delivered"] == BURST + 1)
    assert _ledger()["dropped"] == {}


def test_what_was_left_goes_nowhere_once_the_user_has_said_off(
    stopped: psutil.Process, catalog: Path, collector: Collector
) -> None:
    assert _short(catalog, collector.endpoint, BURST).wait() == 0
    store_choice("acme-db", State.OFF, time.time())
    stopped.resume()
    wait_until(lambda: _ledger()["dropped"].get("consent", 0) >= BURST)
    assert _ledger()["delivered"] + _ledger()["on_disk"] <= 1
