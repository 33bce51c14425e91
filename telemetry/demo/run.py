"""Run of the demo: collector, producers and the shipper that they spawn, followed until everything is delivered.

All of them are processes in a private home. A `Follower` hears the producers, reads the spool, and watches the shipper.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import psutil

from telemetry.catalog.copies import digest_of
from telemetry.demo.children import Child, DemoError, InterruptedDemoError, hear, private_home, producers
from telemetry.demo.producer import CATALOG, PRODUCT, SETTINGS, Word
from telemetry.demo.report import Stage, open_display, print_ledger, print_report
from telemetry.demo.result import Result, read_stored, take_samples
from telemetry.inspect.account import Account, read_account
from telemetry.paths import spool_dir
from telemetry.rendezvous.directory import rendezvous_dir
from telemetry.rendezvous.lock import LOCK_FILE

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.demo.children import Interrupt
    from telemetry.demo.report import Display


EXIT_FAULT = 1
EXIT_INTERRUPTED = 130


LISTEN_SECONDS = 30.0
"""The patience with a collector: it is there within a second, on a busy machine later."""
DRAIN_SECONDS = 30.0
TICK_SECONDS = 0.1


def perform(plan: Plan, interrupt: Interrupt, *, as_json: bool) -> int:
    """Run the demo and print what came of it; returns the exit code."""
    say(f"{plan.events:,} events about this machine's Python files and processes; nothing leaves this machine")
    try:
        with open_display() as display:
            finished = run(plan, display, interrupt)
    except InterruptedDemoError:
        say("interrupted before the first event")
        return EXIT_INTERRUPTED
    result = Result(finished, read_stored(plan.store))
    return _tell_interrupted(result, as_json=as_json) if finished.interrupted else _tell(result, as_json=as_json)


def _tell(result: Result, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(f"{result.as_json()}\n")
    else:
        print_report(result, take_samples(result.run.comments, result.stored.comments))
    faults = list(result.faults())
    for fault in faults:
        say(fault)
    return EXIT_FAULT if faults else 0


def _tell_interrupted(result: Result, *, as_json: bool) -> int:
    say("interrupted")
    if as_json:
        sys.stdout.write(f"{result.as_json()}\n")
    else:
        print_ledger(result)
    return EXIT_INTERRUPTED


def say(text: str) -> None:
    """Write a line for the user, apart from the results."""
    sys.stderr.write(f"telemetry demo: {text}\n")


class Plan(NamedTuple):
    """The extent of a run.

    Attributes:
        events: the number of events to emit, without the aggregates of counters.
        processes: the number of producers.
        store: the collector's directory.
    """

    events: int
    processes: int
    store: Path


class Run(NamedTuple):
    """A finished run.

    Attributes:
        plan: the extent of the run.
        account: the account of the spool after its last shipper was gone.
        words: the last report of each producer that was heard.
        comments: comments in which redaction may find something, as they stand in the files.
        produced_seconds: the time from the start of the producers until they had ended, everything confirmed.
        seconds: the time from the same start until the last event was delivered.
        shipper_cpu_seconds: the CPU time of the shipper's whole life.
        interrupted: whether it was ended before its time.
    """

    plan: Plan
    account: Account
    words: tuple[Word, ...]
    comments: tuple[str, ...]
    produced_seconds: float
    seconds: float
    shipper_cpu_seconds: float
    interrupted: bool


def run(plan: Plan, display: Display, interrupt: Interrupt) -> Run:
    """Run the demo, which blocks, and leave nothing but the collector's store.

    Raises:
        DemoError: a process failed, or the events were not delivered in time.
    """
    arguments = ["collect", "--listen", "127.0.0.1:0", "--store", str(plan.store), "--catalog", str(CATALOG)]
    with private_home() as home, Child("the collector", "telemetry", arguments, home) as collector:
        endpoint = f"{_url(collector, interrupt)}/v1/batches"
        follower = Follower(plan, endpoint, display, interrupt)
        interrupted = False
        try:
            with producers(plan.processes, plan.events, endpoint, home) as children:
                follower.follow(children, collector)
            follower.await_shipper(collector)
        except InterruptedDemoError:
            interrupted = True
        finally:
            follower.end_shipper()
        return follower.result(interrupted=interrupted)


def _url(collector: Child, interrupt: Interrupt) -> str:
    deadline = time.monotonic() + LISTEN_SECONDS
    while time.monotonic() < deadline:
        interrupt.check()
        for _, said in hear([collector], TICK_SECONDS):
            return str(said["listening"])
        _check_collector(collector)
    raise DemoError(
        f"the collector was not ready within {LISTEN_SECONDS:.0f} s; try again when the machine is less busy"
    )


def _check_collector(collector: Child) -> None:
    if collector.has_ended:  # even with exit code 0: nobody told it to
        raise collector.obituary()


class Follower:
    """An observer of a run while it goes on."""

    def __init__(self, plan: Plan, endpoint: str, display: Display, interrupt: Interrupt) -> None:
        """Follow a run that begins now. The environment is already that of the private home."""
        digest = digest_of(CATALOG.read_bytes())
        self._spool = spool_dir(PRODUCT, endpoint)
        self._meter = ShipperMeter(rendezvous_dir(PRODUCT, digest, endpoint, SETTINGS))
        self._plan, self._display, self._interrupt = plan, display, interrupt
        self._words: dict[str, Word] = {}
        self._comments: list[str] = []
        self._delivered = 0
        self._began = time.monotonic()
        self._looked_seconds = self._produced_seconds = self._delivered_seconds = 0.0

    def follow(self, children: list[Child], collector: Child) -> None:
        """Hear the producers until all have ended, and raise if one failed."""
        while any(child.is_speaking or not child.has_ended for child in children):
            self._interrupt.check()
            for child, said in hear(children, TICK_SECONDS):
                word = Word(**said)
                self._words[child.name] = word
                self._comments += word.comments
            for child in (*children, collector):
                child.check()
            self._look()
        self._produced_seconds = self._seconds()

    def await_shipper(self, collector: Child) -> None:
        """Wait until the shipper has delivered everything and left."""
        deadline = time.monotonic() + DRAIN_SECONDS
        while self._meter.look() is not None:
            self._interrupt.check()
            _check_collector(collector)
            self._look()
            if time.monotonic() > deadline:
                raise DemoError(f"the shipper had not left {DRAIN_SECONDS:.0f} s after the producers; {self._state()}")
            time.sleep(TICK_SECONDS / 2)
        self._look()

    def end_shipper(self) -> None:
        """End a shipper that still lives, after it has handed over what it can."""
        deadline = time.monotonic() + DRAIN_SECONDS / 3
        if (process := self._meter.look()) is not None:
            process.terminate()
        while (process := self._meter.look()) is not None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(TICK_SECONDS / 2)

    def result(self, *, interrupted: bool) -> Run:
        """Return the finished run; all processes but the collector must be gone."""
        self._look()
        return Run(
            plan=self._plan,
            account=read_account(self._spool),
            words=tuple(self._words.values()),
            comments=tuple(self._comments),
            produced_seconds=self._produced_seconds,
            seconds=self._delivered_seconds,
            shipper_cpu_seconds=self._meter.cpu_seconds,
            interrupted=interrupted,
        )

    def _look(self) -> None:
        """Look at shipper and spool, unless that was done a moment ago, and show the stage."""
        now = self._seconds()
        if now - self._looked_seconds < TICK_SECONDS / 2:
            return
        self._looked_seconds = now
        self._meter.look()
        account = read_account(self._spool)
        if account.delivered > self._delivered:
            self._delivered, self._delivered_seconds = account.delivered, now
        emitted = sum(word.emitted for word in self._words.values())
        self._display.show(Stage(now, self._plan.events, emitted, account.on_disk, account.delivered))

    def _state(self) -> str:
        account = read_account(self._spool)
        return f"{account.delivered:,} events are delivered, {account.on_disk:,} on disk"

    def _seconds(self) -> float:
        return time.monotonic() - self._began


class ShipperMeter:
    """Follows the shippers of one rendezvous: who lives, and what they have used in all."""

    def __init__(self, rendezvous: Path) -> None:
        self._rendezvous = rendezvous
        self._cpu_seconds: dict[int, float] = {}

    @property
    def cpu_seconds(self) -> float:
        """Return the CPU time of all shippers so far, as of the last look."""
        return sum(self._cpu_seconds.values())

    def look(self) -> psutil.Process | None:
        """Look at the shipper of the moment; return None when there is none."""
        try:
            process = psutil.Process(int((self._rendezvous / LOCK_FILE).read_text()))
            if str(self._rendezvous) not in process.cmdline():  # its pid is another's by now, or it is a zombie
                return None
            used = process.cpu_times()
        except (OSError, ValueError, psutil.Error):
            return None
        self._cpu_seconds[process.pid] = used.user + used.system
        return process
