"""Limits on clients, so that none of them, nor all together, can take a collector down."""

from __future__ import annotations

from typing import NamedTuple

LEAST_BYTES_PER_SECOND = 4096
"""The least speed of a body, that of a modem; a slower one is given up."""

LEAST_COST_BYTES = 64 << 10
"""The least size that an upload is charged for: it costs two files and their syncs, whatever is in them."""

COST_SECOND_BYTES = 32 << 20
"""The bytes that an upload is charged for each second that its check is counted to cost."""

REFUSALS_PER_SECOND = 10
"""The refusals a second, for tokens of one name, that are answered at once; further answers are held back."""

MOST_HELD_BACK_SECONDS = 5.0

_BURST_SECONDS = 10.0


class Limits(NamedTuple):
    """The limits of one collector.

    Attributes:
        body_bytes: the size of one body as it arrives.
        unpacked_bytes: the size of one body after decompression.
        bytes_per_second: the bytes of all bodies with tokens of one name, and what they cost, averaged over some
            seconds.
        stall_seconds: the time for a request's head, and for a body slower than `LEAST_BYTES_PER_SECOND`.
        handshake_seconds: the time for a TLS handshake.
        connections: the number of connections at one time, counted from when they are accepted.
    """

    body_bytes: int = 16 << 20
    unpacked_bytes: int = 64 << 20
    bytes_per_second: int = 128 << 20
    stall_seconds: float = 20.0
    handshake_seconds: float = 5.0
    connections: int = 1000


class Bucket:
    """A token bucket that may be overdrawn, because the size of an upload is known only once it has arrived.

    A client that has overdrawn waits until the debt is paid back.

    Args:
        rate_per_second: the rate of refill, in bytes or any other unit of charge. The bucket starts full, at ten
            seconds'
            worth.
    """

    def __init__(self, rate_per_second: int) -> None:
        self._rate = rate_per_second
        self._most = rate_per_second * _BURST_SECONDS
        self._level = self._most
        self._at = 0.0

    def wait_seconds(self, now: float) -> float:
        """Return how long an upload that begins at `now`, in monotonic seconds, has to wait; 0 if it may come in."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, -self._level / self._rate)

    def charge(self, cost: int) -> None:
        """Take the cost of an upload out of the bucket."""
        self._level -= cost
