"""The spool against a model, over a file system that tears, loses, fills up, fails and turns read-only.

The model knows only numbers: which the producer has given, which the writer has confirmed as durable, which were
settled for good. It never looks at how the spool does it.
"""

from __future__ import annotations

import errno
import os
from contextlib import ExitStack, suppress
from random import Random
from typing import TYPE_CHECKING

import pytest
from brittle_disk import CALLS, BrittleDisk, PowerCut
from conftest import CATALOG
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from spools import decompress, make_lines, scratch

from telemetry.drops import DropReason
from telemetry.errors import SpoolError
from telemetry.inspect.account import read_account
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import read_source
from telemetry.shipper.delivery.uploader import halve
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.spool.positions import Position, advance
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.spool.segment import Seal

PRODUCER = "aa" * 16
ON = Receipt("on", "host", 0, "cloud")
SETTINGS = ShipperSettings(segment_seconds=1000.0, fsync_interval_seconds=0.0)
NO_LIMIT = 2**40
WEEK = 7 * 86_400.0
CODES = [errno.EIO, errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EMFILE, errno.EACCES]


def _numbers(body: bytes) -> list[int]:
    """The numbers of a body's events; fails when a line is not what was written."""
    numbers = [int(line.rpartition(b":")[2].rstrip(b"}\n")) for line in body.splitlines()]
    assert body == b"".join(make_lines(1, number) for number in numbers)
    return numbers


