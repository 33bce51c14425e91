"""The writer: every drain is on disk or counted, also when the disk refuses for a while."""

from __future__ import annotations

import dataclasses
import errno
import logging
import os
import resource
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from conftest import CATALOG, wait_until
from spools import add_segment, decompress, make_lines, names, open_spool, read_balanced, scratch, source_of

from telemetry import files
from telemetry.catalog.load import load
from telemetry.drops import DropReason
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import upload_headers
from telemetry.shipper.encode.format import Report
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.spool import ledger
from telemetry.spool import spool as spool_module
from telemetry.spool.positions import Position
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog, Sensitivity
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
        self.writer = Writer(spool, NDJSON, settings, self._count)
        self.source = source_of(catalog)
        self.emitted = 0

    def drain(self, receipt: Receipt = ON) -> None:
        body = make_lines(EACH, self.emitted)
        self.emitted += EACH
        drain = Drain(body, Tally(emitted=EACH, kept=EACH), {"aa": Position(1, self.emitted)})
        self.writer.append(receipt, self.source, drain, self.session)

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

    monkeypatch.setattr(files, "write_all", write_all)


def test_drains_of_one_receipt_share_a_segment(intake: Intake) -> None:
    for _ in range(3):
        intake.drain()
    intake.seal()

    assert (intake.spool.waiting, intake.handed_over) == (1, 1)
    assert intake.sealed_lines() == make_lines(15).splitlines(keepends=True)
    assert intake.session.tallies["interaction"] == Tally(emitted=15, kept=15)


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


@pytest.fixture
def small(tmp_path: Path, catalog: Catalog) -> Iterator[Intake]:
    """An intake whose disk has a megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    if os.getuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", place], check=False).returncode:
        pytest.skip("mounting a tmpfs takes root with CAP_SYS_ADMIN")
    try:
        place.chmod(0o700)
        spool = open_spool(place / "spool")
        yield Intake(spool, catalog, ShipperSettings(segment_seconds=1000.0, fsync_interval_seconds=0.0))
        spool.close()
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def _fill(place: Path) -> Path:
    """Write a file until the disk under `place` is full."""
    file = place / "filler"
    with file.open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space"):  # noqa: PT012
        while True:
            filler.write(bytes(4096))
    return file


def _send_copy(spool: Spool) -> None:
    """Deliver a segment, and keep a copy if there is room."""
    add_segment(spool)
    seal = spool.take()
    assert seal is not None
    spool.ack(seal, 1 << 20)


def test_what_is_owed_when_the_shipper_must_leave_a_full_disk_is_written_into_the_room_that_is_kept(
    small: Intake,
) -> None:
    directory = small.spool.directory
    small.drain()
    small.seal()
    filler = _fill(directory.parent)
    with (directory / ledger.LOG_FILE).open("ab") as log:  # to the end of the page that it has already
        log.write(b"\n" * (-log.tell() % os.sysconf("SC_PAGE_SIZE")))
    for _ in range(3):
        small.drain()
        small.tick()
    assert (small.writer.owed_events, small.spool.log.read().tally.emitted) == (3 * EACH, EACH)
    small.writer.settle()
    assert small.writer.owed_events == 0
    assert small.spool.ledger().positions["aa"].next == small.emitted
    small.spool.close()

    for _ in range(2):  # while it is full, and after
        later = open_spool(directory)
        known = read_balanced(later)
        assert (known.tally.emitted, known.tally.dropped) == (4 * EACH, {"write_failed": 3 * EACH})
        later.close()
        filler.unlink(missing_ok=True)


def test_on_a_full_disk_copies_of_what_was_sent_go_before_an_event_is_lost(
    small: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a quota is full, which shows only when it refuses."""
    monkeypatch.setattr(spool_module, "ROOM_BYTES", 0)
    sent = small.spool.directory / "sent"
    for _ in range(10):
        _send_copy(small.spool)
    _fill(small.spool.directory.parent)
    assert len(names(sent)) == 20
    small.drain()
    small.seal()

    assert (names(sent), small.writer.owed_events) == (set(), 0)
    assert b"".join(small.sealed_lines()) == make_lines(EACH)
    assert read_balanced(small.spool).tally.dropped == {}


def test_copies_of_what_was_sent_leave_room_for_a_segment(small: Intake) -> None:
    """On a disk that small there is none beside it."""
    _send_copy(small.spool)

    assert names(small.spool.directory / "sent") == set()


