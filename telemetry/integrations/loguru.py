"""loguru: one event a record.

logger.add(log_events())

The event's fields are those of telemetry/integrations/logging.py. loguru hands on its texts filled in: what stood in
the braces reaches the shipper, and goes no further, since of a `message` only its template and typed holes leave.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import telemetry
from telemetry.integrations.logging import MOST_CHARACTERS, is_own, level_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from loguru import Message


def log_events(*, event: str = "log") -> Callable[[Message], None]:
    """Return a sink that emits an event with `logger`, `level`, `message` and `error`; the logger is a module's name.

    Args:
        event: the name of the event, which the catalog declares.

    Returns:
        The sink. What it raises under `strict`, loguru reports.
    """

    def emit(message: Message) -> None:
        record = message.record
        if is_own(record["name"]):
            return
        raised = record["exception"]
        telemetry.emit(
            event,
            logger=record["name"],
            level=level_name(record["level"].no),
            message=record["message"][:MOST_CHARACTERS],
            error=raised.value if raised else None,
        )

    return emit
