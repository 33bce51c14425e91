"""The way of an event from frame to bytes: validate, sort, sample, thin, redact, encode. It waits for nothing.

Technical events are sorted from those about a person's actions: the two go into segments of their own, with accounts of
their own, so that one kind may leave while the other stays, and nothing that leaves tells of what stays. After `redact`
nothing raw is left.
"""

from __future__ import annotations

from collections import Counter
from itertools import compress
from operator import not_
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from telemetry.catalog.compile import Envelope, compile_catalog
from telemetry.catalog.model import SENSITIVITIES
from telemetry.drops import DropReason
from telemetry.receipt import level_of
from telemetry.shipper.intake.redactor import Redactor
from telemetry.shipper.intake.sampler import Sampler
from telemetry.shipper.intake.thinner import Thinner
from telemetry.shipper.intake.validator import UnreadableEventsError, Validator
from telemetry.shipper.lane import ONLY, Lane
from telemetry.spool.positions import Position, advance
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from telemetry.catalog.compile import Compiled
    from telemetry.catalog.model import Catalog, Sensitivity
    from telemetry.redact.free_text import FreeTextRedactor
    from telemetry.shipper.encode.format import Format, Report
    from telemetry.shipper.intake.receiver import Frame
    from telemetry.shipper.intake.session import Session
    from telemetry.spool.positions import Positions

_DISORDER_NS = 2_000_000_000
"""The greatest disorder in a frame, by far: threads take an event's time before they append it."""


ALWAYS: Mapping[Sensitivity, int] = dict.fromkeys(SENSITIVITIES, 0)
"""The bounds for events that may be of any age: the earliest times by sensitivity, in UNIX nanoseconds."""


class Drain(NamedTuple):
    """The result of the pipeline for those events of some frames that have one sensitivity.

    Attributes:
        body: the events that are kept, as bytes of the upload's format.
        tally: the fate of each event.
        positions: the positions of the producers that moved. Of two drains of the same frames, the first holds them
            back by the events of the second, so that a loss of the second would be noticed.
        unreadable: the number of frames whose events could not be taken apart.
        is_earlier: whether it was emitted under an earlier consent than this session's.
        sensitivity: the sensitivity of its events. A loss whose sensitivity is unknown counts under the stricter one.
    """

    body: bytes
    tally: Tally
    positions: Positions
    unreadable: int = 0
    is_earlier: bool = False
    sensitivity: Sensitivity = "interaction"

    @property
    def told(self) -> Tally:
        """The tally as an upload may tell it, without the numbers emitted or lost before the consent."""
        told = self.tally.copy()
        if self.is_earlier:
            told.dropped.clear()
        told.dropped.pop(DropReason.CONSENT.value, None)
        told.emitted = told.kept + told.lost
        return told

    def lost(self, reason: DropReason) -> Drain:
        """Return the same drain with none of its events kept."""
        tally = self.tally.copy()
        tally.drop(reason, tally.kept)
        tally.kept = 0
        return self._replace(body=b"", tally=tally)


class _Part:
    """The part of one sensitivity: its valid events, its account, and the number of events of each producer."""

    def __init__(self) -> None:
        self.events: list[Envelope] = []
        self.tally = Tally()
        self.numbers: Counter[str] = Counter()


