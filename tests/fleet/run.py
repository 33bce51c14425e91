"""Run of a fleet: its parts as processes, a schedule of kills, and what was found at the far side in the end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from math import inf
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fleet.far import SIDES
from fleet.worker import Work

if TYPE_CHECKING:
    from fleet.far import FarSide

_LINKS = ("good", "good", "good", "good", "good", "good", "slow", "lossy", "lossy", "good")
_DEAD_SECONDS = 1.5
_MORE_SECONDS = 120.0


class Plan(NamedTuple):
    """What a fleet does.

    Attributes:
        far: what is at the far side: `store` or `stream`.
        installations: how many there are.
        batches: how many each makes.
        events: of each batch.
        seconds: the time in which they are made.
        kill_every_seconds: the time between two kills of servers; 0 for none.
        drain_seconds: the time that what waits in the end has to arrive.
        workers: the processes that host them.
    """

    far: str = "store"
    installations: int = 1000
    batches: int = 5
    events: int = 100
    seconds: float = 60.0
    kill_every_seconds: float = 10.0
    drain_seconds: float = 120.0
    workers: int = 2


class Outcome(NamedTuple):
    """What became of a fleet's events.

    Attributes:
        sent: the events of installations that let them leave.
        stored: those of them that are at the far side.
        doubled: those that are there more than once, in batches of different ids.
        lost: those that are neither there, nor wait, nor were counted as dropped.
        waiting: those that still wait in a spool.
        dropped: those that a ledger counts as dropped.
        withheld: the events of installations that let nothing leave.
        leaked: those of them that are at the far side all the same.
        batches: the batches at the far side.
        repeated: copies of a batch under the same id, which a loader passes over.
        shippers_killed: how often a shipper was killed.
        servers_killed: how often a server was.
        seconds: how long all took.
        cpu_seconds_per_million: the cost of a million events sent, by who spent it.
    """

    sent: int
    stored: int
    doubled: int
    lost: int
    waiting: int
    dropped: int
    withheld: int
    leaked: int
    batches: int
    repeated: int
    shippers_killed: int
    servers_killed: int
    seconds: float
    cpu_seconds_per_million: dict[str, float]

    @property
    def is_whole(self) -> bool:
        """Whether every event is accounted for, and none is where it must not be."""
        return not (self.doubled or self.lost or self.leaked)


def run(plan: Plan, place: Path) -> Outcome:
    """Run a fleet with its files in `place`; takes `seconds`, and as long as it takes to drain."""
    began = monotonic()
    with ExitStack() as stack:
        far = SIDES[plan.far](place)
        stack.callback(far.end)
        links = _start("fleet.links", *map(str, far.ports))
        stack.callback(_end, links)
        assert links.stdout is not None
        ports = json.loads(links.stdout.readline())
        endpoints = [f"http://127.0.0.1:{ports[kind]}/v1/batches" for kind in _LINKS]
        workers = [_start("fleet.worker", json.dumps(work._asdict())) for work in _share(plan, place, endpoints)]
        for worker in workers:
            stack.callback(_end, worker)
        told = _await(plan, far, workers)
        return _find(far, told, began)


def _share(plan: Plan, place: Path, endpoints: list[str]) -> list[Work]:
    each = -(-plan.installations // plan.workers)
    return [
        Work(
            first=first,
            installations=min(each, plan.installations - first),
            batches=plan.batches,
            events=plan.events,
            seconds=plan.seconds,
            drain_seconds=plan.drain_seconds,
            endpoints=endpoints,
            place=str(place / "spools"),
            threads=64,  # most wait for a server
        )
        for first in range(0, plan.installations, each)
    ]


def _start(module: str, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, env=environ)


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def _await(plan: Plan, far: FarSide, workers: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
    """Kill servers on schedule until the workers have ended; return what those tell."""
    over = Event()
    killer = Thread(target=_kill, args=(plan, far, over))
    killer.start()
    try:
        most_seconds = plan.seconds + plan.drain_seconds + _MORE_SECONDS
        return [json.loads(worker.communicate(timeout=most_seconds)[0]) for worker in workers]
    finally:
        over.set()
        killer.join()


def _kill(plan: Plan, far: FarSide, over: Event) -> None:
    began = monotonic()
    at_seconds = plan.kill_every_seconds or inf
    while at_seconds < plan.seconds and not over.wait(max(0.0, began + at_seconds - monotonic())):
        far.kill()
        print(f"fleet: {monotonic() - began:.0f} s, servers killed: {far.kills}", file=sys.stderr)
        over.wait(_DEAD_SECONDS)
        far.revive()
        at_seconds += plan.kill_every_seconds


class _Line(msgspec.Struct):
    installation: int
    number: int


def _find(far: FarSide, told: list[dict[str, Any]], began: float) -> Outcome:
    decode = msgspec.json.Decoder(_Line).decode
    ids: Counter[str] = Counter()
    found: Counter[tuple[int, int]] = Counter()
    for stored in far.stored():
        ids[stored.batch] += 1
        if ids[stored.batch] == 1:
            found.update((line.installation, line.number) for line in map(decode, stored.lines))
    emitted = {int(number): events for each in told for number, events in each["emitted"].items()}
    withheld = {number for each in told for number in each["withheld"]}
    waiting = {(number, event) for each in told for number, event in each["waiting"]} - found.keys()
    dropped = sum(sum(each["dropped"].values()) for each in told)
    sent = sum(events for number, events in emitted.items() if number not in withheld)
    leaked = sum(1 for number, _ in found if number in withheld)
    spent = {"shippers": sum(each["cpu_seconds"] for each in told), **far.cpu_seconds()}
    return Outcome(
        sent=sent,
        stored=len(found) - leaked,
        doubled=sum(1 for times in found.values() if times > 1),
        lost=sent - (len(found) - leaked) - len(waiting) - dropped,
        waiting=len(waiting),
        dropped=dropped,
        withheld=sum(emitted[number] for number in withheld),
        leaked=leaked,
        batches=len(ids),
        repeated=sum(ids.values()) - len(ids),
        shippers_killed=sum(each["kills"] for each in told),
        servers_killed=far.kills,
        seconds=round(monotonic() - began, 1),
        cpu_seconds_per_million={name: round(seconds / sent * 1e6, 1) for name, seconds in spent.items()},
    )
