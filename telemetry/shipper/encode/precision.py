"""Rounding of the time with which an event leaves, so that it names a minute, say, and not the moment."""

from __future__ import annotations

LAST_SECOND = 253_402_300_799
"""The end of the year 9999, the last that ISO 8601 writes with four digits."""


def rounded_seconds(time_ns: int, precision_seconds: int) -> int:
    """Round `time_ns`, any int at all, down to a multiple of `precision_seconds` and return UNIX seconds.

    A time before 1970 or after 9999 counts as the nearest time within.
    """
    seconds = min(max(time_ns // 1_000_000_000, 0), LAST_SECOND)
    return seconds - seconds % precision_seconds
