"""Transport to a shipper on another machine: none is spawned, none is watched, and nothing is written here."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from telemetry.native import monotonic
from telemetry.producer.channel import ASK_SECONDS, ASK_WAIT_SECONDS, EXIT_SECONDS, LOCK_SECONDS, Channel
from telemetry.producer.exits import forks_in_c
from telemetry.rendezvous.taken import Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox
    from telemetry.rendezvous.keys import Peer


class RemoteTransport:
    """The way to a shipper elsewhere, encrypted; with the same promises, except that its exit leaves nothing behind.

    Attributes:
        is_missing: False, because nobody here can tell.
        exit_seconds: see `Transport`.
        lock_seconds: see `Transport`.
    """

    is_missing = False
    exit_seconds = EXIT_SECONDS
    lock_seconds = LOCK_SECONDS

    def __init__(self, peer: Peer) -> None:
        self._channel = Channel(lambda: peer)
        self._told: dict[bytes, Taken] = {}
        self._asked_at = float("-inf")

    def send(self, frame: bytes) -> bool:
        """Hand a frame over to ZeroMQ; False if it takes none now."""
        return self._channel.send(frame)

    def taken(self, producer: bytes) -> Taken | None:
        """Return what the shipper has answered last; before that, and of one it was not asked about, nothing."""
        shipper = next((taken.shipper for taken in self._told.values()), None)
        return self._told.get(producer, Taken(0, 0, shipper) if self._told else None)

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Close the socket for frames."""
        self._channel.disconnect(linger_milliseconds)

    def supervise(self, outbox: Outbox) -> bool:
        """Ask how far the shipper has taken what it was sent, once in a while.

        Nobody here can tell whether it runs: what it does not take waits, and is dropped beyond the limit.
        """
        kept = outbox.kept
        if outbox.off or not kept or forks_in_c():  # there no thread may wait for an answer
            return False
        if monotonic() - self._asked_at < ASK_SECONDS:
            return True
        self._asked_at = monotonic()
        with suppress(OSError):
            if told := dict(self._channel.ask_taken(kept, ASK_WAIT_SECONDS)):
                self._told = told
        return True

    def follow_user(self, outbox: Outbox) -> bool:  # noqa: ARG002 as above
        """Do nothing: any user with the keys can use the way, and they have been read."""
        return False

    def confirm(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object]
    ) -> dict[str, Any] | None:
        """Ask the shipper until it answers. Raises OSError."""
        return self._channel.ask(request, deadline, meanwhile)

    def leave(self, producer: bytes, deadline: float) -> None:
        """Say goodbye to the shipper."""
        self._channel.leave(producer, deadline)

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        """Do nothing: the place where frames would be found is elsewhere."""

    def renew(self) -> None:
        """Begin anew in a forked child."""
        self._channel.renew()

    def close(self, *, is_free: bool) -> None:
        """End ZeroMQ's threads."""
        if is_free:
            self._channel.close()
