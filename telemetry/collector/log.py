"""Log of a collector, on stderr: terse, and never more than some lines a minute, whatever happens."""

from __future__ import annotations

import logging
import time

_LINES_A_MINUTE = 30


def start_log() -> None:
    """Write the collector's lines, and the errors of other libraries, to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_formatter())
    handler.addFilter(_few)
    logging.basicConfig(level=logging.ERROR, handlers=[handler], force=True)
    logging.getLogger("telemetry").setLevel(logging.INFO)


def _formatter() -> logging.Formatter:
    formatter = logging.Formatter("%(asctime)sZ %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter


class _Few(logging.Filter):
    """A filter that passes a limited number of records each minute, and says when it stops."""

    def __init__(self) -> None:
        super().__init__()
        self._minute = 0
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute, self._lines = minute, 0
        self._lines += 1
        if self._lines == _LINES_A_MINUTE:
            record.msg, record.args, record.exc_info = "too many messages; no more are logged this minute", (), None
        return self._lines <= _LINES_A_MINUTE


_few = _Few().filter
