"""The whole way beyond one machine: shippers, collectors, stream, loaders, tables, each of them killed under way."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from cluster.collectors import Collector
from cluster.servers import NatsCluster, Postgres, postgres_programs
from far_sides import S3, SETTINGS, free_port
from lakes import _objects
from spools import make_head, open_spool, read_balanced

from telemetry.collector.tables.lake import Lake, place_of
from telemetry.collector.tables.read import ask_tables
from telemetry.consent import State
from telemetry.errors import TelemetryError
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.permission import Permission
from telemetry.spool.positions import Position
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

SHIPPERS = 4
EVENTS = 25  # of a segment
PARTITIONS = 2
CATALOG = """
[catalog]
product = "acme-db"
version = 3
[events.counted]
purpose = "see that each arrives once"
owner = "query team"
expires = "2099-12-31"
sensitivity = "technical"
[events.counted.fields]
number = { type = "int", purpose = "tell one from the others" }
"""


class Shipper:
    """A shipper's spool, uploader and sink, which upload segment upon segment to one collector until they are ended.

    Attributes:
        numbers: those of the events that it has emitted.
    """

    def __init__(self, place: Path, number: int, port: int) -> None:
        self.numbers = range(number * 1_000_000, number * 1_000_000)
        self._spool = open_spool(place / f"spool-{number}")
        self._sink = HttpSink(f"http://127.0.0.1:{port}/v1/batches", SETTINGS, {})
        self._uploader = Uploader(
            self._spool, self._sink, SETTINGS, lambda: Permission(State.ON), Tripwire(lambda _: None)
        )
        self._is_ending = False
        self._is_given_up = False
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        while not self._is_ending:
            self._emit(self.numbers.stop)
            while self._spool.waiting and not self._is_given_up:
                self._uploader.step()
                time.sleep(0.1)

    def _emit(self, first: int) -> None:
        line = '{"event":"counted","time":"2026-01-01T00:00:00Z","session":"%032x","number":%d}\n'
        session = f"{self.numbers.start:032x}"
        self.numbers = range(self.numbers.start, first + EVENTS)
        lines = "".join(line % (self.numbers.start, number) for number in range(first, first + EVENTS)).encode()
        active = self._spool.begin(make_head(session=session))
        active.append(lines, Tally(emitted=EVENTS, kept=EVENTS), {"aa" * 16: Position(1, first + EVENTS)})
        self._spool.seal(active, Tally(emitted=EVENTS, kept=EVENTS))

    def end(self) -> None:
        """Emit no more, and wait until all is delivered."""
        self._is_ending = True
        self._thread.join(120)
        self._is_given_up = True
        self._thread.join()
        assert read_balanced(self._spool).delivered == len(self.numbers)
        self._spool.close()
        self._sink.close()


@pytest.mark.skipif(postgres_programs() is None, reason="PostgreSQL is not installed")
def test_each_event_is_in_the_tables_once_though_every_kind_of_server_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    with ExitStack() as stack:
        servers = NatsCluster(tmp_path)
        stack.callback(servers.end)
        (tmp_path / "s3").mkdir()
        s3 = S3(tmp_path / "s3")
        stack.callback(s3.end)
        programs = postgres_programs()
        assert programs is not None
        postgres = Postgres(programs)
        stack.callback(postgres.end)
        for name, value in s3.environ.items():
            monkeypatch.setenv(name, value)
        url = f"{servers.url}/telemetry"
        iceberg = postgres.url.replace("postgresql", "postgresql+psycopg2")
        told = subprocess.run(
            [sys.executable, "-m", "telemetry", "stream", "create", url, "--partitions", str(PARTITIONS)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stderr

        ports = [free_port() for _ in range(2)]
        collectors = [_collect(tmp_path, url, port) for port in ports]
        stack.callback(_end_all, collectors)
        loaders = [_load(tmp_path, url, iceberg, partition) for partition in range(PARTITIONS)]
        stack.callback(_kill_all, loaders)
        shippers = [Shipper(tmp_path, number, ports[number % 2]) for number in range(SHIPPERS)]

        lake = _lake(iceberg)
        _await_rows(lake, 1)
        leader = servers.leader("telemetry")
        servers.kill(leader)
        collectors[0].kill()
        loaders[0].kill()
        loaders[0].wait()
        collectors[0] = _collect(tmp_path, url, ports[0])
        loaders[0] = _load(tmp_path, url, iceberg, 0)
        _await_rows(lake, _rows(lake) + 2 * EVENTS)
        postgres.restart()
        servers.start(leader)
        loaders[1].kill()
        loaders[1].wait()
        loaders[1] = _load(tmp_path, url, iceberg, 1)

        _await_rows(lake, _rows(lake) + 2 * EVENTS)
        for shipper in shippers:
            shipper.end()
        emitted = sorted(number for shipper in shippers for number in shipper.numbers)
        _await_rows(lake, len(emitted))
        for process in loaders:
            process.terminate()
        for process in loaders:
            process.wait(120)
        found = _ask(lake, "SELECT number, count(*) AS times FROM counted GROUP BY number")
        assert sorted(row["number"] for row in found) == emitted
        assert {row["times"] for row in found} == {1}


def _kill_all(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
        process.wait()


def _end_all(collectors: list[Collector]) -> None:
    for collector in collectors:
        collector.__exit__()


def _collect(place: Path, url: str, port: int) -> Collector:
    return Collector(place, url, "--catalog", str(place / "acme.toml"), listen=f"127.0.0.1:{port}")


def _load(place: Path, url: str, iceberg: str, partition: int) -> subprocess.Popen[bytes]:
    options = ("--follow", "--partition", str(partition), "--tables", "s3://acme/tables", "--commit-seconds", "1")
    command = [sys.executable, "-m", "telemetry", "load", url, *options, "--catalog", str(place / "acme.toml")]
    with (place / f"loader-{partition}.log").open("ab") as log:
        return subprocess.Popen(
            command, stdout=log, stderr=log, env={**os.environ, "TELEMETRY_ICEBERG_CATALOG": iceberg}
        )


def _lake(iceberg: str) -> Lake:
    return Lake(place_of("s3://acme/tables", iceberg), is_new=True)


def _rows(lake: Lake) -> int:
    try:
        (row,) = _ask(lake, "SELECT count(*) AS rows FROM counted")
    except TelemetryError:  # there is no such table yet, or PostgreSQL is only starting
        return 0
    return int(row["rows"])


def _ask(lake: Lake, sql: str) -> list[dict[str, Any]]:
    return ask_tables(lake, sql, _objects)


def _await_rows(lake: Lake, rows: int) -> None:
    deadline = time.monotonic() + 180
    while (found := _rows(lake)) < rows:
        assert time.monotonic() < deadline, (found, rows)
        time.sleep(0.2)
