"""What a clock that is set, back or ahead, must not change: which events the consent is older than."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import msgpack
import pytest
from conftest import CATALOG

from telemetry.catalog.copies import digest_of
from telemetry.consent import State, read_stored, store_choice
from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.intake import intake
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRODUCT = "acme-db"
CONTEXT = {"pid": os.getpid(), "consent": "on", "basis": "stored", "notice": 0, "deployment": "cloud"}
HOUR_NS = 3600 * 10**9


class Clock:
    """The shipper's wall clock, which can be set."""

    def __init__(self) -> None:
        self.set_by_ns = 0

    def now_ns(self) -> int:
        return time.time_ns() + self.set_by_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(intake, "time_ns", made.now_ns)
    return made


@pytest.fixture
def shipper(home: Path, tmp_path: Path, refusing: str) -> Iterator[Shipper]:
    """One that runs under a stored yes."""
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)
    store_choice(PRODUCT, State.ON, time.time())
    sockets = bind(home)
    made = Shipper(ShipperConfig(PRODUCT, catalog, refusing, ShipperSettings()), sockets, home, spawned=False)
    made._obey_the_user()
    yield made
    made._sink.close()
    made._spool.close()
    sockets.close()


def kept(shipper: Shipper, time_ns: int, since: float = 0.0) -> bool:
    """Whether an event of this time is, emitted under the consent of that date."""
    before = shipper._intake.session.tallies["technical"].copy()
    context = {**CONTEXT, "catalog": digest_of(CATALOG.encode()), "since": since}
    shipper._intake.take([msgpack.packb([1, os.urandom(16), context, 0, {}, [["query_finished", time_ns, {}]]])])
    tally = shipper._intake.session.tallies["technical"]
    assert tally.balance == 0
    assert tally.dropped.get("consent", 0) - before.dropped.get("consent", 0) in {0, 1}
    return tally.kept > before.kept


@pytest.mark.parametrize("hours", [-24, -1, 0, 1, 24])
def test_a_clock_that_is_set_while_a_host_runs_drops_none_of_its_events(
    shipper: Shipper, clock: Clock, hours: int
) -> None:
    since = read_stored(PRODUCT).since_unix_seconds
    clock.set_by_ns = hours * HOUR_NS
    assert kept(shipper, clock.now_ns(), since)


def test_what_was_emitted_under_an_older_yes_is_judged_by_its_time(shipper: Shipper) -> None:
    since = read_stored(PRODUCT).since_unix_seconds
    assert not kept(shipper, int((since - 5) * 1e9), since - 100)
    assert not kept(shipper, int((since - 5) * 1e9))
    assert kept(shipper, time.time_ns(), since - 100), "it had not heard of the new one yet"


@pytest.mark.parametrize("hours", [-24, -1])
def test_where_the_clock_is_behind_the_yes_what_is_new_is_taken_and_what_is_old_is_not(
    shipper: Shipper, clock: Clock, hours: int
) -> None:
    clock.set_by_ns = hours * HOUR_NS
    assert kept(shipper, clock.now_ns())
    assert not kept(shipper, clock.now_ns() - HOUR_NS)
