"""The spool: each segment exactly once, over crashes, limits, rubbish and a second shipper."""

from __future__ import annotations

import errno
import os
from pkgutil import resolve_name
from threading import Thread
from time import monotonic, time, time_ns
from typing import TYPE_CHECKING

import pytest
from msgspec import UNSET, UnsetType
from spools import (
    NOBODY,
    add_segment,
    append,
    crash,
    crashes,
    decompress,
    make_head,
    make_lines,
    names,
    nobody_lives,
    open_spool,
    read_balanced,
    scratch,
)

from telemetry import files
from telemetry.consent import State
from telemetry.drops import DropReason
from telemetry.errors import SpoolError
from telemetry.shipper.delivery.uploader import halve
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.permission import Permission
from telemetry.spool import folder, ledger, segment
from telemetry.spool.layout import FORMAT_FILE
from telemetry.spool.ledger import LOG_FILE, Sealed
from telemetry.spool.positions import Position
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Sensitivity
    from telemetry.spool.segment import Head, Seal

NO_LIMIT = 1 << 60
WEEK = 7 * 86_400.0


@pytest.fixture
def directory() -> Iterator[Path]:
    with scratch() as path:
        yield path / "spool"


@pytest.fixture
def spool(directory: Path) -> Iterator[Spool]:
    opened = open_spool(directory)
    yield opened
    opened.close()


def _take(spool: Spool) -> tuple[Seal, bytes]:
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    return seal, body


def _size(spool: Spool, folder: str) -> int:
    return sum(path.stat().st_size for path in (spool.directory / folder).rglob("*") if path.is_file())


def _reopen(spool: Spool) -> Spool:
    spool.close()
    return open_spool(spool.directory)


# Opening.


def test_what_was_sealed_is_there_after_a_restart_oldest_first(spool: Spool) -> None:
    heads = [add_segment(spool) for _ in range(3)]
    again = _reopen(spool)

    for head in heads:
        seal, _ = _take(again)
        assert seal.head == head
        again.ack(seal, 0)
    assert read_balanced(again).delivered == 9
    again.close()


def test_all_of_it_is_private(spool: Spool) -> None:
    add_segment(spool)
    add_segment(spool, level="local")

    for path in [spool.directory, *spool.directory.rglob("*")]:
        assert path.lstat().st_mode & 0o077 == 0, path


def _of_another_format(directory: Path) -> None:
    open_spool(directory).close()
    (directory / FORMAT_FILE).write_text("2")


def _of_a_binary_format(directory: Path) -> None:
    open_spool(directory).close()
    (directory / FORMAT_FILE).write_bytes(b"\xff\xfe\x00")


def _open_to_others(directory: Path) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)


def _folder_open_to_others(directory: Path) -> None:
    open_spool(directory).close()
    (directory / "sealed").chmod(0o777)


def _a_symlink(directory: Path) -> None:
    elsewhere = directory.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    directory.symlink_to(elsewhere)


def _folder_a_symlink(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "sent").symlink_to("/tmp")  # noqa: S108 nothing is written there


