"""Recovery keeps what the marks vouch for, counts the rest, and stops at nothing it finds."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from spools import (
    NOBODY,
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

from telemetry.spool import segment
from telemetry.spool.journal import write_line
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.spool.segment import ActiveSegment

DRAINS = 4
EACH = 3


@pytest.fixture(params=[pytest.param(True, id="zstd"), pytest.param(False, id="plain")])
def killed(request: pytest.FixtureRequest) -> Iterator[ActiveSegment]:
    """What a shipper left that was killed after four drains of three events, and one of two that were lost before."""
    with scratch() as directory:
        yield _killed(directory, compressed=request.param)


def _killed(directory: Path, *, compressed: bool) -> ActiveSegment:
    spool = open_spool(directory / "killed")
    spool.close()
    active = spool.begin(make_head(compressed=compressed))
    for number in range(DRAINS):
        append(active, EACH, first=EACH * number)
    lost = Tally(emitted=2)
    lost.dropped["invalid"] = 2
    active.append(b"", lost, {})
    active.close()
    return active


@pytest.fixture
def ends(killed: ActiveSegment) -> list[int]:
    """How long the data was before the first and after each drain."""
    read = segment.read_marks(killed.marks_path)
    assert read is not None
    return [0, *sorted({mark.length_bytes for mark in read[1]})]


def _copy(killed: ActiveSegment, number: int, data: bytes | None = None, marks: bytes | None = None) -> Path:
    """The spool anew, with data or marks changed."""
    source = killed.data_path.parents[1]
    copy = source.parent / f"copy-{number}"
    (copy / "active").mkdir(mode=0o700, parents=True)
    copy.chmod(0o700)
    (copy / "active" / killed.data_path.name).write_bytes(killed.data_path.read_bytes() if data is None else data)
    (copy / "active" / killed.marks_path.name).write_bytes(killed.marks_path.read_bytes() if marks is None else marks)
    return copy


def _recovered(directory: Path, killed: ActiveSegment) -> int:
    """Open a spool; check all that must hold after any damage; the number of events that were kept."""
    spool = open_spool(directory)
    ledger = read_balanced(spool)
    kept = ledger.on_disk
    body = b""
    if kept:
        seal = spool.take()
        assert seal is not None
        assert seal.head.id == killed.head.id
        data = spool.read(seal)
        assert data is not None
        body = decompress(data) if seal.head.compressed else data
    spool.close()
    shutil.rmtree(directory)

    assert body == make_lines(kept)
    assert ledger.tally.emitted == kept + ledger.tally.lost
    return kept


def test_what_is_whole_is_sealed_under_the_same_id_and_accounted_for(killed: ActiveSegment) -> None:
    directory = killed.data_path.parents[1]
    spool = open_spool(directory)
    ledger = read_balanced(spool)
    spool.close()

    assert names(directory / "active") == set()
    assert names(directory / "sealed") == {killed.head.file, segment.seal_name(killed.head.file)}
    assert (ledger.tally.emitted, ledger.on_disk, ledger.tally.dropped) == (
        DRAINS * EACH + 2,
        DRAINS * EACH,
        {"invalid": 2},
    )
    assert _recovered(directory, killed) == DRAINS * EACH


def test_data_cut_off_at_any_byte_keeps_exactly_the_drains_that_are_whole(
    killed: ActiveSegment, ends: list[int]
) -> None:
    data = killed.data_path.read_bytes()
    for size in range(len(data)):
        whole = sum(end <= size for end in ends) - 1

        assert _recovered(_copy(killed, size, data=data[:size]), killed) == whole * EACH


def test_marks_cut_off_at_any_byte_keep_exactly_the_drains_that_are_marked(killed: ActiveSegment) -> None:
    marks = killed.marks_path.read_bytes()
    lines = marks.splitlines(keepends=True)
    for size in range(len(marks)):
        whole = marks[:size].count(b"\n") - 1  # the first line is the head

        assert _recovered(_copy(killed, size, marks=marks[:size]), killed) == max(0, min(whole, DRAINS)) * EACH
    assert len(lines) == DRAINS + 2


def test_any_flipped_bit_of_the_data_keeps_exactly_the_drains_before_it(killed: ActiveSegment, ends: list[int]) -> None:
    data = killed.data_path.read_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        before = sum(end <= at for end in ends) - 1

        assert _recovered(_copy(killed, at, data=bytes(flipped)), killed) == before * EACH


def test_any_flipped_bit_of_the_marks_keeps_what_the_marks_before_it_vouch_for(killed: ActiveSegment) -> None:
    marks = killed.marks_path.read_bytes()
    for at in range(0, len(marks), 3):
        flipped = bytearray(marks)
        flipped[at] ^= 1 << (at % 8)
        before = marks[:at].count(b"\n") - 1

        assert _recovered(_copy(killed, at, marks=bytes(flipped)), killed) == max(0, min(before, DRAINS)) * EACH


def test_data_that_is_gone_is_counted_as_corrupt(killed: ActiveSegment) -> None:
    killed.data_path.unlink()
    spool = open_spool(killed.data_path.parents[1])
    ledger = read_balanced(spool)

    assert ledger.tally.dropped == {"invalid": 2, "corrupt": DRAINS * EACH}
    assert (spool.waiting, ledger.positions) == (0, {})


def test_data_whose_checksum_fits_but_that_is_no_stream_is_counted_as_corrupt(tmp_path: Path) -> None:
    class Liar:
        def write(self, data: bytes) -> bytes:
            return b"no zstd" + data

        def finish(self) -> bytes:
            return b""

    spool = open_spool(tmp_path)
    active = spool.begin(make_head())
    active._stream = Liar()
    append(active, EACH)
    active.close()
    spool.close()

    assert read_balanced(open_spool(tmp_path)).tally.dropped == {"corrupt": EACH}


def test_marks_that_can_t_be_read_are_quarantined_with_their_data(killed: ActiveSegment) -> None:
    killed.marks_path.write_bytes(b"rubbish")
    directory = killed.data_path.parents[1]
    open_spool(directory)

    assert names(directory / "active") == set()
    assert names(directory / "quarantine") == {killed.marks_path.name, killed.data_path.name}


def test_of_a_segment_that_was_only_begun_nothing_is_left(tmp_path: Path) -> None:
    """Killed after its files were made, and before its head was written."""
    spool = open_spool(tmp_path)
    spool.close()
    for name in ("1-ab.marks", "1-ab.ndjson.zst"):
        (tmp_path / "active" / name).touch()
    open_spool(tmp_path).close()
    assert names(tmp_path / "active") == set()
    assert names(tmp_path / "quarantine") == set()


def test_the_segment_of_a_living_shipper_is_left_alone(tmp_path: Path) -> None:
    first = open_spool(tmp_path)
    active = first.begin(make_head())
    append(active, EACH)
    second = open_spool(tmp_path)

    assert second.waiting == 0
    assert names(tmp_path / "active") == {active.data_path.name, active.marks_path.name}
    append(active, EACH, first=EACH)
    first.seal(active, Tally())
    assert read_balanced(first).live == {active.head.id: 2 * EACH}


def _marks_of_others(active: Path) -> Iterator[Path]:
    head = make_head()
    os.mkfifo(active / "pipe.marks")
    yield active / "pipe.marks"
    (active / "folder.marks").mkdir()
    yield active / "folder.marks"
    (active / "link.marks").symlink_to("/etc/passwd")
    yield active / "link.marks"
    (active / "loop.marks").symlink_to("loop.marks")
    yield active / "loop.marks"
    (active / head.file).write_bytes(b"no marks beside it")
    yield active / head.file


def test_what_is_not_ours_is_left_where_it_is(tmp_path: Path) -> None:
    open_spool(tmp_path).close()
    foreign = {path.name for path in _marks_of_others(tmp_path / "active")}
    spool = open_spool(tmp_path)

    assert names(tmp_path / "active") == foreign
    assert not spool.is_unfinished


@pytest.mark.parametrize("file", ["../../escape.ndjson", "/etc/passwd", "", "other.ndjson", "a\0b"])
def test_marks_that_name_a_file_that_is_not_theirs_are_quarantined(tmp_path: Path, file: str) -> None:
    open_spool(tmp_path).close()
    head = make_head()
    marks = tmp_path / "active" / segment.marks_name(head.file)
    marks.write_bytes(
        write_line(segment.Head(**{name: getattr(head, name) for name in head.__struct_fields__} | {"file": file}))
    )
    open_spool(tmp_path)

    assert names(tmp_path / "quarantine") == {marks.name}


@pytest.mark.skipif(os.getuid() != 0, reason="needs a second uid")
def test_data_that_may_not_be_read_stops_nothing(killed: ActiveSegment) -> None:
    directory = killed.data_path.parents[1]
    for path in [directory.parent, directory, *directory.rglob("*")]:
        os.chown(path, NOBODY, NOBODY)
    os.chown(killed.data_path, 0, 0)
    child = os.fork()
    if not child:
        status = 1
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            ledger = read_balanced(Spool.open(directory, nobody_lives)[0])
            status = 0 if ledger.tally.dropped.get("corrupt") == DRAINS * EACH else 2
        finally:
            os._exit(status)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize(
    "step",
    [
        pytest.param("telemetry.spool.segment.store", id="before its seal is written"),
        pytest.param("telemetry.files.sync_directory", id="before its names are durable"),
        pytest.param("telemetry.spool.ledger.LedgerLog.append", id="before it is in the ledger"),
        pytest.param("pathlib.Path.unlink", id="before the old files go"),
        pytest.param("telemetry.spool.ledger.LedgerLog.compact", id="before the ledger is compacted"),
    ],
)
def test_a_crash_amid_a_recovery_loses_and_doubles_nothing(killed: ActiveSegment, step: str) -> None:
    directory = killed.data_path.parents[1]

    def recover(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(step, crash)
        open_spool(directory)

    assert crashes(recover)
    assert _recovered(directory, killed) == DRAINS * EACH
