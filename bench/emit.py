"""What does an event cost the host? CPU of the whole host process until everything is handed over, and time by call.

With `--peers`, those that ship events from Python programs too, each as its documentation sets it up.

The floor is what no library on this transport can go below: the same events packed 128 at a time by a bare loop and
sent over the same kind of socket to another process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from time import process_time, sleep, time_ns
from typing import TYPE_CHECKING

from bench import start
from bench.cost import EMIT, cost
from bench.events import FIVE_FIELDS
from bench.measure import Result, progress, summarize
from bench.peers import PEERS, measure_peer
from bench.site import CATALOG, ROOT, site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_EVENTS = 50_000
"""Emitted at full speed between two flushes: less than the queue holds, so that nothing is dropped."""
CPU = "host CPU per event"
FLOOR = "floor: msgpack + send"
OURS = ("emit", "emit, consent off", "count", "observe", FLOOR)
START = "start"
COUNT = "call('used', engine='batch')"
OBSERVE = "call('waited', 12.5, engine='batch')"
OBSERVED = CATALOG.with_name("observed.toml")
HAND_OVER_SECONDS = 0.07
"""A little more than events wait for their like, and enough for ZeroMQ's threads; waiting takes no CPU."""
PEER_EVENTS = 20_000
"""A peer's run: it takes ten to a hundred times as long."""


def measure(runs: int, events: int, *, peers: bool) -> list[Result]:
    """Measure ours, ours switched off, the floor and, if asked, the peers: alternating, in processes of their own."""
    found: dict[tuple[str, str, str], list[float]] = {}
    for run in range(runs + 1):
        for name in (*OURS, START, start.FLOOR, *(PEERS if peers else ())):
            progress(f"emit: {name}, run {run or 'to warm up'}")
            for metric, (value, unit) in _measure_one(name, events).items():
                if run:
                    found.setdefault((name, metric, unit), []).append(value)
    results = [summarize(name, metric, unit, values) for (name, metric, unit), values in found.items()]
    cpu = {result.name: result.median for result in results if result.metric == CPU}
    ratios = {f"{OURS[0]} / floor": cpu[OURS[0]] / cpu[FLOOR]}
    ratios |= {f"{name} / {OURS[0]}": cpu[name] / cpu[OURS[0]] for name in PEERS if name in cpu}
    of = {(result.name, result.metric): result.median for result in results}
    above_ms = round(of[START, "CPU of init"] - of[start.FLOOR, "CPU"], 3)
    return [
        *results,
        Result(START, "CPU of init above its floor", "ms", above_ms, above_ms, runs),
        *(Result(name, CPU, "ratio", round(ratio, 3), round(ratio, 3), runs) for name, ratio in ratios.items()),
    ]


def _measure_one(name: str, events: int) -> dict[str, tuple[float, str]]:
    if name in PEERS:
        return measure_peer(name, min(events, PEER_EVENTS))
    with site() as place:
        if name in {START, start.FLOOR}:
            return place.run("bench.start", name, place.endpoint, CATALOG)
        return place.run("bench.emit", name, place.endpoint, events)


def subject(name: str, endpoint: str, events: int) -> dict[str, tuple[float, str]]:
    """Measure one subject in this process; figures by metric, with units."""
    if name.startswith("floor"):
        with floor() as send:
            return {CPU: (send(events), "us")}
    import telemetry  # noqa: PLC0415 the floor must not have it loaded

    catalog = OBSERVED if name == "observe" else CATALOG
    client = telemetry.init(
        product="bench", catalog=catalog, endpoint=endpoint, consent="off" if name.endswith("off") else "on"
    )
    telemetry.flush(10)
    calls = {"count": (telemetry.count, COUNT), "observe": (telemetry.observe, OBSERVE)}
    call, statement = calls.get(name, (telemetry.emit, EMIT))
    figures = cost(call, telemetry.flush, events, CHUNK_EVENTS, statement)
    emitted, _ = figures.pop("emitted")
    if name == "emit":
        dropped = 0 if client._link is None else sum(client._link._outbox.dropped.values())  # noqa: SLF001
        figures["delivered"] = 100.0 * (1 - dropped / emitted), "%"
    telemetry.close(5)
    return figures


@contextmanager
def floor() -> Iterator[Callable[[int], float]]:
    """The bare loop: build, pack and send 128 events at a time to a process that only reads.

    Yields:
        What takes a number of events, sends them, and returns CPU of this process by event, microseconds.
    """
    import msgpack  # noqa: PLC0415 measured alone
    import zmq  # noqa: PLC0415 the same

    packer = msgpack.Packer()
    with _reader() as address, zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.sndhwm = sender.linger = 0
        sender.connect(address)

        def send(events: int) -> float:
            cpu = process_time()
            for _ in range(events // 128):
                batch = [("query_finished", time_ns(), dict(FIVE_FIELDS)) for _ in range(128)]
                sender.send(packer.pack(batch), zmq.NOBLOCK)
            sleep(HAND_OVER_SECONDS)
            return (process_time() - cpu) / events * 1e6

        yield send


@contextmanager
def _reader() -> Iterator[str]:
    """The address of a process that reads; a process of its own, as the shipper is, for its threads cost CPU too."""
    with TemporaryDirectory(prefix="telemetry-bench-") as place:
        address = f"ipc://{place}/floor.sock"
        command = [sys.executable, "-m", "bench.reader", address]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as reader:
            assert reader.stdout is not None
            reader.stdout.readline()
            try:
                yield address
            finally:
                reader.kill()


if __name__ == "__main__":
    print(json.dumps(subject(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