class Pipeline:
    """The stages for one catalog on one day within one session.

    Attributes:
        undeclared: how often what was met that the catalog does not declare, as the validator counts it.
    """

    def __init__(
        self,
        catalog: Catalog,
        today: dt.date,
        format_: Format,
        texts: FreeTextRedactor | None,
        session: Session,
        random: Callable[[], float],
        lane: Lane = ONLY,
        shares_of: Callable[[str], Mapping[str, float]] = lambda _: {},
    ) -> None:
        compiled = compile_catalog(catalog, today)
        self._format = format_
        self._session = session
        self._precision_seconds = catalog.time_precision_seconds
        self._validator = Validator(compiled)
        self.undeclared = self._validator.undeclared
        # One for each level of consent: what a `local` producer does must not show in another's weights.
        self._samplers = {level: Sampler(compiled, random, lane) for level in ("on", "technical", "local")}
        self._thinner = Thinner(compiled, random)
        self._shares_of = shares_of
        self._redactor = Redactor(compiled, texts, session.secret, format_.identifiers)
        declared = {event.sensitivity for event in catalog.events.values()}
        # The sensitivity of lost and undeclared events is unknown.
        self._common: Sensitivity = "technical" if declared == {"technical"} else "interaction"
        technical = [] if self._common == "technical" else _names_of("technical", compiled)
        self._apart_names = frozenset(technical)
        self._apart = frozenset(map(compiled.envelopes.__getitem__, technical))  # empty where all are alike

    def run(
        self, frames: Iterable[Frame], known: Positions, level: str, not_before_ns: Mapping[Sensitivity, int] = ALWAYS
    ) -> list[Drain]:
        """Take frames of one receipt from their producers to the upload's format.

        Args:
            frames: the frames in the order of their arrival.
            known: the positions of their producers before.
            level: the level of the receipt, `on`, `technical` or `local`.
            not_before_ns: by sensitivity, the time of the consent in UNIX nanoseconds; older events are dropped.

        Returns:
            One drain, or two: then the positions of the second are those of both.
        """
        parts = {sensitivity: _Part() for sensitivity in SENSITIVITIES}
        tally = parts[self._common].tally
        positions: Positions = {}
        begun: dict[str, int] = {}
        unreadable = 0
        for frame in frames:
            lost_before = tally.lost
            try:
                valid = self._validator.validate(frame.events, tally)
            except UnreadableEventsError:
                unreadable += 1  # the hole before the producer's next frame tells how many events they were
                continue
            number = len(valid) + tally.lost - lost_before
            producer = frame.producer.hex()
            begun.setdefault(producer, frame.first)
            position = positions.get(producer) or known.get(producer) or Position(frame.context.pid)
            positions[producer] = advance(position, frame.first, number, frame.dropped, tally)
            for sensitivity, events in self._sorted(valid):
                part = parts[sensitivity]
                part.numbers[producer] += len(events)
                part.events += _younger(events, not_before_ns[sensitivity], part.tally)
        drains = [
            self._finish(sensitivity, part.tally, self._fewer(part, level_of(level, sensitivity)))
            for sensitivity, part in self._settled(parts)
        ]
        last = drains.pop()._replace(positions=positions, unreadable=unreadable)
        behind = _without(positions, begun, parts[last.sensitivity].numbers)
        return [*(drain._replace(positions=behind) for drain in drains), last]

    def _fewer(self, part: _Part, level: str) -> list[Envelope]:
        """Return the events of a part that are kept, by the catalog and, of those that may leave, by the collector."""
        kept = self._samplers[level].sample(part.events, part.tally)
        return kept if level == "local" else self._thin(kept, part.tally)

    def _thin(self, events: list[Envelope], tally: Tally) -> list[Envelope]:
        return self._thinner.thin(events, self._shares_of(self._session.id), tally)

    def run_report(self, raw: bytes) -> list[tuple[Drain, Report | None]]:
        """Take the shipper's own report events the same way.

        Returns:
            For each sensitivity, the drain that goes to a segment as any other does, and the message that takes a
            segment of its own, if the format has one for reports.
        """
        parts = {sensitivity: _Part() for sensitivity in SENSITIVITIES}
        tally = parts[self._common].tally
        events = self._validator.validate(raw, tally)
        tally.emitted = len(events) + tally.lost
        for sensitivity, alike in self._sorted(events):
            parts[sensitivity].events = self._thin(alike, parts[sensitivity].tally)
            parts[sensitivity].numbers[""] = len(alike)
        return [self._report(sensitivity, part) for sensitivity, part in self._settled(parts)]

    def _report(self, sensitivity: Sensitivity, part: _Part) -> tuple[Drain, Report | None]:
        if self._format.encode_report is None or not part.events:
            return self._finish(sensitivity, part.tally, part.events), None
        kept = self._redactor.redact(part.events, part.tally)
        report = self._format.encode_report(kept, self._session.id, self._precision_seconds)
        part.tally.emitted = part.tally.lost  # the message brings its own account
        return Drain(b"", part.tally, {}, sensitivity=sensitivity), report

    def _sorted(self, events: list[Envelope]) -> Iterator[tuple[Sensitivity, list[Envelope]]]:
        """Yield events by their sensitivity, each kind in order.

        Events are looked at only if a catalog has both kinds.
        """
        are_apart = self._apart and [*map(self._apart.__contains__, map(type, events))]
        apart = [*compress(events, are_apart)]
        if apart:
            yield "technical", apart
            if len(apart) < len(events):
                yield self._common, [*compress(events, map(not_, are_apart))]
        elif events:
            yield self._common, events

    def _settled(self, parts: dict[Sensitivity, _Part]) -> Iterator[tuple[Sensitivity, _Part]]:
        """Yield the parts that there are, at least one, each with an account of its own; the technical part is last."""
        common, technical = parts[self._common], parts["technical"]
        number = technical.numbers.total()
        if not self._apart or (common.tally.emitted and not number):
            yield self._common, common
            return
        technical.tally.emitted = number
        technical.tally.add(common.tally.take_fields(self._apart_names))
        common.tally.emitted -= number
        if common.tally.emitted:
            yield self._common, common
        else:
            technical.tally.add(common.tally)
        yield "technical", technical

    def _finish(self, sensitivity: Sensitivity, tally: Tally, events: list[Envelope]) -> Drain:
        kept = self._redactor.redact(events, tally)
        tally.kept = len(kept)
        body = self._format.encode(kept, self._session.id, self._precision_seconds)
        return Drain(body, tally, {}, sensitivity=sensitivity)


def _names_of(sensitivity: Sensitivity, compiled: Compiled) -> list[str]:
    return [plan.name for plan in compiled.plans.values() if plan.event.sensitivity == sensitivity]


def _without(positions: Positions, begun: Mapping[str, int], numbers: Mapping[str, int]) -> Positions:
    """Return the positions of producers before the second drain of two.

    Args:
        positions: their positions after it.
        begun: the number of each one's first event in both.
        numbers: the number of each one's events in the second.
    """
    return {
        producer: replace(position, next=max(position.next - number, 0), half=(begun[producer], position.next))
        if (number := numbers.get(producer, 0))
        else position
        for producer, position in positions.items()
    }


def _younger(events: list[Envelope], than_ns: int, tally: Tally) -> list[Envelope]:
    """Drop events older than the consent, which may have waited in an idle host for as long as its user said no."""
    if not events or events[0].time_ns >= than_ns + _DISORDER_NS:
        return events
    kept = [event for event in events if event.time_ns >= than_ns]
    tally.drop(DropReason.CONSENT, len(events) - len(kept))
    return kept
