"""A shipper that is killed at random instants, under load: what was on disk arrives, and what is lost is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kills.loop import run

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 8  # tools/kills does a thousand


def test_no_kill_costs_an_event_that_was_on_disk_and_every_other_loss_is_counted(home: Path, tmp_path: Path) -> None:
    assert home.exists()

    verdict = run(tmp_path, KILLS, seed=1)

    assert verdict.faults == []
    assert (verdict.kills, verdict.lost_from_disk, verdict.lost_beyond_hand) == (KILLS, 0, 0)
    assert verdict.arrived > KILLS
