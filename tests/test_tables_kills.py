"""Exactly once: whatever step a loader is killed at, and however many load, compact and expire at one time."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import wait_until
from lakes import assert_same, declare, fill, ids, of_store, of_tables, run_load

KILLED_AT = """
import os, signal, sys, traceback
from datetime import UTC, datetime, timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lakes import lake_at, loader
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO
from sqlalchemy.orm import Session
from telemetry.collector.tables import stored
from telemetry.collector.tables.lake import FileWriter, Lake
from telemetry.collector.tables.loader import Pace
from telemetry.collector.tables.upkeep import tend

store, tables, first, last, stride = Path(sys.argv[2]), Path(sys.argv[3]), *map(int, sys.argv[4:7])
left = 0

def counted(owner, name):
    call = getattr(owner, name)
    def step(*args, **options):
        global left
        for _ in range(2):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if _ == 0:
                answer = call(*args, **options)
        return answer
    setattr(owner, name, step)

for owner, name in (
    (PyArrowFile, "create"), (PyArrowFileIO, "delete"), (Session, "commit"), (FileWriter, "write"),
    (FileWriter, "finish"), (stored.StoreSource, "first"), (Lake, "append"), (Lake, "replace"),
):
    counted(owner, name)

def work():
    lake = lake_at(tables)
    loading = loader(lake, store, pace=Pace(1 << 8))
    loading.advance(lambda: False)
    loading.commit()
    tend(lake, datetime.now(UTC) + timedelta(days=2), 0, lambda: False)

for number in range(first, last, stride):
    child = os.fork()  # of a process that has no threads yet
    if not child:
        left = number
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print(number, os.waitstatus_to_exitcode(status), flush=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store" / "batches").mkdir(parents=True)
    declare(tmp_path / "store")
    return tmp_path / "store"


def assert_once(store: Path, tables: Path) -> None:
    counts = "SELECT event, count(*) AS n FROM events GROUP BY ALL ORDER BY ALL"
    assert of_tables(tables, counts) == of_store(store, counts)
    assert set(ids(tables).values()) == {1}
    assert_same(store, tables)


def test_a_loader_killed_at_one_step_after_another_loads_each_event_once(store: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    fill(store, 12, 20, days=2)
    program = [sys.executable, "-c", KILLED_AT, str(Path(__file__).parent), str(store), str(tables)]
    killed = 0
    for first, last, stride in ((2, 100, 5), (120, 400, 40), (10_000, 10_001, 1)):
        done = subprocess.run(
            [*program, str(first), str(last), str(stride)], capture_output=True, text=True, check=True, timeout=250
        )
        assert not done.stderr
        ends = [int(line.split()[1]) for line in done.stdout.splitlines()]
        assert set(ends) <= {0, -signal.SIGKILL}
        killed += ends.count(-signal.SIGKILL)
        chance_of_more = random.Random(first)
        fill(store, chance_of_more.randrange(3), 5, seed=1000 + first)
    assert killed >= 20
    run = subprocess.run([*program, "0", "1", "1"], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout == "0 0\n"
    assert_once(store, tables)


def test_loaders_killed_at_random_that_load_compact_and_expire_together_load_each_event_once(
    store: Path, tmp_path: Path
) -> None:
    tables = tmp_path / "tables"
    fill(store, 40, 20, days=2)
    chance = random.Random(5)
    command = [sys.executable, "-m", "telemetry", "load", str(store), "--tables", str(tables), "--follow"]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for round_ in range(4):
            running += [subprocess.Popen([*command, "--commit-seconds", "0.2"]) for _ in range(3 - len(running))]
            time.sleep(chance.uniform(1, 4))
            fill(store, 5, 20, seed=100 + round_)
            victim = running.pop(chance.randrange(len(running)))
            victim.kill()
            victim.wait()
        for loader in running:
            loader.send_signal(signal.SIGTERM)
        assert [loader.wait(120) for loader in running] == [0, 0]
    finally:
        for loader in running:
            loader.kill()
    assert run_load(store, tables).returncode == 0
    assert_once(store, tables)


def test_a_full_disk_stops_the_loader_and_the_next_run_goes_on(store: Path, tmp_path: Path) -> None:
    fill(store, 40, 1000)
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", small], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here")
    try:
        full = run_load(store, small / "tables", "--commit-bytes", "20000")
        assert full.returncode == 1
        assert "Traceback" not in full.stderr
        assert "the next run goes on from there" in full.stderr
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert run_load(store, small / "tables").returncode == 0
        assert_once(store, small / "tables")
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_stopped_run_keeps_what_it_read_and_the_next_goes_on(store: Path, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    fill(store, 300, 100)
    command = [sys.executable, "-m", "telemetry", "load", str(store), "--tables", str(tables)]
    running = subprocess.Popen([*command, "--commit-bytes", "1024"], stderr=subprocess.PIPE, text=True)
    wait_until(lambda: bool(ids(tables)))
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 130
    assert said == "telemetry load: stopped; the next run goes on from here\n"
    assert 0 < len(ids(tables)) < 300
    assert run_load(store, tables).returncode == 0
    assert_once(store, tables)
