"""Two shippers of one spool, beside each other or one in the other's place: what each has counts once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from conftest import CATALOG, PROMPT, shippers_of, wait_until
from spools import Endpoint, Request
from test_life import holder

from telemetry.cli.status import gather
from telemetry.inspect.account import read_account
from telemetry.paths import TOMBSTONES
from telemetry.producer.exits import leave_tombstone
from telemetry.settings import ShipperSettings
from telemetry.shipper import shipper as module
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.intake import intake
from telemetry.shipper.shipper import LOOK_SECONDS, Shipper
from telemetry.shipper.sockets import bind
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import StartHost

    from telemetry.spool.ledger import Ledger

PRODUCER = b"p" * 16
CONTEXT = {"pid": 1, "catalog": "", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud", "names": {}}


# A job that flushes until all is delivered, says what came of it, and ends without a chance.
JOB = """
import json, os, sys, time, telemetry
init, settings = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
for _ in range(16):
    telemetry.emit("query_finished", duration_ms=1.5)
began = time.monotonic()
print(json.dumps([telemetry.flush(60.0, until="delivered"), time.monotonic() - began]), flush=True)
os._exit(0)
"""

# A host that is gone before a shipper is up.
SHORT = """
import json, sys, telemetry
init, settings = json.loads(sys.argv[1])
telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
for _ in range(400):
    telemetry.emit("query_finished", duration_ms=1.5)
