"""A shipper that is killed at random instants, under load: all that its hosts emit arrives, and once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from kills.loop import run

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 8  # tools/kills does a thousand


@pytest.mark.parametrize(("variant", "kills"), [("kill", KILLS), ("leave", 4), ("versions", 4), ("collector", 4)])
def test_no_kill_costs_an_event_that_was_on_disk_and_every_other_loss_is_counted(
    home: Path, tmp_path: Path, variant: str, kills: int
) -> None:
    """Nothing is lost at all: the hosts live, and have room."""
    assert home.exists()

    verdict = run(tmp_path, kills, seed=1, variant=variant)

    assert verdict.faults == []
    assert (verdict.kills, verdict.lost_from_disk, verdict.lost_beyond_hand) == (kills, 0, 0)
    assert verdict.arrived == verdict.emitted > kills
    assert verdict.lost == {}
