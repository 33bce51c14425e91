"""Times as text: ISO 8601, in UTC."""

from __future__ import annotations


def iso_time(unix_seconds: float) -> str:
    """Format a time as ISO 8601 in UTC, to the millisecond: `2027-01-31T08:00:00.000Z`."""
    from datetime import UTC, datetime  # noqa: PLC0415 a host that formats no time does not pay for it

    return datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
