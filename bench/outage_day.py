"""A day without network, and the hours after it, in simulated time. Run as a process of its own, whose memory counts.

Real: the writer, the spool and its files, every byte of every event, the ledger, the uploader, the tripwire, the sink,
its refused connections during the outage, and its uploads to an endpoint afterwards.
Simulated: the clock, so that a second takes as long as its work does; and the producers: each second brings one drain
of ready events, so that what validation, redaction and the sockets take is not in the figures (`bench pipeline` has
that). An upload takes no simulated time: what it would take is what the bandwidth that is set makes it wait.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import psutil

from bench.events import mix
from bench.site import CATALOG
from telemetry.consent import Stored
from telemetry.inspect.account import read_account
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import read_source
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.permission import permission_of
from telemetry.spool import segment
from telemetry.spool.positions import Position
from telemetry.spool.spool import Spool
from telemetry.spool.stream import open_stream
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from telemetry.shipper.outcome import Reply
    from telemetry.spool.segment import Seal

DEAD_ENDPOINT = "http://127.0.0.1:9/v1/batches"
BODIES = 4
"""Different ones, taken in turn."""
LINK_SHARE = 2.0
"""The bandwidth for uploads, as a multiple of what fresh events take: the other half is the backlog's."""
RECEIPT = Receipt("on", "host", 0, "cloud")


class Figures(NamedTuple):
    """What one outage came to.

    Attributes:
        seed: of all chance in it.
        emitted: events in the outage.
        bytes_written: to segments in it.
        limit_bytes: of the spool.
        most_bytes: that its directory ever held.
        memory_growth: of this process, from a tenth of the outage to its end, as a share.
        dropped: by reason, in the outage.
        balance: events that nothing accounts for, over the whole run.
        is_oldest_first: whether exactly the youngest events were left.
        attempts: uploads tried in the outage.
        first_upload_seconds: after the return.
        drain_seconds: from then on, until the backlog of that moment was gone.
        fresh_delays: seconds from seal to acknowledgement of what was sealed meanwhile.
        lost_on_return: events dropped after it.
        delivered: events.
    """

    seed: int
    emitted: int
    bytes_written: int
    limit_bytes: int
    most_bytes: int
    memory_growth: float
    dropped: dict[str, int]
    balance: int
    is_oldest_first: bool
    attempts: int
    first_upload_seconds: float
    drain_seconds: float
    fresh_delays: list[float]
    lost_on_return: int
    delivered: int


class Clock:
    """Simulated monotonic seconds."""

    def __init__(self) -> None:
        self.now = monotonic()

    def __call__(self) -> float:
        """The time."""
        return self.now


class Network:
    """A sink that refuses until the network is back, and takes note of when it delivers what."""

    def __init__(self, live_endpoint: str, settings: ShipperSettings, clock: Clock) -> None:
        self._sink = HttpSink(DEAD_ENDPOINT, settings, {})
        self._live = HttpSink(live_endpoint, settings, {})
        self._clock = clock
        self.attempts = 0
        self.is_back = False
        self.delivered_at: dict[str, float] = {}

    def come_back(self) -> None:
        """The outage is over."""
        self._sink, self.is_back = self._live, True

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """As the sink does."""
        self.attempts += 1
        reply = self._sink.deliver(seal, body)
        if self.is_back:
            self.delivered_at.setdefault(seal.head.id, self._clock())
        return reply


