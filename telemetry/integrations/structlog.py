"""structlog: one event a log entry, by its constant text and never by its other values.

structlog.configure(processors=[log_events(), ...])   # first: before what fills in, renders or drops

The event's fields are those of telemetry/integrations/logging.py.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import telemetry
from telemetry.errors import TelemetryError
from telemetry.integrations.logging import is_own, text_of

if TYPE_CHECKING:
    from structlog.typing import EventDict, Processor, WrappedLogger

_LEVELS = {"warn": "warning", "exception": "error", "fatal": "critical", "msg": "info", "log": "info"}


def log_events(*, event: str = "log") -> Processor:
    """Return a processor that emits an event with `logger`, `level`, `message` and `error`, and passes the entry on.

    Of positional arguments plain numbers alone are put into the message, and of an entry's other values nothing leaves.

    Args:
        event: the name of the event, which the catalog declares.

    Returns:
        The processor. It raises under `strict` alone, where the catalog does not let something pass.
    """

    def emit(logger: WrappedLogger, method: str, entry: EventDict) -> EventDict:
        try:
            name = entry.get("logger") or getattr(logger, "name", None)
            if not is_own(name):
                telemetry.emit(
                    event,
                    logger=name if isinstance(name, str) else None,
                    level=_LEVELS.get(method, method),
                    message=text_of(entry.get("event"), entry.get("positional_args", ())),
                    error=_error_of(entry.get("exc_info"), method),
                )
        except TelemetryError:
            raise
        except Exception:  # noqa: BLE001 whatever it is, the program only wanted to log
            with suppress(Exception):
                telemetry.emit(event)  # that there was one is counted
        return entry

    return emit


def _error_of(told: Any, method: str) -> BaseException | None:
    """Return the exception of an entry, which may tell it in three ways."""
    if isinstance(told, tuple):
        return told[1] if len(told) > 1 and isinstance(told[1], BaseException) else None
    if isinstance(told, BaseException):
        return told
    return sys.exc_info()[1] if told or method == "exception" else None
