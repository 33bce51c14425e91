"""The day by which a catalog expires.

It never goes back: a clock that is set back revives nothing. While a shipper runs it remembers; when it starts, the day
on which the catalog's file was written is the least that it can be.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from telemetry.shipper.encode.precision import LAST_SECOND

if TYPE_CHECKING:
    from pathlib import Path


def utc_day(unix_seconds: float) -> dt.date:
    """The day in UTC; of a clock that is before 1970 or after 9999, the nearest within."""
    return dt.datetime.fromtimestamp(min(max(unix_seconds, 0), LAST_SECOND), dt.UTC).date()


def day_written(file: Path) -> dt.date:
    """The day on which `file` was last written, as far as its file system knows."""
    return utc_day(file.stat().st_mtime)
