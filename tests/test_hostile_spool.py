"""Nothing that lies in a spool can stop its shipper from starting, taking in and delivering."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from spools import add_segment, make_head, nobody_lives, read_balanced

from telemetry.inspect.account import read_account, verify
from telemetry.inspect.contents import find_segments
from telemetry.paths import TOMBSTONES
from telemetry.spool.layout import FILES, FOLDERS, FORMAT_FILE
from telemetry.spool.ledger import LOG_FILE
from telemetry.spool.segment import MARKS, marks_name, seal_name
from telemetry.spool.spool import Spool
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _directory(path: Path) -> None:
    path.mkdir()
    (path / "full").write_text("x")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        where = os.open(path.parent, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{where}/{path.name}")
        os.close(where)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _real_device(path: Path) -> None:
    try:
        os.mknod(path, 0o600 | 0o020000, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("needs root to make a device")


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(4096))


def _zeros(path: Path) -> None:
    path.write_bytes(b"")
    os.truncate(path, 64 << 20)


def _deep(path: Path) -> None:
    path.write_bytes(b"00000000 " + b"[" * 100_000 + b"\n" + b"{" * 1000)


THINGS = [
    _directory,
    _pipe,
    pytest.param(_socket, marks=pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")),  # noqa: PTH112
    _dangling,
    _loop,
    _link,
    _device,
    _real_device,
    _empty,
    _garbage,
    _zeros,
    _deep,
]


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    """A spool with a segment of three events to be delivered."""
    opened = Spool.open(tmp_path / "spool", nobody_lives)[0]
    add_segment(opened)
    opened.close()
    return tmp_path / "spool"


def _goes_on(directory: Path, *, first: int = 3) -> None:
    """It opens, is looked at, takes in, delivers and ends; what was there arrives."""
    spool, _ = Spool.open(directory, nobody_lives)
    add_segment(spool)
    delivered = 0
    while (seal := spool.take()) is not None:
        if spool.read(seal) is not None:
            spool.ack(seal, 0)
            delivered += seal.tally.kept
    spool.refresh()
    spool.enforce(0, 0, 0.0)
    bury_the_dead(spool, {}, directory)

    assert not spool.is_unfinished
    assert delivered == first + 3
    assert read_balanced(spool).on_disk == 0
    assert read_account(directory).balance == 0
    verify(directory)
    find_segments(directory)
    spool.close()


@pytest.mark.parametrize("thing", THINGS)
def test_anything_in_the_place_of_its_own_files_stops_nothing(spool: Path, thing: Callable[[Path], None]) -> None:
    for file in set(FILES) - {FORMAT_FILE}:
        (spool / file).unlink(missing_ok=True)
        thing(spool / file)

    _goes_on(spool)


@pytest.mark.parametrize("thing", THINGS[:8])
def test_what_is_no_file_in_the_place_of_the_format_stops_nothing(spool: Path, thing: Callable[[Path], None]) -> None:
    (spool / FORMAT_FILE).unlink()
    thing(spool / FORMAT_FILE)

    _goes_on(spool)


@pytest.mark.parametrize("thing", THINGS)
def test_anything_under_names_of_its_own_in_every_folder_stops_nothing(
    spool: Path, thing: Callable[[Path], None]
) -> None:
    for folder in FOLDERS:
        first, second, third = (make_head(created_ns=number).file for number in (1, 2, 3))
        for name in (first, seal_name(second), marks_name(third)):
            thing(spool / folder / name)
    thing(spool / TOMBSTONES / "aa.json")

    _goes_on(spool)


@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("name", ["data", "seal"])
def test_anything_in_the_place_of_a_sealed_segment_costs_that_one_alone(
    spool: Path, name: str, thing: Callable[[Path], None]
) -> None:
    (data,) = (spool / "sealed").glob("*.zst")
    path = data if name == "data" else data.with_name(seal_name(data.name))
    path.unlink()
    thing(path)

    _goes_on(spool, first=0)
    assert Spool(spool).log.read().tally.dropped == {"corrupt": 3}


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("thing", [_pipe, _empty, _garbage])
def test_a_file_in_the_place_of_a_folder_is_put_aside(spool: Path, folder: str, thing: Callable[[Path], None]) -> None:
    (spool / folder).rename(spool / "elsewhere")
    thing(spool / folder)

    _goes_on(spool, first=0 if folder == "sealed" else 3)


@pytest.mark.parametrize("folder", FOLDERS)
def test_names_that_are_no_utf_8_stop_nothing(spool: Path, folder: str) -> None:
    for suffix in (b"", b".json", MARKS.encode(), b".ndjson.zst"):
        try:
            os.close(os.open(os.fsencode(spool / folder) + b"/\xff\xfe" + b"0" * 20 + suffix, os.O_CREAT, 0o600))
        except OSError:
            pytest.skip("this file system takes no such name")

    _goes_on(spool)


def test_a_huge_ledger_is_read_and_made_short(spool: Path) -> None:
    log = spool / LOG_FILE
    line = log.read_bytes().splitlines(keepends=True)[0]
    log.write_bytes(log.read_bytes() + line.replace(b"a", b"b") * 50_000)
    Spool.open(spool, nobody_lives)[0].close()

    assert log.stat().st_size < 10_000
    _goes_on(spool)
