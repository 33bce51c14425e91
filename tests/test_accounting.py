"""With real processes, and nobody killed: the ledger is equal to what was emitted, to the event."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from conftest import CATALOG, PROMPT, Host, shippers_of, wait_until

from telemetry.cli.status import gather
from telemetry.paths import TOMBSTONES
from telemetry.rendezvous.find import find_rendezvous

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from conftest import Collector


def _ledger() -> dict[str, Any]:
    ledger: dict[str, Any] = gather("acme-db")["ledger"]
    assert ledger["balance"] == 0
    return ledger


def _run(code: str, catalog: Path, endpoint: str) -> None:
    subprocess.run([sys.executable, "-c", code, str(catalog), endpoint], check=True, timeout=60)


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    path = tmp_path / "forking.toml"
    path.write_text(CATALOG)
    return path


FORKING = """
import os, sys, telemetry
from telemetry import emit
settings = telemetry.ShipperSettings(upload_jitter_seconds=0.0)
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
for _ in range(500):
    emit("query_finished", duration_ms=1.0)
for _ in range(3):
    if not os.fork():
        for _ in range(300):
            emit("query_finished", duration_ms=1.0)
        emit("never_heard_of")
        emit("\\ud800")
        sys.exit(not telemetry.flush(30))
assert all(os.waitstatus_to_exitcode(os.wait()[1]) == 0 for _ in range(3))
emit("query_finished", duration_ms=2.0)
assert telemetry.flush(60)
"""


def test_forked_children_and_several_shippers_of_one_spool(
    catalog: Path, collector: Collector, tmp_path: Path, home: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(f"{CATALOG}# another catalog, so another shipper\n")
    for file in (catalog, other):
        _run(FORKING, file, collector.endpoint)

    wait_until(lambda: not shippers_of(home))

    ledger = _ledger()
    assert (ledger["emitted"], ledger["delivered"]) == (2 * (501 + 3 * 302), 2 * (501 + 3 * 300))
    assert ledger["dropped"] == {"undeclared": 6, "unencodable": 6}


FLOWING = """
import select, sys, time, telemetry
settings = telemetry.ShipperSettings(upload_jitter_seconds=0.0)
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on", shipper=settings)
emitted = 0
while not select.select([sys.stdin], [], [], 0.005)[0]:
    for _ in range(50):
        telemetry.emit("query_finished", duration_ms=1.0)
    emitted += 50
assert telemetry.flush(60)
print(emitted)
"""


def test_a_shipper_that_is_told_to_stop_while_events_flow_and_the_next_one(
    catalog: Path, collector: Collector, home: Path
) -> None:
    command = [sys.executable, "-c", FLOWING, str(catalog), collector.endpoint]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as host:
        wait_until(lambda: find_rendezvous("acme-db") and _ledger()["emitted"])
        (place,) = find_rendezvous("acme-db")
        pid = place.ask("stop", 10.0)["pid"]
        wait_until(lambda: place.runs and place.pid != pid)
        before = _ledger()["emitted"]
        wait_until(lambda: _ledger()["emitted"] > before)
        emitted = int(host.communicate(timeout=60)[0])
    assert _ledger()["emitted"] == emitted

    wait_until(lambda: not shippers_of(home))

    ledger = _ledger()
    assert ledger["dropped"].keys() <= {"in_transit"}
    assert ledger["delivered"] == emitted - sum(ledger["dropped"].values())


ALONE = """
import sys, telemetry
sys.executable = "/usr/sbin/uwsgi"  # no Python, nor one where this one lies: no shipper can be spawned
sys.prefix = sys.exec_prefix = sys.base_prefix = sys.base_exec_prefix = "/nonexistent"
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on")
for _ in range(300):
    telemetry.emit("query_finished", duration_ms=1.0)
telemetry.emit("\\ud800")
"""


ON_A_FULL_DISK = """
import errno, sys, telemetry
from telemetry.producer import exits
from telemetry.producer.backlog import Backlog

def refuse(*_):
    raise OSError(errno.ENOSPC, "full")

exits.leave_tombstone = refuse
telemetry.init(product="acme-db", catalog=sys.argv[1], endpoint=sys.argv[2], consent="on")
Backlog.send, Backlog.unsure = lambda self: None, lambda self: []
for _ in range(300):
    telemetry.emit("query_finished", duration_ms=1.0)
telemetry.emit("\\ud800")
"""


def test_what_a_host_lost_whose_tombstone_the_disk_refuses_is_told_to_its_shipper(
    catalog: Path, collector: Collector
) -> None:
    _run(ON_A_FULL_DISK, catalog, collector.endpoint)
    wait_until(lambda: _ledger()["emitted"] == 301)

    dropped = _ledger()["dropped"]
    assert (dropped["unencodable"], sum(dropped.values())) == (1, 301)


def test_what_a_host_lost_that_never_met_a_shipper_is_read_from_its_tombstone_and_the_same_when_it_is_counted(
    catalog: Path, collector: Collector, home: Path
) -> None:
    _run(ALONE, catalog, collector.endpoint)
    (tombstone,) = home.glob(f"state/acme-db/*/{TOMBSTONES}/*.json")
    os.utime(tombstone, (time.time() - 60, time.time() - 60))
    lost = {"exit_unconfirmed": 300, "unencodable": 1}
    assert (_ledger()["emitted"], _ledger()["dropped"]) == (301, lost)

    init = {"product": "acme-db", "catalog": str(catalog), "endpoint": collector.endpoint, "consent": "on"}
    host = Host(init, {**PROMPT, "segment_seconds": 3600.0})
    host.emit(10)
    wait_until(lambda: not tombstone.exists())
    host.leave()
    wait_until(lambda: _ledger()["delivered"] == 10)

    assert (_ledger()["emitted"], _ledger()["dropped"]) == (311, lost)
