"""Debug mode, `TELEMETRY_DEBUG=1`: the host prints on stderr what would be sent, and nothing is sent. For development.

Everything is as always up to the transport: the same queue, frames and counts. Behind this transport stands the
shipper's pipeline, in this process; so this module is imported only then. No socket, no shipper, no file.

Each line begins with `[telemetry]`. An event follows as it would be sent, in JSON, or a remark, after a `#`: the rule
that touched each field of the event above, the values removed, the events dropped and why.
"""

from __future__ import annotations

import datetime as dt
import random
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.facts import faults_of_report
from telemetry.catalog.field_types import declares, is_free_text
from telemetry.catalog.load import load
from telemetry.errors import TelemetryError
from telemetry.native import posix, sleep
from telemetry.receipt import level_of
from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names.machine import names_of_this_machine
from telemetry.redact.names.name import names_to_find
from telemetry.redact.scanner import ScannerUnavailableError
from telemetry.settings import DEBUG, ShipperSettings
from telemetry.shipper.config import read_settings
from telemetry.shipper.encode import format_of
from telemetry.shipper.intake.pipeline import Pipeline
from telemetry.shipper.intake.receiver import decode_frame
from telemetry.shipper.intake.session import Session
from telemetry.shipper.own_names import constants_of
from telemetry.spool.tally import UNDECLARED_FIELD
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox
    from telemetry.shipper.intake.receiver import Frame
    from telemetry.spool.tally import Tally

PREFIX = "[telemetry] "

EXIT_SECONDS = 5.0
"""The time that the end of the process waits for another thread that prints; a full queue takes about as long."""

BLOCKED_SECONDS = 1.0
"""The time for which stderr may take nothing before lines are discarded."""

POLL_SECONDS = 0.005
"""The interval of tries meanwhile: `select` is one of the functions that gevent replaces."""

STAYS = "it tells of what somebody did: it would be kept on this machine and never sent"

_NAME_CHARACTERS = 64

_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_ONE = b"\x91"  # the head of an array of one


class DebugTransport:
    """The way to the host's own stderr, with a printer at its end.

    Attributes:
        is_missing: False, because the printer is there.
        exit_seconds: see `Transport`.
        lock_seconds: see `Transport`.
    """

    is_missing = False
    exit_seconds = lock_seconds = EXIT_SECONDS

    def __init__(self, config: dict[str, Any]) -> None:
        """Make the printer, on the thread of `init` and before any fork."""
        self._printer = Printer(config)

    def send(self, frame: bytes) -> bool:
        """Print a frame."""
        self._printer.show(frame)
        return True

    def taken(self, producer: bytes) -> None:
        """Say nothing: what is printed would not be sent again."""

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Do nothing: nothing is held."""

    def supervise(self, outbox: Outbox) -> bool:  # noqa: ARG002 there is nobody to see after
        """Do nothing: there is no shipper."""
        return False

    def follow_user(self, outbox: Outbox) -> bool:  # noqa: ARG002 as above
        """Do nothing: stderr stays the same for any user."""
        return False

    def confirm(
        self,
        request: dict[str, Any],  # noqa: ARG002 whatever was sent is printed
        deadline: float,  # noqa: ARG002 the same
        meanwhile: Callable[[], object],
    ) -> dict[str, Any]:
        """Print the last counts. Everything is confirmed, and nothing is ever delivered."""
        meanwhile()
        return {"delivered": False}

    def leave(self, producer: bytes, deadline: float) -> None:
        """Do nothing: there is nobody to say goodbye to."""

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        """Do nothing: there is nobody to find it."""

    def renew(self) -> None:
        """Do nothing: a forked child prints where its parent does."""

    def close(self, *, is_free: bool) -> None:
        """Do nothing: stderr is the host's."""


