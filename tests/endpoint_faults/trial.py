"""One fault against the real uploader, spool and sink: ten minutes of it in simulated time, and then it is over."""

from __future__ import annotations

import logging
import random
import re
from threading import Lock, get_ident
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

from spools import make_head, open_spool, scratch

from endpoint_faults.faults import BATCHES
from endpoint_faults.stage import SETTINGS, TRAP, set_stage
from telemetry.consent import Stored
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.outcome import Outcome
from telemetry.shipper.permission import permission_of
from telemetry.spool.positions import Position
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from endpoint_faults.faults import Fault
    from endpoint_faults.stage import Resolver, Stage
    from telemetry.settings import ShipperSettings
    from telemetry.shipper.outcome import Reply
    from telemetry.spool.ledger import Ledger
    from telemetry.spool.segment import Seal
    from telemetry.spool.spool import Spool

OUTAGE_SECONDS = 600.0
MOST_STEPS = 1000
STEPS_AFTER = 200
MOST_SENT_BYTES = 64 << 20
"""What an endpoint may get rid of in a trial: what the kernel buffers, for each upload."""

TOKEN = "canary-token"
PERMITTED = permission_of(Stored())
LOG = logging.getLogger("telemetry.shipper")
TROUBLES = {Outcome.RETRY, Outcome.PAUSED}


class Result(NamedTuple):
    """What came of a fault.

    Attributes:
        fault: its name.
        outcome: of the first upload.
        cause: what it is called; empty when nothing went wrong.
        uploads: tried while it lasted.
        log_lines: written while it lasted.
        events: that waited.
        lost: of them, in the end.
        wrong: what should have been otherwise.
    """

    fault: str
    outcome: str
    cause: str
    uploads: int
    log_lines: int
    events: int
    lost: int
    wrong: list[str]


class _SharedTripwire(Tripwire):
    """A shipper has one for its one delivery thread; here are many threads, and it takes a moment to make."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)
        self._lock = Lock()

    def passes(self, seal: Seal, body: bytes) -> bool:
        with self._lock:
            return super().passes(seal, body)


TRIPWIRE = _SharedTripwire()


class _Recorder:
    """The real sink, and what it replied."""

    def __init__(self, sink: HttpSink) -> None:
        self.replies: list[Reply] = []
        self._sink = sink

    def deliver(self, seal: Seal, body: bytes) -> Reply:
        self.replies.append(self._sink.deliver(seal, body))
        return self.replies[-1]


class _Lines(logging.Handler):
    """What this thread logs, as long as it is open."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._thread = get_ident()
        LOG.setLevel(logging.INFO)
        LOG.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.texts.append(self.format(record))

    def close(self) -> None:
        LOG.removeHandler(self)
        super().close()


class _Clock:
    """The time of a trial, which goes by where the uploader would wait."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class _Observed(NamedTuple):
    """What there is to judge by."""

    replies: list[Reply]
    texts: list[str]
    cause: str
    waiting: int


def run(fault: Fault, resolver: Resolver) -> Result:
    """Try one fault."""
    lines = _Lines()
    try:
        with scratch() as directory, set_stage(fault, directory, resolver) as stage:
            clock = _Clock()
            spool = open_spool(directory / "spool", clock)
            for _ in range(BATCHES):
                _add_batch(spool, fault.events)
            http_sink = HttpSink(stage.url, stage.settings, {"TELEMETRY_TOKEN": TOKEN})
            sink = _Recorder(http_sink)
            uploader = Uploader(spool, sink, stage.settings, lambda: PERMITTED, TRIPWIRE, clock)
            _live_through(uploader, spool, clock)
            failed = next((reply.cause for reply in sink.replies if reply.outcome is not Outcome.DELIVERED), "")
            during = _Observed(list(sink.replies), list(lines.texts), uploader.cause or failed, spool.waiting)
            wrong = [*_misjudged(fault, during), *_misdirected(fault, stage, resolver)]
            stage.heal()
            with patch.object(http_sink, "_settings", _patient(stage.settings)):
                _deliver_the_rest(uploader, spool, clock)
            ledger = spool.log.read()
            wrong += _miscounted(fault, ledger)
            wrong += _betrayed(directory, [*lines.texts, uploader.cause, *(reply.cause for reply in sink.replies)])
            if fault.outcome in TROUBLES and (said := lines.texts[len(during.texts) :]) != ["uploads succeed again"]:
                wrong.append(f"when it was over, the log said {said}")
            spool.close()
    finally:
        lines.close()
    return Result(
        fault.name,
        during.replies[0].outcome.name if during.replies else "-",
        during.cause,
        len(during.replies),
        len(during.texts),
        BATCHES * fault.events,
        sum(ledger.tally.dropped.values()),
        wrong,
    )


def _live_through(uploader: Uploader, spool: Spool, clock: _Clock) -> None:
    """The outage: what the uploader would wait for is added up, not waited for."""
    for _ in range(MOST_STEPS):
        if clock.seconds >= OUTAGE_SECONDS or not spool.waiting:
            return
        clock.seconds += uploader.step()


def _patient(settings: ShipperSettings) -> ShipperSettings:
    """Settings with long timeouts: a fault's own are short for its sake, and a busy machine is no fault."""
    names = ("connect_timeout_seconds", "read_timeout_seconds", "upload_timeout_seconds")
    return settings._replace(**{name: getattr(SETTINGS, name) for name in names})


