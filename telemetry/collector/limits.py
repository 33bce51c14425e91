"""What a collector grants its clients, so that none of them, or all together, can take it down."""

from __future__ import annotations

from typing import NamedTuple

LEAST_BYTES_PER_SECOND = 4096
"""A body that comes more slowly is given up: a modem's speed."""

LEAST_COST_BYTES = 64 << 10
"""An upload counts as no smaller: it is two files and their syncs, whatever is in them."""

COST_SECOND_BYTES = 32 << 20
"""A second of the checks, as they count it, costs an upload as much as so many bytes would."""

REFUSALS_PER_SECOND = 10
"""Uploads with tokens of one name that are refused at once; the answers to more of them are held back."""

MOST_HELD_BACK_SECONDS = 5.0

_BURST_SECONDS = 10.0


class Limits(NamedTuple):
    """The bounds of one collector.

    Attributes:
        body_bytes: of one body, as it comes.
        unpacked_bytes: of one body, decompressed.
        bytes_per_second: of all bodies that come with tokens of one name, and of what they cost, over some seconds.
        stall_seconds: what a request's head may take, and a body that comes at less than `LEAST_BYTES_PER_SECOND`.
        handshake_seconds: what the beginning of TLS may take.
        connections: at one time, counted from when they are accepted.
    """

    body_bytes: int = 16 << 20
    unpacked_bytes: int = 64 << 20
    bytes_per_second: int = 128 << 20
    stall_seconds: float = 20.0
    handshake_seconds: float = 5.0
    connections: int = 400


class Bucket:
    """A token bucket that may be overdrawn: how large an upload is, is known when it is there.

    Who has overdrawn waits until it is paid back.

    Args:
        rate_per_second: bytes, or whatever is charged; ten seconds' worth is there at the beginning, and at most.
    """

    def __init__(self, rate_per_second: int) -> None:
        self._rate = rate_per_second
        self._most = rate_per_second * _BURST_SECONDS
        self._level = self._most
        self._at = 0.0

    def wait_seconds(self, now: float) -> float:
        """How long an upload that begins at `now`, monotonic seconds, has to wait; 0 when it may come in."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, -self._level / self._rate)

    def charge(self, cost: int) -> None:
        """Take what an upload has cost."""
        self._level -= cost
