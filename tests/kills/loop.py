"""The loop of kills, and the judgement: every event that lay on disk arrives, and what is lost is counted."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import psutil

from kills import producer
from kills.collector import Collector
from kills.disk import Snapshot, events_on_disk, look
from kills.judgement import Run, judge
from telemetry.errors import SpoolError
from telemetry.inspect.account import read_account
from telemetry.paths import spool_dir
from telemetry.rendezvous.find import find_rendezvous

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kills.judgement import Verdict

T = TypeVar("T")

PRODUCERS = 3
VARIANTS = ("kill", "leave", "versions", "collector", "fast", "stopped")
"""How a run goes:

    kill        SIGKILL, at any instant
    leave       SIGTERM half of the times: as a shipper ends that is over its memory limit
    versions    another shipper, in the foreground, takes over half of the times, and is killed in turn
    collector   the collector is gone for a while after half of the kills
    fast        two producers of 50,000 events a second each
    stopped     producers of 2,000 events a second in all, and a shipper that stands still for a minute before a kill
"""
RATES = {"fast": (2, 50_000), "stopped": (2, 1_000)}
"""By variant, the number of producers, and the events a second of each; 0 for bursts at random."""
STOPPED_SECONDS = 60.0
SETTINGS = {
    "segment_seconds": 0.2,
    "fsync_interval_seconds": 0.1,
    "upload_jitter_seconds": 0.0,
    "retry_min_seconds": 0.02,
    "retry_max_seconds": 0.1,
    "linger_seconds": 60.0,
}
"""Segments are sealed and uploaded all the time, so that kills fall into every step of it."""
STARTING = 0.4
"""How many of the kills meet a shipper that is just starting: its imports, its recovery, its first drain."""
PAUSED = 0.1
"""How many are preceded by a pause (SIGSTOP, SIGCONT), after which everything must go on."""
WORK_SECONDS = 0.25
"""A shipper through which a fresh event has passed lives on for up to this long: longer than a segment."""
PAUSE_SECONDS = 0.3
DEADLINE_SECONDS = 60.0
"""For whatever must come true; long, because a machine may be busy."""


class StuckError(Exception):
    """Something did not come true in time, and a person must look: the loop ends here."""


def run(
    directory: Path, kills: int, seed: int, progress: Callable[[int], None] = lambda _: None, variant: str = "kill"
) -> Verdict:
    """Kill a shipper `kills` times and judge what became of every event. Blocks for about a second a kill.

    Args:
        directory: for its files, empty. `TELEMETRY_HOME` must be set, to a short path that holds nothing.
        kills: how many.
        seed: of the instants.
        progress: called after each kill with their number.
        variant: one of `VARIANTS`.

    Raises:
        StuckError: something did not go on after a kill.
    """
    began = time.monotonic()
    loop = Loop(directory, seed, variant)
    with loop.collector, loop.producers() as hosts:
        pid = None
        for number in range(kills):
            pid = loop.kill_one(pid)
            progress(number + 1)
        loop.see_fresh_events()
        said = loop.drain(hosts)
    return judge(
        Run(
            pids=[host.pid for host in hosts],
            emitted=[host["emitted"] for host in said],
            confirmed=all(host["confirmed"] for host in said),
            collector=loop.collector,
            snapshots=loop.snapshots,
            lost_from_disk=sum(not loop.collector.has(*event) for event in loop.owed),
            account=read_account(loop.spool),
            kills_while_starting=loop.kills_while_starting,
            pauses=loop.pauses,
            slowest_return_seconds=loop.slowest_return_seconds,
            seconds=time.monotonic() - began,
        )
    )


class Loop:
    """One run's producers, collector and shippers, under a `TELEMETRY_HOME` of its own."""

    def __init__(self, directory: Path, seed: int, variant: str) -> None:
        self._rng = random.Random(seed)
        self._variant = variant
        self._producers, self._rate = RATES.get(variant, (PRODUCERS, 0))
        self._directory = directory
        self._others: list[subprocess.Popen[bytes]] = []
        self._counts_file = directory / "counts"
        self._counts_file.write_bytes(bytes(self._producers * producer.COUNT_BYTES))
        self._counts = producer.share_counts(self._counts_file)
        self._catalog = directory / "acme.toml"
        self._catalog.write_text(producer.CATALOG)
        self.collector = Collector(self._producers, self.emitted, seed)
        self.spool = spool_dir("acme-db", self.collector.url)
        self.snapshots: list[Snapshot] = []
        self.owed: set[tuple[int, int]] = set()  # on disk at a kill, and not arrived yet
        self.kills_while_starting = 0
        self.pauses = 0
        self.slowest_return_seconds = 0.0
        self._start_seconds = 0.5

    def emitted(self, index: int) -> int:
        """How many events a producer has emitted, or is just emitting."""
        return int(self._counts[index])

    @contextmanager
    def producers(self) -> Iterator[list[subprocess.Popen[str]]]:
        """Hosts that emit without stop until their standard input is closed."""
        with ExitStack() as stack:
            started = [stack.enter_context(self._start_producer(index)) for index in range(self._producers)]
            try:
                yield started
            finally:
                for process in started:
                    process.kill()
                if pid := self._shipper(None):
                    os.kill(pid, signal.SIGKILL)
                for other in self._others:
                    other.wait(DEADLINE_SECONDS)

    def kill_one(self, last: int | None) -> int:
        """Wait for a shipper other than `last`, choose an instant, look at the disk and kill; returns its pid."""
        began = time.monotonic()
        pid = self._await(lambda: self._shipper(last), "a killed shipper comes back")
        self.slowest_return_seconds = max(self.slowest_return_seconds, time.monotonic() - began)
        if self._rng.random() < STARTING:
            self.kills_while_starting += 1
            time.sleep(self._rng.uniform(0, self._start_seconds))
        else:
            began = time.monotonic()
            self.see_fresh_events()
            self._start_seconds = time.monotonic() - began
            if self._rng.random() < PAUSED:
                self._pause(pid)
            time.sleep(self._rng.uniform(0, WORK_SECONDS))
        try:
            os.kill(pid, signal.SIGSTOP)
            self._await(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED, "the shipper stands still")
        except (ProcessLookupError, psutil.NoSuchProcess):  # it has left, as one does to which another shipper comes
            return self.kill_one(pid)
        if self._variant == "stopped":
            time.sleep(STOPPED_SECONDS)
        self.snapshots.append(self._steady(lambda: look(self.spool)))
        on_disk = self._steady(lambda: [*events_on_disk(self.spool)])
        self.owed = {event for event in (*self.owed, *on_disk) if not self.collector.has(*event)}
        is_half = self._rng.random() < 0.5
        os.kill(pid, signal.SIGTERM if is_half and self._variant == "leave" else signal.SIGKILL)
        if is_half and self._variant == "leave":
            os.kill(pid, signal.SIGCONT)
        if is_half and self._variant == "collector":
            self.collector.be_gone(self._rng.uniform(0, 2 * WORK_SECONDS))
        if is_half and self._variant == "versions":
            self._start_other()
        return pid

    def _steady(self, read: Callable[[], T]) -> T:
        """Read the spool, again if a file has gone meanwhile: one that leaves uploads on while the next one runs."""
        while True:
            try:
                return read()
            except (FileNotFoundError, SpoolError):
                time.sleep(0.02)

    def _start_other(self) -> None:
        """Have another shipper serve all producers, with settings of its own, as a later version would."""
        file = self._directory / "ship.toml"
        said = {**SETTINGS, "product": "acme-db", "catalog": str(self._catalog), "endpoint": self.collector.url}
        file.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in said.items()))
        command = [sys.executable, "-m", "telemetry", "ship", "--config", str(file)]
        self._others.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

    def see_fresh_events(self) -> None:
        """Wait until an event of each producer arrives that was emitted from now on."""
        fresh = [self.emitted(index) for index in range(self._producers)]
        self._await(
            lambda: all(newest >= number for newest, number in zip(self.collector.newest, fresh, strict=True)),
            "fresh events pass",
        )

    def drain(self, hosts: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
        """Have the producers end, and wait until nothing is left on disk; returns what they say."""
        for process in hosts:
            assert process.stdin
            process.stdin.close()
        said = [json.loads(process.stdout.readline()) for process in hosts if process.stdout]
        for process in hosts:
            process.wait(DEADLINE_SECONDS)
        self._await(lambda: read_account(self.spool).on_disk == 0, "the spool drains")
        for other in self._others:
            other.terminate()
        self._await(lambda: self._shipper(None) is None, "the shipper leaves")
        return said

    def _start_producer(self, index: int) -> subprocess.Popen[str]:
        init = {"product": "acme-db", "catalog": str(self._catalog), "endpoint": self.collector.url, "consent": "on"}
        arguments = json.dumps([index, str(self._counts_file), init, SETTINGS, self._rate])
        return subprocess.Popen(
            [sys.executable, "-m", "kills.producer", arguments],
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _pause(self, pid: int) -> None:
        self.pauses += 1
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._rng.uniform(0, PAUSE_SECONDS))
        os.kill(pid, signal.SIGCONT)
        self.see_fresh_events()

    def _shipper(self, not_this: int | None) -> int | None:
        """The pid of the shipper that runs, unless it is the one that was just killed."""
        for rendezvous in find_rendezvous("acme-db"):
            pid = rendezvous.pid
            if rendezvous.runs and pid is not None and pid != not_this:
                return pid
        return None

    def _await(self, found: Callable[[], T | None], what: str) -> T:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (value := found()):
            if time.monotonic() > deadline:
                raise StuckError(f"after {len(self.snapshots)} kills it does not come true that {what}")
            time.sleep(0.005)
        return value