"""


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Callable[[], Shipper]]:
    """Opens another shipper of the same spool, in this process."""
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    running: list[tuple[Shipper, object]] = []

    def open_one() -> Shipper:
        place = home / f"run-{len(running)}"
        place.mkdir()
        sockets = bind(place)
        config = ShipperConfig("acme-db", catalog, "http://127.0.0.1:9/", ShipperSettings())
        running.append((Shipper(config, sockets, place, spawned=False), sockets))
        return running[-1][0]

    yield open_one
    for shipper, sockets in running:
        shipper._sink.close()
        shipper._spool.close()
        shipper._catalogs.close()
        sockets.close()  # type: ignore[attr-defined] # as `bind` returns it


def _frame(first: int, events: int, dropped: dict[str, int] | None = None) -> bytes:
    batch = [["query_finished", time.time_ns(), {"duration_ms": 1.0}] for _ in range(events)]
    packed: bytes = msgpack.packb([1, PRODUCER, CONTEXT, first, dropped or {}, batch])
    return packed


def _bury(shipper: Shipper, accepted: int, dropped: dict[str, int]) -> None:
    spool = shipper._spool.directory
    leave_tombstone(spool, shipper._rendezvous.name, PRODUCER, accepted, dropped)
    os.utime(spool / TOMBSTONES / f"{PRODUCER.hex()}.json", (1, 1))
    bury_the_dead(shipper._spool, shipper._intake.positions, shipper._rendezvous)


def _settle(*shippers: Shipper) -> tuple[int, int, dict[str, int]]:
    for shipper in shippers:
        shipper._intake.seal_all()
    account = read_account(shippers[0]._spool.directory)
    assert account.balance == 0
    return account.tally.emitted, account.on_disk, account.tally.dropped


@pytest.mark.parametrize("is_sealed", [False, True], ids=["not sealed", "sealed"])
def test_what_the_first_takes_in_after_the_second_has_opened_is_no_hole(
    start: Callable[[], Shipper], *, is_sealed: bool
) -> None:
    first = start()
    first._intake.take([_frame(0, 10)])
    second = start()
    first._intake.take([_frame(10, 5)])
    if is_sealed:
        first._intake.seal_all()
    second._intake.take([_frame(15, 3), _frame(18, 2)])

    assert _settle(first, second) == (20, 20, {})


def test_a_shipper_that_leaves_comes_back_for_a_host_that_has_found_it_just_before(
    start: Callable[[], Shipper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    shipper = start()
    shipper._spawned = True
    kept: list[float] = []

    def keeps_place() -> bool:
        kept.append(time.monotonic())
        return True

    monkeypatch.setattr(shipper, "_keeps_place", keeps_place)
    with ExitStack() as stack:
        monkeypatch.setattr(
            shipper._intake, "take_in_the_rest", lambda: stack.enter_context(holder(shipper._spool.directory))
        )
        assert not shipper._has_left()
        assert len(kept) == 1
        assert not shipper._has_left()

    monkeypatch.undo()
    monkeypatch.setattr(module, "GRACE_SECONDS", 0.0)
    assert shipper._has_left()


def test_a_hole_that_both_could_count_counts_once(
    start: Callable[[], Shipper], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(intake, "ASK_SECONDS", 0.0)
    first = start()
    first._intake.take([_frame(0, 10)])
    second = start()
    first._intake.take([_frame(15, 5, {"queue_full": 2})])  # five are lost on the way, and two by the host
    second._intake.take([_frame(22, 3, {"queue_full": 3})])  # two more, and one

    assert _settle(first, second) == (28, 18, {"in_transit": 7, "queue_full": 3})


def test_what_comes_after_its_producer_was_buried_is_kept_and_counts_once(start: Callable[[], Shipper]) -> None:
    shipper = start()
    shipper._intake.take([_frame(0, 3)])
    _bury(shipper, accepted=10, dropped={"queue_full": 2})
    assert _settle(shipper) == (12, 3, {"queue_full": 2, "exit_unconfirmed": 7})

    shipper._intake.take([_frame(3, 4, {"queue_full": 1}), _frame(8, 2, {"queue_full": 2})])
    assert _settle(shipper) == (12, 9, {"queue_full": 2, "exit_unconfirmed": 1})


def test_that_it_came_late_is_known_after_a_restart_and_before_it_is_sealed(start: Callable[[], Shipper]) -> None:
    first = start()
    _bury(first, accepted=10, dropped={})
    second = start()
    second._intake.take([_frame(0, 10)])
    account = read_account(second._spool.directory)

    assert (account.tally.emitted, account.on_disk, account.balance) == (10, 10, 0)
    assert _settle(first, second) == (10, 10, {})


def test_what_a_host_leaves_to_a_shipper_that_only_starts_is_not_counted_as_lost_by_another(
    home: Path, tmp_path: Path, start_host: StartHost
) -> None:
    with Endpoint() as endpoint:
        lasting = start_host(endpoint.url, sent_bytes=1 << 20)
        lasting.emit(1)
        before = set(shippers_of(home))
        init = {"product": "acme-db", "catalog": str(tmp_path / "acme.toml"), "endpoint": endpoint.url, "consent": "on"}
        subprocess.run([sys.executable, "-c", SHORT, json.dumps([init, PROMPT])], check=True)
        (starting,) = set(shippers_of(home)) - before
        starting.suspend()
        (tombstone,) = home.glob(f"state/acme-db/*/{TOMBSTONES}/*.json")
        os.utime(tombstone, (1, 1))
        deadline = time.monotonic() + 4 * LOOK_SECONDS
        while time.monotonic() < deadline:
            assert tombstone.exists()
            time.sleep(0.05)
        starting.resume()
        wait_until(lambda: not tombstone.exists())
        lasting.leave()
        wait_until(lambda: gather("acme-db")["ledger"]["delivered"] == 401)
        ledger = gather("acme-db")["ledger"]

    assert (ledger["emitted"], ledger["dropped"]) == (401, {})


def test_a_flood_of_holes_does_not_have_the_ledger_read_for_each(
    start: Callable[[], Shipper], monkeypatch: pytest.MonkeyPatch
) -> None:
    shipper = start()
    reads = []
    ledger = shipper._spool.ledger

    def read() -> Ledger:
        reads.append(1)
        return ledger()

    monkeypatch.setattr(shipper._spool, "ledger", read)
    for number in range(1, 200):
        shipper._intake.take([_frame(1000 * number, 1)])
    assert len(reads) < 100


SLOW: dict[str, Any] = {"segment_seconds": 3600.0, "upload_jitter_seconds": 3600.0, "pause_seconds": 3600.0}
"""Settings under which nothing leaves by itself while a test looks."""


@pytest.mark.parametrize("is_split", [False, True], ids=["whole", "in parts"])
def test_a_job_whose_shipper_does_not_deliver_hears_when_the_other_one_has(
    tmp_path: Path, start_host: StartHost, *, is_split: bool
) -> None:
    def decide(request: Request) -> int:
        return 413 if is_split and len(request.lines) > 4 else 200

    with Endpoint(decide=decide) as endpoint:
        start_host(endpoint.url, **SLOW, sent_bytes=1 << 20).emit(1)
        done, seconds = _run_job(tmp_path, endpoint)
        ledger = gather("acme-db")["ledger"]

    assert done
    assert seconds < 60.0
    assert ledger["delivered"] >= 16


def test_while_the_other_ones_uploads_pause_such_a_job_hears_a_no_before_its_time_is_up(
    tmp_path: Path, start_host: StartHost
) -> None:
    with Endpoint(decide=lambda _: 401) as endpoint:
        start_host(endpoint.url, **SLOW, sent_bytes=1 << 20).emit(1)
        first, first_seconds = _run_job(tmp_path, endpoint)
        second, second_seconds = _run_job(tmp_path, endpoint)

    assert (first, second) == (False, False)
    assert max(first_seconds, second_seconds) < 60.0


def _run_job(tmp_path: Path, endpoint: Endpoint) -> tuple[bool, float]:
    init = {"product": "acme-db", "catalog": str(tmp_path / "acme.toml"), "endpoint": endpoint.url, "consent": "on"}
    command = [sys.executable, "-c", JOB, json.dumps([init, SLOW])]
    done, seconds = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return done, seconds
