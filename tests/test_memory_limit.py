"""A shipper that takes more memory than it may makes way for another, and loses nothing by it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgpack
import psutil
import pytest
import zmq
from conftest import CATALOG, StartHost, shipper_of, wait_until

from telemetry.settings import ShipperSettings
from telemetry.shipper import shipper as module
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import Sockets, bind
from telemetry.wire import DATA_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTEXT = {"pid": os.getpid(), "catalog": "x", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}
EVENTS = [["query_finished", 1, {"duration_ms": 1.5}]] * 100


@pytest.fixture
def sockets(home: Path) -> Iterator[Sockets]:
    opened = bind(home)
    yield opened
    opened.close()


def _shipper(tmp_path: Path, sockets: Sockets, endpoint: str, limit_bytes: int) -> Shipper:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    settings = ShipperSettings(memory_limit_bytes=limit_bytes)
    return Shipper(ShipperConfig("acme-db", catalog, endpoint, settings), sockets, tmp_path, spawned=False)


def test_it_makes_way_with_all_that_it_took_in_sealed(
    home: Path, tmp_path: Path, sockets: Sockets, refusing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MIN_LIFE_SECONDS", 0.0)
    shipper = _shipper(tmp_path, sockets, refusing, limit_bytes=1)
    sender = sockets.context.socket(zmq.PUSH)
    sender.connect(f"ipc://{home / DATA_SOCKET}")
    sender.send(msgpack.packb([1, b"p" * 16, CONTEXT, 0, {}, EVENTS]))
    wait_until(lambda: sockets.data.poll(0))
    shipper.run()
    sender.close(linger=0)

    assert shipper.made_way
    ledger = shipper._spool.log.read()
    assert (ledger.on_disk, ledger.tally.emitted, ledger.balance) == (100, 100, 0)
    shipper.finish()


@pytest.mark.parametrize(("limit_bytes", "min_life_seconds"), [(0, 0.0), (1, 60.0), (1 << 40, 0.0)])
def test_it_stays_without_a_limit_in_its_first_minute_and_below_the_limit(
    tmp_path: Path,
    sockets: Sockets,
    refusing: str,
    monkeypatch: pytest.MonkeyPatch,
    limit_bytes: int,
    min_life_seconds: float,
) -> None:
    monkeypatch.setattr(module, "MIN_LIFE_SECONDS", min_life_seconds)
    shipper = _shipper(tmp_path, sockets, refusing, limit_bytes)
    shipper._look_around(idle=True)

    assert not shipper.made_way
    shipper._spool.close()


def test_a_spawned_shipper_leaves_the_processor_to_its_host(start_host: StartHost, home: Path, refusing: str) -> None:
    host = start_host(refusing, niceness=7)
    host.emit(1)
    shipper = shipper_of(home)

    wait_until(lambda: shipper.nice() == min(19, psutil.Process(host.process.pid).nice() + 7))
