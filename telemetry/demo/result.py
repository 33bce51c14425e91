"""Result of a run: the ledger, held against the producers' reports and the collector's store."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zstandard

from telemetry.catalog.load import load
from telemetry.demo.producer import CATALOG
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.names.name import names_to_find
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.own_names import constants_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from telemetry.demo.run import Run


COUNTER = "tokens_seen"
_DIGITS = 2


BODIES = "batches/*.ndjson.zst"
SAMPLES = 8
_CHARACTERS = 100
"""The longest comment that is shown."""


class Result(NamedTuple):
    """A finished run, with the contents of the collector's store."""

    run: Run
    stored: Stored

    @property
    def aggregates(self) -> int:
        """The number of events made by the counter: those in the ledger beyond the events emitted one by one."""
        return self.run.account.tally.emitted - sum(word.emitted for word in self.run.words)

    @property
    def host_cpu_us_per_event(self) -> float | None:
        """The CPU time that telemetry took in the producers; None if they were interrupted."""
        return self._per_event(sum(word.host_cpu_seconds for word in self.run.words) * 1e6)

    @property
    def own_cpu_us_per_event(self) -> float | None:
        """The CPU time that the producers took for their own work."""
        return self._per_event(sum(word.own_cpu_seconds for word in self.run.words) * 1e6)

    @property
    def shipper_cpu_us_per_event(self) -> float | None:
        """The CPU time of the shipper's whole life, including its start."""
        return self._per_event(self.run.shipper_cpu_seconds * 1e6)

    @property
    def bytes_per_event(self) -> float | None:
        """The bytes of the uploads' bodies for each event delivered."""
        delivered = self.run.account.delivered
        return self.stored.body_bytes / delivered if delivered else None

    def as_json(self) -> str:
        """Return the result as one JSON object."""
        run, tally = self.run, self.run.account.tally
        return json.dumps(
            {
                "emitted": tally.emitted,
                "delivered": run.account.delivered,
                "on_disk": run.account.on_disk,
                "in_flight": 0,  # no process is left
                "dropped": tally.dropped,
                "fields_dropped": tally.fields_dropped,
                "redacted": tally.redacted,
                "aggregates": None if run.interrupted else self.aggregates,
                "seconds": _rounded(run.seconds),
                "events_per_second": _rounded(tally.emitted / run.seconds if run.seconds else None),
                "host_cpu_us_per_event": _rounded(self.host_cpu_us_per_event),
                "shipper_cpu_us_per_event": _rounded(self.shipper_cpu_us_per_event),
                "bytes_per_event": _rounded(self.bytes_per_event),
                "stored": self.stored.events,
                "store": str(run.plan.store),
            }
        )

    def faults(self) -> Iterator[str]:
        """Yield the figures that do not add up, each of which is a bug. For runs that were not interrupted."""
        run, stored = self.run, sum(self.stored.events.values())
        emitted = sum(word.emitted for word in run.words)
        if run.account.balance:
            yield f"the ledger does not balance: nothing accounts for {run.account.balance:,} events"
        if emitted != run.plan.events:
            yield f"the producers emitted {emitted:,} events, not {run.plan.events:,}"
        if not all(word.confirmed for word in run.words):
            yield "a producer ended before the shipper had confirmed all it had emitted"
        unseen = self.aggregates - self.stored.events.get(COUNTER, 0)
        if not 0 <= unseen <= run.account.tally.lost:
            yield f"the ledger holds {unseen:,} events that nobody emitted"
        if stored != run.account.delivered:
            yield f"the collector holds {stored:,} events, the ledger says {run.account.delivered:,} were delivered"

    def _per_event(self, total: float) -> float | None:
        emitted = self.run.account.tally.emitted
        return total / emitted if emitted and not self.run.interrupted else None


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, _DIGITS)


class Stored(NamedTuple):
    """The contents of a collector's store.

    Attributes:
        events: how many, by name.
        comments: their texts.
        body_bytes: of all batches, as they came.
    """

    events: dict[str, int]
    comments: frozenset[str]
    body_bytes: int


class _Line(msgspec.Struct, gc=False):
    event: str
    text: str = ""


def read_stored(store: Path) -> Stored:
    """Read a collector's directory; half a second or so for a million events."""
    decoder = msgspec.json.Decoder(_Line)
    events: Counter[str] = Counter()
    comments: set[str] = set()
    body_bytes = 0
    for path in store.glob(BODIES):
        body = path.read_bytes()
        body_bytes += len(body)
        lines = decoder.decode_lines(zstandard.ZstdDecompressor().decompressobj().decompress(body))
        events.update(line.event for line in lines)
        comments.update(line.text for line in lines if line.event == "comment")
    return Stored(dict(events.most_common()), frozenset(comments), body_bytes)


class Sample(NamedTuple):
    """A comment before and after redaction.

    Attributes:
        before: in the file; it exists in memory only.
        after: in the collector's store.
        rules: that made the one of the other.
    """

    before: str
    after: str
    rules: tuple[str, ...]


def take_samples(comments: Sequence[str], stored: Collection[str]) -> list[Sample]:
    """Take the comments in which the shipper's own code finds something: at most `SAMPLES`, of many kinds.

    Args:
        comments: as they stand in files.
        stored: the comments that the collector has; what is not among them is no sample.
    """
    found = _varied(_redacted([text for text in comments if len(text) <= _CHARACTERS]))
    return [sample for sample in found if sample.after in stored][:SAMPLES]


def _redacted(comments: list[str]) -> list[Sample]:
    try:
        redactor = FreeTextRedactor(names_to_find(names_of_this_machine(), constants_of(load(CATALOG))))
    except ScannerUnavailableError:
        return []  # the shipper has none either: all free text is dropped, and counted
    findings = redactor.redact(comments)
    return [
        Sample(comments[index], finding.text, finding.rules)
        for index, finding in findings.items()
        if finding.text is not None
    ]


def _varied(samples: Iterable[Sample]) -> list[Sample]:
    """Return all samples, the first of each kind ahead, then the second of each, and so on."""
    seen: dict[tuple[str, ...], int] = {}
    ranked = []
    for sample in dict.fromkeys(samples):
        rank = seen[sample.rules] = seen.get(sample.rules, -1) + 1
        ranked.append((rank, sample))
    return [sample for _, sample in sorted(ranked, key=lambda pair: pair[0])]