class SpoolMachine(RuleBasedStateMachine):
    """One producer, one shipper's writer and spool, one disk."""

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        self.place = ExitStack()
        root = self.place.enter_context(scratch())
        catalog = root / "catalog.toml"
        catalog.write_text(CATALOG)
        self.source = read_source(catalog)
        (root / "disk").mkdir(mode=0o700)
        self.disk = BrittleDisk(root / "disk", Random(seed), self.place.enter_context(pytest.MonkeyPatch.context()))
        self.directory = root / "disk" / "spool"
        self.emitted = 0
        self.written: set[int] = set()
        """What the disk took in this life of the process."""
        self.durable: set[int] = set()
        self.settled: set[int] = set()
        self.unsure: set[int] = set()
        self.unreadable: set[int] = set()
        self.is_faulty = False
        self.open()

    def open(self, *, is_sound: bool = True) -> None:
        self.spool, ledger = Spool.open(self.directory, lambda *_: True)
        assert ledger.balance == 0
        self.positions = ledger.positions
        self.session = Session()
        self.written = set()
        self.writer = Writer(self.spool, NDJSON, SETTINGS, lambda: None)
        if is_sound:
            self.check_disk()

    # Intake.

    @rule(events=st.integers(1, 4))
    def drain(self, events: int) -> None:
        with self.life():
            self._drain(events)

    def _drain(self, events: int) -> None:
        first, self.emitted = self.emitted, self.emitted + events
        tally = Tally(kept=events)
        before = self.positions.get(PRODUCER, Position(1))
        after = {PRODUCER: advance(before, first, events, {}, tally)}
        self.writer.append(ON, self.source, Drain(make_lines(events, first), tally, after), self.session)
        self.positions = after
        if not self.writer.owes:
            self.written |= set(range(first, first + events))

    @rule()
    def confirm(self) -> None:
        with self.life():
            if self.writer.sync() and not self.writer.owes:
                self.durable |= self.written

    @rule()
    def tick(self) -> None:
        with self.life():
            self.writer.tick(self.session)

    @rule()
    def seal(self) -> None:
        with self.life():
            self.writer.seal_all(self.session)

    # Delivery.

    @rule(then=st.sampled_from(["ack", "reject", "split", "put back"]))
    def deliver(self, then: str) -> None:
        with self.life(), suppress(OSError):
            if not self.spool.claim() or (seal := self.spool.take()) is None:
                return
            body = self.spool.read(seal)
            if body is not None:
                self._dispose(then, seal, body)

    def _dispose(self, then: str, seal: Seal, body: bytes) -> None:
        numbers = set(_numbers(decompress(body)))
        assert not numbers & self.settled
        if then == "split" and len(numbers) > 1:
            self.spool.split(seal, halve(seal, body, NDJSON))
        elif then in {"ack", "reject"}:
            self.unsure |= numbers
            if then == "ack":
                self.spool.ack(seal, 200)
            else:
                self.spool.quarantine(seal, DropReason.REJECTED)
            self.unsure -= numbers
            self.settled |= numbers
        else:
            self.spool.put_back()

    @rule(segments=st.integers(0, 3))
    def drop_by_limit(self, segments: int) -> None:
        with self.life():
            self.spool.put_back()
            before = self.on_disk()
            self.unsure |= set().union(*before.values())
            self.spool.enforce(NO_LIMIT, segments, WEEK)
            if not self.is_faulty:
                left = set().union(*self.on_disk().values())
                self.settled |= set().union(*before.values()) - left
                self.unsure -= set().union(*before.values())

    # What befalls them.

    @rule(
        calls=st.sampled_from(CALLS).map(lambda call: {call}) | st.sets(st.sampled_from(CALLS), min_size=1),
        code=st.sampled_from(CODES),
    )
    def break_(self, calls: set[str], code: int) -> None:
        self.disk.refusals, self.is_faulty = dict.fromkeys(calls, code), True
        if "read" in calls and code != errno.EMFILE:  # what can't be read is given up
            self.unreadable |= set(range(self.emitted))

    @rule(room_bytes=st.integers(0, 2000))
    def fill(self, room_bytes: int) -> None:
        self.disk.room_bytes, self.is_faulty = room_bytes, True

    @rule()
    def turn_read_only(self) -> None:
        self.disk.turn_read_only()
        self.is_faulty = True

    @rule()
    def heal(self) -> None:
        self.disk.heal()
        self.is_faulty = False

    @rule(calls=st.integers(0, 30))
    @precondition(lambda self: self.disk.fuse is None)
    def light_fuse(self, calls: int) -> None:
        self.disk.fuse = calls

    @rule(calls=st.none() | st.integers(0, 30))
    def cut_power(self, calls: int | None = None) -> None:
        self._die(self.disk.cut_power, calls)

    @rule(calls=st.none() | st.integers(0, 30))
    def kill(self, calls: int | None = None) -> None:
        self._die(self.disk.kill, calls)

    @rule()
    def restart_amid_faults(self) -> None:
        with self.life():
            self.disk.kill()
            try:
                self.open(is_sound=not self.is_faulty)
            except SpoolError:  # it says why it can't, and nothing is changed
                self.heal()
                self.open()

    def life(self) -> _Life:
        return _Life(self)

    def _die(self, how: Callable[[], None], calls: int | None) -> None:
        """End the process and start it again; with its power cut amid the start, if `calls` says so."""
        how()
        self.heal()
        self.disk.fuse = calls
        with suppress(PowerCut):
            self.open()
            self.disk.fuse = None
            return
        self.disk.cut_power()
        self.open()

    # The laws.

    def on_disk(self) -> dict[str, set[int]]:
        """By id, the events of each sealed segment that the ledger holds for live."""
        found: dict[str, set[int]] = {}
        with self.disk.aside():
            live = self.spool.log.read().live
            for path in (self.directory / "sealed").glob("*.zst"):
                id_ = path.name.partition(".")[0].partition("-")[2]
                if id_ in live:
                    found[id_] = set(_numbers(decompress(path.read_bytes())))
                    assert len(found[id_]) == live[id_]
        return found

    def check_disk(self) -> None:
        """After a start, when no fault lasts: nothing is unfinished, lost, doubled, altered or invented."""
        assert not self.spool.is_unfinished
        ledger = self.spool.log.read()
        assert ledger.balance == 0
        segments = self.on_disk()
        every = [number for numbers in segments.values() for number in numbers]
        assert len(every) == len(set(every)) == ledger.on_disk
        assert set(every) <= set(range(self.emitted))
        assert not set(every) & self.settled
        assert not self.durable - self.settled - self.unsure - self.unreadable - set(every)
        assert ledger.tally.emitted <= self.emitted

    def teardown(self) -> None:
        with self.place:
            try:
                self.finish()
            finally:
                self.disk.kill()

    def finish(self) -> None:
        """All faults end: after a look at the disk a fresh event goes through, and everything is accounted for."""
        with self.life():
            pass
        self.disk.fuse = None
        self.heal()
        self.writer.tick(self.session)
        self._drain(1)
        assert self.writer.sync()
        self.writer.seal_all(self.session)
        self.writer.tick(self.session)
        assert not self.writer.owes
        assert self.spool.claim()
        self.spool.salvage()
        ledger = self.spool.log.read()
        assert ledger.balance == 0
        assert ledger.tally.emitted == self.emitted
        arrived: set[int] = set()
        while (seal := self.spool.take()) is not None:
            body = self.spool.read(seal)
            if body is not None:
                numbers = set(_numbers(decompress(body)))
                assert not numbers & arrived
                arrived |= numbers
                self.spool.ack(seal, 0)
        assert self.emitted - 1 in arrived
        assert not arrived & self.settled
        assert not self.durable - self.settled - self.unsure - self.unreadable - arrived
        self.spool.close()
        assert read_account(self.directory).balance == 0


class _Life:
    """A stretch of the process's life: when its fuse burns down in it, the power is cut and it starts again."""

    def __init__(self, machine: SpoolMachine) -> None:
        self._machine = machine

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is PowerCut:
            self._machine.cut_power()
        return kind is PowerCut


TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=int(os.environ.get("SPOOL_EXAMPLES", "60")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
