"""Does the shipper's memory grow at full rate? Two producers emit the realistic mix, for minutes.

It is read each second. What it takes after a tenth of the time is compared with what it takes in the last tenth.
"""

from __future__ import annotations

from statistics import median
from time import monotonic, sleep

import psutil

from bench.load import Load
from bench.measure import Result, progress
from bench.pipeline import PRODUCERS, go, start
from bench.site import site
from telemetry.rendezvous.lock import LOCK_FILE

LOOK_SECONDS = 1.0
ENDLESS = 10**6
"""Chunks: the producers are stopped."""


def measure(seconds: int, dirty_share: float) -> list[Result]:
    """Watch one run of so many seconds."""
    progress(f"soak: {seconds} s at full rate, {dirty_share:.0%} dirty")
    memory_mb = _watch(seconds, dirty_share)
    tenth = max(1, len(memory_mb) // 10)
    early, late = median(memory_mb[tenth : 2 * tenth]), median(memory_mb[-tenth:])
    figures = {
        ("memory, early", "MB"): early,
        ("memory, late", "MB"): late,
        ("memory, most", "MB"): max(memory_mb),
        ("late / early", "ratio"): late / early,
    }
    return [
        Result("shipper at full rate", metric, unit, round(value, 3), round(value, 3), 1)
        for (metric, unit), value in figures.items()
    ]


def _watch(seconds: int, dirty_share: float) -> list[float]:
    """Megabytes of the shipper, second by second."""
    found: list[float] = []
    with site() as place:
        producers = start(place, PRODUCERS, Load(ENDLESS, dirty_share=dirty_share))
        go(producers)
        (lock,) = place.home.glob(f"run/*/{LOCK_FILE}")
        shipper = psutil.Process(int(lock.read_text()))
        ends = monotonic() + seconds
        while monotonic() < ends:
            sleep(LOOK_SECONDS)
            found.append(shipper.memory_info().rss / 1e6)
        for producer in producers:
            producer.kill()
            producer.communicate()
        shipper.kill()
    return found
