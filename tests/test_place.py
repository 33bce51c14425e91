"""A shipper's place: kept, taken anew when it is removed, given up to another, and left as it was found."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from conftest import CATALOG, PROMPT, StartHost, shipper_of, shippers_of, wait_until

from telemetry.cli.status import gather
from telemetry.files import private_dir
from telemetry.rendezvous.directory import CONFIG_FILE
from telemetry.rendezvous.lock import LOCK_FILE, acquire, is_current, release, shipper_runs
from telemetry.rendezvous.refusal import read_refusal
from telemetry.shipper.place import Place
from telemetry.shipper.sockets import Sockets
from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET

if TYPE_CHECKING:
    from pathlib import Path


def _directory(home: Path) -> Path:
    (found,) = (home / "run").iterdir()
    return found


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    return ledger


def _is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


# The lock.


def test_who_holds_a_file_that_was_removed_holds_nothing(tmp_path: Path) -> None:
    removed = acquire(tmp_path)
    assert removed is not None
    (tmp_path / LOCK_FILE).unlink()
    assert not is_current(removed, tmp_path)
    current = acquire(tmp_path)
    assert current is not None
    release(removed, tmp_path)
    assert shipper_runs(tmp_path), "the file of another one is left alone"
    release(current, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_is_removed_while_somebody_waits_for_it_is_not_taken(tmp_path: Path) -> None:
    """A shipper removes its file as it leaves; who had opened it before would hold a file without a name."""
    held = acquire(tmp_path)
    assert held is not None
    code = """
import sys
from pathlib import Path
from telemetry.rendezvous.lock import acquire, is_current
print("waits", flush=True)
lock = acquire(Path(sys.argv[1]))
print(lock is None or is_current(lock, Path(sys.argv[1])))
"""
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True) as waiting:
        assert waiting.stdout
        assert waiting.stdout.readline() == "waits\n"
        release(held, tmp_path)
        assert waiting.stdout.readline() == "True\n"


def test_a_probe_makes_no_file(tmp_path: Path) -> None:
    assert not shipper_runs(tmp_path)
    assert list(tmp_path.iterdir()) == []


# The place.


def test_a_place_is_put_back_and_the_peers_it_had_are_kept(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    private_dir(directory)
    place = Place.take(directory)
    assert place is not None
    assert place.keep()
    assert not (directory / DATA_SOCKET).exists(), "nobody is let in yet"
    sockets = Sockets(place.listeners)
    place.open(sockets)
    for removed in ([DATA_SOCKET], [CONTROL_SOCKET, LOCK_FILE], [LOCK_FILE], []):
        for name in removed:
            (directory / name).unlink()
        if not removed:
            shutil.rmtree(directory)
        assert place.keep()
        assert sockets.are_found
        assert shipper_runs(directory)
    place.leave()
    assert list(directory.iterdir()) == []


def test_who_lost_the_place_leaves_nothing_changed_in_it(tmp_path: Path) -> None:
    first = Place.take(tmp_path)
    (tmp_path / LOCK_FILE).unlink()
    second = Place.take(tmp_path)
    assert first is not None
    assert second is not None
    second.open(sockets := Sockets(second.listeners))
    assert not first.keep()
    first.leave()
    assert second.keep()
    assert sockets.are_found
    assert shipper_runs(tmp_path)
    second.leave()


# Shippers.


def test_a_removed_runtime_directory_costs_nothing_while_host_and_shipper_live(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    old = start_host(refusing)
    old.emit(1)
    directory = _directory(home)
    shipper = shipper_of(home)
    shutil.rmtree(home / "run")
    wait_until(lambda: shipper_runs(directory))

    old.emit(2)
    new = start_host(refusing)
    new.emit(4)

    assert shippers_of(home) == [shipper]
    assert (_ledger()["emitted"], _ledger()["dropped"]) == (7, {})


def _only_other(home: Path, first: psutil.Process) -> psutil.Process:
    """Both hosts may have spawned one when the directory was gone; who comes too late leaves, in its own time."""
    others: list[psutil.Process] = []

    def is_one() -> bool:
        others[:] = [process for process in shippers_of(home) if process != first]
        return len(others) == 1

    wait_until(is_one)
    return others[0]


def test_when_a_host_is_faster_than_the_shipper_one_of_two_leaves_and_all_is_accounted_for(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(1)
    directory = _directory(home)
    first = shipper_of(home)
    first.suspend()
    shutil.rmtree(home / "run")
    new = start_host(refusing)
    new.emit(2)
    second = _only_other(home, first)
    first.resume()

    wait_until(lambda: _is_gone(first))

    host.emit(4)
    assert int((directory / LOCK_FILE).read_text()) == second.pid
    ledger = _ledger()
    assert ledger["on_disk"] == 7
    assert ledger["dropped"] == {}


def test_a_shipper_that_is_not_needed_leaves_and_leaves_no_file_but_spool_log_and_its_configuration(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing, linger_seconds=0.2)
    host.emit(1)
    shipper = shipper_of(home)
    directory = _directory(home)
    host.leave()

    wait_until(lambda: _is_gone(shipper))

    # `telemetry preview` reads it when no shipper runs.
    assert [path.name for path in directory.iterdir()] == [CONFIG_FILE]
    assert {path.parts[len(home.parts)] for path in home.rglob("*") if path.is_file()} <= {"run", "state", "cache"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_has_a_shipper_seal_what_it_has_and_leave_and_the_next_event_finds_another(
    start_host: StartHost, home: Path, refusing: str, number: signal.Signals
) -> None:
    if signal.getsignal(number) == signal.SIG_IGN:
        pytest.skip("started to outlive its terminal (nohup), and so are its children")
    host = start_host(refusing)
    host.emit(5)
    shipper = shipper_of(home)
    shipper.send_signal(number)
    wait_until(lambda: _is_gone(shipper))

    assert len([*home.glob("state/*/spool-*/sealed/*.zst")]) == 1
    assert not [*home.glob("state/*/spool-*/active/*")]
    assert not shipper_runs(_directory(home))
    host.emit(5)
    assert (_ledger()["emitted"], _ledger()["dropped"]) == (10, {})


def test_a_signal_while_it_starts_has_a_shipper_leave_in_order(home: Path, tmp_path: Path, refusing: str) -> None:
    from conftest import CATALOG  # noqa: PLC0415 here alone

    (tmp_path / "acme.toml").write_text(CATALOG)
    config = tmp_path / "ship.toml"
    config.write_text(f'product = "acme-db"\ncatalog = "acme.toml"\nendpoint = "{refusing}"\n')
    with subprocess.Popen([sys.executable, "-m", "telemetry", "ship", "--config", str(config)]) as shipper:
        wait_until(lambda: [*home.glob(f"run/*/{LOCK_FILE}")])
        shipper.terminate()

        assert shipper.wait(60) == 0
    assert [path.name for path in _directory(home).iterdir()] == [CONFIG_FILE]


def test_a_machine_that_slept_for_longer_than_a_shipper_lingers_wakes_with_the_same_shipper(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing, linger_seconds=0.1)
    host.emit(1)
    shipper = shipper_of(home)
    sleepers = [psutil.Process(host.process.pid), shipper]
    for process in sleepers:
        process.suspend()
    fell_asleep = time.monotonic()
    wait_until(lambda: time.monotonic() - fell_asleep > 1.0)
    for process in sleepers:
        process.resume()

    host.emit(1)

    assert shippers_of(home) == [shipper]
    assert (_ledger()["emitted"], _ledger()["dropped"]) == (2, {})


# Another version.


FOREIGN = """
import json, sys
import telemetry.rendezvous.directory, telemetry.wire
telemetry.wire.PROTOCOL += 1
settings = telemetry.ShipperSettings(**json.loads(sys.argv[3]))
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
for _ in range(5):
    telemetry.emit("query_finished", duration_ms=1.0)
