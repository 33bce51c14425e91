"""Does an event cost the shipper more when much waits already? One point of `bench scale`.

A spool is filled with segments of 1 MiB, sparse files, so that 10 GB take no room on the disk. Beside them events are
taken in, sealed and delivered by the shipper's own stages; only the network is left out.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, process_time
from typing import TYPE_CHECKING

from bench.load import CHUNK_EVENTS
from bench.spool import BIG_SEGMENT_BYTES, fill
from bench.stages import Stages, frames
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.pace import Pace
from telemetry.shipper.delivery.queue import Queue
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from telemetry.spool.folder import Arrival

SETTINGS = ShipperSettings(spool_bytes=1 << 40, spool_segments=1_000_000)
"""Nothing is dropped to make room."""
CHUNKS_A_SEGMENT = 10
"""More segments than a shipper at full speed makes, fewer than an idle one: a seal every 100,000 events."""
LOOKS = 200


def one_run(megabytes: int, chunks: int) -> dict[tuple[str, str], float]:
    """Fill a spool with so many MiB, start on it and work beside it; figures by metric and unit."""
    with TemporaryDirectory(prefix="telemetry-bench-") as place:
        directory = Path(place) / "spool"
        fill(directory, megabytes, BIG_SEGMENT_BYTES)
        open_seconds = _open(directory)
        stages = Stages(directory, SETTINGS)
        waiting = stages.spool.arrivals()
        event_seconds = _work(stages, chunks) / (chunks * CHUNK_EVENTS)
        look_seconds = _look(stages.spool, waiting)
        assert stages.spool.waiting == megabytes, stages.spool.waiting
        stages.spool.close()
    return {
        ("shipper CPU per event", "us"): event_seconds * 1e6,
        ("CPU of a start", "ms"): open_seconds * 1e3,
        ("CPU of a look for what may leave", "ms"): look_seconds * 1e3,
    }


def _open(directory: Path) -> float:
    cpu = process_time()
    spool, _ = Spool.open(directory, lambda *_: False)
    cpu = process_time() - cpu
    spool.close()
    return cpu


def _work(stages: Stages, chunks: int) -> float:
    """CPU seconds: a chunk is a drain and what falls due with time; some chunks are a segment, which is delivered."""
    messages = frames(CHUNK_EVENTS, seed=7)
    cpu = process_time()
    for chunk in range(1, chunks + 1):
        stages.take_in(messages)
        stages.tick()
        stages.spool.enforce(SETTINGS.spool_bytes, SETTINGS.spool_segments, SETTINGS.spool_seconds)
        if chunk % CHUNKS_A_SEGMENT == 0 or chunk == chunks:
            stages.seal()
            _deliver_newest(stages.spool)
    return process_time() - cpu


def _deliver_newest(spool: Spool) -> None:
    *_, newest = spool.arrivals()
    seal = spool.take(newest.file)
    assert seal is not None
    assert spool.read(seal) is not None
    spool.ack(seal, sent_bytes=0)


def _look(spool: Spool, waiting: list[Arrival]) -> float:
    """CPU seconds of a look at worst: nothing may leave yet, by its jitter."""
    queue = Queue(Pace(SETTINGS.upload_jitter_seconds, monotonic(), lambda: 1.0), spool.awaits)
    for arrival in waiting:
        queue.add(arrival._replace(seen_at=monotonic() + 60))
    cpu = process_time()
    for _ in range(LOOKS):
        assert queue.newest(monotonic(), lambda _: False) is None
        spool.take()
        spool.put_back()
    return (process_time() - cpu) / LOOKS
