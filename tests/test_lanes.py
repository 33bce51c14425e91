"""Shippers of a product side by side: lanes, each with producers, a spool and a share of every bound of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from conftest import CATALOG, PROMPT, kill_shippers_of, wait_until
from spools import Endpoint

from telemetry import ShipperSettings
from telemetry.cli.status import gather
from telemetry.consent import State, store_choice
from telemetry.paths import lane_of, spool_dir, spools_beside, spools_of
from telemetry.rendezvous.directory import foreground_dir, rendezvous_dir
from telemetry.rendezvous.lock import shipper_runs
from telemetry.shipper.lane import LEAST_MEMORY_BYTES, ONLY, Lane
from telemetry.spool.layout import DELIVERY_LOCK_FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import StartHost

# Forks so many children, which all emit at once, and ends when they have.
FORKS = """
import json, os, sys, telemetry
init, settings, children = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
go_in, go_out = os.pipe()
done_in, done_out = os.pipe()
end_in, end_out = os.pipe()
forked = []
for _ in range(children):
    if not (pid := os.fork()):
        os.read(go_in, 1)
        for _ in range(10):
            telemetry.emit("query_finished", duration_ms=1.5)
        os.write(done_out, b"1" if telemetry.flush(60) else b"0")
        os.close(end_out)
        os.read(end_in, 1)
        telemetry.close(60)
        os._exit(0)
    forked.append(pid)
os.write(go_out, b"g" * children)
print(b"".join(os.read(done_in, 1) for _ in range(children)).decode(), flush=True)
sys.stdin.read()
os.close(end_out)
for pid in forked:
    os.waitpid(pid, 0)
