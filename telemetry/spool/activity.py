"""The last UTC day on which an installation sent anything, by which a session knows whether it is the first of a day.

It is one line in a file, a date without any id: all shippers of an installation, side by side or one after the other,
share it, so that of their sessions one is the first. What can't be read or written, or is held at that moment by
another shipper, makes no session a first one: it is better not to count an installation than to count it twice.
"""

from __future__ import annotations

import datetime as dt
import os
from contextlib import suppress

from telemetry.files import lock, private_file, write_all
from telemetry.paths import ACTIVITY, activity_file, product_dir
from telemetry.receipt import NOT_FIRST, First

_MOST_BYTES = 32
_SET_BACK = dt.timedelta(days=1)
"""The farthest that a right clock goes back; from beyond, the date comes from a clock that was wrong."""


def claim(product: str, endpoint: str, today: dt.date) -> First:
    """Claim a day for the first session that asks; returns what it is the first of. Never raises, never waits.

    Args:
        product: the product that sends.
        endpoint: the endpoint it sends to; each has a count of its own.
        today: the session's day, UTC.
    """
    try:
        file = private_file(activity_file(product, endpoint), os.O_RDWR | os.O_CREAT)
        try:
            lock(file)
            first = first_of(_parse(os.pread(file, _MOST_BYTES, 0)), today)
            if first.day:
                os.ftruncate(file, 0)
                write_all(file, f"{today.isoformat()}\n".encode())
                os.fsync(file)
        finally:
            os.close(file)
    except OSError:
        return NOT_FIRST
    return first


def forget(product: str) -> None:
    """Erase the day for each endpoint of a product: nothing local tells any more when it was used. Raises OSError."""
    for path in product_dir(product).glob(f"{ACTIVITY}*"):
        path.unlink(missing_ok=True)


def first_of(last: dt.date | None, today: dt.date) -> First:
    """Return what a session of `today` is the first of, if the last one before it was of `last`. Pure."""
    if last is not None and today <= last <= today + _SET_BACK:
        return NOT_FIRST
    is_week = last is None or last.isocalendar()[:2] != today.isocalendar()[:2]
    is_month = last is None or (last.year, last.month) != (today.year, today.month)
    return First(day=True, week=is_week, month=is_month)


def _parse(data: bytes) -> dt.date | None:
    with suppress(ValueError):
        return dt.date.fromisoformat(data.decode("ascii").strip())
    return None
