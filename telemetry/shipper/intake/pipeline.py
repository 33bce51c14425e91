"""The way of an event from frame to bytes: validate, sample, redact, encode. Waits for nothing, writes nothing.

After `redact` nothing raw is left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.compile import Envelope, compile_catalog
from telemetry.drops import DropReason
from telemetry.shipper.intake.redactor import Redactor
from telemetry.shipper.intake.sampler import Sampler
from telemetry.shipper.intake.validator import UnreadableEventsError, Validator
from telemetry.spool.producers import Position, advance
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from telemetry.catalog.model import Catalog
    from telemetry.redact.text import TextRedactor
    from telemetry.shipper.encode.format import Format, Report
    from telemetry.shipper.intake.receiver import Frame
    from telemetry.shipper.intake.session import Session
    from telemetry.spool.ledger import Positions

_DISORDER_NS = 2_000_000_000
"""Far more than events of one frame are out of order: threads take the time before they append."""


class Drain(NamedTuple):
    """What a run of the pipeline makes of some frames.

    Attributes:
        body: the events that are kept, as bytes of the upload's format.
        tally: what became of each.
        positions: of the producers that moved.
        unreadable: frames whose events could not be taken apart.
    """

    body: bytes
    tally: Tally
    positions: Positions
    unreadable: int = 0

    def lost(self, reason: DropReason) -> Drain:
        """The same drain with none of its events kept."""
        tally = self.tally.copy()
        tally.drop(reason, tally.kept)
        tally.kept = 0
        return Drain(b"", tally, self.positions)


class Pipeline:
    """The stages for one catalog on one day within one session."""

    def __init__(
        self,
        catalog: Catalog,
        today: dt.date,
        format_: Format,
        texts: TextRedactor | None,
        session: Session,
        random: Callable[[], float],
    ) -> None:
        compiled = compile_catalog(catalog, today)
        self._format = format_
        self._session = session
        self._precision_seconds = catalog.time_precision_seconds
        self._validator = Validator(compiled)
        # One for each level of consent: what a `local` producer does must not show in another's weights.
        self._samplers = {level: Sampler(compiled, random) for level in ("on", "local")}
        self._redactor = Redactor(compiled, texts, session.secret)

    def run(self, frames: Iterable[Frame], known: Positions, level: str, not_before_ns: int = 0) -> Drain:
        """Take frames of one receipt from their producers to the upload's format.

        Args:
            frames: in the order in which they came.
            known: how far their producers had come before.
            level: of the receipt, `on` or `local`.
            not_before_ns: events older than this, UNIX nanoseconds, are dropped: they are older than the consent.
        """
        tally = Tally()
        events, positions, unreadable = self._validate(frames, known, not_before_ns, tally)
        body = self._finish(self._samplers[level].sample(events, tally), tally)
        return Drain(body, tally, positions, unreadable)

    def run_report(self, raw: bytes) -> tuple[Drain, list[Report]]:
        """Take the shipper's own report events the same way.

        Returns:
            What goes to a segment as any event does, and the messages that take a segment each; one of them is empty.
        """
        tally = Tally()
        events = self._validator.validate(raw, tally)
        tally.emitted = len(events) + tally.lost
        if self._format.encode_report is None:
            return Drain(self._finish(events, tally), tally, {}), []
        kept = self._redactor.redact(events, tally)
        reports = [self._format.encode_report(event, self._session.id, self._precision_seconds) for event in kept]
        tally.emitted -= len(reports)  # each brings its own account
        return Drain(b"", tally, {}), reports

    def _validate(
        self, frames: Iterable[Frame], known: Positions, not_before_ns: int, tally: Tally
    ) -> tuple[list[Envelope], Positions, int]:
        events: list[Envelope] = []
        unreadable = 0
        positions: Positions = {}
        for frame in frames:
            lost_before = tally.lost
            try:
                valid = _younger(self._validator.validate(frame.events, tally), not_before_ns, tally)
            except UnreadableEventsError:
                unreadable += 1  # how many they were, the hole before the producer's next frame tells
                continue
            number = len(valid) + tally.lost - lost_before
            producer = frame.producer.hex()
            position = positions.get(producer) or known.get(producer) or Position(frame.context.pid)
            positions[producer] = advance(position, frame.first, number, frame.dropped, tally)
            events += valid
        return events, positions, unreadable

    def _finish(self, events: list[Envelope], tally: Tally) -> bytes:
        kept = self._redactor.redact(events, tally)
        tally.kept = len(kept)
        return self._format.encode(kept, self._session.id, self._precision_seconds)


def _younger(events: list[Envelope], than_ns: int, tally: Tally) -> list[Envelope]:
    """Without the older ones: they may have waited in an idle host for as long as its user had said no."""
    if not events or events[0].time_ns >= than_ns + _DISORDER_NS:
        return events
    kept = [event for event in events if event.time_ns >= than_ns]
    tally.drop(DropReason.CONSENT, len(events) - len(kept))
    return kept
