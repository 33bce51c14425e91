"""A producer: emits its load as fast as the shipper takes it. `python -m bench.producer ENDPOINT CATALOG LOAD`."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, process_time, sleep
from typing import TYPE_CHECKING, Any

import msgpack
import zmq

import telemetry
from bench.load import CHUNK_EVENTS, Load
from telemetry.errors import ShipperUnreachableError
from telemetry.rendezvous.control import Control

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.events import Emission

WINDOW_EVENTS = 60_000
"""May be on their way to the shipper: enough to keep it busy."""
WINDOW_BYTES = 12 << 20
"""... and so much: with a chunk more, less than the queue's 32 MiB, so that nothing is dropped."""
ANSWER_SECONDS = 1.0
"""How long an answer is waited for before the question is asked again: one that is killed takes it along."""
LOOK_SECONDS = 0.01
"""How often it is looked whether there is room in the window."""


def main(endpoint: str, catalog: str, load: Load) -> None:
    """Emit; print what it cost, as JSON."""
    emissions = load.emissions()
    event_bytes = len(msgpack.packb(emissions)) / len(emissions)
    window = min(WINDOW_EVENTS, WINDOW_BYTES / event_bytes)
    parts = [emissions[n :: load.threads] for n in range(load.threads)]
    # What a shipper can do, not what it waits for.
    settings = telemetry.ShipperSettings(
        upload_jitter_seconds=0.0, segment_bytes=load.segment_bytes, shippers=load.shippers
    )
    client = telemetry.init(product="bench", catalog=catalog, endpoint=endpoint, consent="on", shipper=settings)
    telemetry.flush(10)
    print("ready", flush=True)
    sys.stdin.readline()
    link: Any = client._link  # noqa: SLF001 there is no public word for the window
    producer = link._outbox.producer  # noqa: SLF001 the same
    began, cpu = monotonic(), process_time()
    with (
        ThreadPoolExecutor(load.threads) as threads,
        Control(zmq.Context.instance(), link.transport.site.directory) as control,
    ):
        for emitted in range(CHUNK_EVENTS, (load.chunks + 1) * CHUNK_EVENTS, CHUNK_EVENTS):
            if load.threads == 1:
                emit(emissions)
            else:
                list(threads.map(emit, parts))
            question = {"op": "confirm", "producer": producer, "accepted": int(emitted - window)}
            while emitted > window and not answer(control, question):
                sleep(LOOK_SECONDS)
    telemetry.flush(30)
    print(json.dumps({"began": began, "cpu": process_time() - cpu}), flush=True)
    sys.stdin.readline()  # the shipper, which leaves with its last producer, is still to be asked what it took
    telemetry.close(5)


def answer(control: Control, question: dict[str, Any]) -> dict[str, Any]:
    """The shipper's answer; nothing if there is none in time."""
    with suppress(ShipperUnreachableError):
        return control.ask(question, ANSWER_SECONDS)
    return {}


def emit(emissions: Sequence[Emission]) -> None:
    """Emit each of them."""
    record = telemetry.emit
    for name, fields in emissions:
        record(name, **fields)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Load(*json.loads(sys.argv[3])))