print(telemetry.flush(0.5))
"""


def test_a_shipper_counts_what_a_producer_of_another_protocol_sent_it(
    start_host: StartHost, home: Path, tmp_path: Path, refusing: str
) -> None:
    """They meet elsewhere (tests/test_paths.py), but anybody can write frames. Its tombstone tells how many."""
    host = start_host(refusing)
    host.emit(1)
    shipper = shipper_of(home)
    settings = json.dumps({**PROMPT, "segment_seconds": 3600.0})
    command = [sys.executable, "-c", FOREIGN, str(tmp_path / "acme.toml"), refusing, settings]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("False\n", "")

    wait_until(lambda: _ledger()["emitted"] == 6)

    assert _ledger()["dropped"] == {"exit_unconfirmed": 5}
    assert gather("acme-db")["shipper"]["unreadable_frames"] > 0
    assert shippers_of(home) == [shipper]
    host.emit(1)


NO_LOCKS = """
import errno, fcntl, sys
def flock(file, operation):
    raise OSError(errno.ENOLCK, "No locks available")
fcntl.flock = flock
from telemetry.__main__ import main
main()
"""


def test_a_file_system_without_locks_is_refused_and_the_refusal_says_so(
    start_host: StartHost, home: Path, tmp_path: Path, refusing: str
) -> None:
    program = tmp_path / "without_locks.py"
    program.write_text(NO_LOCKS)
    start_host(refusing, command=f"{sys.executable} {program}")
    wait_until(lambda: gather("acme-db")["shipper"]["refused"])

    wait_until(lambda: not shippers_of(home))

    refused = gather("acme-db")["shipper"]["refused"]
    assert "No locks available" in refused
    assert "TELEMETRY_HOME" in refused


def test_what_hosts_leave_at_the_door_of_a_shipper_that_refuses_is_counted(
    start_host: StartHost, home: Path, tmp_path: Path, refusing: str
) -> None:
    catalog = tmp_path / "bad.toml"
    catalog.write_text(CATALOG.replace('"float"', '"flot"'))
    code = f"""
import telemetry
telemetry.init(product="acme-db", catalog={str(catalog)!r}, endpoint={refusing!r}, consent="on")
for _ in range(700):
    telemetry.emit("query_finished", duration_ms=1.5)
"""

    def is_refused() -> bool:
        refusal = read_refusal(_directory(home))
        return refusal is not None and "flot" in refusal.why

    for _ in range(2):  # to one that is only starting, and where none is started any more
        subprocess.run([sys.executable, "-c", code], check=True)
        wait_until(is_refused)
    start_host(refusing).emit(5)

    wait_until(lambda: _ledger()["emitted"] == 1405)
    ledger = _ledger()
    assert (ledger["on_disk"], sum(ledger["dropped"].values()), ledger["balance"]) == (5, 1400, 0)
