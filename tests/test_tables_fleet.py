"""The loader beyond one machine: from a stream, into S3, with PostgreSQL as Iceberg's catalog."""

from __future__ import annotations

import os
import random
import secrets
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import lakes
import pytest
import zstandard
from cluster.collectors import Collector
from cluster.servers import NatsCluster, Postgres, postgres_programs
from far_sides import S3
from lakes import an_event, assert_same, declare, fill, of_store, of_tables, put, run_load
from test_stream import make

from telemetry.collector.tables.lake import Lake, place_of
from telemetry.collector.tables.upkeep import tend

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

COUNTS = "SELECT event, count(*) AS n, count(DISTINCT batch) AS batches FROM events GROUP BY ALL ORDER BY ALL"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store" / "batches").mkdir(parents=True)
    declare(tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def postgres() -> Iterator[str]:
    programs = postgres_programs()
    if programs is None:
        pytest.skip("Debian's postgresql is not installed")
    server = Postgres(programs)
    yield server.url.replace("postgresql://", "postgresql+psycopg2://")
    server.end()


def test_tables_in_a_bucket_are_those_of_a_directory(
    store: Path, tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "s3").mkdir()
    bucket = S3(tmp_path / "s3")
    try:
        for name, value in bucket.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("TELEMETRY_ICEBERG_CATALOG", postgres)
        place = place_of("s3://acme/lake", postgres)
        for number in range(9):
            fill(store, 1, 20, seed=number)
            if number % 4 == 0:
                loaded = run_load(store, "s3://acme/lake", "--commit-bytes", "1024")
                assert (loaded.returncode, loaded.stderr) == (0, "")
        lake = Lake(place)
        tend(lake, datetime.now(UTC) + timedelta(days=2), 0, lambda: False)
        assert [len(table.files()) for table in lake.tables().values()] == [0, 1, 1, 1, 1, 1, 1]
        assert_same(store, lake)
        command = [
            sys.executable,
            "-m",
            "telemetry",
            "query",
            "SELECT count(*) FROM events",
            "--tables",
            "s3://acme/lake",
        ]
        asked = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (asked.stdout.split()[-1], asked.stderr) == ("180", "")
    finally:
        bucket.end()


def test_loaders_of_a_stream_load_each_batch_once_whatever_is_killed_and_repeated(
    store: Path, tmp_path: Path, postgres: str
) -> None:
    (tmp_path / "nats").mkdir()
    servers = NatsCluster(tmp_path / "nats", 1)
    tables = tmp_path / "tables"
    try:
        url = f"{servers.url}/s{secrets.token_hex(4)}"
        make(url, 2)
        catalog = next((store / "catalogs").glob("*.toml"))
        command = [sys.executable, "-m", "telemetry", "load", url, "--tables", str(tables), "--catalog", str(catalog)]
        settings = {**os.environ, "TELEMETRY_TOKEN": "", "TELEMETRY_ICEBERG_CATALOG": postgres}
        chance = random.Random(3)
        loaders: list[subprocess.Popen[bytes]] = []
        with Collector(tmp_path, url) as collector:
            for round_ in range(4):
                for _ in range(6):
                    events = [an_event(chance) for _ in range(20)]
                    batch = put(store, events, batch=f"{chance.getrandbits(128):032x}")
                    body = zstandard.compress(b"".join(map(lakes.json_line, events)))
                    assert collector.post(batch, body).status_code == 200
                follow = [*command, "--follow", "--commit-seconds", "0.2"]
                loaders += [subprocess.Popen(follow, env=settings) for _ in range(2 - len(loaders))]
                if round_ % 2:
                    loaders[-1].kill()
                    loaders.pop().wait()
            for loader in loaders:
                loader.kill()
                loader.wait()
            last = subprocess.run(command, capture_output=True, text=True, check=False, env=settings)
            assert last.returncode == 0, last.stderr
        lake = Lake(place_of(str(tables), postgres))
        assert of_tables(lake, COUNTS) == of_store(store, COUNTS)
        places = of_tables(lake, "SELECT count(*) AS n, count(DISTINCT batch) AS ids FROM batches")
        assert places == [{"n": 24, "ids": 24}]
    finally:
        servers.end()
