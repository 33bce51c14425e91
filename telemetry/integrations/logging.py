"""The standard library's logging: one event a record, by the text in the source and never by the text filled in.

logging.getLogger().addHandler(LogEvents())   # as many levels as the logger and the handler let pass

[events.log]
purpose = "find what programs in the field complain of"
owner = "platform team"
expires = "2027-06-30"
sensitivity = "technical"
[events.log.fields]
logger = { type = "enum", values = ["acme.server"], purpose = "which part" }
level = { type = "enum", values = ["debug", "info", "warning", "error", "critical"], purpose = "how grave" }
message = { type = "message", purpose = "what happened", templates = ["no route to {host}", "took {ms:number} ms"] }
error = { type = "error", purpose = "what was raised" }

`telemetry catalog templates SOURCE` writes the templates, `telemetry catalog values SOURCE` the loggers.
"""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from typing import Any

import telemetry
from telemetry.errors import TelemetryError

OWN = ("telemetry", "zmq")
"""The loggers of what sends the events: one of their records must not cause another."""

LEVELS = (
    (logging.CRITICAL, "critical"),
    (logging.ERROR, "error"),
    (logging.WARNING, "warning"),
    (logging.INFO, "info"),
)
"""The least number of each level that has a name; what is below all of them is `debug`."""

MOST_CHARACTERS = 1_000
"""The longest text that is emitted, which is as long as a template may be."""

_PLACE = re.compile(
    r"%(?:\((?P<key>[^)]*)\))?[#0 +-]*(?P<width>\*|\d+)?(?:\.(?P<digits>\*|\d+))?[hlL]?(?P<form>[a-zA-Z%])"
)
_NUMBERS = (int, float, bool)


class LogEvents(logging.Handler):
    """Handler that emits an event with `logger`, `level`, `message` and `error` for each record.

    The message is the record's `msg` as it stands in the source. Of its arguments only plain numbers are put in, for
    the typed holes of a template; anything else stays `%s`, and no code of an argument runs. Of a record that can't be
    read the event has no fields. It never raises; under `strict` what the catalog does not let pass is reported as the
    logging module reports a failing handler.

    Args:
        level: the least level of a record that becomes an event.
        event: the name of the event, which the catalog declares.
    """

    def __init__(self, level: int | str = logging.NOTSET, *, event: str = "log") -> None:
        super().__init__(level)
        self._event = event

    def createLock(self) -> None:  # noqa: N802 logging's name
        """Make no lock: `emit` needs none, and must not wait in a signal handler."""
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        """Emit the event of a record."""
        if is_own(record.name):
            return
        try:
            telemetry.emit(
                self._event,
                logger=record.name,
                level=level_name(record.levelno),
                message=text_of(record.msg, record.args),
                error=record.exc_info[1] if record.exc_info else None,
            )
        except TelemetryError:  # under `strict` alone
            self.handleError(record)
        except Exception:  # noqa: BLE001 whatever it is, the program only wanted to log
            with suppress(Exception):
                telemetry.emit(self._event)  # that there was one is counted


def is_own(logger: object) -> bool:
    """Tell whether a logger is of the library itself or of what it sends with."""
    return isinstance(logger, str) and logger.partition(".")[0] in OWN


def level_name(number: int) -> str:
    """Return the name of a level, or of the next one below it that has a name."""
    return next((name for least, name in LEVELS if number >= least), "debug")


def text_of(message: object, args: object = ()) -> str | None:
    """Return a message with its plain numbers put in and all other arguments left out; None if it is no text."""
    if type(message) is not str:
        return None
    if not args or "%" not in message:  # logging fills nothing in then
        return message[:MOST_CHARACTERS]
    waiting = iter(args) if isinstance(args, tuple) else iter(())
    named = args if isinstance(args, dict) else {}

    def put_in(found: re.Match[str]) -> str:
        if found["form"] == "%":
            return "%"
        if found["width"] == "*":
            next(waiting, None)
        digits = next(waiting, None) if found["digits"] == "*" else found["digits"]
        value = named.get(found["key"]) if found["key"] is not None else next(waiting, None)
        return _number(value, found["form"], digits) or f"%{found['form']}"

    return _PLACE.sub(put_in, message[:MOST_CHARACTERS])


def _number(value: Any, form: str, digits: object) -> str | None:
    """Return a plain number as it would be filled in, but for blanks and signs around it; None for anything else."""
    if type(value) not in _NUMBERS:
        return None
    with suppress(ValueError, OverflowError, TypeError):
        if form in "diu":
            return str(int(value))
        if form in "eEfFgG":
            return format(value, f".{digits}{form}" if type(digits) in {str, int} else form)
        if form in "sra":
            return str(value)
    return None
