"""An active segment: what is appended can be read back, and a failed append leaves it as it was."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import zlib
from typing import TYPE_CHECKING

import msgspec
import pytest
import zstandard
from msgspec import UNSET
from spools import append, decompress, make_head, make_lines, names

from telemetry import files
from telemetry.spool import segment
from telemetry.spool.segment import ActiveSegment, Seal
from telemetry.spool.stream import Wrap, wrap
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[pytest.param(True, id="zstd"), pytest.param(False, id="plain")])
def active(tmp_path: Path, request: pytest.FixtureRequest) -> ActiveSegment:
    return ActiveSegment(tmp_path, make_head(compressed=request.param))


def _read(found: ActiveSegment) -> bytes:
    data = found.data_path.read_bytes()
    return decompress(data) if found.head.compressed else data


def _seal(found: ActiveSegment, tmp_path: Path) -> Seal:
    (tmp_path / "sealed").mkdir()
    seal = found.seal(tmp_path / "sealed", Tally())
    found.close()
    return seal


def test_each_drain_can_be_read_back_at_once(active: ActiveSegment) -> None:
    for number in range(5):
        append(active, 10, first=10 * number)

        assert _read(active) == make_lines(10 * number + 10)
    active.close()


def test_a_sealed_segment_is_one_whole_stream_of_the_length_and_crc_that_its_seal_says(
    active: ActiveSegment, tmp_path: Path
) -> None:
    append(active, 10)
    append(active, 10, first=10)
    seal = _seal(active, tmp_path)
    data = (tmp_path / "sealed" / active.head.file).read_bytes()

    assert (seal.length_bytes, seal.crc, seal.tally.kept) == (len(data), zlib.crc32(data), 20)
    assert (zstandard.ZstdDecompressor().stream_reader(data).read() if active.head.compressed else data) == make_lines(
        20
    )
    assert not active.head.compressed or zstandard.get_frame_parameters(data).has_checksum
    assert segment.load(tmp_path / "sealed", active.head.file).tally == seal.tally
    assert names(tmp_path) == {"sealed", active.marks_path.name}


def test_the_marks_say_what_stands_in_the_file_after_each_drain(active: ActiveSegment) -> None:
    sizes = []
    for number in range(4):
        append(active, 3, first=3 * number)
        sizes.append(active.data_path.stat().st_size)
    active.close()
    read = segment.read_marks(active.marks_path)

    assert read is not None
    assert read[0] == active.head
    assert [mark.length_bytes for mark in read[1]] == sizes
    assert [mark.tally.kept for mark in read[1]] == [3, 6, 9, 12]


@pytest.mark.parametrize("compressed", [True, False], ids=["zstd", "plain"])
def test_an_envelope_is_put_around_the_events_at_their_end(tmp_path: Path, *, compressed: bool) -> None:
    wraps = (Wrap(0x0A, b"of the resource"), Wrap(0x12, b""))
    found = ActiveSegment(tmp_path, msgspec.structs.replace(make_head(compressed=compressed), wraps=wraps))
    append(found, 3)
    append(found, 2, 3)
    seal = _seal(found, tmp_path)
    body = (tmp_path / "sealed" / found.head.file).read_bytes()

    assert (seal.length_bytes, seal.crc, seal.body_bytes) == (len(body), zlib.crc32(body), len(make_lines(5)))
    assert (decompress(body) if compressed else body) == wrap(wraps, make_lines(5))
    assert segment.plain_events(found.head, body) == make_lines(5)
    assert segment.load(tmp_path / "sealed", found.head.file).tally == seal.tally
    assert not found.data_path.exists()


@pytest.mark.parametrize("damage", [b"", b"no such event"], ids=["gone", "altered"])
def test_an_envelope_is_put_around_nothing_but_what_was_written(tmp_path: Path, damage: bytes) -> None:
    found = ActiveSegment(tmp_path, msgspec.structs.replace(make_head(), wraps=(Wrap(0x0A, b""),)))
    append(found, 3)
    found.data_path.write_bytes(damage.ljust(found.length_bytes if damage else 0))

    with pytest.raises(OSError, match="is not what was written"):
        _seal(found, tmp_path)
    assert names(tmp_path / "sealed") == set()
    assert found.data_path.exists(), "recovery finds out what is left"


def test_of_a_segment_without_events_no_envelope_is_left(tmp_path: Path) -> None:
    found = ActiveSegment(tmp_path, msgspec.structs.replace(make_head(), wraps=(Wrap(0x0A, b""),)))
    found.append(b"", Tally(emitted=2, dropped={"invalid": 2}), {})
    _seal(found, tmp_path)

    assert names(tmp_path / "sealed") == set()


def test_its_files_are_private(active: ActiveSegment) -> None:
    append(active, 1)
    active.close()

    assert {path.stat().st_mode & 0o777 for path in (active.data_path, active.marks_path)} == {0o600}


def _refuse_from(monkeypatch: pytest.MonkeyPatch, write: int) -> None:
    """Let the disk take half of that write, and nothing after it."""
    real, count = files.write_all, iter(range(1000))

    def write_all(file: int, data: bytes) -> None:
        if next(count) < write:
            real(file, data)
            return
        os.write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "write_all", write_all)


@pytest.mark.parametrize("write", [pytest.param(0, id="data"), pytest.param(1, id="mark")])
def test_a_failed_append_leaves_both_files_as_they_were(
    active: ActiveSegment, write: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(active, 5)
    before = active.data_path.read_bytes(), active.marks_path.read_bytes(), active.tally.copy()
    _refuse_from(monkeypatch, write)
    with pytest.raises(OSError, match="full"):
        append(active, 5, first=5)
    active.close()

    assert (active.data_path.read_bytes(), active.marks_path.read_bytes(), active.tally) == before


def test_a_segment_that_can_t_be_begun_leaves_neither_files_nor_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_files = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None  # noqa: PTH112, PTH208
    _refuse_from(monkeypatch, 0)
    with pytest.raises(OSError, match="full"):
        ActiveSegment(tmp_path, make_head())

    assert names(tmp_path) == set()
    if open_files is not None:
        assert set(os.listdir("/proc/self/fd")) == open_files  # noqa: PTH208


def test_a_segment_without_a_drain_is_deleted_when_abandoned_and_one_with_is_not(tmp_path: Path) -> None:
    empty, used = ActiveSegment(tmp_path, make_head()), ActiveSegment(tmp_path, make_head())
    append(used, 1)
    empty.abandon()
    used.abandon()

    assert names(tmp_path) == {used.data_path.name, used.marks_path.name}


def test_a_living_owner_holds_the_marks(active: ActiveSegment) -> None:
    with active.marks_path.open("rb") as other:
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        active.close()
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("bit", range(8))
def test_a_seal_with_any_bit_flipped_says_the_same_or_nothing(active: ActiveSegment, tmp_path: Path, bit: int) -> None:
    append(active, 2)
    _seal(active, tmp_path)
    sealed = tmp_path / "sealed"
    path = sealed / segment.seal_name(active.head.file)
    good, data = segment.load(sealed, active.head.file), path.read_bytes()
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            found = segment.load(sealed, active.head.file)
        except ValueError:
            continue

        assert found == good


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"null", b"[" * 100_000, b"\xff"], ids=["empty", "{}", "null", "deep", "binary"]
)
def test_what_is_no_seal_is_a_value_error(tmp_path: Path, data: bytes) -> None:
    head = make_head()
    (tmp_path / segment.seal_name(head.file)).write_bytes(data)
    with pytest.raises(ValueError, match=r"."):
        segment.load(tmp_path, head.file)


def test_the_seal_of_another_segment_is_refused(active: ActiveSegment, tmp_path: Path) -> None:
    append(active, 1)
    seal = _seal(active, tmp_path)
    other = make_head()
    (tmp_path / segment.seal_name(other.file)).write_bytes(msgspec.json.encode(seal))
    with pytest.raises(ValueError, match="not what was written"):
        segment.load(tmp_path, other.file)


@pytest.mark.parametrize(
    ("name", "is_data"),
    [
        (f"{1:020d}-{'ab' * 16}.ndjson.zst", True),
        (f"{1:020d}-{'ab' * 16}.pb", True),
        (f"{1:020d}-{'ab' * 16}.json", False),
        (f"{1:020d}-{'ab' * 16}.marks", False),
        (f".{1:020d}-{'ab' * 16}.ndjson.zst.new", False),
        (f"{1:020d}-{'ab' * 16}", False),
        ("notes.txt", False),
        ("core", False),
        ("", False),
        ("../sealed/x.y", False),
    ],
)
def test_only_a_segment_s_data_file_is_taken_for_one(name: str, is_data: bool) -> None:  # noqa: FBT001 a column of the table
    assert segment.is_data(name) is is_data


def test_a_seal_is_read_by_versions_that_know_no_sensitivity_and_theirs_by_this_one(tmp_path: Path) -> None:
    active = ActiveSegment(tmp_path, make_head(sensitivity="technical"))
    append(active, 3)
    seal = _seal(active, tmp_path)
    file = tmp_path / "sealed" / segment.seal_name(active.head.file)
    written = json.loads(file.read_bytes())
    assert written["head"].pop("sensitivity") == "technical"
    assert written["check"] == zlib.crc32(msgspec.json.encode(written | {"check": 0})), "as those compute it"

    file.write_bytes(msgspec.json.encode(written))

    assert segment.load(tmp_path / "sealed", seal.head.file).head == msgspec.structs.replace(
        seal.head, sensitivity=UNSET
    )


@pytest.mark.parametrize("damage", [(b'"technical"', b'"tecnnical"'), (b'"sensitivity"', b'"sensitivitx"')])
def test_no_damage_makes_a_segment_one_that_may_leave(tmp_path: Path, damage: tuple[bytes, bytes]) -> None:
    active = ActiveSegment(tmp_path, make_head(sensitivity="technical"))
    append(active, 3)
    _seal(active, tmp_path)
    file = tmp_path / "sealed" / segment.seal_name(active.head.file)
    file.write_bytes(file.read_bytes().replace(*damage))
    try:
        found = segment.load(tmp_path / "sealed", active.head.file).head.sensitivity
    except ValueError:
        found = UNSET
    assert found is UNSET
