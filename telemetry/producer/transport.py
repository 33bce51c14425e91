"""The seam between a process and its shipper: one small interface, and three ways there.

    this machine       telemetry/producer/local.py    a shipper that is watched, and spawned where there is none
    another machine    telemetry/producer/remote.py   a shipper that somebody else runs, over TCP and encrypted
    nowhere            telemetry/debug.py             the host's own stderr, in development

`Link` and `Outbox` know a shipper only by this interface.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox
    from telemetry.rendezvous.taken import Taken


class Transport(Protocol):
    """The way of one process to a shipper. Its methods raise only the exceptions that they document."""

    @property
    def is_missing(self) -> bool:
        """Whether no shipper runs, and none can be expected either: gives the reason when the queue is full."""
        ...

    @property
    def exit_seconds(self) -> float:
        """The time that the end of the process may wait for confirmation."""
        ...

    @property
    def lock_seconds(self) -> float:
        """The time for a draining thread to release the lock; a close waits so long for it, whatever its timeout."""
        ...

    def send(self, frame: bytes) -> bool:
        """Take a frame over; False if that is impossible now. Never blocks."""
        ...

    def taken(self, producer: bytes) -> Taken | None:
        """Return how far the shipper has taken a producer's events, by its last word; None if it has said nothing.

        Never blocks.
        """
        ...

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Discard frames that were taken over and have not left within that time; the next frame connects anew."""
        ...

    def supervise(self, outbox: Outbox) -> bool:
        """Look after the shipper, twice a second while there is traffic.

        Args:
            outbox: the outbox of the frames; it is moved, or connected anew, if the shipper is another one.

        Returns:
            Whether to look while there is no traffic, too.
        """
        ...

    def follow_user(self, outbox: Outbox) -> bool:
        """Move the outbox to the place of the user that this process has become.

        Return whether that was necessary and done.
        """
        ...

    def confirm(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object]
    ) -> dict[str, Any] | None:
        """Ask the shipper again and again, until it answers with anything or `deadline` is over.

        Args:
            request: the question.
            deadline: the time, by the monotonic clock, at which to give up.
            meanwhile: called between two questions.

        Returns:
            The answer; None if there was none in time.

        Raises:
            OSError: this process can't ask, for example because it gets no descriptor.
        """
        ...

    def leave(self, producer: bytes, deadline: float) -> None:
        """Announce the end of a producer whose every event was confirmed."""
        ...

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        """Leave frames that may not be taken to the present or a later shipper, as nobody will send them again.

        Args:
            frames: the frames in order; each is of the producer of `word`, or of one that it was before.
            word: the account of the producer, which also counts events that never were in a frame.
        """
        ...

    def renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        ...

    def close(self, *, is_free: bool) -> None:
        """End the transport, for good.

        Args:
            is_free: whether no other thread can be in `send`; if one can, its connection stays open.
        """
        ...
