"""What does a day without network cost, and what comes of it when the network is back?

outage   a day at 50,000 events/s in simulated time: memory, disk, what is lost, and how the backlog drains
         (bench/outage_day.py says what of it is real). Each of the day's 4.3 billion events is compressed and
         written, some 60 GB, so it takes the better part of an hour; `--seconds` makes it shorter.
host     real hosts with a real shipper, an endpoint that works and one that refuses in turn, both emitting all
         they can: what `emit` costs, and the memory of both processes, to which the spool's limit is small enough
         to be passed many times.
herd     many shippers cut off together: how their first uploads after the return are spread, by the backoff alone.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

import psutil
import zmq

from bench.cost import cost
from bench.emit import CHUNK_EVENTS
from bench.measure import Result, percentile, progress, summarize
from bench.outage_day import DEAD_ENDPOINT
from bench.site import CATALOG, site
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.backoff import full_jitter

if TYPE_CHECKING:
    from collections.abc import Iterator

EVENTS_PER_SECOND = 50_000
HERD = 1000
SMALL = ShipperSettings(spool_bytes=8 << 20, segment_bytes=1 << 20, upload_jitter_seconds=0.0, retry_max_seconds=5.0)
"""A shipper whose spool is full soon, and that tries often."""


def measure(runs: int, events: int, seconds: int) -> list[Result]:
    """Measure the outage, the host in one, and the herd.

    Args:
        runs: of the host.
        events: that a host emits in a run.
        seconds: of the outage, simulated.
    """
    return [*_outage(seconds), *_hosts(runs, events), *_herd(seconds)]


def _outage(seconds: int) -> list[Result]:
    progress(f"outage: {seconds:,} s at {EVENTS_PER_SECOND:,} events/s, simulated")
    with site() as place:
        spool_bytes = ShipperSettings().spool_bytes
        seed = random.SystemRandom().randrange(2**32)
        progress(f"outage: seed {seed}")
        figures = place.run("bench.outage_day", place.endpoint, seconds, EVENTS_PER_SECOND, spool_bytes, seed)
    if faults := wrong(figures):
        raise SystemExit(f"bench: {'; '.join(faults)}: not a valid run; seed {seed}")
    delays = figures["fresh_delays"]
    name = f"outage of {seconds / 3600:.1f} h"
    one = [
        ("emitted", "events", figures["emitted"]),
        ("dropped, oldest first", "events", sum(figures["dropped"].values())),
        ("unaccounted for", "events", figures["balance"]),
        ("written", "MB", figures["bytes_written"] / 1e6),
        ("most on disk, of its limit", "%", 100 * figures["most_bytes"] / figures["limit_bytes"]),
        ("shipper memory, growth from 10 %", "%", 100 * figures["memory_growth"]),
        ("uploads tried", "tries", figures["attempts"]),
        ("return to first upload", "s", figures["first_upload_seconds"]),
        ("backlog drained", "s", figures["drain_seconds"]),
    ]
    fresh = Result(
        name, "fresh batch, seal to upload", "s", round(median(delays), 2), round(max(delays), 2), len(delays)
    )
    return [*(summarize(name, metric, unit, [value]) for metric, unit, value in one), fresh]


def wrong(figures: dict[str, Any]) -> list[str]:
    """What of an outage is not as it has to be."""
    checks = {
        f"{figures['balance']} events unaccounted for": figures["balance"] == 0,
        "others were dropped than the oldest": figures["is_oldest_first"],
        f"dropped by {figures['dropped']}": figures["dropped"].keys() == {"spool_full"},
        f"{figures['most_bytes']} bytes on disk, {figures['limit_bytes']} allowed": figures["most_bytes"]
        <= figures["limit_bytes"],
        "nothing fresh was delivered": bool(figures["fresh_delays"]),
    }
    return [fault for fault, holds in checks.items() if not holds]


def _hosts(runs: int, events: int) -> Iterator[Result]:
    found: dict[tuple[str, str, str], list[float]] = {}
    for run in range(runs + 1):
        for name in ("endpoint works", "endpoint refuses"):
            progress(f"outage: host, {name}, run {run or 'to warm up'}")
            with site() as place:
                endpoint = place.endpoint if name == "endpoint works" else DEAD_ENDPOINT
                figures = place.run("bench.outage", endpoint, events)
            for metric, (value, unit) in figures.items():
                if run:
                    found.setdefault((f"host, {name}", metric, unit), []).append(value)
    for (name, metric, unit), values in found.items():
        yield summarize(name, metric, unit, values)
    for metric, unit in (("call, p50", "us"), ("host CPU per event", "us")):
        refuses, works = (found[f"host, endpoint {state}", metric, unit] for state in ("refuses", "works"))
        yield summarize("host, refuses / works", metric, "ratio", [median(refuses) / median(works)])


def _herd(seconds: int) -> list[Result]:
    """The moments of the first upload after the return, of shippers whose outage began at the same moment."""
    settings, dice = ShipperSettings(), random.Random(1)
    moments = [_first_upload(seconds, settings, dice) for _ in range(HERD)]
    (_, busiest), *_ = Counter(map(int, moments)).most_common(1)
    return [
        summarize(f"herd of {HERD:,}", "first uploads in the busiest second", "shippers", [busiest]),
        Result(
            f"herd of {HERD:,}",
            "return to first upload",
            "s",
            round(median(moments), 1),
            round(percentile(moments, 0.99), 1),
            HERD,
        ),
    ]


def _first_upload(seconds: int, settings: ShipperSettings, dice: random.Random) -> float:
    now, failures = 0.0, 0
    while now < seconds:
        failures += 1
        now += full_jitter(failures, settings.retry_min_seconds, settings.retry_max_seconds, dice.random)
    return now - seconds


def host(endpoint: str, events: int) -> dict[str, tuple[float, str]]:
    """Emit in this process; figures by metric, with units."""
    import telemetry  # noqa: PLC0415 the parent only measures

    client = telemetry.init(product="bench", catalog=CATALOG, endpoint=endpoint, consent="on", shipper=SMALL)
    telemetry.flush(10)
    shipper = _shipper_of(client)
    cost(telemetry.emit, telemetry.flush, events // 10, CHUNK_EVENTS)
    host_then, shipper_then = psutil.Process().memory_info().rss, shipper.memory_info().rss
    figures = cost(telemetry.emit, telemetry.flush, events - events // 10, CHUNK_EVENTS)
    del figures["emitted"]
    figures["host memory, growth from 10 %"] = 100 * (psutil.Process().memory_info().rss / host_then - 1), "%"
    figures["shipper memory, growth from 10 %"] = 100 * (shipper.memory_info().rss / shipper_then - 1), "%"
    telemetry.close(5)
    return figures


def _shipper_of(client: Any) -> psutil.Process:
    from telemetry.rendezvous.control import Control  # noqa: PLC0415 as in `host`

    with Control(zmq.Context.instance(), client._link.transport.site.directory) as control:  # noqa: SLF001 no public word for it
        return psutil.Process(control.ask({"op": "status"}, 10)["pid"])


if __name__ == "__main__":
    print(json.dumps(host(sys.argv[1], int(sys.argv[2]))))
