"""How long to wait before the next try: by chance, so that shippers cut off together don't come back together.

Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RETRY_AFTER_SECONDS = 3600.0
"""An endpoint may ask for patience, but not switch us off for good by one wrong header."""


def full_jitter(failures: int, first_seconds: float, most_seconds: float, random: Callable[[], float]) -> float:
    """Seconds to wait after so many failures in a row: evenly between 0 and a bound that doubles.

    Args:
        failures: 1 and more.
        first_seconds: the bound after the first failure.
        most_seconds: the greatest bound.
        random: evenly distributed in [0, 1).
    """
    # The exponent is bounded: 2**64 seconds is long enough, and the power must not overflow a float.
    return random() * min(most_seconds, first_seconds * 2.0 ** min(failures - 1, 64))


def retry_after(header: str | None, now_unix_seconds: float) -> float:
    """Seconds that a Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3); 0 when it asks nothing."""
    if not header:
        return 0.0
    try:
        seconds = float(header) if header.strip().isdigit() else _unix_seconds(header) - now_unix_seconds
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS)


def _unix_seconds(date: str) -> float:
    """A date of HTTP, always in UTC; one that names no zone would else be taken for local time."""
    found = parsedate_to_datetime(date)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
