"""What a collector grants its clients, so that none of them, or all together, can take it down."""

from __future__ import annotations

from typing import NamedTuple

from telemetry.errors import ConfigError

LEAST_BYTES_PER_SECOND = 4096
"""A body that comes more slowly is given up: a modem's speed."""

LEAST_COST_BYTES = 64 << 10
"""An upload counts as no smaller: it is two files and their syncs, whatever is in them."""

_BURST_SECONDS = 10.0


class Limits(NamedTuple):
    """The bounds of one collector.

    Attributes:
        body_bytes: of one body, as it comes.
        unpacked_bytes: of one body, decompressed.
        bytes_per_second: of all bodies that come with one token, over some seconds.
        stall_seconds: what a request's head may take, and a body that comes at less than `LEAST_BYTES_PER_SECOND`.
        connections: at one time.
    """

    body_bytes: int = 16 << 20
    unpacked_bytes: int = 512 << 20
    bytes_per_second: int = 32 << 20
    stall_seconds: float = 20.0
    connections: int = 400


class Bucket:
    """A token bucket that may be overdrawn: how large an upload is, is known when it is there.

    Who has overdrawn waits until it is paid back.
    """

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._most = bytes_per_second * _BURST_SECONDS
        self._level = self._most
        self._at = 0.0

    def wait_seconds(self, now: float) -> float:
        """How long an upload that begins at `now`, monotonic seconds, has to wait; 0 when it may come in."""
        self._level = min(self._most, self._level + (now - self._at) * self._rate)
        self._at = now
        return max(0.0, -self._level / self._rate)

    def charge(self, size_bytes: int) -> None:
        """Take what an upload has cost."""
        self._level -= size_bytes


def check_tokens(text: str, where: str) -> tuple[bytes, ...]:
    """The tokens in `text`, parted by white space: more than one while they are rotated.

    Raises:
        ConfigError: there is none, or one that no header can carry; the text names `where`, never a token.
    """
    tokens = text.split()
    if not tokens:
        raise ConfigError(f"{where} holds no token; write one there, a line each, or leave it out")
    if not all(token.isascii() and token.isprintable() for token in tokens):
        raise ConfigError(f"{where} holds a token that is not ASCII; write one that is")
    return tuple(token.encode() for token in tokens)
