"""`telemetry tail` and `telemetry top`, beside a real host and shipper."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from textual.widgets import DataTable, Sparkline, Static

from telemetry.cli.status import gather
from telemetry.cli.tail import tail
from telemetry.cli.top import top
from telemetry.cli.top_screen import Top

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Collector, StartHost

TAIL = [sys.executable, "-u", "-m", "telemetry", "tail"]


def test_events_are_printed_as_they_pass_and_none_twice(
    home: Path, start_host: StartHost, collector: Collector
) -> None:
    host = start_host(collector.endpoint, segment_seconds=0.3)
    host.emit(2, duration_ms=1.0)
    command = [*TAIL, "--limit", "6"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tailing:
        assert tailing.stderr
        assert "2 events lie here already; waiting for more" in tailing.stderr.readline()
        for number in range(3):
            host.emit(1, duration_ms=float(number), engine="batch")
            host.emit(1, "query_finished", duration_ms=10.0 + number, engine="nobody's")
        out, _ = tailing.communicate(timeout=60)
    told = [json.loads(line) for line in out.splitlines()]
    assert tailing.returncode == 0
    assert sorted(event["duration_ms"] for event in told) == [0.0, 1.0, 2.0, 10.0, 11.0, 12.0]
    assert {event["engine"] for event in told} == {"batch", "other"}
    assert home.exists()


def test_events_are_chosen_by_name_and_field(home: Path, start_host: StartHost, refusing: str) -> None:
    host = start_host(refusing)
    for engine in ("batch", "stream"):
        host.emit(2, duration_ms=2.5, engine=engine)

    def told(*arguments: str, limit: int) -> list[Any]:
        done = CliRunner().invoke(tail, [*arguments, "--last", "9", "--limit", str(limit)], catch_exceptions=False)
        assert done.exit_code == 0
        return [json.loads(line) for line in done.stdout.splitlines()]

    assert len(told("query_*", limit=4)) == 4
    assert {event["engine"] for event in told("--where", "engine=stream", limit=2)} == {"stream"}
    assert len(told("query_finished", "x", "--where", "duration_ms=2.5", "--where", "engine=batch", limit=2)) == 2
    assert home.exists()


@pytest.mark.parametrize("arguments", [["--where", "engine"], ["--product", "../x"], []], ids=["field", "name", "none"])
def test_a_wrong_call_is_told(home: Path, arguments: list[str]) -> None:
    assert home.exists()
    done = CliRunner().invoke(tail, arguments)
    assert done.exit_code == 2
    assert done.stdout == ""


def test_top_shows_the_ledger_and_goes_on(home: Path, start_host: StartHost, refusing: str) -> None:
    host = start_host(refusing)
    host.emit(5)

    async def look() -> None:
        screen = Top("acme-db", 3600.0, gather)
        async with screen.run_test() as pilot:
            shown = _figures(screen)
            assert shown["events", "emitted"] == shown["events", "on disk"] == "5"
            host.emit(1234)
            host.emit(1, "nobody_declared_this")
            screen.look()
            await pilot.pause()
            assert _figures(screen)["events", "emitted"] == "1,240"
            assert _figures(screen)["dropped", "undeclared"] == "1"
            assert any(which.startswith("pid ") for what, which in _figures(screen) if what == "shipper")
            assert screen.query_one(Sparkline).data
            assert "events a second" in str(screen.query_one("#rate", Static).content)
            await pilot.press("q")

    asyncio.run(look())
    assert home.exists()


def _figures(screen: Top) -> dict[tuple[str, str], str]:
    table: DataTable[str] = screen.query_one(DataTable)
    rows = [table.get_row_at(number) for number in range(table.row_count)]
    return {(what, which): number for what, which, number in rows}


def test_top_needs_a_terminal(home: Path) -> None:
    assert home.exists()
    done = CliRunner().invoke(top, ["--product", "acme-db"])
    assert done.exit_code == 2
    assert "status --json" in done.output
