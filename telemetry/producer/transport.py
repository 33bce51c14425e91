"""The seam between a process and its shipper: one small interface, and three ways there.

    this machine       telemetry/producer/local.py    a shipper that is watched, and spawned where there is none
    another machine    telemetry/producer/remote.py   a shipper that somebody else runs, over TCP and encrypted
    nowhere            telemetry/debug.py             the host's own stderr, in development

`Link` and `Outbox` know no more of a shipper than what stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox


class Transport(Protocol):
    """One process's way to a shipper. None of its methods raises but where it is said."""

    @property
    def is_missing(self) -> bool:
        """Whether no shipper runs, and none can be expected either: names the reason when the queue is full."""
        ...

    @property
    def exit_seconds(self) -> float:
        """How long the end of the process may wait for what has not been confirmed."""
        ...

    @property
    def lock_seconds(self) -> float:
        """How long a thread that drains may take to let go; a close waits so long for it, whatever it is told."""
        ...

    def send(self, frame: bytes) -> bool:
        """Take a frame over; False when that can't be now. Never blocks."""
        ...

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Let go of what was taken over and has not left within that time; the next frame connects anew."""
        ...

    def supervise(self, outbox: Outbox) -> bool:
        """See after the shipper, twice a second while there is traffic.

        Args:
            outbox: whose frames are taken over; it is moved, or connected anew, where the shipper is another one.

        Returns:
            Whether to look while there is no traffic, too.
        """
        ...

    def follow_user(self, outbox: Outbox) -> bool:
        """Go where the user may go that this process has become; whether it was one, and the outbox was moved there."""
        ...

    def confirm(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object]
    ) -> dict[str, Any] | None:
        """Ask the shipper again and again, until it answers with anything or `deadline` is over.

        Args:
            request: what is asked.
            deadline: of the monotonic clock.
            meanwhile: called between two questions.

        Returns:
            The answer; None when there was none in time.

        Raises:
            OSError: this process can't ask, for it gets no descriptor, say.
        """
        ...

    def leave(self, producer: bytes, deadline: float) -> None:
        """Say that nothing more comes of a producer, whose every event was confirmed."""
        ...

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        """Leave to the shipper of now or of later what may not have come, since nobody is there to send it again.

        Args:
            frames: in order; each is of the producer of `word`, or of one that it was before.
            word: counts those that never were in a frame.
        """
        ...

    def renew(self) -> None:
        """Begin anew in a forked child, touching nothing that the parent shares."""
        ...

    def close(self, *, is_free: bool) -> None:
        """End it, for good.

        Args:
            is_free: whether no other thread can be in `send`; else what that one has stays open.
        """
        ...
