"""Recorder of events, which does in one process the work of host and shipper."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from threading import RLock
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from telemetry.catalog.field_types import declares, is_free_text
from telemetry.catalog.head import read_head
from telemetry.catalog.load import load
from telemetry.catalog.strict import strict_note, strict_record, strict_tick
from telemetry.errors import TelemetryError
from telemetry.producer.counters import Counters
from telemetry.producer.encode import Encoder
from telemetry.producer.exception import reduce_exception
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.name import names_to_find
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.shipper.encode.ndjson import NDJSON
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import Frame, FrameContext
from telemetry.shipper.intake.session import Session
from telemetry.shipper.own_names import constants_of
from telemetry.wire import PRODUCER_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.spool.tally import Tally

_CONTEXT = FrameContext(os.getpid(), "", "on", "host", "cloud")
_STAMPS = ("event", "time", "session")


class Event(Mapping[str, Any]):
    """An event as it would leave: a mapping from its fields to their values.

    Attributes:
        name: the event's name.
        redacted: the rules that changed a field's value, by field.
    """

    def __init__(self, name: str, fields: dict[str, Any], redacted: dict[str, tuple[str, ...]]) -> None:
        self.name = name
        self.redacted = redacted
        self._fields = fields

    def __getitem__(self, field: str) -> Any:
        return self._fields[field]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        fields = ", ".join(f"{field}={value!r}" for field, value in self._fields.items())
        return f"{self.name}({fields})"


class Recorder:
    """Recorder of the events that a program emits by one catalog. Safe between threads.

    Args:
        catalog: the path of the TOML file.
        packages: the program's own packages, whose places in the source an `error` field may name.
        cache: a directory where the scanner of free text is kept for the next time; None to make it anew.

    Attributes:
        catalog: the catalog's path.
        events: the events that would leave, in order, without what `count` and `observe` were given since `settle`.
        problems: the changes and losses of emitted events, a sentence each.

    Raises:
        CatalogError: the catalog can't be used.
    """

    def __init__(self, catalog: Path, packages: tuple[str, ...] = (), cache: Path | None = None) -> None:
        self.catalog = catalog
        self.events: list[Event] = []
        self.problems: list[str] = []
        self._pipeline = _pipeline(catalog, _version(catalog), cache)
        self._check = strict_record(catalog, _nothing)
        self._check_count = strict_tick(catalog, _nothing_counted)
        self._check_observed = strict_note(catalog, _nothing_counted)
        self._scales = read_head(catalog.read_bytes()).distributions
        self._encoder = Encoder(lambda error: reduce_exception(error, packages))
        self._counters = Counters(self._scales)
        self._lock = RLock()  # a signal handler may emit while its thread does

    def record(self, name: str, fields: dict[str, Any]) -> None:
        """Take an event, as a client's `record` does. Never raises: a fault of the event becomes a problem."""
        with self._lock:
            is_fit = self._note_fault(lambda: self._check(name, fields))
            self._take(name, fields, is_fit=is_fit)

    def tick(self, name: str, number: int, fields: dict[str, Any]) -> None:
        """Count, as a client's `tick` does."""
        with self._lock:
            if self._note_fault(lambda: self._check_count(name, number, fields)):
                self._counters.calls.append((name, number, fields))

    def note(self, name: str, number: float, fields: dict[str, Any]) -> None:
        """Observe, as a client's `note` does."""
        with self._lock:
            if self._note_fault(lambda: self._check_observed(name, number, fields)):
                self._counters.observed.append((name, number, fields))

    def time(self, name: str, milliseconds: float, fields: dict[str, Any]) -> None:
        """Record how long something took, as a client's `time` does."""
        if name in self._scales:
            self.note(name, milliseconds, fields)
        else:
            self.record(name, {**fields, "duration_ms": milliseconds})

    def settle(self) -> None:
        """Make events of what was counted and observed: one for each set of fields, as once a second in a program."""
        with self._lock:
            self._counters.hand_over(self._take_counts)

    def _take_counts(self, aggregates: list[tuple[str, dict[str, Any]]]) -> None:
        for name, fields in aggregates:
            self._take(name, fields, is_fit=True)

    def _note_fault(self, check: Callable[[], object]) -> bool:
        try:
            check()
        except TelemetryError as fault:
            self.problems.append(str(fault))
            return False
        return True

    def _take(self, name: str, fields: dict[str, Any], *, is_fit: bool) -> None:
        event = (name, time.time_ns(), fields)
        try:
            packed = self._encoder.encode([event])
        except Exception:  # noqa: BLE001 as in a host, where one bad value goes alone
            try:
                packed = self._encoder.mend(event)
            except Exception:  # noqa: BLE001 the same
                self.problems.append(f"an event of type {type(name).__name__} would be dropped: unencodable")
                return
        frame = Frame(1, bytes(PRODUCER_BYTES), _CONTEXT, 0, {}, msgspec.Raw(packed))
        for drain in self._pipeline.run([frame], {}, "on"):
            redacted = _redacted(drain.tally)
            for line in NDJSON.split(drain.body):
                values = NDJSON.values(line)
                kept = {field: value for field, value in values.items() if field not in _STAMPS}
                self.events.append(Event(values["event"], kept, redacted))
            if is_fit:
                self.problems += _losses(name, drain.tally)


def _redacted(tally: Tally) -> dict[str, tuple[str, ...]]:
    return {
        label.partition(".")[2]: tuple(touched.redacted) for label, touched in tally.touched.items() if touched.redacted
    }


def _losses(name: str, tally: Tally) -> Iterator[str]:
    """Return the drops that the strict check can't foresee: a day that has passed, a text that can't be redacted."""
    for reason in tally.dropped:
        yield f"event {name} would be dropped: {reason}"
    for label, touched in tally.touched.items():
        for reason in touched.dropped:
            yield f"event {name}, field {label.partition('.')[2]} would be removed: {reason}"


def _version(catalog: Path) -> tuple[int, ...]:
    """Return values that change with a file; none for a missing file, which loading it will report."""
    with suppress(OSError):
        found = catalog.stat()
        return found.st_ino, found.st_mtime_ns, found.st_size
    return ()


@lru_cache(8)
def _pipeline(catalog: Path, version: tuple[int, ...], cache: Path | None) -> Pipeline:  # noqa: ARG001 `version` is of the key
    """Return the stages for a catalog's file as it is now: made once, since the scanner of free text takes seconds."""
    loaded = load(catalog)
    whole = {name: replace(event, sample=1.0, max_per_second=None) for name, event in loaded.events.items()}
    today = dt.datetime.now(dt.UTC).date()
    texts = _open_redactor(loaded, cache)
    return Pipeline(replace(loaded, events=whole), today, NDJSON, texts, Session(), lambda: 0.0)


def _open_redactor(catalog: Catalog, cache: Path | None) -> FreeTextRedactor | None:
    """Return the redactor of free text, if the catalog declares any; of this machine it knows no names: no test may."""
    if not declares(catalog, is_free_text):
        return None
    try:
        return FreeTextRedactor(names_to_find({}, constants_of(catalog)), cache)
    except ScannerUnavailableError:
        return None


def _nothing(name: str, fields: dict[str, Any]) -> None:
    """Record nothing: only the check is wanted."""


def _nothing_counted(name: str, number: float, fields: dict[str, Any]) -> None:
    """Count nothing: only the check is wanted."""
