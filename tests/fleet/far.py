"""Far sides of a fleet: a collector with a store of its own, or several before a stream; each can lose a server."""

from __future__ import annotations

import os
import subprocess
import sys
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil
import zstandard
from cluster.collectors import Collector
from cluster.servers import NatsCluster
from far_sides import await_port, free_port

from telemetry.collector.stream.source import StreamSource
from telemetry.jetstream import Access

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PARTITIONS = 8
_COLLECTORS = 2


class Stored(NamedTuple):
    """A batch at the far side."""

    batch: str
    lines: list[bytes]


class FarSide(ABC):
    """Where a fleet's batches go.

    Attributes:
        ports: those of the collectors.
        kills: how often a server was killed.
    """

    def __init__(self) -> None:
        self.ports: list[int] = []
        self.kills = 0
        self._spent: dict[int, tuple[str, float]] = {}

    @abstractmethod
    def kill(self) -> None:
        """Kill a server, another one each time."""

    @abstractmethod
    def revive(self) -> None:
        """Start what was killed again, where it was."""

    @abstractmethod
    def stored(self) -> Iterator[Stored]:
        """Yield all that is kept."""

    @abstractmethod
    def end(self) -> None:
        """End all servers."""

    @abstractmethod
    def _processes(self) -> dict[str, list[int]]:
        """The process ids that live, by what they are."""

    def look(self) -> None:
        """Note what the processes have spent: of one that is killed nobody knows it afterwards."""
        for kind, pids in self._processes().items():
            for pid in pids:
                with suppress(psutil.Error):
                    process = psutil.Process(pid)
                    for each in (process, *process.children()):
                        times = each.cpu_times()
                        self._spent[each.pid] = kind, times.user + times.system

    def cpu_seconds(self) -> dict[str, float]:
        """Return what was spent, by what the processes are."""
        self.look()
        kinds = {kind for kind, _ in self._spent.values()}
        return {kind: sum(spent for of, spent in self._spent.values() if of == kind) for kind in sorted(kinds)}


class StoreSide(FarSide):
    """One collector on one machine."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self._port = free_port()
        self.ports = [self._port]
        self._collector = self._begin()

    def _begin(self) -> subprocess.Popen[str]:
        where = ("--listen", f"127.0.0.1:{self._port}", "--store", str(self._place / "store"))
        options = ("--max-bytes-per-second", str(1 << 40))
        command = [sys.executable, "-m", "telemetry", "collect", *where, *options]
        with (self._place / "collector.log").open("ab") as log:
            return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, text=True)

    def kill(self) -> None:
        self.look()
        self.kills += 1
        self._collector.kill()
        self._collector.wait()

    def revive(self) -> None:
        self._collector = self._begin()
        await_port(self._port)

    def stored(self) -> Iterator[Stored]:
        for path in sorted((self._place / "store" / "batches").glob("*.ndjson.zst")):
            yield Stored(path.name.partition(".")[0], _lines(path.read_bytes()))

    def end(self) -> None:
        self._collector.terminate()
        self._collector.wait(30)

    def _processes(self) -> dict[str, list[int]]:
        return {"collectors": [self._collector.pid]}


class StreamSide(FarSide):
    """Collectors that keep nothing, before three servers of a stream."""

    def __init__(self, place: Path) -> None:
        super().__init__()
        self._place = place
        self._cluster = NatsCluster(place)
        self._url = f"{self._cluster.url}/fleet"
        command = [sys.executable, "-m", "telemetry", "stream", "create", self._url, "--partitions", str(_PARTITIONS)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "TELEMETRY_TOKEN": ""})
        self.ports = [free_port() for _ in range(_COLLECTORS)]
        self._collectors = [self._begin(port) for port in self.ports]
        self._dead: tuple[str, int] | None = None

    def _begin(self, port: int) -> Collector:
        return Collector(self._place, self._url, listen=f"127.0.0.1:{port}")

    def kill(self) -> None:
        """Kill one of three servers, or of the collectors in every fourth turn."""
        self.look()
        turn, servers = self.kills, len(self._cluster.peers)
        self.kills += 1
        if turn % (servers + 1) == servers:
            number = turn // (servers + 1) % len(self._collectors)
            self._collectors[number].kill()
            self._collectors[number].process.wait()
            self._dead = "collector", number
        else:
            number = turn % (servers + 1)
            self._cluster.kill(number)
            self._dead = "server", number

    def revive(self) -> None:
        if self._dead is None:
            return
        (kind, number), self._dead = self._dead, None
        if kind == "server":
            self._cluster.start(number)
        else:
            self._collectors[number] = self._begin(self.ports[number])

    def stored(self) -> Iterator[Stored]:
        source = StreamSource(self._url, Access(), {})
        try:
            for partition in source.partitions():
                for batch in source.read(partition, 0):
                    yield Stored(batch.batch, _lines(batch.body))
        finally:
            source.close()

    def end(self) -> None:
        for collector in self._collectors:
            collector.__exit__()
        self._cluster.end()

    def _processes(self) -> dict[str, list[int]]:
        collectors = [collector.process.pid for collector in self._collectors]
        return {"collectors": collectors, "servers": list(self._cluster.pids.values())}


SIDES: dict[str, type[StoreSide | StreamSide]] = {"store": StoreSide, "stream": StreamSide}


def _lines(body: bytes) -> list[bytes]:
    return zstandard.ZstdDecompressor().decompressobj().decompress(body).splitlines()
