"""Day by which a catalog expires.

It never goes back: a clock that is set back revives nothing. A running shipper remembers it; at a start, the day on
which the catalog's file was written is the earliest that it can be.
"""

from __future__ import annotations

import datetime as dt

from telemetry.shipper.encode.precision import LAST_SECOND


def utc_day(unix_seconds: float) -> dt.date:
    """Return the day in UTC; for a clock before 1970 or after 9999, the nearest day within."""
    return dt.datetime.fromtimestamp(min(max(unix_seconds, 0), LAST_SECOND), dt.UTC).date()
