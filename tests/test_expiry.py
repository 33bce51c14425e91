"""Expiry acts at run time: at the day's change, without a restart, and no clock that is set back revives anything."""

from __future__ import annotations

import datetime as dt
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

import msgpack
import pytest

from telemetry.settings import ShipperSettings
from telemetry.shipper.config import ShipperConfig
from telemetry.shipper.day import utc_day
from telemetry.shipper.shipper import Shipper
from telemetry.shipper.sockets import bind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from telemetry.spool.tally import Tally

CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2026-06-30"
sensitivity = "technical"

[events.opened]
purpose = "how often it is opened"
owner = "query team"
expires = "2026-12-31"
sensitivity = "technical"
[events.opened.fields]
fast = { type = "bool", purpose = "compare the two ways" }
driver = { type = "version", purpose = "when the old driver can go", expires = "2026-06-30" }
"""
WRITTEN = "2026-01-01"
CONTEXT = {"pid": 1, "catalog": "x", "consent": "on", "basis": "host", "notice": 0, "deployment": "cloud"}


def seconds(day: str, time: str = "12:00:00") -> float:
    return dt.datetime.fromisoformat(f"{day}T{time}+00:00").timestamp()


class Running:
    """A shipper whose clock is ours."""

    def __init__(self, shipper: Shipper, clock: list[float]) -> None:
        self._shipper = shipper
        self._clock = clock
        self._first = 0

    def set_clock(self, unix_seconds: float) -> None:
        """Set it, and let the shipper look around."""
        self._clock[0] = unix_seconds
        self._shipper._look_around(idle=False)

    def emit(self) -> tuple[dict[str, int], dict[str, int]]:
        """One event of each name: what has been dropped in this session, which ends with its day, and which fields."""
        events = [["query_finished", 1, {}], ["opened", 1, {"fast": True, "driver": "1.2"}]]
        message = msgpack.packb([1, b"p" * 16, {**CONTEXT, "pid": os.getpid()}, self._first, {}, events])
        self._first += len(events)
        self._shipper._intake.take([message])
        tally: Tally = self._shipper._intake.session.tallies["technical"]
        assert tally.balance == 0
        return tally.dropped, tally.fields_dropped


class Start(Protocol):
    """Starts a shipper on a day, by a catalog that was written on another."""

    def __call__(self, day: str, written: str = WRITTEN) -> AbstractContextManager[Running]: ...


@pytest.fixture
def start(home: Path, tmp_path: Path, refusing: str) -> Start:
    catalog = tmp_path / "acme.toml"
    catalog.write_text(CATALOG)

    @contextmanager
    def running(day: str, written: str = WRITTEN) -> Iterator[Running]:
        os.utime(catalog, (seconds(written), seconds(written)))
        clock = [seconds(day)]
        sockets = bind(home)
        shipper = Shipper(
            ShipperConfig("acme-db", catalog, refusing, ShipperSettings()),
            sockets,
            home,
            spawned=False,
            clock=lambda: clock[0],
        )
        try:
            yield Running(shipper, clock)
        finally:
            shipper._sink.close()
            shipper._spool.close()
            sockets.close()

    return running


def test_event_and_field_are_collected_to_the_last_second_of_their_last_day_and_not_after(start: Start) -> None:
    with start("2026-06-30") as shipper:
        shipper.set_clock(seconds("2026-06-30", "23:59:59"))
        assert shipper.emit() == ({}, {})
        shipper.set_clock(seconds("2026-07-01", "00:00:00"))
        assert shipper.emit() == ({"expired": 1}, {"expired": 1})
        shipper.set_clock(seconds("2027-01-01"))
        assert shipper.emit() == ({"expired": 2}, {})


def test_a_clock_that_is_set_back_while_the_shipper_runs_revives_nothing(start: Start) -> None:
    with start("2026-07-01") as shipper:
        shipper.set_clock(seconds("2026-01-01"))
        assert shipper.emit() == ({"expired": 1}, {"expired": 1})
        shipper._shipper._intake.renew_session()  # compiles anew
        assert shipper.emit() == ({"expired": 1}, {"expired": 1})


def test_a_clock_behind_the_day_on_which_the_catalog_was_written_counts_as_that_day(start: Start) -> None:
    with start("1970-01-01", written="2026-07-01") as shipper:
        assert shipper.emit() == ({"expired": 1}, {"expired": 1})


@pytest.mark.parametrize(
    ("unix_seconds", "day"),
    [
        (-1e18, dt.date(1970, 1, 1)),
        (0.0, dt.date(1970, 1, 1)),
        (seconds("2026-06-30", "23:59:59") + 0.999, dt.date(2026, 6, 30)),
        (1e18, dt.date(9999, 12, 31)),
    ],
)
def test_a_clock_that_is_out_of_its_mind_still_names_a_day(unix_seconds: float, day: dt.date) -> None:
    assert utc_day(unix_seconds) == day