class Day:
    """One simulated shipper."""

    def __init__(self, directory: Path, endpoint: str, events_per_second: int, spool_bytes: int) -> None:
        self.clock = Clock()
        self.bodies = [_body(events_per_second, seed) for seed in range(BODIES)]
        fresh_bytes_per_second = len(open_stream("zstd").write(self.bodies[0]))
        self.settings = ShipperSettings(
            spool_bytes=spool_bytes,
            sent_bytes=0,
            upload_bytes_per_second=int(LINK_SHARE * fresh_bytes_per_second),
        )
        self.spool, _ = Spool.open(directory, lambda *_: True, self.clock)
        self.source = read_source(CATALOG)
        self.network = Network(endpoint, self.settings, self.clock)
        self.uploader = Uploader(
            self.spool,
            self.network,
            self.settings,
            lambda: permission_of(Stored()),
            Tripwire(lambda _: self.source.catalog),
            self.clock,
        )
        self.sealed_at: dict[str, float] = {}
        self.writer = Writer(self.spool, NDJSON, self.settings, self._note_sealed)
        self.session = Session()
        self.events_per_second = events_per_second
        self.emitted = 0
        self.most_bytes = 0
        self.bytes_written = 0

    def live(self, seconds: int = 1) -> None:
        """So many seconds: a drain each, and the uploads that fall due in it."""
        for _ in range(seconds):
            until = self.clock.now + 1.0
            self._drain()
            while self.clock.now < until:
                self.clock.now = min(until, self.clock.now + self.uploader.step())

    def _drain(self) -> None:
        events = self.events_per_second
        body = self.bodies[self.emitted // events % BODIES]
        self.emitted += events
        position = {"00" * 16: Position(1, self.emitted)}
        self.writer.append(
            RECEIPT, self.source, Drain(body, Tally(emitted=events, kept=events), position), self.session
        )
        self.writer.tick(self.session)
        self.most_bytes = max(self.most_bytes, _size_bytes(self.spool.directory))

    def _note_sealed(self) -> None:
        *_, newest = self.spool._sealed  # noqa: SLF001 there is no public word for it
        if self.network.is_back:  # before, it would be memory of ours and not of the shipper's
            self.sealed_at[segment.id_of(newest)] = self.clock.now
        self.bytes_written += (self.spool.directory / "sealed" / newest).stat().st_size
        self.uploader.nudge()


def simulate(
    directory: Path, endpoint: str, seconds: int, events_per_second: int, spool_bytes: int, seed: int
) -> Figures:
    """An outage of so many simulated seconds, and the return.

    Args:
        directory: of the spool.
        endpoint: what comes back.
        seconds: of the outage, simulated.
        events_per_second: emitted, before, in and after it.
        spool_bytes: the spool's limit.
        seed: of all chance in it: jitter, backoff, pauses and ids.
    """
    random.seed(seed)
    with patch("os.urandom", random.Random(seed).randbytes):
        return _simulate(directory, endpoint, seconds, events_per_second, spool_bytes)._replace(seed=seed)


def _simulate(directory: Path, endpoint: str, seconds: int, events_per_second: int, spool_bytes: int) -> Figures:
    day, process = Day(directory, endpoint, events_per_second, spool_bytes), psutil.Process()
    day.live(seconds // 10)
    memory_then = process.memory_info().rss
    day.live(seconds - seconds // 10)
    growth = process.memory_info().rss / memory_then - 1
    account, emitted, attempts, written = read_account(directory), day.emitted, day.network.attempts, day.bytes_written
    oldest_first = _is_youngest_left(directory, account.on_disk, emitted)
    returned_at, delivered_at = day.clock.now, day.network.delivered_at
    day.network.come_back()
    while not delivered_at:  # the backoff may take minutes, and the spool goes on losing its oldest
        day.live()
    first_upload_at, backlog = min(delivered_at.values()), set(_sealed_files(directory))
    while backlog & set(_sealed_files(directory)):
        day.live()
    after = read_account(directory)
    day.spool.close()
    return Figures(
        seed=0,
        emitted=emitted,
        bytes_written=written,
        limit_bytes=spool_bytes,
        most_bytes=day.most_bytes,
        memory_growth=growth,
        dropped=account.tally.dropped,
        balance=abs(account.balance) + abs(after.balance),
        is_oldest_first=oldest_first,
        attempts=attempts,
        first_upload_seconds=first_upload_at - returned_at,
        drain_seconds=day.clock.now - first_upload_at,
        fresh_delays=[
            at - sealed_at
            for id_, at in delivered_at.items()
            if (sealed_at := day.sealed_at.get(id_, 0.0)) > first_upload_at
        ],
        lost_on_return=after.tally.lost - account.tally.lost,
        delivered=after.delivered,
    )


def _body(events: int, seed: int) -> bytes:
    """A second's events of a realistic mix, as they lie in a segment."""
    stamp = {"time": "2026-01-01T00:00:00Z", "session": f"{seed:032x}"}
    lines = (json.dumps({"event": name, **stamp, **fields}) for name, fields in mix(events, 0.0, seed))
    return "".join(f"{line}\n" for line in lines).encode()


def _sealed_files(directory: Path) -> list[str]:
    return sorted(path.name for path in (directory / "sealed").iterdir() if segment.is_data(path.name))


def _is_youngest_left(directory: Path, on_disk: int, emitted: int) -> bool:
    """Whether the oldest segment that is left begins where as many events are to come as there are on disk."""
    oldest = segment.load(directory / "sealed", _sealed_files(directory)[0])
    (position,) = oldest.positions.values()
    return position.next - oldest.tally.kept == emitted - on_disk


def _size_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


if __name__ == "__main__":
    with TemporaryDirectory(prefix="telemetry-bench-") as scratch:
        endpoint, *numbers = sys.argv[1:]
        print(json.dumps(simulate(Path(scratch) / "spool", endpoint, *map(int, numbers))._asdict()))
