"""Timing of uploads: by chance, at the pace of the endpoint, and within a bandwidth. Pure: time is passed in.

    jitter     each batch waits for a random time after it was sealed, so that uploads can't be linked by their rhythm
    pause      batches that waited out an outage leave with pauses in between, as long as their uploads take: shippers
               that come back together leave half of the endpoint's time to others, and more when it is slow
    bandwidth  after a body, nothing leaves until its bytes are paid for

Hurried batches skip jitter and pause, never the bandwidth.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_PAUSE_SECONDS = 1.0
"""The longest pause in a backlog, so that a spool of the default size drains within a few minutes at worst."""


class Pace:
    """The pace of one shipper's uploads.

    All times are seconds by one monotonic clock. A batch first seen before `now`, or before an outage ended, is
    backlog.

    Attributes:
        hurried_at: batches first seen by then leave without jitter or pause.
    """

    def __init__(self, jitter_seconds: float, now: float, random: Callable[[], float]) -> None:
        self._jitter_seconds = jitter_seconds
        self._random = random
        self._secret = os.urandom(16)  # else a batch's id, which leaves, would tell its jitter
        self.hurried_at = float("-inf")
        self._recovered_at = now
        self._backlog_not_before = float("-inf")
        self._set_aside: dict[str, float] = {}

    def wait_seconds(self, id_: str, seen_at: float, now: float) -> float:
        """Return how long a batch still has to wait, the same however often it is asked; 0 or less if it may leave.

        Args:
            id_: the batch's id.
            seen_at: when its segment was sealed, or found at the start. A backlog has waited out its jitter.
            now: the present time.
        """
        if (set_aside_seconds := self.set_aside_seconds(id_, now)) > 0:
            return set_aside_seconds
        if seen_at <= self.hurried_at:
            return 0.0
        wait_seconds = self.due_at(id_, seen_at) - now
        return max(wait_seconds, self._backlog_not_before - now) if self.is_backlog(seen_at) else wait_seconds

    def due_at(self, id_: str, seen_at: float) -> float:
        """Return the time when a batch that nobody hurries has waited out its jitter."""
        return seen_at + self._jitter_of(id_)

    def pauses(self, seen_at: float, now: float) -> bool:
        """Tell whether a batch waits for a pause of the backlog, as do all that were seen before it."""
        return self.hurried_at < seen_at <= self._recovered_at and now < self._backlog_not_before

    def set_aside(self, id_: str, until: float) -> None:
        """Make one batch wait by itself, even if hurried; the obstacle does not concern the others."""
        self._set_aside[id_] = until

    def set_aside_seconds(self, id_: str, now: float) -> float:
        """Return how long a batch still waits by itself; 0 or less if it does not."""
        return self._set_aside.get(id_, now) - now

    def hurry(self, now: float) -> None:
        """Let everything sealed so far leave at once."""
        self.hurried_at = now

    def recover(self, now: float) -> None:
        """Note that an outage is over; everything sealed so far is its backlog."""
        self._recovered_at = now

    def upload(self, seen_at: float, took_seconds: float, now: float) -> None:
        """Note an upload.

        The rest of a backlog then pauses, as long again on average, so that the endpoint may rest.
        """
        if self.is_backlog(seen_at):
            self._backlog_not_before = now + self._random() * min(2 * took_seconds, MAX_PAUSE_SECONDS)

    def is_backlog(self, seen_at: float) -> bool:
        """Tell whether a batch waited out an outage, or was there before this process."""
        return seen_at <= self._recovered_at

    def _jitter_of(self, id_: str) -> float:
        """Return the batch's jitter, evenly distributed between 0 and the bound."""
        digest = blake2b(id_.encode(), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest) / 2**64 * self._jitter_seconds


class Bandwidth:
    """A bucket of tokens, one per byte, that may be overdrawn by one body, since a body is sent whole.

    The law: the bytes sent between two moments are at most the rate times the seconds between them, plus the last body.
    """

    def __init__(self, bytes_per_second: int) -> None:
        """Set the rate; 0 sets no bound."""
        self._bytes_per_second = bytes_per_second
        self._ready_at = float("-inf")

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until the bucket is out of debt; 0 or less if a body may be sent."""
        return self._ready_at - now

    def spend(self, body_bytes: int, now: float) -> None:
        """Take the bytes of a body that is being sent out of the bucket."""
        if self._bytes_per_second:
            self._ready_at = max(self._ready_at, now) + body_bytes / self._bytes_per_second
