"""A journal gives back whole, unaltered lines, and nothing that comes after one that is not."""

from __future__ import annotations

import zlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.spool.journal import read_good_lines, read_lines, write_line


class Record(msgspec.Struct):
    number: int
    text: str = ""


RECORDS = st.lists(st.builds(Record, st.integers(-(2**63), 2**63), st.text(max_size=30)), max_size=10)
THREE = [Record(1, "first"), Record(2, "line\nbreak"), Record(3, "ä")]


def _write(records: list[Record]) -> bytes:
    return b"".join(map(write_line, records))


def _read(data: bytes) -> list[Record]:
    return [record for record, _ in read_lines(data, Record)]


def _ends(records: list[Record]) -> list[int]:
    return [len(_write(records[:number])) for number in range(len(records) + 1)]


@settings(deadline=None)
@given(RECORDS)
def test_what_was_written_is_read(records: list[Record]) -> None:
    data = _write(records)

    assert _read(data) == records
    assert list(read_good_lines(data, Record)) == records


@settings(deadline=None)
@given(RECORDS)
def test_each_record_comes_with_the_offset_of_its_end(records: list[Record]) -> None:
    assert [0, *(end for _, end in read_lines(_write(records), Record))] == _ends(records)


def test_torn_at_any_byte_the_whole_lines_before_are_read() -> None:
    data, ends = _write(THREE), _ends(THREE)
    for size in range(len(data)):
        whole = sum(end <= size for end in ends) - 1

        assert _read(data[:size]) == THREE[:whole]


@pytest.mark.parametrize("bit", range(8))
def test_with_any_bit_flipped_only_the_lines_before_are_read(bit: int) -> None:
    data, ends = _write(THREE), _ends(THREE)
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        before = sum(end <= at for end in ends) - 1

        assert _read(bytes(flipped)) == THREE[:before]
        others = [record for record in THREE if record in list(read_good_lines(bytes(flipped), Record))]
        assert len(others) >= len(THREE) - 2  # a flipped newline makes one line of two


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{}", id="a field is missing"),
        pytest.param(b'{"number":"one"}', id="a field of the wrong type"),
        pytest.param(b'{"number":1,"text":"\xff"}', id="no UTF-8"),
        pytest.param(b'{"number":1,"more":' + b"[" * 100_000, id="nested too deep"),
    ],
)
def test_a_line_of_another_form_ends_the_journal_though_its_checksum_fits(text: bytes) -> None:
    foreign = b"%08x %b\n" % (zlib.crc32(text), text)

    assert _read(_write(THREE[:1]) + foreign + _write(THREE[1:])) == THREE[:1]


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_rubbish_is_no_line(data: bytes) -> None:
    assert _read(data) == []
