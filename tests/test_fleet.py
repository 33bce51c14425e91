"""A fleet in small: shippers that are killed, bad links, a server that dies, and nothing lost or doubled."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fleet.run import Plan, run

if TYPE_CHECKING:
    from fleet.run import Outcome

PLAN = Plan(installations=60, batches=2, events=20, seconds=3.0, kill_every_seconds=1.5, drain_seconds=120.0)


def _assert_whole(outcome: Outcome, plan: Plan) -> None:
    assert outcome.is_whole, outcome
    every = plan.installations * plan.batches * plan.events
    assert outcome.sent + outcome.withheld == every
    assert outcome.withheld == every // 20, "one installation of twenty lets nothing leave"
    assert outcome.stored == outcome.sent, "and what waits has arrived in time"
    assert outcome.servers_killed >= 1
    assert outcome.shippers_killed > 0
    assert outcome.cpu_seconds_per_million.keys() >= {"shippers", "collectors"}


def test_a_collector_that_is_killed_costs_a_fleet_nothing(tmp_path: Path) -> None:
    _assert_whole(run(PLAN, tmp_path), PLAN)


def test_servers_of_a_stream_that_are_killed_cost_a_fleet_nothing(tmp_path: Path) -> None:
    plan = PLAN._replace(far="stream")
    _assert_whole(run(plan, tmp_path), plan)


@pytest.mark.parametrize("option", [("--installations", "100000"), ("--installations", "0"), ("--seconds", "1e9")])
def test_a_fleet_is_bounded(option: tuple[str, str]) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-m", "fleet", *option]
    told = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert (told.returncode, "1 to 5000 installations" in told.stderr) == (1, True)


def test_what_is_lost_doubled_or_leaked_is_told_by_the_exit_code(tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    program = """
import sys
from fleet import __main__ as main, run
lost = int(sys.argv.pop())
main.run = lambda plan, place: run.Outcome(10, 9, 0, lost, 0, 0, 0, 0, 1, 0, 0, 0, 1.0, {"shippers": 1.0})
main.main()
"""
    codes = []
    for lost in ("1", "0"):
        command = [sys.executable, "-c", program, "--json", lost]
        told = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, cwd=tmp_path)
        codes.append(told.returncode)
        if lost == "0":
            assert json.loads(told.stdout)["stored"] == 9
    assert codes == [1, 0]
