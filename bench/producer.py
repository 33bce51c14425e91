"""A producer of the pipeline benchmark: emits a realistic mix as fast as the shipper takes it."""

from __future__ import annotations

import json
import sys
from time import monotonic, process_time, sleep

import zmq

import telemetry
from bench.events import mix
from bench.site import CATALOG
from telemetry.control import Control

WINDOW_EVENTS = 60_000
"""May be on their way to the shipper: enough to keep it busy, less than the queue holds, so that nothing is dropped."""

CHUNK_EVENTS = 10_000


def main(endpoint: str, events: int, dirty_share: float) -> None:
    """Emit; print what it cost, as JSON."""
    emissions = mix(CHUNK_EVENTS, dirty_share)
    prompt = telemetry.ShipperSettings(upload_jitter_seconds=0.0)  # what a shipper can do, not what it waits for
    client = telemetry.init(product="bench", catalog=CATALOG, endpoint=endpoint, consent="on", shipper=prompt)
    telemetry.flush(10)
    print("ready", flush=True)
    sys.stdin.readline()
    link = client._link  # noqa: SLF001 there is no public word for the window
    assert link is not None
    producer, record = link._outbox.producer, telemetry.emit  # noqa: SLF001 the same
    began, cpu = monotonic(), process_time()
    with Control(zmq.Context.instance(), link._site.directory) as control:  # noqa: SLF001 the same
        for emitted in range(0, events, CHUNK_EVENTS):
            for name, fields in emissions:
                record(name, **fields)
            while emitted - control.ask({"op": "confirm", "producer": producer}, 10)["accepted"] > WINDOW_EVENTS:
                sleep(0.001)
    telemetry.flush(30)
    print(json.dumps({"began": began, "cpu": process_time() - cpu}), flush=True)
    sys.stdin.readline()  # the shipper, which leaves with its last producer, is still to be asked what it took
    telemetry.close(5)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