"""


def _producers() -> list[int]:
    return [lane.get("producers", 0) for lane in gather("acme-db")["lanes"]]


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    return ledger


# Choice of a lane.


def test_each_process_goes_to_the_lane_with_the_fewest(start_host: StartHost, home: Path, refusing: str) -> None:
    hosts = [start_host(refusing, shippers=3) for _ in range(4)]
    for number, host in enumerate(hosts):
        host.emit(10 + number)
    report = gather("acme-db")

    assert [lane["producers"] for lane in report["lanes"]] == [2, 1, 1]
    assert report["shipper"]["pid"] == report["lanes"][0]["pid"]
    assert (report["ledger"]["emitted"], report["ledger"]["balance"]) == (46, 0)
    assert [lane_of(spool) for spool in spools_of("acme-db")] == [0, 1, 2]
    assert len([*home.glob("run/*/lock")]) == 3

    hosts[1].leave()
    late = start_host(refusing, shippers=3)
    late.emit(1)
    wait_until(lambda: _producers() == [2, 1, 1])


@pytest.mark.usefixtures("home")
def test_children_forked_at_once_spread_over_the_lanes(tmp_path: Path, refusing: str) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    init = {"product": "acme-db", "catalog": str(tmp_path / "acme.toml"), "endpoint": refusing, "consent": "on"}
    command = [sys.executable, "-c", FORKS, json.dumps([init, {**PROMPT, "shippers": 3}, 8])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        assert program.stdout.readline() == "1" * 8 + "\n"
        wait_until(lambda: _producers() == [3, 3, 3])  # eight children and their parent
        assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (80, {}, 0)
        program.communicate()


@pytest.mark.usefixtures("home")
def test_hosts_of_a_lane_do_not_wait_for_the_shipper_of_another(start_host: StartHost, refusing: str) -> None:
    hosts = [start_host(refusing, shippers=2) for _ in range(2)]
    for host in hosts:
        host.emit(5)
    first, second = (lane["pid"] for lane in gather("acme-db")["lanes"])
    os.kill(first, signal.SIGSTOP)
    try:
        hosts[1].emit(5)
        os.kill(second, signal.SIGKILL)
        hosts[1].emit(5)
    finally:
        os.kill(first, signal.SIGCONT)
    hosts[0].emit(5)
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (25, {}, 0)


# Places and shares.


@pytest.mark.usefixtures("home")
def test_one_shipper_has_the_places_and_settings_that_it_always_had() -> None:
    settings = ShipperSettings()
    before = repr([float(value) if type(value) is int else value for value in settings[:-1]])
    assert settings.identity.replace("[]", "{}") == before
    assert rendezvous_dir("p", "d", "e") == rendezvous_dir("p", "d", "e", ShipperSettings(shippers=1), 0)
    assert ONLY.settings_of(settings) is settings
    assert spool_dir("p", "e", 0) == spool_dir("p", "e")
    assert len({rendezvous_dir("p", "d", "e", settings, lane) for lane in range(5)}) == 5
    assert len({foreground_dir("p", "e", lane) for lane in range(5)}) == 5


@pytest.mark.usefixtures("home")
def test_a_spool_is_beside_those_of_its_endpoint_alone() -> None:
    spools = [spool_dir("acme-db", endpoint, lane) for endpoint in ("https://a/", "https://b/") for lane in (0, 1, 12)]
    for spool in spools:
        spool.mkdir(parents=True)
    assert spools_beside(spools[1]) == sorted([spools[0], spools[2]])
    assert [lane_of(spool) for spool in spools] == [0, 1, 12, 0, 1, 12]
    assert spools_of("acme-db", 12) == sorted([spools[2], spools[5]])


@pytest.mark.parametrize("of", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("total", [0, 1, 5, 64, 1000])
def test_the_shares_of_all_lanes_add_up_in_every_turn_and_over_turns_are_even(of: int, total: int) -> None:
    lanes = [Lane(number, of) for number in range(of)]
    for turn in (0, 1, 17, 2**31):
        assert sum(lane.share_of(total, turn) for lane in lanes) == total
    assert {sum(lane.share_of(total, turn) for turn in range(5, 5 + of)) for lane in lanes} == {total}


def test_what_bounds_a_product_is_divided_among_its_lanes() -> None:
    whole = ShipperSettings(spool_bytes=1001, upload_bytes_per_second=100, spool_segments=2)
    parts = [Lane(number, 4).settings_of(whole) for number in range(4)]
    assert sum(part.spool_bytes for part in parts) == 1001
    assert sum(part.sent_bytes for part in parts) == whole.sent_bytes
    assert {part.upload_bytes_per_second for part in parts} == {25}
    assert {part.spool_segments for part in parts} == {1}, "none can do without one"
    assert {part.memory_limit_bytes for part in parts} == {LEAST_MEMORY_BYTES}, "none can do with less"
    assert len({part.session_seconds for part in parts}) == 4, "the end of one tells nothing of another's"
    assert {part.upload_bytes_per_second for part in [Lane(1, 4).settings_of(ShipperSettings())]} == {0}


# In the foreground.


@contextmanager
def _foreground(
    directory: Path, endpoint: str, *arguments: str, shippers: int = 2
) -> Iterator[subprocess.Popen[bytes]]:
    (directory / "served.toml").write_text(CATALOG)
    config = directory / "ship.toml"
    lines = [f'product = "acme-db"\ncatalog = "served.toml"\nendpoint = "{endpoint}"\nshippers = {shippers}']
    config.write_text("\n".join([*lines, *(f"{name} = {value}" for name, value in PROMPT.items())]))
    command = [sys.executable, "-m", "telemetry", "ship", "--config", str(config), *arguments]
    with subprocess.Popen(command, start_new_session=True) as process:  # with no terminal that SIGHUP could come from
        try:
            yield process
        finally:
            process.terminate()


def _lanes(process: subprocess.Popen[bytes]) -> list[int]:
    return [child.pid for child in psutil.Process(process.pid).children()]


def _are_up(endpoint: str, lanes: int) -> bool:
    return all((foreground_dir("acme-db", endpoint, lane) / "data.sock").exists() for lane in range(lanes))


@pytest.mark.usefixtures("home")
def test_in_the_foreground_one_command_runs_all_lanes_and_starts_anew_what_is_killed(
    start_host: StartHost, refusing: str, tmp_path: Path
) -> None:
    with _foreground(tmp_path, refusing) as process:
        wait_until(lambda: _are_up(refusing, 2))
        hosts = [start_host(refusing) for _ in range(4)]  # which know of no lanes
        for host in hosts:
            host.emit(5)
        lanes = _lanes(process)
        assert sorted(lane["pid"] for lane in gather("acme-db")["lanes"]) == sorted(lanes)
        assert _producers() == [2, 2]

        os.kill(lanes[1], signal.SIGKILL)
        for host in hosts:
            host.emit(5)
        assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (40, {}, 0)
        process.terminate()
        assert process.wait(60) == 0
    assert not any(shipper_runs(foreground_dir("acme-db", refusing, lane)) for lane in range(2))


@pytest.mark.usefixtures("home")
def test_lanes_in_the_foreground_end_with_the_process_that_watches_over_them(refusing: str, tmp_path: Path) -> None:
    with _foreground(tmp_path, refusing, shippers=3) as process:
        wait_until(lambda: _are_up(refusing, 3))
        lanes = _lanes(process)
        process.kill()
        wait_until(lambda: not any(map(psutil.pid_exists, lanes)))


@pytest.mark.usefixtures("home")
def test_told_to_read_its_file_again_the_one_in_the_foreground_runs_as_many_lanes_as_it_says_then(
    refusing: str, tmp_path: Path
) -> None:
    with _foreground(tmp_path, refusing) as process:
        wait_until(lambda: _are_up(refusing, 2))
        before = _lanes(process)
        config = tmp_path / "ship.toml"
        config.write_text(config.read_text().replace("shippers = 2", "shippers = 3"))
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: _are_up(refusing, 3) and len(_lanes(process)) == 3)
        assert not {*before} & {*_lanes(process)}


@pytest.mark.usefixtures("home")
def test_one_lane_in_the_foreground_can_be_run_by_itself(refusing: str, tmp_path: Path) -> None:
    with _foreground(tmp_path, refusing, "--lane", "1"):
        wait_until(lambda: shipper_runs(foreground_dir("acme-db", refusing, 1)))
        assert not shipper_runs(foreground_dir("acme-db", refusing))
    with _foreground(tmp_path, refusing, "--lane", "2") as process:
        assert process.wait(60) == 2


@pytest.mark.usefixtures("home")
def test_fewer_lanes_in_the_foreground_take_over_all_hosts(
    start_host: StartHost, refusing: str, tmp_path: Path
) -> None:
    hosts = [start_host(refusing, shippers=3) for _ in range(3)]
    for host in hosts:
        host.emit(5)
    with _foreground(tmp_path, refusing) as process:
        wait_until(lambda: _are_up(refusing, 2))
        for host in hosts:
            host.emit(5)
        wait_until(
            lambda: sorted(lane["pid"] or 0 for lane in gather("acme-db")["lanes"]) == sorted([0, *_lanes(process)])
        )
        assert sum(_producers()) == 3
        assert (_ledger()["emitted"], _ledger()["balance"]) == (30, 0)
        assert _ledger()["dropped"].keys() <= {"in_transit"}


# What lanes that are no more have left.


def _deliverer(spool: Path) -> int | None:
    """The process that holds the turn to deliver from a spool, by proc_locks(5)."""
    inode = (spool / DELIVERY_LOCK_FILE).stat().st_ino
    found = re.findall(rf"FLOCK +ADVISORY +WRITE (\d+) \w+:\w+:{inode} ", Path("/proc/locks").read_text())
    return int(found[0]) if found else None


def _leave_in_three_lanes(start_host: StartHost, home: Path, endpoint: str) -> None:
    """Emit five events in each of three lanes, and end hosts and shippers before anything is delivered."""
    hosts = [start_host(endpoint, shippers=3) for _ in range(3)]
    for host in hosts:
        host.emit(5)
    for host in hosts:
        host.kill_with_shippers(home)
    assert _ledger()["on_disk"] == 15


def test_with_fewer_lanes_what_the_others_left_is_delivered_once(start_host: StartHost, home: Path) -> None:
    answers = [503]
    with Endpoint(decide=lambda _: answers[0]) as endpoint:
        _leave_in_three_lanes(start_host, home, endpoint.url)
        endpoint.requests.clear()
        answers[0] = 200
        host = start_host(endpoint.url)
        host.emit(1)
        kill_shippers_of(home)  # a successor goes on where it left off
        host.emit(1)
        host.leave()
        wait_until(lambda: _ledger()["delivered"] == 17)
        assert (_ledger()["dropped"], _ledger()["balance"], _ledger()["on_disk"]) == ({}, 0, 0)
        bodies = {request.header("Idempotency-Key"): request.lines for request in endpoint.requests}
        assert sum(map(len, bodies.values())) == 17


def test_what_was_taken_over_is_given_back_to_the_first_host_that_comes(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    _leave_in_three_lanes(start_host, home, refusing)
    start_host(refusing).emit(1)
    second = spools_of("acme-db")[1]
    wait_until(lambda: _deliverer(second) == gather("acme-db", 0)["shipper"]["pid"])
    hosts = [start_host(refusing, shippers=3) for _ in range(3)]
    for host in hosts:
        host.emit(5)
    wait_until(lambda: _deliverer(second) == gather("acme-db", 1)["shipper"]["pid"])
    assert (_ledger()["emitted"], _ledger()["dropped"], _ledger()["balance"]) == (31, {}, 0)


def test_a_no_reaches_every_lane_and_what_was_taken_over(start_host: StartHost, home: Path, refusing: str) -> None:
    _leave_in_three_lanes(start_host, home, refusing)
    hosts = [start_host(refusing, shippers=2) for _ in range(2)]  # one of which takes the third over
    for host in hosts:
        host.emit(5)
    wait_until(lambda: _deliverer(spools_of("acme-db")[2]))
    store_choice("acme-db", State.OFF, time.time())
    wait_until(lambda: not _ledger()["on_disk"])
    assert _ledger()["dropped"] == {"consent": 25}
    assert _ledger()["balance"] == 0


@pytest.mark.parametrize("command", ["off", "purge"])
def test_a_command_of_the_user_erases_all_lanes(start_host: StartHost, home: Path, refusing: str, command: str) -> None:
    hosts = [start_host(refusing, shippers=3) for _ in range(3)]
    for host in hosts:
        host.emit(5)
    more = ["--yes"] if command == "purge" else []
    subprocess.run([sys.executable, "-m", "telemetry", command, "--product", "acme-db", *more], check=True, timeout=120)
    assert not [path for path in home.glob("state/acme-db/spool-*/*/*.zst") if path.stat().st_size]