def _deliver_the_rest(uploader: Uploader, spool: Spool, clock: _Clock) -> None:
    for _ in range(STEPS_AFTER):
        if spool.waiting:
            clock.seconds += uploader.step()


def _misjudged(fault: Fault, during: _Observed) -> Iterator[str]:
    replies, uploads = during.replies, len(during.replies)
    if not replies:
        yield "nothing was uploaded"
        return
    if replies[0].outcome is not fault.outcome:
        yield f"the outcome is {replies[0].outcome.name}, not {fault.outcome.name}"
    if fault.says and not re.fullmatch(rf"(?:{fault.says})(?: \(.+\))?", during.cause):
        yield f"it is called {during.cause!r}, not {fault.says!r}"
    if uploads > fault.uploads:
        yield f"{uploads} uploads in {OUTAGE_SECONDS:.0f} s, more than {fault.uploads}"
    if not bool(fault.lines) <= len(during.texts) <= fault.lines:
        yield f"{len(during.texts)} log lines, not {fault.lines}: {during.texts[:5]}"
    if fault.outcome in TROUBLES and during.waiting != BATCHES:
        yield f"{during.waiting} of {BATCHES} batches wait"


def _misdirected(fault: Fault, stage: Stage, resolver: Resolver) -> Iterator[str]:
    """What was told to whom it is none of their business."""
    seen = b"".join(stage.server.heads).lower()
    if TRAP in resolver.asked:
        yield "a redirect was followed"
    if not fault.sees_token and TOKEN.encode() in seen:
        yield "the token was shown"
    if b"\r\ncookie:" in seen:
        yield "a cookie was sent back"
    if b"\r\nauthorization: basic" in seen:
        yield "a password was taken from ~/.netrc"
    if stage.target is not None and b"\r\nproxy-" in b"".join(stage.target.heads).lower():
        yield "the proxy's password was passed on"
    if stage.server.sent_bytes > MOST_SENT_BYTES:
        yield f"{stage.server.sent_bytes} bytes of replies were read"


def _miscounted(fault: Fault, ledger: Ledger) -> Iterator[str]:
    lost, events = sum(ledger.tally.dropped.values()), BATCHES * fault.events
    if lost > fault.lost:
        yield f"{lost} events lost, more than {fault.lost}"
    if ledger.balance or ledger.delivered + lost != events:
        yield f"of {events} events {ledger.delivered} were delivered and {lost} lost in the end"


def _betrayed(directory: Path, texts: list[str]) -> Iterator[str]:
    files = [path.read_bytes() for path in directory.rglob("*") if path.is_file()]
    if any(b"canary" in data for data in [*files, *(text.encode() for text in texts)]):
        yield "a secret is in the log, the status or the spool"


def _add_batch(spool: Spool, events: int) -> None:
    """A sealed segment whose events don't compress, so that it has the size that its events have."""
    noise = random.Random(1)
    active = spool.begin(make_head())
    body = b"".join(b'{"event":"%x","number":%d}\n' % (noise.getrandbits(512), number) for number in range(events))
    active.append(body, Tally(emitted=events, kept=events), {"aa" * 16: Position(1, events)})
    spool.seal(active, Tally(emitted=events, kept=events))