def test_a_shipper_that_began_on_a_full_disk_keeps_room_as_soon_as_there_is_some(small: Intake) -> None:
    small.spool.close()
    (small.spool.directory / ledger.SPARE_FILE).unlink()
    filler = _fill(small.spool.directory.parent)
    spool = open_spool(small.spool.directory)
    writer = Writer(spool, NDJSON, ShipperSettings(), lambda: None)
    has_room = []
    for _ in range(2):
        writer.tick(small.session)
        has_room.append(spool.log.has_room)
        filler.unlink(missing_ok=True)

    assert has_room == [False, True]
    spool.close()


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
    real = files.write_all

    def write_heads_only(file: int, data: bytes) -> None:
        if b'"is":"head"' not in data:
            raise OSError(errno.ENOSPC, "full")
        real(file, data)

    descriptors = len(list(os.scandir("/dev/fd")))
    monkeypatch.setattr(files, "write_all", write_heads_only)
    for _ in range(50):
        intake.drain()
        intake.writer.append_report(ON, intake.source, "interaction", Report("/report", b"{}\n"), intake.session)

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
        Writer(
            spool, dataclasses.replace(NDJSON, compressions=("zstd" if compressed else "none",)), settings, lambda: None
        ),
        Session(),
    )
    source = source_of(catalog)
    emitted, most_bytes = 0, 0
    for _ in range(300):
        body = b"".join(
            b'{"event":"query_finished","detail":"%s"}\n' % os.urandom(200).hex().encode() for _ in range(40)
        )
        writer.append(ON, source, Drain(body, Tally(emitted=40, kept=40), {}), session)
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
        patch.setattr(files, "sync_directory", lambda _: None)
        intake.tick()
        assert intake.writer.owes
    intake.tick()

    assert read_balanced(intake.spool).tally.emitted == EACH


def test_a_report_fills_a_segment_of_its_own(intake: Intake) -> None:
    intake.drain()
    intake.writer.append_report(
        ON, intake.source, "interaction", Report("/report", b'{"event":"report"}\n'), intake.session
    )
    seal = intake.spool.take()

    assert seal is not None
    assert (seal.head.route, seal.tally) == ("/report", Tally(emitted=1, kept=1))
    assert intake.session.tallies["interaction"] == Tally(emitted=EACH + 1, kept=EACH + 1)
    assert intake.writer.receipts == [ON]


def test_a_drain_without_events_brings_its_account(intake: Intake) -> None:
    lost = Drain(b"", Tally(emitted=3, dropped={"consent": 3}), {"aa": Position(1, 3)})
    intake.writer.append(ON, intake.source, lost, intake.session)
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


TECHNICAL = Receipt("technical", "stored", 0, "cloud")


def _of(sensitivity: Sensitivity, *, kept: int, lost: int = 0) -> Drain:
    tally = Tally(emitted=kept + lost, kept=kept)
    tally.drop(DropReason.IN_TRANSIT, lost)
    return Drain(make_lines(kept), tally, {}, sensitivity=sensitivity)


@pytest.mark.parametrize("receipt", [ON, TECHNICAL])
def test_each_sensitivity_has_a_segment_and_a_ledger_of_its_own(intake: Intake, receipt: Receipt) -> None:
    for _ in range(2):
        for drain in (_of("interaction", kept=5, lost=2), _of("technical", kept=3)):
            intake.writer.append(receipt.of(drain.sensitivity), intake.source, drain, intake.session)
    intake.seal()

    told = {}
    while (seal := intake.spool.take()) is not None:
        told[seal.head.sensitivity] = upload_headers(seal)["Telemetry-Ledger"]
        intake.spool.ack(seal, 0)
    interaction = {"interaction": "emitted=14; kept=10; in_transit=4"} if receipt is ON else {}
    assert told == {"technical": "emitted=6; kept=6", **interaction}
    assert len(names(intake.spool.directory / "local")) == (0 if receipt is ON else 2)


def test_what_is_recovered_tells_nothing_of_events_that_are_not_in_it(intake: Intake) -> None:
    intake.writer.append(ON, intake.source, _of("technical", kept=3, lost=8), intake.session)
    for active, _ in intake.writer._active.values():
        active.close()
    intake.spool.salvage()
    seal = intake.spool.take()

    assert seal is not None
    assert upload_headers(seal)["Telemetry-Ledger"] == "emitted=3; kept=3"
    assert read_balanced(intake.spool).tally.dropped == {"in_transit": 8}