class Printer:
    """A printer of what the shipper would make of each event of a frame. Never raises."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Take the place of a shipper with this configuration; if it could not start, print the reason instead."""
        self._stderr = _Stderr()
        self._producer = b""
        self._dropped: dict[str, int] = {}
        self._greets = True
        self._product = config["product"]
        self._pipeline: Pipeline | None = None
        try:
            self._prepare(config)
        except TelemetryError as fault:
            self._stderr.print(
                f"# {line}" for line in f"nothing can be shown, and nothing would be sent: {fault}".splitlines()
            )

    def show(self, frame: bytes) -> None:
        """Print the events of a frame, and the number dropped before it."""
        decoded = decode_frame(frame)
        if decoded is None or self._pipeline is None:
            return
        if self._greets:
            self._stderr.print([f"# {_what_would_be(self._product, decoded)}; {DEBUG} is set, so nothing is"])
            self._greets = False
        if lost := self._lost(decoded):
            counts = ", ".join(f"{number} {reason}" for reason, number in lost.items())
            self._stderr.print([f"# dropped before that: {counts}"])
        for raw in _split(decoded.events):
            try:
                self._show(raw, decoded, self._pipeline)
            except Exception as fault:  # noqa: BLE001 a mistake of ours is not the host's; its text may hold data
                self._stderr.print([f"# an event can't be shown: {type(fault).__name__}"])

    def _prepare(self, config: dict[str, Any]) -> None:
        ours = {name: value for name, value in config.items() if name in ShipperSettings._fields}
        settings = read_settings(ours, "ShipperSettings")
        self._format = format_of(settings, self._product)
        self._catalog = load(Path(config["catalog"]))
        self._stderr.print(f"# {fault}" for fault in faults_of_report(self._catalog, settings.report))
        today = dt.datetime.now(dt.UTC).date()
        self._pipeline = Pipeline(self._catalog, today, self._format, self._open_redactor(), Session(), random.random)

    def _open_redactor(self) -> FreeTextRedactor | None:
        """Return the redactor of free text, which takes seconds to make; None if the catalog declares no free text."""
        if not declares(self._catalog, is_free_text):
            return None
        try:
            names = names_to_find(names_of_this_machine(), constants_of(self._catalog))
            return FreeTextRedactor(names)  # compiled anew each time: a cache would be a file
        except ScannerUnavailableError as fault:
            self._stderr.print([f"# free text is removed: {fault}"])
            return None

    def _show(self, raw: msgspec.Raw, frame: Frame, pipeline: Pipeline) -> None:
        """Show an event by itself, so that the tally speaks of this one."""
        alone = msgspec.structs.replace(frame, first=0, dropped={}, events=msgspec.Raw(_ONE + bytes(raw)))
        for drain in pipeline.run([alone], {}, level := frame.context.consent):
            shown = [line.decode(errors="replace") for line in self._format.show(drain.body, self._format.route)]
            stays = [f"# {STAYS}"] if shown and level_of(level, drain.sensitivity) != level else []
            self._stderr.print([*shown, *stays, *self._remarks(raw, drain.tally)])

    def _lost(self, frame: Frame) -> dict[str, int]:
        """Return the growth of the running totals; a forked child is a new producer."""
        if frame.producer != self._producer:
            self._producer, self._dropped = frame.producer, {}
        totals: dict[str, int] = {str(reason): total for reason, total in frame.dropped.items()}
        grown = {reason: total - self._dropped.get(reason, 0) for reason, total in totals.items()}
        self._dropped = totals
        return {reason: number for reason, number in grown.items() if number}

    def _remarks(self, raw: msgspec.Raw, tally: Tally) -> Iterator[str]:
        name, fields = _take_apart(raw)
        if tally.dropped:
            yield f"# dropped: {_named(name)} ({', '.join(tally.dropped)})"
        said = []
        for label, touched in tally.touched.items():
            field = label.partition(".")[2]
            if touched.redacted:
                said.append(f"{field} by {', '.join(touched.redacted)}")
            if touched.dropped:
                names = self._undeclared(name, fields) if field == UNDECLARED_FIELD else [field]
                said.append(f"{', '.join(names)} removed ({', '.join(touched.dropped)})")
        if said:
            yield f"# {name}: {'; '.join(said)}"

    def _undeclared(self, event: str, fields: dict[Any, Any]) -> list[str]:
        declared = declared_fields(self._catalog.events[event])
        return [_named(field) for field in fields if field not in declared]


def _what_would_be(product: str, frame: Frame) -> str:
    if frame.context.consent == "on":
        return f"{product} would send this"
    if frame.context.consent == "technical":
        return f"{product} would send what is technical of this"
    return f"{product} would keep this on this machine and never send it"


def _take_apart(raw: msgspec.Raw) -> tuple[str, dict[Any, Any]]:
    """Return an event's name and fields as the program gave them; a text that is no UTF-8 was refused before."""
    name, _, fields = msgspec.msgpack.decode(raw)
    return name, fields


def _named(name: object) -> str:
    """Quote a name that no catalog vouches for; it may be anything."""
    return repr(str(name)[:_NAME_CHARACTERS])


class _Stderr:
    """A writer of lines, at once and past the buffers of `sys.stderr`.

    A signal handler may interrupt another that prints.
    """

    def __init__(self) -> None:
        self._patience_seconds = BLOCKED_SECONDS

    def print(self, lines: Iterable[str]) -> None:
        """Print lines; never raises, and discards what nobody takes."""
        text = "".join(f"{PREFIX}{printable(line)}\n" for line in lines)
        try:
            descriptor = sys.stderr.fileno()
        except (AttributeError, OSError, ValueError):  # none, or one that leads to no file, as in a notebook
            with suppress(Exception):  # whatever it is, the host is not to hear of it
                sys.stderr.write(text)
            return
        with suppress(OSError):  # nobody reads it any more
            self._write(descriptor, text.encode(errors="replace"))

    def _write(self, descriptor: int, data: bytes) -> None:
        while data:
            try:
                data = data[posix.write(descriptor, data) :]
            except BlockingIOError:  # somebody has made it non-blocking, and it is full
                if self._patience_seconds <= 0:  # once: the host does not wait for each line
                    return
                sleep(POLL_SECONDS)
                self._patience_seconds -= POLL_SECONDS
            else:
                self._patience_seconds = BLOCKED_SECONDS
