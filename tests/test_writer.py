"""The writer: every drain is on disk or counted, also when the disk refuses for a while."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import resource
import signal
from typing import TYPE_CHECKING

import pytest
from conftest import CATALOG, wait_until
from spools import decompress, make_lines, names, open_spool, read_balanced, scratch

from telemetry.catalog.load import load
from telemetry.drops import DropReason
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.encode.format import Report
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.spool import disk
from telemetry.spool.producers import Position
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.spool.spool import Spool

ON = Receipt("on", "host", 0, "cloud")
LOCAL = Receipt("local", "none", 0, "unknown")
EACH = 5


@pytest.fixture
def spool() -> Iterator[Spool]:
    with scratch() as directory:
        opened = open_spool(directory / "spool")
        yield opened
        opened.close()


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    file = tmp_path / "catalog.toml"
    file.write_text(CATALOG)
    return load(file)


class Intake:
    """A writer with a session, fed with drains of five events of one producer."""

    def __init__(self, spool: Spool, catalog: Catalog, settings: ShipperSettings) -> None:
        self.spool = spool
        self.session = Session()
        self.handed_over = 0
        self.writer = Writer(spool, catalog, NDJSON, settings, self._count)
        self.emitted = 0

    def drain(self, receipt: Receipt = ON) -> None:
        body = make_lines(EACH, self.emitted)
        self.emitted += EACH
        drain = Drain(body, Tally(emitted=EACH, kept=EACH), {"aa": Position(1, self.emitted)})
        self.writer.append(receipt, drain, self.session)

    def tick(self) -> None:
        self.writer.tick(self.session)

    def seal(self) -> None:
        self.writer.seal_all(self.session)

    def sealed_lines(self) -> list[bytes]:
        lines = []
        while (seal := self.spool.take()) is not None:
            body = self.spool.read(seal)
            assert body is not None
            lines += decompress(body).splitlines(keepends=True)
            self.spool.ack(seal, 0)
        return lines

    def _count(self) -> None:
        self.handed_over += 1


@pytest.fixture
def intake(spool: Spool, catalog: Catalog) -> Intake:
    return Intake(spool, catalog, ShipperSettings(segment_seconds=1000.0, fsync_interval_seconds=0.0))


def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(disk, "write_all", write_all)


def test_drains_of_one_receipt_share_a_segment(intake: Intake) -> None:
    for _ in range(3):
        intake.drain()
    intake.seal()

    assert (intake.spool.waiting, intake.handed_over) == (1, 1)
    assert intake.sealed_lines() == make_lines(15).splitlines(keepends=True)
    assert intake.session.tally == Tally(emitted=15, kept=15)


def test_each_receipt_has_a_segment_of_its_own(intake: Intake) -> None:
    intake.drain(ON)
    intake.drain(LOCAL)
    assert intake.writer.receipts == [ON, LOCAL]
    intake.seal()

    assert intake.sealed_lines() == make_lines(EACH).splitlines(keepends=True)
    assert len(names(intake.spool.directory / "local")) == 2
    assert read_balanced(intake.spool).on_disk == EACH


def test_a_segment_is_sealed_at_its_size(spool: Spool, catalog: Catalog) -> None:
    intake = Intake(spool, catalog, ShipperSettings(segment_bytes=1))
    for _ in range(3):
        intake.drain()

    assert (spool.waiting, intake.writer.receipts) == (3, [])


def test_a_segment_is_sealed_at_its_age(spool: Spool, catalog: Catalog) -> None:
    intake = Intake(spool, catalog, ShipperSettings(segment_seconds=0.05))
    intake.drain()

    def ticked() -> bool:
        intake.tick()
        return spool.waiting == 1

    wait_until(ticked)
    assert intake.writer.receipts == []


@pytest.mark.parametrize("refused_at", ["the first drain", "a later drain"])
def test_what_the_disk_refuses_is_counted_and_the_stream_goes_on_after(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, refused_at: str
) -> None:
    before = 0 if refused_at == "the first drain" else 2
    for _ in range(before):
        intake.drain()
    with monkeypatch.context() as patch:
        _full(patch)
        for _ in range(4):
            intake.drain()
            intake.tick()
    for _ in range(2):
        intake.drain()
    intake.tick()
    intake.seal()
    ledger = read_balanced(intake.spool)
    lines = make_lines(intake.emitted).splitlines(keepends=True)

    assert ledger.tally.emitted == intake.emitted
    assert ledger.tally.dropped == {"write_failed": 4 * EACH}
    assert ledger.positions["aa"].next == intake.emitted
    assert intake.sealed_lines() == lines[: before * EACH] + lines[(before + 4) * EACH :]
    assert names(intake.spool.directory / "active") == set()


def test_what_is_owed_is_written_though_no_drain_follows(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        _full(patch)
        intake.drain()
    intake.tick()
    intake.tick()
    ledger = read_balanced(intake.spool)

    assert (ledger.tally.emitted, ledger.tally.dropped) == (EACH, {"write_failed": EACH})
    assert ledger.positions == {"aa": Position(1, EACH)}


def test_a_segment_that_can_t_be_sealed_is_sealed_when_the_disk_allows(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.drain()
    with monkeypatch.context() as patch:
        _full(patch)
        intake.seal()
        intake.tick()
    assert intake.spool.waiting == 0
    intake.tick()

    assert intake.sealed_lines() == make_lines(EACH).splitlines(keepends=True)
    assert read_balanced(intake.spool).delivered == EACH


def test_a_refusing_disk_gathers_neither_files_nor_descriptors(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    real = disk.write_all

    def write_heads_only(file: int, data: bytes) -> None:
        if b'"is":"head"' not in data:
            raise OSError(errno.ENOSPC, "full")
        real(file, data)

    descriptors = len(list(os.scandir("/dev/fd")))
    monkeypatch.setattr(disk, "write_all", write_heads_only)
    for _ in range(50):
        intake.drain()
        intake.writer.append_report(ON, Report("/report", b"{}\n"), intake.session)

    assert names(intake.spool.directory / "active") == set()
    assert len(list(os.scandir("/dev/fd"))) == descriptors
    monkeypatch.undo()
    intake.tick()
    assert read_balanced(intake.spool).tally.dropped == {"write_failed": 50 * EACH + 50}


def test_refusal_and_recovery_are_said_once_each(
    intake: Intake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "telemetry.shipper")
    intake.drain()
    with monkeypatch.context() as patch:
        _full(patch)
        for _ in range(5):
            intake.drain()
            intake.tick()
    intake.tick()
    intake.drain()
    intake.drain()

    assert caplog.messages == [
        "the spool can't be written (No space left on device): events are dropped and counted until it can",
        "the spool can be written again",
    ]


def _refuse_syncs(patch: pytest.MonkeyPatch, times: int) -> None:
    real, count = os.fsync, iter(range(1000))

    def fsync(file: int) -> None:
        if next(count) < times:
            raise OSError(errno.EIO, "broken")
        real(file)

    patch.setattr(os, "fsync", fsync)


def test_a_sync_that_fails_once_loses_nothing(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    intake.drain()
    with monkeypatch.context() as patch:
        _refuse_syncs(patch, 1)
        intake.tick()
        intake.drain()
    intake.seal()

    assert intake.sealed_lines() == make_lines(2 * EACH).splitlines(keepends=True)
    assert read_balanced(intake.spool).tally.emitted == 2 * EACH


@pytest.mark.parametrize("compressed", [True, False], ids=["zstd", "plain"])
def test_the_spool_is_at_its_limit_and_never_beyond_it(
    spool: Spool,
    catalog: Catalog,
    compressed: bool,  # noqa: FBT001 a column
) -> None:
    limit_bytes = 1 << 20
    settings = ShipperSettings(spool_bytes=limit_bytes, segment_seconds=1000.0)
    writer, session = (
        Writer(spool, catalog, dataclasses.replace(NDJSON, compressed=compressed), settings, lambda: None),
        Session(),
    )
    emitted, most_bytes = 0, 0
    for _ in range(300):
        body = b"".join(
            b'{"event":"query_finished","detail":"%s"}\n' % os.urandom(200).hex().encode() for _ in range(40)
        )
        writer.append(ON, Drain(body, Tally(emitted=40, kept=40), {}), session)
        emitted += 40
        taken_bytes = sum(path.stat().st_size for path in spool.directory.rglob("*") if path.is_file())
        most_bytes = max(most_bytes, taken_bytes)
        assert taken_bytes <= limit_bytes
    writer.seal_all(session)
    ledger = read_balanced(spool)

    assert most_bytes > 0.75 * limit_bytes
    assert ledger.tally.emitted == emitted
    assert ledger.tally.dropped.keys() == {"spool_full"}
    numbers = sorted(file for file in names(spool.directory / "sealed") if file.endswith((".ndjson", ".zst")))
    assert 5 <= len(numbers) <= 10, "a segment is a small part of the whole, whatever its size should be"


def test_what_a_failed_sync_left_is_written_anew_for_a_second_sync_would_not_say_that_it_is_lost(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.drain()
    with monkeypatch.context() as patch:
        _refuse_syncs(patch, 1)
        first = names(intake.spool.directory / "active")
        assert intake.writer.sync()

    assert len(first) == 2
    assert names(intake.spool.directory / "active") == set()
    assert intake.spool.waiting == 1


def test_while_nothing_can_be_synced_nothing_is_confirmed_and_no_more_is_gathered(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.drain()
    with monkeypatch.context() as patch:
        _refuse_syncs(patch, 1000)
        for _ in range(5):
            intake.drain()
            assert not intake.writer.sync()
        gathered = names(intake.spool.directory / "active")
    intake.tick()
    intake.drain()
    assert intake.writer.sync()
    intake.seal()
    intake.tick()

    assert len(gathered) == 2
    ledger = read_balanced(intake.spool)
    assert (ledger.tally.emitted, ledger.tally.dropped) == (7 * EACH, {"write_failed": 4 * EACH})


def test_what_the_disk_took_before_it_refused_is_not_confirmed_before_it_is_durable(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake.drain()
    with monkeypatch.context() as patch:
        _full(patch)
        intake.drain()
    intake.drain()
    confirmed = [intake.writer.sync()]
    intake.tick()
    confirmed.append(intake.writer.sync())

    assert confirmed == [False, True]


def test_an_account_that_the_disk_took_though_it_said_no_counts_once(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        _full(patch)
        intake.drain()
    with monkeypatch.context() as patch:
        _refuse_syncs(patch, 1000)
        patch.setattr(os, "ftruncate", lambda file, _: os.fsync(file))
        patch.setattr(disk, "sync_directory", lambda _: None)
        intake.tick()
        assert intake.writer.owes
    intake.tick()

    assert read_balanced(intake.spool).tally.emitted == EACH


def test_a_report_fills_a_segment_of_its_own(intake: Intake) -> None:
    intake.drain()
    intake.writer.append_report(ON, Report("/report", b'{"event":"report"}\n'), intake.session)
    seal = intake.spool.take()

    assert seal is not None
    assert (seal.head.route, seal.tally) == ("/report", Tally(emitted=1, kept=1))
    assert intake.session.tally == Tally(emitted=EACH + 1, kept=EACH + 1)
    assert intake.writer.receipts == [ON]


def test_a_drain_without_events_brings_its_account(intake: Intake) -> None:
    lost = Drain(b"", Tally(emitted=3, dropped={"consent": 3}), {"aa": Position(1, 3)})
    intake.writer.append(ON, lost, intake.session)
    intake.seal()

    assert intake.spool.waiting == 0
    assert read_balanced(intake.spool).tally.dropped == {"consent": 3}
    assert names(intake.spool.directory / "sealed") == set()


def test_lost_of_a_drain_keeps_its_balance() -> None:
    drain = Drain(b"x", Tally(emitted=7, kept=4, dropped={"invalid": 3}), {})
    lost = drain.lost(DropReason.WRITE_FAILED)

    assert (lost.body, lost.tally.kept, lost.tally.balance) == (b"", 0, 0)
    assert lost.tally.dropped == {"invalid": 3, "write_failed": 4}


def _in_child(act: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if act() else 2
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_file_that_really_may_not_grow_loses_whole_drains_only(spool: Spool, catalog: Catalog) -> None:
    """With the kernel's own limit on a file's size instead of a fault of ours."""
    spool.close()

    def act() -> bool:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        mine = open_spool(spool.directory)
        intake = Intake(mine, catalog, ShipperSettings(segment_seconds=1000.0))
        intake.drain()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
        for _ in range(40):
            intake.drain()
            intake.tick()
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        intake.drain()
        intake.tick()
        intake.seal()
        ledger = read_balanced(mine)
        lines = intake.sealed_lines()
        every = make_lines(intake.emitted).splitlines(keepends=True)
        return (
            ledger.tally.emitted == intake.emitted
            and 0 < ledger.tally.dropped["write_failed"] < intake.emitted
            and len(lines) == ledger.on_disk
            and lines == [line for line in every if line in set(lines)]
        )

    assert _in_child(act)
