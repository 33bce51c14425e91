"""Taken numbers: what a shipper writes is what its hosts read, and what is rubbish, cut or another's is nothing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.rendezvous.taken import (
    BUCKET_BYTES,
    BUCKET_RECORDS,
    FILE_BYTES,
    RECORD_BYTES,
    TAKEN_FILE,
    Reader,
    Records,
    pack,
    unpack,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PRODUCER = bytes(range(16))
OTHERS = [bytes([0, 1]) + bytes([number]) * 14 for number in range(2, 20)]
"""Producers of the same bucket."""


@pytest.fixture
def reader() -> Iterator[Reader]:
    opened = Reader()
    yield opened
    opened.close()


def _number(reader: Reader, directory: Path, producer: bytes = PRODUCER) -> int:
    taken = reader.read(directory, producer)
    assert taken is not None
    return taken.number


def test_what_is_written_is_read_by_one_call_and_survives_the_file_s_name(tmp_path: Path, reader: Reader) -> None:
    records = Records(tmp_path, [(PRODUCER, 7, 3)])
    assert _number(reader, tmp_path) == 7
    records.write(PRODUCER, 9, 3)
    assert _number(reader, tmp_path) == 9
    assert (tmp_path / TAKEN_FILE).stat().st_size == FILE_BYTES
    records.write(PRODUCER, 11, 3)
    records.close()
    assert _number(reader, tmp_path) == 11, "a shipper that has left is read to its last word"
    assert list(tmp_path.iterdir()) == []


def test_without_a_file_nothing_is_known(tmp_path: Path, reader: Reader) -> None:
    assert reader.read(tmp_path, PRODUCER) is None
    assert reader.read(tmp_path / "gone", PRODUCER) is None
    os.mkfifo(tmp_path / TAKEN_FILE)
    assert reader.read(tmp_path, PRODUCER) is None


def test_another_shipper_is_told_from_the_one_before(tmp_path: Path, reader: Reader) -> None:
    first = Records(tmp_path, [(PRODUCER, 7, 3)])
    before = reader.read(tmp_path, PRODUCER)
    first.write(PRODUCER, 8, 3)
    assert reader.read(tmp_path, PRODUCER) == before._replace(number=8)  # type: ignore[union-attr]
    second = Records(tmp_path, [(PRODUCER, 5, 3)])
    after = reader.read(tmp_path, PRODUCER)
    assert after is not None
    assert after.number == 5
    assert after.shipper != before.shipper  # type: ignore[union-attr]
    first.close()
    assert _number(reader, tmp_path) == 5, "who was replaced does not remove the other's file"
    second.close()


def test_a_file_that_was_removed_is_put_back(tmp_path: Path, reader: Reader) -> None:
    records = Records(tmp_path, [(PRODUCER, 7, 3)])
    records.keep()
    (tmp_path / TAKEN_FILE).unlink()
    records.write(PRODUCER, 8, 3)
    records.keep()
    assert _number(reader, tmp_path) == 8
    records.close()


def test_where_it_can_not_be_made_nothing_is_raised(tmp_path: Path, reader: Reader) -> None:
    records = Records(tmp_path / "gone", [(PRODUCER, 7, 3)])
    records.write(PRODUCER, 8, 3)
    assert reader.read(tmp_path / "gone", PRODUCER) is None
    (tmp_path / "gone").mkdir()
    records.keep()
    assert _number(reader, tmp_path / "gone") == 8
    records.close()


def test_in_a_full_bucket_the_record_that_was_written_longest_ago_gives_way(tmp_path: Path, reader: Reader) -> None:
    records = Records(tmp_path, [(PRODUCER, 7, 3)])
    for producer in OTHERS[: BUCKET_RECORDS - 1]:
        records.write(producer, 1, 3)
    records.write(PRODUCER, 8, 3)
    records.write(OTHERS[BUCKET_RECORDS], 2, 3)
    assert _number(reader, tmp_path) == 8
    assert _number(reader, tmp_path, OTHERS[0]) == 0
    assert _number(reader, tmp_path, OTHERS[BUCKET_RECORDS]) == 2
    records.close()


@pytest.mark.parametrize("damage", ["cut", "flipped", "blank", "grown"])
def test_a_file_that_is_damaged_says_nothing(tmp_path: Path, reader: Reader, damage: str) -> None:
    records = Records(tmp_path, [(PRODUCER, 7, 3)])
    assert _number(reader, tmp_path) == 7
    path = tmp_path / TAKEN_FILE
    data = bytearray(path.read_bytes())
    at = data.find(PRODUCER)
    with path.open("r+b") as file:
        match damage:
            case "cut":
                file.truncate(at + RECORD_BYTES - 1)
            case "flipped":
                file.seek(at + 20)
                file.write(bytes([data[at + 20] ^ 1]))
            case "blank":
                file.write(bytes(len(data)))
            case "grown":
                file.write(b"x" + bytes(data))
    assert _number(reader, tmp_path) == 0
    records.write(PRODUCER, 8, 3)
    assert _number(reader, tmp_path) == 8
    records.close()


def test_a_host_that_closes_what_is_not_its_own_opens_it_anew(tmp_path: Path, reader: Reader) -> None:
    records = Records(tmp_path, [(PRODUCER, 7, 3)])
    assert _number(reader, tmp_path) == 7
    assert reader._open is not None
    descriptor = reader._open[0]
    os.close(descriptor)
    other = os.open(tmp_path, os.O_RDONLY)
    os.dup2(other, descriptor)
    os.close(other)
    assert _number(reader, tmp_path) == 7
    os.fstat(descriptor)  # the host's is open still
    os.close(descriptor)
    records.close()


@given(st.binary(max_size=BUCKET_BYTES), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_of_any_bytes_only_a_whole_record_in_its_place_is_one(rubbish: bytes, number: int, dropped: int) -> None:
    assert unpack(rubbish, PRODUCER) is None
    record = pack(PRODUCER, number, dropped)
    before = rubbish[: len(rubbish) // RECORD_BYTES * RECORD_BYTES]
    assert unpack(before + record + rubbish, PRODUCER) == (number, dropped)
    assert unpack(before + b"x" + record, PRODUCER) is None
    assert unpack(before + record[:-1], PRODUCER) is None
