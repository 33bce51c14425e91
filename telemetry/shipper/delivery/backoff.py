"""Waiting times between tries, drawn at random, so that shippers cut off together do not come back together.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RETRY_AFTER_SECONDS = 3600.0
"""The longest wait that an endpoint may ask for: one wrong header must not switch uploads off for good."""


def full_jitter(failures: int, first_seconds: float, most_seconds: float, random: Callable[[], float]) -> float:
    """Return the seconds to wait after some failures in a row, evenly distributed between 0 and a bound that doubles.

    Args:
        failures: the number of failures, at least 1.
        first_seconds: the bound after the first failure.
        most_seconds: the greatest bound.
        random: returns numbers evenly distributed in [0, 1).
    """
    # The exponent is bounded: 2**64 seconds is long enough, and the power must not overflow a float.
    return random() * min(most_seconds, first_seconds * 2.0 ** min(failures - 1, 64))


def retry_after(header: str | None, now_unix_seconds: float) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3), or 0."""
    if not header:
        return 0.0
    try:
        seconds = float(header) if header.strip().isdigit() else _unix_seconds(header) - now_unix_seconds
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)


def _unix_seconds(date: str) -> float:
    """Parse an HTTP date as UTC; the standard library would take one without a zone for local time."""
    found = parsedate_to_datetime(date)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