def _a_file(directory: Path) -> None:
    directory.write_text("")


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (_of_another_format, "format b'2'"),
        (_of_a_binary_format, "format b'.xff"),
        (_open_to_others, "mode 0700"),
        (_folder_open_to_others, "sealed must be a directory"),
        (_a_symlink, "must be a directory"),
        (_folder_a_symlink, "sent must be a directory"),
        (_a_file, "can't be used"),
    ],
)
def test_a_directory_that_is_no_spool_of_ours_is_refused_with_a_text_that_says_why(
    directory: Path, spoil: Callable[[Path], None], text: str
) -> None:
    spoil(directory)
    with pytest.raises(SpoolError, match=text) as refused:
        open_spool(directory)

    assert str(directory) in str(refused.value)


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second uid")
def test_a_directory_of_another_user_is_refused(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    os.chown(directory, NOBODY, NOBODY)
    with pytest.raises(SpoolError, match="must be a directory of user"):
        open_spool(directory)


def _leave_rubbish(folder: Path) -> set[str]:
    head = make_head()
    (folder / "notes.txt").write_text("hello")
    (folder / ".hidden").write_bytes(b"\0" * 10)
    (folder / "x-y-z").write_bytes(b"")
    (folder / "1-2.ndjson").write_bytes(b"")
    (folder / "folder").mkdir()
    (folder / f"{1:020d}-{'ab' * 16}.ndjson").mkdir()
    (folder / f"{2:020d}-{'ab' * 16}.ndjson").symlink_to("nowhere")
    (folder / segment.seal_name(head.file)).write_bytes(b"no data beside it")
    os.mkfifo(folder / f"{3:020d}-{'ab' * 16}.ndjson")
    return names(folder)


def test_rubbish_in_every_folder_stops_nothing(spool: Spool) -> None:
    head = add_segment(spool)
    spool.close()
    rubbish = {folder: _leave_rubbish(folder) for folder in spool.directory.iterdir() if folder.is_dir()}
    again = open_spool(spool.directory)
    again.enforce(NO_LIMIT, NO_LIMIT, WEEK)
    seal, _ = _take(again)
    again.ack(seal, NO_LIMIT)
    again.refresh()

    assert seal.head == head
    assert not again.is_unfinished
    assert read_balanced(again).delivered == 3
    ours = {head.file, segment.seal_name(head.file)}
    assert all(names(folder) - ours == left - ours for folder, left in rubbish.items())
    again.wipe(DropReason.CONSENT)
    assert not any(path.is_file() for path in (again.directory / "sealed").rglob("*"))
    again.close()


def test_sealed_data_that_nothing_vouches_for_is_quarantined(spool: Spool) -> None:
    spool.close()
    head = make_head()
    (spool.directory / "sealed" / head.file).write_bytes(b"whose is it?")
    again = open_spool(spool.directory)

    assert names(spool.directory / "quarantine") == {head.file}
    assert (again.waiting, again.take()) == (0, None)
    again.close()


def test_a_lost_ledger_is_made_anew_from_what_is_sealed(spool: Spool) -> None:
    add_segment(spool)
    add_segment(spool, level="local")
    (spool.directory / LOG_FILE).unlink()
    again = _reopen(spool)

    assert read_balanced(again).on_disk == 6
    assert again.waiting == 1
    again.close()


def test_a_segment_that_somebody_deleted_is_counted_as_corrupt(spool: Spool) -> None:
    head = add_segment(spool)
    (spool.directory / "sealed" / head.file).unlink()
    again = _reopen(spool)

    assert read_balanced(again).tally.dropped == {"corrupt": 3}
    again.close()


def test_the_position_of_a_dead_producer_is_kept_while_its_tombstone_stands(spool: Spool) -> None:
    spool.note("n", Tally(), {"aa": Position(1, 5), "bb": Position(2, 6)})
    (spool.directory / "tombstones" / "bb.json").write_text("{}")
    spool.close()
    _, ledger = Spool.open(spool.directory, nobody_lives)

    assert ledger.positions == {"bb": Position(2, 6)}


def test_a_hundred_thousand_segments_are_listed_and_not_loaded(directory: Path) -> None:
    open_spool(directory).close()
    sealed, tally = directory / "sealed", Tally(emitted=1, kept=1)
    lines = []
    for number in range(100_000):
        id_ = f"{number:032x}"
        os.close(os.open(f"{sealed}/{number:020d}-{id_}.ndjson", os.O_CREAT, 0o600))
        lines.append(Sealed(id_, tally))
    spool = Spool(directory)
    spool.log.append(*lines)
    began = monotonic()
    spool = open_spool(directory)
    opened = monotonic()
    spool.enforce(NO_LIMIT, 10, WEEK)
    enforced = monotonic()

    assert spool.waiting == 10
    assert read_balanced(spool).tally.dropped == {"spool_full": 99_990}
    # Quadratic work would take minutes; a loaded machine takes a few seconds.
    assert opened - began < 15
    assert enforced - opened < 15
    spool.close()


# Crashes.

LEDGER_APPEND = "telemetry.spool.ledger.LedgerLog.append"


def _seal_steps() -> list[object]:
    return [
        pytest.param("telemetry.spool.segment.store", id="before its seal is written"),
        pytest.param("pathlib.Path.replace", id="before a name is changed"),
        pytest.param("telemetry.files.sync_directory", id="before its names are durable"),
        pytest.param(LEDGER_APPEND, id="before it is in the ledger"),
        pytest.param("pathlib.Path.unlink", id="before the marks go"),
    ]


@pytest.mark.parametrize("step", _seal_steps())
@pytest.mark.parametrize("level", ["on", "local"])
def test_a_crash_amid_sealing_loses_and_doubles_nothing(spool: Spool, step: str, level: str) -> None:
    spool.close()

    def seal(patch: pytest.MonkeyPatch) -> None:
        mine = open_spool(spool.directory)
        active = mine.begin(make_head(level))
        append(active, 5)
        patch.setattr(step, crash)
        mine.seal(active, Tally())

    assert crashes(seal)
    for _ in range(2):  # also the second start finds it as the first left it
        again = open_spool(spool.directory)
        ledger = read_balanced(again)

        assert (ledger.tally.emitted, ledger.on_disk) == (5, 5)
        assert again.waiting == (1 if level == "on" else 0)
        assert names(spool.directory / "active") == set()
        again.close()


def _ack(spool: Spool) -> None:
    spool.ack(_take(spool)[0], NO_LIMIT)


def _quarantine(spool: Spool) -> None:
    spool.quarantine(_take(spool)[0], DropReason.REJECTED)


def _split(spool: Spool) -> None:
    seal, body = _take(spool)
    spool.split(seal, halve(seal, body, NDJSON))


def _drop(spool: Spool) -> None:
    spool.enforce(0, 0, WEEK)


@pytest.mark.parametrize("act", [_ack, _quarantine, _split, _drop], ids=["ack", "quarantine", "split", "drop"])
@pytest.mark.parametrize(
    "step",
    [
        "telemetry.files.write_durably",
        "telemetry.spool.segment.store",
        "telemetry.files.sync_directory",
        LEDGER_APPEND,
        "telemetry.spool.folder.Folder.move",
        "telemetry.spool.folder.Folder.remove",
        "pathlib.Path.replace",
        "pathlib.Path.unlink",
    ],
)
@pytest.mark.parametrize("times", [0, 1, 2])
def test_a_crash_amid_a_disposition_leaves_each_event_in_exactly_one_place(
    spool: Spool, act: Callable[[Spool], None], step: str, times: int
) -> None:
    add_segment(spool, events=5)
    spool.close()

    def dispose(patch: pytest.MonkeyPatch) -> None:
        mine = open_spool(spool.directory)
        _crash_at(patch, step, times)
        act(mine)

    crashed = crashes(dispose)
    again = open_spool(spool.directory)
    ledger = read_balanced(again)
    found = []
    while (seal := again.take()) is not None:
        body = again.read(seal)
        assert body is not None
        found += _lines_of(body)
        again.ack(seal, 0)

    assert ledger.tally.emitted == 5
    assert len(found) == ledger.on_disk
    assert b"".join(sorted(found)) == (make_lines(5) if found else b"")
    assert crashed or times or step != LEDGER_APPEND
    again.close()


def _crash_at(patch: pytest.MonkeyPatch, step: str, times: int) -> None:
    """Crash when `step` is taken for the time after so many."""
    module, _, name = step.rpartition(".")
    real = getattr(resolve_name(module), name)
    count = iter(range(100))

    def taken(*args: object, **kwargs: object) -> object:
        if next(count) == times:
            crash()
        return real(*args, **kwargs)

    patch.setattr(step, taken)


def _lines_of(body: bytes) -> list[bytes]:
    return decompress(body).splitlines(keepends=True)


# A disk that refuses.


def _refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "write_all", write_all)


