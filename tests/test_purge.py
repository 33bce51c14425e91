"""`telemetry purge`, and what `telemetry off` erases: beside real hosts and shippers."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from conftest import Collector, Host, StartHost, made_in, shipper_of, shippers_of, wait_until
from standin import host, local_transport, stand_in, write_catalog
from standin import rendezvous as place_of

from telemetry.cli.consent import off, on
from telemetry.cli.purge import purge
from telemetry.cli.status import gather
from telemetry.consent import read_stored
from telemetry.inspect import erase
from telemetry.paths import LIVING
from telemetry.rendezvous.life import tell_of_purge
from telemetry.rendezvous.taken import Records
from telemetry.spool.layout import FORMAT_FILE
from telemetry.spool.ledger import LedgerLog
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    import click
    from click.testing import Result

TELEMETRY = [sys.executable, "-m", "telemetry"]


def _run(command: click.Command, *arguments: str) -> Result:
    return CliRunner().invoke(command, ["--product", "acme-db", *arguments])


def _status() -> dict[str, Any]:
    return gather("acme-db")


def _places(home: Path) -> set[str]:
    """Where in a home there are files; the scanner's cache is no product's."""
    return {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()} - {"cache"}


# purge


def test_purge_stops_the_shipper_and_leaves_nothing_but_the_choice(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    _run(on)
    host = start_host(refusing)
    host.emit(100)
    host.kill()
    wait_until(lambda: _status()["errors"])
    result = _run(purge, "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    erased = json.loads(result.stdout)
    assert (erased["product"], erased["segments"], erased["events"]) == ("acme-db", 1, 100)
    assert erased["bytes"] > 0
    wait_until(lambda: not shippers_of(home))
    assert _places(home) == {"config"}
    assert read_stored("acme-db").choice == "on"
    assert _status()["ledger"]["emitted"] == 0


def test_what_is_purged_does_not_leave_meanwhile(start_host: StartHost, home: Path, collector: Collector) -> None:
    assert home.exists()
    start_host(collector.endpoint).emit(100)
    result = _run(purge, "--yes", "--json")
    assert (result.exit_code, json.loads(result.stdout)["events"]) == (0, 100), result.stderr
    assert [*collector.store.glob("batches/*")] == []


def test_a_no_right_after_a_purge_beside_living_hosts_is_done(home: Path) -> None:
    directory = home / "state" / "acme-db" / "spool-0123456789abcdef"
    spool, _ = Spool.open(directory, lambda *_: False)
    spool.close()
    for path in directory.iterdir():
        if path.is_dir() and path.name != LIVING:
            shutil.rmtree(path)
        elif path.is_file() and path.name != FORMAT_FILE:
            path.unlink()
    done = _run(off)
    assert (done.exit_code, done.stderr) == (0, "")


def test_purge_erases_what_a_dead_shipper_left(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(100)
    host.kill_with_shippers(home)
    assert json.loads(_run(purge, "--yes", "--json").stdout)["events"] == 100
    assert _places(home) == set()


def test_purge_erases_the_copies_of_what_was_sent(start_host: StartHost, home: Path, collector: Collector) -> None:
    host = start_host(collector.endpoint)
    host.emit(10)
    host.leave()
    wait_until(lambda: _status()["ledger"]["delivered"] == 10)
    assert json.loads(_run(purge, "--yes", "--json").stdout)["events"] == 10
    assert _places(home) == set()


def test_a_host_that_lives_on_goes_on_with_a_new_shipper(start_host: StartHost, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(10)
    for _ in range(2):
        assert _run(purge, "--yes").exit_code == 0
        assert _status()["ledger"]["emitted"] == 0
    host.emit(1)
    wait_until(lambda: _status()["ledger"]["on_disk"] >= 1)
    ledger = _status()["ledger"]
    assert (ledger["dropped"], ledger["balance"]) == ({}, 0), "what it had emitted before is no loss"


def test_purge_forgets_the_numbers_of_a_host_that_has_ended(start_host: StartHost, home: Path, refusing: str) -> None:
    living, ended = start_host(refusing), start_host(refusing)
    living.emit(10)
    ended.emit(10)
    ended.leave()
    assert _run(purge, "--yes").exit_code == 0
    (spool,) = home.glob("state/acme-db/spool-*")
    assert sorted(path.name for path in spool.iterdir()) == ["format", "ledger.lock", "ledger.log", "living"]
    (sign,) = (spool / "living").iterdir()
    assert list(LedgerLog(spool).read().positions) == [sign.name]


def test_a_host_whose_files_somebody_removes_goes_on_as_a_new_producer(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(10)
    for path in home.iterdir():
        shutil.rmtree(path)
    wait_until(lambda: _emits(host) and _status()["ledger"]["on_disk"] > 0)
    assert _status()["ledger"]["dropped"] == {}


def _emits(host: Host) -> bool:
    """Whether an event is confirmed."""
    assert host.process.stdin
    host.process.stdin.write(json.dumps([1, "query_finished", {"duration_ms": 1.5}]) + "\n")
    host.process.stdin.flush()
    return host._line() == "True\n"


def test_another_products_data_stay(start_host: StartHost, home: Path, refusing: str) -> None:
    start_host(refusing, product="acme-db-2").emit(7)
    shipper = shipper_of(home)
    assert _run(purge, "--yes").exit_code == 0
    assert gather("acme-db-2")["ledger"]["on_disk"] == 7
    assert gather("acme-db-2")["shipper"]["pid"] == shipper.pid


def test_where_nothing_is_purge_erases_nothing_and_makes_nothing(home: Path) -> None:
    result = _run(purge, "--yes", "--json")
    assert json.loads(result.stdout) == {"product": "acme-db", "segments": 0, "events": 0, "bytes": 0}
    assert not made_in(home)


def test_without_a_terminal_and_without_yes_nothing_is_erased(start_host: StartHost, home: Path, refusing: str) -> None:
    start_host(refusing).emit(1)
    result = _run(purge)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert shippers_of(home)
    assert _status()["ledger"]["on_disk"] == 1


@pytest.mark.parametrize(("answer", "exit_code", "left"), [("n", 2, 1), ("y", 0, 0)], ids=["no", "yes"])
def test_on_a_terminal_the_answer_counts(
    answer: str, exit_code: int, left: int, start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(1)
    host.kill_with_shippers(home)
    terminal, theirs = pty.openpty()
    try:
        os.write(terminal, f"{answer}\n".encode())
        command = [*TELEMETRY, "purge", "--product", "acme-db"]
        done = subprocess.run(command, stdin=theirs, capture_output=True, text=True, check=False)
    finally:
        os.close(terminal)
        os.close(theirs)
    assert done.returncode == exit_code
    assert "1 segment, 1 event" in done.stdout
    assert _status()["ledger"]["on_disk"] == left


def test_a_shipper_that_does_not_stop_is_named_and_nothing_is_erased(
    start_host: StartHost, home: Path, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_host(refusing).emit(5)
    shipper = shipper_of(home)
    shipper.suspend()
    monkeypatch.setattr(erase, "STOP_SECONDS", 0.5)
    result = _run(purge, "--yes")
    assert result.exit_code == 1
    assert str(shipper.pid) in result.stderr
    assert _status()["ledger"]["on_disk"] == 5


def test_a_spool_that_an_unknown_shipper_holds_is_not_erased(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = home / "state" / "acme-db" / "spool-0123456789abcdef"
    living, _ = Spool.open(directory, lambda *_: False)
    monkeypatch.setattr(erase, "RELEASE_SECONDS", 0.1)
    try:
        result = _run(purge, "--yes")
    finally:
        living.close()
    assert result.exit_code == 1
    assert str(directory) in result.stderr
    assert directory.exists()


# off


def _nothing_is_left(home: Path) -> bool:
    return not [
        path for folder in ("sealed", "sent", "local", "quarantine") for path in home.glob(f"state/*/*/{folder}/*")
    ]


def test_off_recovers_and_erases_what_a_dead_shipper_left(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(60)
    host.kill_with_shippers(home)
    assert _run(off).exit_code == 0
    assert _nothing_is_left(home)
    assert not list(home.glob("state/*/*/active/*"))
    ledger = _status()["ledger"]
    assert (ledger["emitted"], ledger["dropped"], ledger["on_disk"]) == (60, {"consent": 60}, 0)
    assert ledger["balance"] == 0


def test_off_waits_until_a_living_shipper_has_erased_what_it_wrote(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(60)
    result = _run(off)
    assert result.exit_code == 0, result.stderr
    status = _status()
    assert _nothing_is_left(home)
    assert status["spool"]["bytes"] == dict.fromkeys(status["spool"]["bytes"], 0)
    assert status["ledger"]["dropped"] == {"consent": 60}
    assert status["ledger"]["balance"] == 0


def test_off_erases_the_copies_of_what_was_sent(start_host: StartHost, home: Path, collector: Collector) -> None:
    host = start_host(collector.endpoint)
    host.emit(10)
    host.leave()
    wait_until(lambda: _status()["spool"]["segments"]["sent"] == 1)
    wait_until(lambda: not shippers_of(home))
    assert _run(off).exit_code == 0
    assert _nothing_is_left(home)
    ledger = _status()["ledger"]
    assert (ledger["delivered"], ledger["dropped"]) == (10, {}), "what was delivered stays counted as such"


def test_off_says_so_when_a_stuck_shipper_keeps_what_it_writes(
    start_host: StartHost, home: Path, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start_host(refusing).emit(5)
    shipper = shipper_of(home)
    shipper.suspend()
    monkeypatch.setattr(erase, "WITHDRAW_SECONDS", 0.2)
    result = _run(off)
    assert result.exit_code == 1
    assert "the choice is stored" in result.stderr
    assert read_stored("acme-db").choice == "off"
    shipper.resume()
    wait_until(lambda: _status()["ledger"]["dropped"] == {"consent": 5})


def test_off_where_nothing_is_makes_no_spool(home: Path) -> None:
    assert _run(off).exit_code == 0
    assert _places(home) == {"config"}
    assert not (home / "state").exists()


@pytest.mark.parametrize("command", [on], ids=["on"])
def test_a_yes_erases_nothing(command: click.Command, start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(5)
    host.kill_with_shippers(home)
    _run(command)
    assert _status()["ledger"]["on_disk"] == 5


def test_off_says_so_when_the_disk_lets_nothing_be_erased(
    start_host: StartHost, home: Path, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = start_host(refusing)
    host.emit(5)
    host.kill_with_shippers(home)

    def refuse(_: Spool) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Spool, "_erase", refuse)
    result = _run(off)
    assert result.exit_code == 1
    assert "Read-only file system" in result.stderr
    assert read_stored("acme-db").choice == "off"


def test_what_a_host_keeps_is_gone_when_all_is_purged_and_its_numbers_begin_anew(home: Path, tmp_path: Path) -> None:
    assert home.exists()
    catalog = write_catalog(tmp_path)
    with stand_in(catalog, deaf=True), host(catalog) as client:
        records = Records(place_of(catalog), [])
        link = client._link
        assert link
        for number in range(1000):
            client.emit("query_finished", number=number)
        wait_until(lambda: link._outbox.accepted == 1000)
        before = link._outbox.producer
        link._supervise()
        assert link._outbox.kept == {before}
        tell_of_purge(local_transport(client).site.spool, before.hex())
        link._supervise()
        assert link._outbox.kept == set()
        assert (link._outbox.accepted, link._outbox.unsure(1.0)) == (0, [])
        assert link._outbox.producer != before
        records.close()
