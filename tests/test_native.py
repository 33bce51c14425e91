"""Clocks, threads and waiting that no patch reaches: nothing of ours stands still or switches to another greenlet."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from standin import ENDPOINT, PRODUCT, stand_in, write_catalog

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_SECONDS = 60.0

FROZEN = {
    "freezegun": "import freezegun; freezegun.freeze_time('2020-01-01').start()",
    "time-machine": "import time_machine; time_machine.travel(0, tick=False).start()",
    # As a profiler or a test does it: every clock that `time` has stands still, and nobody sleeps.
    "by hand": """
import time
for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
    setattr(time, name, lambda value=getattr(time, name)(): value)
time.sleep = lambda seconds: None
""",
}

HOST = f"""
import os, sys
{{before}}
import telemetry
client = telemetry.init(product={PRODUCT!r}, catalog={{catalog!r}}, endpoint={ENDPOINT!r}, consent="on")
{{after}}
telemetry.emit("query_finished", number=1)
telemetry.count("queries")
print(telemetry.flush({{patience}}))
telemetry.close()
"""


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


def run(catalog: Path, patience: float, before: str = "", after: str = "") -> str:
    code = HOST.format(before=before, after=after, catalog=str(catalog), patience=patience)
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False
    )
    assert result.stderr == ""
    return result.stdout


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("clock", FROZEN)
def test_with_the_clock_stopped_a_flush_is_confirmed(catalog: Path, clock: str, when: str) -> None:
    began_ns = time.time_ns()
    with stand_in(catalog) as shipper:
        assert run(catalog, 30, **{when: FROZEN[clock]}) == "True\n"
        assert shipper.values("number") == [1]
        assert shipper.values("count") == [1]
        if clock != "time-machine":  # it stops the clock beneath its name
            assert all(began_ns <= unix_ns <= time.time_ns() for _, unix_ns, _ in shipper.events)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("clock", FROZEN)
def test_with_the_clock_stopped_a_flush_gives_up_in_time(catalog: Path, clock: str, when: str) -> None:
    with stand_in(catalog, deaf=True):
        assert run(catalog, 0.2, **{when: FROZEN[clock]}) == "False\n"


@pytest.mark.parametrize("library", ["gevent.monkey", "eventlet"])
def test_no_greenlet_runs_while_a_shipper_is_spawned(catalog: Path, library: str) -> None:
    """`init` spawns on the caller's thread; another greenlet that ran meanwhile would see it half made."""
    pytest.importorskip(library)
    patch = (
        f"import warnings; warnings.simplefilter('ignore'); import {library}, {library.partition('.')[0]} as green\n"
    )
    patch += f"{library}.{'patch_all' if library.startswith('gevent') else 'monkey_patch'}()\n"
    watch = "import telemetry.client\nran = []\ngreen.spawn(ran.append, 1)"
    with stand_in(catalog):
        pass  # nobody is there any more
    assert run(catalog, 0.0, before=patch + watch, after="assert not ran, ran") == "False\n"
