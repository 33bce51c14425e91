"""A simulated installation: the project's own writer, spool, uploader and HTTP sink, without processes and sockets."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path
from threading import Lock
from time import monotonic, time_ns
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from telemetry.catalog.compile import compile_catalog
from telemetry.consent import State
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.catalogs import read_source
from telemetry.shipper.day import utc_day
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.outcome import Outcome, Reply
from telemetry.shipper.permission import Permission
from telemetry.spool.segment import plain_events
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.spool.ledger import Ledger
    from telemetry.spool.segment import Seal

CATALOG = Path(__file__).with_name("catalog.toml")
WITHHELD_EVERY = 20
"""One installation of so many says that what it collects stays at home."""

_SETTINGS = ShipperSettings(
    connect_timeout_seconds=5.0,
    read_timeout_seconds=20.0,
    upload_timeout_seconds=60.0,
    upload_jitter_seconds=0.0,
    retry_min_seconds=0.1,
    retry_max_seconds=3.0,
    pause_seconds=2.0,
    sent_bytes=0,
)
_DAY_NS = 86_400 * 10**9
_SKEWS_NS = (0, 0, 0, 0, 0, 0, 2 * 10**9, _DAY_NS, 30 * _DAY_NS, 400 * _DAY_NS)
"""How wrong a clock may be, in either direction; the last ones are of a battery that is gone."""

_SOURCE = read_source(CATALOG)
_DECODER = compile_catalog(_SOURCE.catalog, utc_day(0)).decoder


class Chances(NamedTuple):
    """How likely it is that something happens to an installation with a batch."""

    killed_while_writing: float = 0.05
    killed_before_the_ack: float = 0.05
    restarted: float = 0.1


class KilledError(BaseException):
    """Raised where a shipper is killed: nothing between catches it."""


class SharedTripwire(Tripwire):
    """The project's tripwire for all installations of a process: to make one takes as long as to send fifty batches."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._lock = Lock()

    def passes(self, seal: Seal, body: bytes) -> bool:
        with self._lock:
            return super().passes(seal, body)


class Installation:
    """One simulated installation.

    Args:
        number: the number that its events bear.
        directory: for its spool.
        endpoint: the URL of a collector, or of a link to one.
        chances: of what happens to it.
        tripwire: what looks at its batches.

    Attributes:
        emitted: the number of events so far; their numbers are those from 0 on.
        kills: how often it was killed.
    """

    def __init__(self, number: int, directory: Path, endpoint: str, chances: Chances, tripwire: Tripwire) -> None:
        self.number = number
        self.emitted = 0
        self.kills = 0
        self.is_withheld = number % WITHHELD_EVERY == 0
        self._random = random.Random(number)
        self._directory = directory
        self._endpoint = endpoint
        self._chances = chances
        self._tripwire = tripwire
        skew_ns = self._random.choice(_SKEWS_NS)
        self._skew_ns = self._random.choice((-skew_ns, skew_ns))
        level = "local" if self.is_withheld else "on"
        self._receipt = Receipt(level, "host", 0, self._random.choice(("cloud", "self-hosted")))
        self._permission = Permission(State.LOCAL if self.is_withheld else State.ON)
        self._begin()

    def _begin(self) -> None:
        self._spool, _ = Spool.open(self._directory, lambda *_: False)
        self._session = Session()
        self._writer = Writer(self._spool, NDJSON, _SETTINGS, lambda: None)
        self._sink = HttpSink(self._endpoint, _SETTINGS, {})
        self._uploader = Uploader(self._spool, self, _SETTINGS, lambda: self._permission, self._tripwire)

    def emit(self, events: int) -> None:
        """Write a batch, as drains of a shipper, and seal it; or be killed before."""
        now_ns = time_ns() + self._skew_ns
        for size in (events // 2, events - events // 2):
            emissions = [
                ("done", now_ns, {"installation": self.number, "number": number, "duration_ms": number / 7})
                for number in range(self.emitted, self.emitted + size)
            ]
            decoded = _DECODER.decode(msgspec.msgpack.encode(emissions))
            body = NDJSON.encode(decoded, self._session.id, 60)
            self._writer.append(self._receipt, _SOURCE, Drain(body, Tally(emitted=size, kept=size), {}), self._session)
            self.emitted += size
        if self._happens(self._chances.killed_while_writing):
            self._kill()
        elif self._happens(self._chances.restarted):
            self._writer.seal_all(self._session)
            self.end()
            self._begin()
        else:
            self._writer.seal_all(self._session)

    def step(self) -> float:
        """Try to upload a batch; return the seconds until the next one may be tried."""
        try:
            return self._uploader.step()
        except KilledError:
            self._kill()
            return 0.0

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        """Upload a batch by the project's own sink, and be killed before the answer is heard now and then."""
        try:
            reply = self._sink.deliver(seal, body)
        finally:
            self._sink.close()  # a minute passes until the next one
        if reply.outcome is Outcome.DELIVERED and self._happens(self._chances.killed_before_the_ack):
            raise KilledError
        return reply

    @property
    def waiting(self) -> int:
        """The number of batches that wait for their upload."""
        return self._spool.waiting

    def account(self) -> Ledger:
        """Return the ledger."""
        return self._spool.log.read()

    def waiting_numbers(self) -> Iterator[int]:
        """Yield the numbers of the events that wait; the spool is not to be used any more."""
        while (seal := self._spool.take()) is not None:
            body = self._spool.read(seal)
            if body is not None:
                yield from (NDJSON.values(line)["number"] for line in NDJSON.split(plain_events(seal.head, body)))
            self._spool.ack(seal, 0)

    def end(self) -> None:
        """Close what is open."""
        self._sink.close()
        self._spool.close()

    def _kill(self) -> None:
        """Lose what is in memory, as a killed process does, and begin anew."""
        self.kills += 1
        for active, _ in self._writer._active.values():
            active.close()
        with suppress(OSError):
            self.end()
        self._begin()

    def _happens(self, chance: float) -> bool:
        return self._random.random() < chance


def due_times(number: int, batches: int, seconds: float) -> list[float]:
    """Return when an installation makes its batches, from now on, the last first."""
    now, own = monotonic(), random.Random(-number - 1)
    return sorted((now + own.uniform(0.0, seconds) for _ in range(batches)), reverse=True)
