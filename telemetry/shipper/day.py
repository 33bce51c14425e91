"""The day by which a catalog expires.

It never goes back: a clock that is set back revives nothing. While a shipper runs it remembers; when it starts, the day
on which the catalog's file was written is the least that it can be.
"""

from __future__ import annotations

import datetime as dt

from telemetry.shipper.encode.precision import LAST_SECOND


def utc_day(unix_seconds: float) -> dt.date:
    """The day in UTC; of a clock that is before 1970 or after 9999, the nearest within."""
    return dt.datetime.fromtimestamp(min(max(unix_seconds, 0), LAST_SECOND), dt.UTC).date()
