"""The curve over what waits in the spool works on the spool that it says, and takes no room for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.backlog import one_run
from bench.spool import BIG_SEGMENT_BYTES, fill
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path


def test_a_point_has_a_figure_for_each_part_and_leaves_what_waited_as_it_was() -> None:
    figures = one_run(3, 2)  # stops unless as many segments wait as before

    assert {metric for metric, _ in figures} == {
        "shipper CPU per event",
        "CPU of a start",
        "CPU of a look for what may leave",
    }
    assert all(figure > 0 for figure in figures.values())


def test_a_filled_spool_is_as_large_as_it_says_takes_no_room_and_can_be_taken_from(tmp_path: Path) -> None:
    fill(tmp_path / "spool", 8, BIG_SEGMENT_BYTES)
    files = [path.stat() for path in (tmp_path / "spool" / "sealed").iterdir()]
    spool, ledger = Spool.open(tmp_path / "spool", lambda *_: False)

    assert sum(file.st_size for file in files) > 8 * BIG_SEGMENT_BYTES
    assert sum(file.st_blocks * 512 for file in files) < BIG_SEGMENT_BYTES
    assert (spool.waiting, ledger.on_disk, ledger.balance) == (8, 8, 0)
    assert spool.take() is not None
    spool.close()
