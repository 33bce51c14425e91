"""How many events a second go from emit to an acknowledged upload, with validation, redaction and disk on?

Two producer processes and the shipper, or several of them, share the machine's cores; the endpoint only reads. The
clock runs from the first emit to the last acknowledgement in the ledger. With peers, the same events go through
syslog-ng, and either shipper is killed in the middle of a further run.
"""

from __future__ import annotations

import json
import os
import signal
from contextlib import ExitStack
from functools import partial
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import psutil
import zmq
import zstandard

from bench.load import CHUNK_EVENTS, Load
from bench.measure import Result, progress, summarize
from bench.peers import syslog
from bench.peers.syslog import PLANTED
from bench.site import Site, site
from telemetry.inspect.account import Account, read_account, total
from telemetry.rendezvous.control import Control
from telemetry.spool.ledger import LedgerLog

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Sequence
    from pathlib import Path

PRODUCERS = 2


def measure(runs: int, events: int, dirty_share: float, shippers: int, *, peers: bool) -> list[Result]:
    """Measure the whole way, several times."""
    load = Load(events // PRODUCERS // CHUNK_EVENTS, dirty_share=dirty_share, shippers=shippers)
    name = f"pipeline, {dirty_share:.0%} dirty" + (f", {shippers} shippers" if shippers > 1 else "")

    def ours() -> dict[tuple[str, str], float]:
        with site() as place:
            return one_run(place, PRODUCERS, load)

    def ours_killed() -> dict[tuple[str, str], float]:
        with site() as place:
            return {("lost by a kill", "events"): killed_run(place, PRODUCERS, load)}

    if not peers:
        return _repeated(name, runs, ours)
    results = [*_repeated(name, runs, ours), *_repeated(name, runs, ours_killed)]
    for kind in syslog.KINDS:
        theirs = f"syslog-ng by {kind}, {dirty_share:.0%} dirty"
        results += _repeated(theirs, runs, partial(syslog.one_run, kind, load))
        results += _repeated(theirs, runs, partial(syslog.killed_run, kind, load))
    return results


def _repeated(name: str, runs: int, one: Callable[[], dict[tuple[str, str], float]]) -> list[Result]:
    found: dict[tuple[str, str], list[float]] = {}
    for run in range(runs + 1):
        progress(f"{name}: run {run or 'to warm up'}")
        for metric, value in one().items():
            if run:
                found.setdefault(metric, []).append(value)
    return [summarize(name, metric, unit, values) for (metric, unit), values in found.items()]


def one_run(place: Site, number: int, load: Load) -> dict[tuple[str, str], float]:
    """Emit from so many producers, wait until all is acknowledged, and take the figures."""
    events = number * load.chunks * CHUNK_EVENTS
    producers = start(place, number, load)
    with ExitStack() as stack:
        meetings = sorted((place.home / "run").iterdir())
        controls = [stack.enter_context(Control(zmq.Context.instance(), meeting)) for meeting in meetings]
        before = _ask_all(controls, "status")
        machine = psutil.cpu_times()
        go(producers)
        reports = [_report_of(producer) for producer in producers]
        _ask_all(controls, "seal")
        ledger, ended = _wait_for_acks(place.home)
        idle = _idle_share(machine, psutil.cpu_times())
        after = _ask_all(controls, "status")
    for producer in producers:
        producer.communicate()
    lost = sum(ledger.tally.dropped.values())
    if len(controls) != load.shippers or ledger.balance or lost or ledger.delivered < events:
        raise SystemExit(f"bench: {lost} of {events} events dropped, {ledger.balance} unaccounted: not a valid run")
    seconds = ended - min(report["began"] for report in reports)
    spent = sum(said["cpu_seconds"] for said in after) - sum(said["cpu_seconds"] for said in before)
    return {
        ("emit to acknowledged", "events/s"): events / seconds,
        ("host CPU per event", "us"): sum(report["cpu"] for report in reports) / events * 1e6,
        ("shipper CPU per event", "us"): spent / events * 1e6,
        ("shipper memory, at most", "MB"): max(said["memory_bytes"] for said in after) / 1e6,
        ("cores used", "%"): 100 * (1 - idle),
        **_of_bodies(place.home, load, number),
    }


def _ask_all(controls: list[Control], op: str) -> list[dict[str, Any]]:
    return [control.ask({"op": op}, 10) for control in controls]


def _idle_share(before: Any, after: Any) -> float:
    """The share of the machine's time, between two looks, in which a core had nothing to do."""
    passed = [now - then for then, now in zip(before, after, strict=True)]
    waited = after.idle - before.idle + after.iowait - before.iowait
    return float(waited / sum(passed))


def killed_run(place: Site, number: int, load: Load) -> int:
    """Emit as `one_run` does, and kill the shipper in the middle; return the number of events that did not arrive."""
    events = number * load.chunks * CHUNK_EVENTS
    producers = start(place, number, load)
    (rendezvous,) = (place.home / "run").iterdir()
    with Control(zmq.Context.instance(), rendezvous) as control:
        pid = control.ask({"op": "status"}, 10)["pid"]
    go(producers)
    (spool,) = place.home.glob("state/*/spool-*")
    while LedgerLog(spool).read().tally.emitted < events // 4:
        sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    for producer in producers:
        _report_of(producer)
        producer.communicate()
    ledger, _ = _wait_for_acks(place.home)
    if ledger.balance:
        raise SystemExit(f"bench: {ledger.balance} events unaccounted for: not a valid run")
    return events - ledger.delivered


def _of_bodies(home: Path, load: Load, number: int) -> dict[tuple[str, str], float]:
    """What bodies take, and what is left in them of what was planted, by the copies of those that were sent."""
    bodies = [body.read_bytes() for body in home.glob("state/*/spool-*/sent/*.zst")]
    plain = [zstandard.ZstdDecompressor().decompressobj().decompress(body) for body in bodies]
    planted = sum(len(PLANTED.findall(str(fields))) for _, fields in load.emissions()) * load.chunks * number
    figures = {("disk and wire", "% of NDJSON"): 100 * sum(map(len, bodies)) / sum(map(len, plain))}
    if planted:
        left = sum(len(PLANTED.findall(body.decode())) for body in plain)
        figures["planted values left", "%"] = 100 * left / planted
    return figures


def start(place: Site, number: int, load: Load) -> list[subprocess.Popen[str]]:
    """Start so many producers; when this returns, their shipper runs and they wait for `go`."""
    catalog = load.write_catalog(place.home)
    producers = [place.start("bench.producer", place.endpoint, catalog, json.dumps(load)) for _ in range(number)]
    for producer in producers:
        assert producer.stdout is not None
        producer.stdout.readline()
    return producers


def go(producers: Sequence[subprocess.Popen[str]]) -> None:
    """Have them emit."""
    for producer in producers:
        assert producer.stdin is not None
        producer.stdin.write("go\n")
        producer.stdin.flush()


def _report_of(producer: subprocess.Popen[str]) -> dict[str, Any]:
    assert producer.stdout is not None
    report: dict[str, Any] = json.loads(producer.stdout.readline())
    return report


def _wait_for_acks(home: Path) -> tuple[Account, float]:
    spools = [*home.glob("state/*/spool-*")]
    while any(LedgerLog(spool).read().on_disk for spool in spools):
        sleep(0.005)
    ended = monotonic()
    return total(map(read_account, spools)), ended
