"""Side of a place for batches that uploads need: of a store on this machine, or of a stream of servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.collector.judge import Refusal, Upload
    from telemetry.collector.tokens import Holder


class Body(Protocol):
    """A body that is arriving."""

    def write(self, piece: bytes) -> None:
        """Append to the body. Raises OSError if there is no room for it."""

    def close(self) -> None:
        """Discard the body, unless it was kept."""


class Arrival(NamedTuple):
    """An upload that was let in.

    Attributes:
        holder: the holder of its token.
        upload: its headers, parsed.
        route: the path it was posted to.
        body: what has arrived of its body.
    """

    holder: Holder
    upload: Upload
    route: str
    body: Body


class Kept(NamedTuple):
    """A batch that is safe.

    Attributes:
        batch: the batch's id.
        stored: whether this upload brought it.
    """

    batch: str
    stored: bool


class Keeper(Protocol):
    """A place that keeps batches."""

    @property
    def most_bytes(self) -> int:
        """The size of the largest body that it can take just now."""

    def knows(self, batch: str) -> bool:
        """Tell whether it is known, at no cost, that a batch need not come again."""

    def begin(self, upload: Upload) -> Body:
        """Start to take in a body. Raises OSError if there is no room for any."""

    async def keep(self, arrival: Arrival, is_awaited: Callable[[], bool]) -> Kept | Refusal:
        """Keep a body that has arrived whole; the caller closes it. Raises OSError if there is no room for it.

        Args:
            arrival: the upload.
            is_awaited: tells whether the client still waits for the outcome.
        """

    def refuse(self, batch: str, fault: OSError) -> Refusal:
        """Log that there is no room, once until a batch is kept again, and return the refusal."""

    def find_refusal(self) -> str | None:
        """Return the reason why no batch could be kept now, or None if one could; blocks, and is called in a thread."""