def test_a_full_disk_stops_neither_the_start_nor_the_uploads(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    head = add_segment(spool)
    active = spool.begin(make_head())
    append(active, 2)
    active.close()
    _refuse(monkeypatch)
    again = _reopen(spool)
    again.enforce(0, 0, 0.0)

    unfinished = [again.is_unfinished]
    assert _take(again)[0].head == head
    monkeypatch.undo()
    again.salvage()
    unfinished.append(again.is_unfinished)
    assert unfinished == [True, False]
    assert read_balanced(again).on_disk == 5
    again.close()


def test_what_the_ledger_can_t_know_yet_is_not_delivered(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    add_segment(spool)
    (spool.directory / LOG_FILE).unlink()
    spool.close()
    _refuse(monkeypatch)
    again = open_spool(spool.directory)

    assert again.take() is None
    monkeypatch.undo()
    again.refresh()
    assert read_balanced(again).on_disk == 3
    assert again.take() is not None
    again.close()


def test_a_full_disk_does_not_keep_what_was_collected_from_being_erased(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_segment(spool)
    left = spool.begin(make_head())
    append(left, 2)
    left.close()
    _refuse(monkeypatch)
    spool.wipe(DropReason.CONSENT)
    monkeypatch.undo()

    assert spool.waiting == 0
    assert all(
        names(spool.directory / folder) == set() for folder in ("active", "sealed", "sent", "quarantine", "local")
    )
    assert read_balanced(_reopen(spool)).tally.dropped == {"corrupt": 3}


def test_a_segment_that_can_t_be_sealed_is_sealed_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    active = spool.begin(make_head())
    append(active, 4)
    _refuse(monkeypatch)
    with pytest.raises(OSError, match="full"):
        spool.seal(active, Tally())
    monkeypatch.undo()
    assert spool.is_unfinished
    spool.salvage()

    assert _take(spool)[0].head == active.head
    assert read_balanced(spool).on_disk == 4


# Limits.


def test_the_oldest_beyond_a_number_of_segments_are_dropped(spool: Spool) -> None:
    heads = [add_segment(spool) for _ in range(5)]
    spool.enforce(NO_LIMIT, 2, WEEK)

    assert names(spool.directory / "sealed") >= {head.file for head in heads[3:]}
    assert (spool.waiting, read_balanced(spool).tally.dropped) == (2, {"spool_full": 9})


def test_the_oldest_beyond_a_number_of_bytes_are_dropped(spool: Spool) -> None:
    empty = _size(spool, "")
    active = spool.begin(make_head())
    append(active, 100)
    heads = [add_segment(spool, events=10) for _ in range(5)]
    size = (_size(spool, "") - _size(spool, "active") - empty) // 5  # of data, Seal and ledger's line
    room_bytes = spool.enforce(_size(spool, "") - 2 * size, NO_LIMIT, WEEK)

    assert names(spool.directory / "sealed") >= {head.file for head in heads[3:]}
    assert read_balanced(spool).tally.dropped == {"spool_full": 30}
    assert 0 <= room_bytes < size
    spool.enforce(_size(spool, ""), NO_LIMIT, WEEK, room_bytes=2)
    assert read_balanced(spool).tally.dropped == {"spool_full": 40}


def test_what_is_too_old_is_dropped(spool: Spool) -> None:
    add_segment(spool)
    deadline = monotonic() + 20
    while spool.waiting:
        spool.enforce(NO_LIMIT, NO_LIMIT, 0.05)
        assert monotonic() < deadline

    assert read_balanced(spool).tally.dropped == {"spool_age": 3}


def test_a_clock_that_jumped_drops_nothing(spool: Spool) -> None:
    add_segment(spool, created_ns=1)  # by the wall clock, half a century ago
    add_segment(spool, created_ns=2 * time_ns())  # and in the far future
    spool = _reopen(spool)
    spool.enforce(NO_LIMIT, NO_LIMIT, WEEK)

    assert spool.waiting == 2
    spool.close()


@pytest.mark.parametrize("jump_seconds", [-365 * 86_400, 365 * 86_400], ids=["a year back", "a year forward"])
def test_a_clock_that_jumps_while_the_shipper_runs_or_over_its_restart_drops_nothing(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, jump_seconds: int
) -> None:
    add_segment(spool)
    begun_before = spool.begin(make_head())
    append(begun_before, 3)
    jumped = time() + jump_seconds
    monkeypatch.setattr(folder, "time", lambda: jumped)
    spool.seal(begun_before, Tally(emitted=3, kept=3))
    add_segment(spool, created_ns=int(jumped * 1e9))
    for _ in range(2):
        spool.enforce(NO_LIMIT, NO_LIMIT, WEEK)
        assert (spool.waiting, read_balanced(spool).on_disk) == (3, 9)
        spool = _reopen(spool)
    spool.close()


def test_the_ledger_of_a_long_outage_stays_short(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "COMPACT_BYTES", 20_000)
    spool.log._long_bytes = 20_000
    most_bytes = 0
    for _ in range(500):
        add_segment(spool)
        spool.enforce(NO_LIMIT, 5, WEEK)
        most_bytes = max(most_bytes, (spool.directory / LOG_FILE).stat().st_size)

    assert 19_000 <= most_bytes < 21_000
    found = read_balanced(spool)
    assert (found.tally.emitted, found.tally.dropped, found.on_disk) == (1500, {"spool_full": 1485}, 15)


def test_the_segment_on_its_way_is_never_dropped(spool: Spool) -> None:
    heads = [add_segment(spool) for _ in range(3)]
    on_way, _ = _take(spool)
    spool.enforce(0, 0, 0.0)

    assert on_way.head == heads[0]
    assert spool.waiting == 1
    spool.ack(on_way, 0)
    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (3, {"spool_full": 6})


def test_both_halves_of_a_segment_on_its_way_are_never_dropped(spool: Spool) -> None:
    add_segment(spool, events=4)
    seal, body = _take(spool)
    halves = halve(seal, body, NDJSON)
    assert spool.split(seal, halves)
    spool.enforce(0, 0, 0.0)
    assert spool.waiting == 2
    spool.put_back()
    spool.enforce(0, 0, 0.0)

    assert spool.waiting == 0
    assert read_balanced(spool).tally.dropped == {"spool_full": 4}


def test_what_is_local_is_never_offered_and_is_bounded(spool: Spool) -> None:
    heads = [add_segment(spool, level="local") for _ in range(4)]
    spool = _reopen(spool)
    assert (spool.take(), spool.waiting) == (None, 0)
    spool.enforce(NO_LIMIT, 1, WEEK)

    assert names(spool.directory / "local") == {heads[-1].file, segment.seal_name(heads[-1].file)}
    assert read_balanced(spool).tally.dropped == {"spool_full": 9}
    spool.close()


def test_copies_of_what_was_sent_are_bounded_over_restarts(spool: Spool) -> None:
    heads = [add_segment(spool, events=10) for _ in range(4)]
    size = _size(spool, "sealed") // 4 + 1
    for number in range(4):
        spool.ack(_take(spool)[0], 2 * size)
        if number == 1:
            spool = _reopen(spool)

    assert {name for name in names(spool.directory / "sent") if segment.is_data(name)} == {
        head.file for head in heads[2:]
    }
    assert names(spool.directory / "sealed") == set()
    spool.close()


@pytest.mark.parametrize(("free_bytes", "copies"), [((8 << 20) - 1, 0), ((8 << 20) + 4096, 1)])
def test_copies_leave_the_disk_room_for_a_segment(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, free_bytes: int, copies: int
) -> None:
    monkeypatch.setattr(files, "free_bytes", lambda _: free_bytes)
    add_segment(spool)
    spool.ack(_take(spool)[0], 1 << 30)

    assert len([name for name in names(spool.directory / "sent") if segment.is_data(name)]) == copies


def test_no_copy_is_kept_when_none_is_asked_for(spool: Spool) -> None:
    add_segment(spool)
    spool.ack(_take(spool)[0], 0)

    assert names(spool.directory / "sent") == names(spool.directory / "sealed") == set()


def test_the_quarantine_is_bounded(spool: Spool) -> None:
    for _ in range(3):
        add_segment(spool)
        spool.quarantine(_take(spool)[0], DropReason.REJECTED)
    spool.enforce(NO_LIMIT, 1, WEEK)

    assert len(names(spool.directory / "quarantine")) == 2
    assert read_balanced(spool).tally.dropped == {"rejected": 9}


def test_the_ledger_is_compacted_while_the_shipper_runs(spool: Spool) -> None:
    spool.log._long_bytes = 2000
    for _ in range(10):
        add_segment(spool)
        spool.ack(_take(spool)[0], 0)
    before = (spool.directory / LOG_FILE).stat().st_size
    spool.enforce(NO_LIMIT, NO_LIMIT, WEEK)

    assert (spool.directory / LOG_FILE).stat().st_size < before / 4
    assert read_balanced(spool).delivered == 30


# Faults and wishes.


def test_an_altered_segment_is_quarantined_and_never_offered_again(spool: Spool) -> None:
    head = add_segment(spool)
    path = spool.directory / "sealed" / head.file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    seal = spool.take()

    assert seal is not None
    assert spool.read(seal) is None
    assert spool.take() is None
    assert head.file in names(spool.directory / "quarantine")
    assert read_balanced(spool).tally.dropped == {"corrupt": 3}


def test_many_altered_seals_are_quarantined(spool: Spool) -> None:
    heads = [add_segment(spool) for _ in range(1200)]  # more than a recursion would bear
    for head in heads:
        (spool.directory / "sealed" / segment.seal_name(head.file)).write_bytes(b"{}")

    assert spool.take() is None
    assert read_balanced(spool).tally.dropped == {"corrupt": 3600}


def test_wiping_erases_every_folder_and_counts_what_was_to_be_delivered(spool: Spool) -> None:
    add_segment(spool)
    spool.ack(_take(spool)[0], NO_LIMIT)
    add_segment(spool)
    spool.quarantine(_take(spool)[0], DropReason.REJECTED)
    add_segment(spool, level="local")
    add_segment(spool)
    left = spool.begin(make_head())
    append(left, 2)
    left.close()
    spool.wipe(DropReason.CONSENT)
    ledger = read_balanced(spool)

    assert all(
        names(spool.directory / folder) == set() for folder in ("active", "sealed", "sent", "quarantine", "local")
    )
    assert (ledger.delivered, ledger.tally.dropped) == (3, {"rejected": 3, "consent": 8})


@pytest.mark.parametrize(
    "settle",
    [
        pytest.param(lambda spool, seal, _: spool.ack(seal, NO_LIMIT), id="ack"),
        pytest.param(lambda spool, seal, _: spool.quarantine(seal, DropReason.REJECTED), id="quarantine"),
        pytest.param(lambda spool, seal, body: spool.split(seal, halve(seal, body, NDJSON)), id="split"),
    ],
)
def test_what_comes_of_a_segment_that_was_wiped_on_its_way_brings_nothing_back(
    spool: Spool, settle: Callable[[Spool, Seal, bytes], object]
) -> None:
    add_segment(spool)
    seal, body = _take(spool)
    spool.wipe(DropReason.CONSENT)
    settle(spool, seal, body)

    assert spool.waiting == 0
    assert all(names(spool.directory / folder) == set() for folder in ("sealed", "sent", "quarantine"))
    assert read_balanced(spool).tally.dropped == {"consent": 3}


# Two shippers.


def test_arrivals_are_told_once_whoever_sealed_them_and_parts_are_as_old_as_their_whole(spool: Spool) -> None:
    other = open_spool(spool.directory)
    heads = [add_segment(spool), add_segment(spool, created_ns=5)]
    assert [arrival.file for arrival in spool.arrivals()] == [head.file for head in heads]
    assert spool.arrivals() == []

    theirs = add_segment(other)
    spool.refresh()
    (arrival,) = spool.arrivals()
    assert arrival.file == theirs.file

    seal = spool.take(theirs.file)
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    halves = halve(seal, body, NDJSON)
    spool.split(seal, halves)
    parts = spool.arrivals()
    assert {part.file for part in parts} == {half.head.file for half, _ in halves}
    assert {part.seen_at for part in parts} == {arrival.seen_at}
    assert (spool.awaits(theirs.file), spool.awaits(parts[0].file)) == (False, True)
    other.close()


def test_a_segment_that_is_asked_for_and_gone_or_unreadable_is_none_and_the_others_stay(spool: Spool) -> None:
    gone, damaged, good = add_segment(spool), add_segment(spool, created_ns=5), add_segment(spool, created_ns=6)
    spool.ack(_take(spool)[0], sent_bytes=0)
    (spool.directory / "sealed" / segment.seal_name(damaged.file)).write_text("rubbish")

    assert (spool.take(gone.file), spool.take(damaged.file)) == (None, None)
    assert spool.ledger().tally.dropped == {"corrupt": 3}
    assert _take(spool)[0].head.id == good.id


def test_one_of_two_shippers_delivers_and_the_other_takes_over(spool: Spool) -> None:
    other = open_spool(spool.directory)
    head = add_segment(other)
    assert spool.claim()
    assert not other.claim()
    assert other.waiting == 1
    spool.refresh()
    seal, _ = _take(spool)
    spool.ack(seal, 0)
    other.refresh()
    assert (seal.head, other.waiting) == (head, 0)
    spool.close()

    assert other.claim()
    assert read_balanced(other).delivered == 3
    other.close()


def test_who_is_asked_to_hurry_looks_once_for_what_others_have_sealed(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = open_spool(spool.directory)
    assert not spool.is_asked_to_hurry()
    add_segment(other)
    other.ask_to_hurry()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "refresh", _fail)
        assert not spool.is_asked_to_hurry(), "as long as the disk refuses"

    assert (spool.is_asked_to_hurry(), spool.waiting, spool.is_asked_to_hurry()) == (True, 1, False)
    other.close()


def _fail(*_: object) -> None:
    raise OSError(errno.EIO, "a disk that may answer later")


def test_what_is_awaited_is_awaited_until_its_last_part_is_settled(spool: Spool) -> None:
    add_segment(spool, events=4)
    add_segment(spool, events=2)
    first, second = (spool.holding("aa" * 16, or_unknown=False) & {file} for file in sorted(spool._sealed))
    for _ in range(2):
        seal, body = _take(spool)
        spool.split(seal, halve(seal, body, NDJSON))
        spool.put_back()
        whole = first if seal.head.file in first else second
        for part in sorted(spool._parts):
            if spool._parts[part] in whole:
                assert spool.awaited(whole) == whole
                taken = spool.take(part)
                assert taken is not None
                spool.ack(taken, 0)
        assert spool.awaited(whole) == frozenset()
        assert bool(spool.awaited(second)) == bool(spool.waiting), "another's parts are none of it"


def test_a_directory_that_was_removed_or_replaced_is_told_apart_from_a_disk_that_fails(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = [spool.is_removed]
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", _fail)
        told.append(spool.is_removed)
    spool.directory.rename(spool.directory.with_name("elsewhere"))
    told.append(spool.is_removed)
    open_spool(spool.directory).close()
    told.append(spool.is_removed)
    spool.close()
    told.append(spool.is_removed)  # nothing is appended any more

    assert told == [False, False, True, True, False]


def test_a_shipper_that_does_not_deliver_drops_nothing(spool: Spool) -> None:
    add_segment(spool)
    other = open_spool(spool.directory)
    other.refresh()
    other.enforce(0, 0, 0.0)

    assert (spool.waiting, other.waiting, spool.claim()) == (1, 1, True)
    assert read_balanced(spool).on_disk == 3


def test_a_shipper_that_starts_beside_one_that_splits_does_not_take_its_halves_for_rubbish(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_segment(spool, events=4)
    seal, body = _take(spool)
    real = spool.log.append

    def append_slowly(*lines: object) -> None:
        open_spool(spool.directory)
        real(*lines)  # type: ignore[arg-type] # as it came

    monkeypatch.setattr(spool.log, "append", append_slowly)
    assert spool.split(seal, halve(seal, body, NDJSON))
    monkeypatch.undo()
    while (half := spool.take()) is not None:
        assert spool.read(half) is not None
        spool.ack(half, 0)

    assert read_balanced(spool).delivered == 4


def test_a_half_that_was_being_written_when_its_shipper_was_killed_is_no_corrupt_segment(spool: Spool) -> None:
    add_segment(spool, events=4)
    seal, body = _take(spool)
    half, half_body = halve(seal, body, NDJSON)[0]
    (spool.directory / "sealed" / half.head.file).write_bytes(half_body)  # its Seal would have come next
    spool = _reopen(spool)

    assert spool.waiting == 1
    assert names(spool.directory / "quarantine") == set()
    assert read_balanced(spool).on_disk == 4
    spool.close()


@pytest.mark.parametrize("act", [_ack, _quarantine, _split, _drop], ids=["ack", "quarantine", "split", "drop"])
def test_a_shipper_that_does_not_deliver_forgets_nothing_that_the_one_that_does_leaves_half_done(
    spool: Spool, act: Callable[[Spool], None]
) -> None:
    head = add_segment(spool, events=4)
    sealed = spool.directory / "sealed"
    before = {path: path.read_bytes() for path in (sealed / head.file, sealed / segment.seal_name(head.file))}
    act(spool)
    account = read_balanced(spool).total()
    for path, data in before.items():  # as if it were killed between the line and the file
        path.write_bytes(data)
    other = open_spool(spool.directory)
    other.close()
    spool = _reopen(spool)

    assert read_balanced(spool).total().delivered == account.delivered
    assert read_balanced(spool).tally == account.tally
    spool.close()


def test_intake_and_delivery_at_once_lose_and_double_nothing(spool: Spool) -> None:
    segments = 150
    done: list[str] = []

    def deliver() -> None:
        while len(done) < segments:
            spool.enforce(NO_LIMIT, NO_LIMIT, WEEK)
            if (seal := spool.take()) is None:
                spool.refresh()
                continue
            assert spool.read(seal) is not None
            spool.ack(seal, 0)
            done.append(seal.head.id)

    delivery = Thread(target=deliver)
    delivery.start()
    heads: list[Head] = [add_segment(spool, events=2) for _ in range(segments)]
    delivery.join(60)

    assert done == [head.id for head in heads]
    assert read_balanced(spool).delivered == 2 * segments


@pytest.mark.parametrize("state", [State.TECHNICAL, State.LOCAL])
def test_a_step_down_moves_what_may_not_leave_any_more_and_rewrites_nothing(spool: Spool, state: State) -> None:
    heads = {each: add_segment(spool, sensitivity=each) for each in ("technical", "interaction", UNSET)}
    unreadable = add_segment(spool, sensitivity="technical")
    (spool.directory / "sealed" / segment.seal_name(unreadable.file)).write_bytes(b"{")
    before = {path.name: path.read_bytes() for path in (spool.directory / "sealed").iterdir()}

    spool.keep_local(Permission(state).lets_leave if state is State.TECHNICAL else None)

    stays = {heads["technical"].file} if state is State.TECHNICAL else set()
    assert {file for file in names(spool.directory / "sealed") if segment.is_data(file)} == stays
    after = {
        path.name: path.read_bytes() for name in ("sealed", "local") for path in (spool.directory / name).iterdir()
    }
    assert after == before
    assert spool.waiting == len(stays)
    assert read_balanced(spool).on_disk == 12


@pytest.mark.parametrize(
    ("level", "sensitivity", "folder"),
    [
        ("on", "technical", "sealed"),
        ("on", "interaction", "sealed"),
        ("technical", "technical", "sealed"),
        ("technical", "interaction", "local"),
        ("technical", UNSET, "local"),
        ("local", "technical", "local"),
    ],
)
def test_a_segment_goes_where_its_level_and_sensitivity_let_it(
    spool: Spool, level: str, sensitivity: Sensitivity | UnsetType, folder: str
) -> None:
    head = add_segment(spool, level=level, sensitivity=sensitivity)
    assert head.file in names(spool.directory / folder)
