"""A host that emits numbered events without stop, in bursts, until its standard input ends; prints what it emitted."""

from __future__ import annotations

import json
import random
import select
import sys
import time
from mmap import mmap
from pathlib import Path

import telemetry

CATALOG = """
[catalog]
product = "acme-db"
version = 1

[events.tick]
purpose = "tell whether every event arrives"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.tick.fields]
producer = { type = "int", purpose = "who emitted it" }
number = { type = "int", purpose = "which of its events it is" }
check = { type = "int", purpose = "whether it is as it was emitted" }
"""

BURST_EVENTS = 150
"""At most; more than one frame holds."""
PAUSE_SECONDS = 0.1
"""Between bursts, on average half of this: some 1,500 events a second."""
EVEN_SECONDS = 0.01
"""From one burst to the next, where a rate is asked for."""
FLUSH_SECONDS = 60.0

COUNT_BYTES = 8


def check(producer: int, number: int) -> int:
    """What an event must bear; below a milliard, for longer numbers are looked at as if they were a card's."""
    return (producer * 7_919 + number * 104_729) % 999_999_937


def share_counts(file: Path) -> memoryview:
    """The numbers in a file, as every process sees them; each is written in one go, as `struct` would not."""
    with file.open("r+b") as opened:
        return memoryview(mmap(opened.fileno(), 0)).cast("q")


def main() -> None:
    """Emit; `counts` has a running number for each producer, which is counted up ahead of the emit."""
    producer, counts_file, init, settings, rate = json.loads(sys.argv[1])
    telemetry.init(**init, shipper=telemetry.ShipperSettings(**settings))
    rng = random.Random(producer)
    counts = share_counts(Path(counts_file))
    number = 0
    while not select.select([sys.stdin], [], [], 0)[0]:
        burst = round(rate * EVEN_SECONDS) if rate else rng.randrange(BURST_EVENTS)
        began = time.monotonic()
        for _ in range(burst):
            counts[producer] = number + 1
            telemetry.emit("tick", producer=producer, number=number, check=check(producer, number))
            number += 1
        pause_seconds = began + EVEN_SECONDS - time.monotonic() if rate else rng.uniform(0, PAUSE_SECONDS)
        time.sleep(max(0.0, pause_seconds))
    print(json.dumps({"emitted": number, "confirmed": telemetry.flush(FLUSH_SECONDS)}), flush=True)


if __name__ == "__main__":
    main()
