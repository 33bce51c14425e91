"""Which shipper a host meets: its own by its settings, or the one in the foreground that serves its product."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from conftest import CATALOG, PROMPT, StartHost, shipper_of, shippers_of, wait_until

from telemetry.cli.status import gather
from telemetry.rendezvous.directory import CONFIG_FILE, foreground_dir
from telemetry.rendezvous.lock import shipper_runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def _foreground(directory: Path, endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    """A shipper in the foreground, which waits for its catalog's hosts when the block begins."""
    (directory / "served.toml").write_text(CATALOG)
    config = directory / "ship.toml"
    lines = [f'product = "acme-db"\ncatalog = "served.toml"\nendpoint = "{endpoint}"', "segment_seconds = 3600"]
    config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in PROMPT.items())]))
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    # In a session of its own: a SIGHUP from a terminal that is closed means another thing.
    with (
        (directory / "log").open("ab") as log,
        subprocess.Popen(command, start_new_session=True, stderr=log) as process,
    ):
        try:
            wait_until((foreground_dir("acme-db", endpoint) / "data.sock").exists)
            yield process
        finally:
            process.terminate()


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    return ledger


def _pids(home: Path) -> set[int]:
    return {process.pid for process in shippers_of(home)}


def test_hosts_of_other_settings_have_shippers_of_their_own_and_share_the_spool(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    first, second = start_host(refusing), start_host(refusing, node="meta")
    first.emit(3)
    second.emit(4)
    third = start_host(refusing, node="meta")
    third.emit(5)

    wait_until(lambda: len(_pids(home)) == 2)
    assert len([*home.glob("state/acme-db/spool-*")]) == 1
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (12, {}, 0)


def test_one_in_the_foreground_serves_its_products_hosts_whatever_their_catalog_and_settings(
    start_host: StartHost, home: Path, refusing: str, tmp_path: Path
) -> None:
    with _foreground(tmp_path, refusing) as foreground:
        start_host(refusing).emit(3)
        host = start_host(refusing, node="meta")
        catalog = tmp_path / "acme.toml"
        catalog.write_text(catalog.read_text() + "\n# reviewed\n")
        host.emit(4)

        assert _pids(home) == {foreground.pid}
        assert gather("acme-db")["shipper"]["endpoint"] == refusing
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (7, {}, 0)


def test_one_that_was_spawned_gives_way_to_one_in_the_foreground_and_comes_back_after_it(
    start_host: StartHost, home: Path, refusing: str, tmp_path: Path
) -> None:
    host = start_host(refusing)
    host.emit(3)
    spawned = shipper_of(home).pid
    with _foreground(tmp_path, refusing) as foreground:
        wait_until(lambda: _pids(home) == {foreground.pid})
        host.emit(4)
        assert _pids(home) == {foreground.pid}
    host.emit(5)

    assert not shipper_runs(foreground_dir("acme-db", refusing))
    assert not _pids(home) & {spawned, foreground.pid}
    assert (_ledger()["emitted"], _ledger()["balance"]) == (12, 0)
    assert _ledger()["dropped"].keys() <= {"in_transit"}, "what was on its way to the one that had left"


def test_one_in_the_foreground_that_cannot_start_disturbs_nobody(
    start_host: StartHost, home: Path, refusing: str, tmp_path: Path
) -> None:
    host = start_host(refusing)
    host.emit(3)
    before = shipper_of(home).pid
    (tmp_path / "faulty.toml").write_text("[catalog]\nproduct = 5\n")
    config = tmp_path / "ship.toml"
    config.write_text(f'product = "acme-db"\ncatalog = "faulty.toml"\nendpoint = "{refusing}"\n')
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 2
    host.emit(4)

    assert shipper_of(home).pid == before
    assert gather("acme-db")["shipper"]["refused"] is None


def test_one_in_the_foreground_takes_a_catalog_that_is_replaced_in_place(
    start_host: StartHost, home: Path, refusing: str, tmp_path: Path
) -> None:
    with _foreground(tmp_path, refusing) as foreground:
        start_host(refusing).emit(3)
        log = []
        for content in ("[catalog]\nproduct = 5\n", CATALOG.replace("version = 3", "version = 4")):
            (tmp_path / "new.toml").write_text(content)
            (tmp_path / "new.toml").replace(tmp_path / "served.toml")
            start_host(refusing).emit(4)
            log.append(_pids(home))

        assert log == [{foreground.pid}] * 2
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (11, {}, 0)


def test_a_sighup_has_it_read_its_configuration_again_and_loses_nothing(
    start_host: StartHost, home: Path, refusing: str, tmp_path: Path
) -> None:
    config = tmp_path / "ship.toml"
    with _foreground(tmp_path, refusing) as foreground:
        host = start_host(refusing)
        host.emit(3)
        log = tmp_path / "log"
        good = config.read_text() + "\n"
        config.write_text(good + "colour = 5\n")
        foreground.send_signal(signal.SIGHUP)
        wait_until(lambda: "SIGHUP changes nothing" in log.read_text() and "colour" in log.read_text())
        config.write_text(good + "spool_segments = 77\n")
        foreground.send_signal(signal.SIGHUP)
        for _ in range(20):
            host.emit(1)
        wait_until(lambda: log.read_text().count(" start: ") == 2)
        host.emit(4)
        wait_until(lambda: _pids(home) == {foreground.pid})
        told = json.loads((foreground_dir("acme-db", refusing) / CONFIG_FILE).read_bytes())

    assert told["spool_segments"] == 77
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (27, {}, 0)


def test_a_sighup_of_a_terminal_that_is_closed_ends_it(home: Path, refusing: str, tmp_path: Path) -> None:
    assert home.exists()
    (tmp_path / "served.toml").write_text(CATALOG)
    config = tmp_path / "ship.toml"
    config.write_text(f'product = "acme-db"\ncatalog = "served.toml"\nendpoint = "{refusing}"\n')
    command = ["setsid", "--ctty", sys.executable, "-m", "telemetry", "ship", "--config", str(config)]
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, stdin=theirs) as foreground:
        os.close(theirs)
        wait_until((foreground_dir("acme-db", refusing) / "data.sock").exists)
        os.close(ours)

        assert foreground.wait(60) == 0
