"""Transport to a shipper on this machine, which is watched, and spawned if there is none."""

from __future__ import annotations

from contextlib import suppress
from itertools import groupby
from typing import TYPE_CHECKING, Any

from telemetry.native import Lock, monotonic
from telemetry.producer import exits
from telemetry.producer.alone import alone
from telemetry.producer.backlog import producer_of
from telemetry.producer.channel import ASK_SECONDS, ASK_WAIT_SECONDS, EXIT_SECONDS, LOCK_SECONDS, Channel
from telemetry.rendezvous import handover
from telemetry.rendezvous.lanes import choosing
from telemetry.rendezvous.life import Sign
from telemetry.rendezvous.lock import shipper_runs
from telemetry.rendezvous.taken import Reader, Taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.producer.backlog import LastWord
    from telemetry.producer.outbox import Outbox
    from telemetry.producer.site import Site


PLACING_SECONDS = 0.2
"""The time to wait for another thread that chooses a lane."""


class LocalTransport:
    """The way to the shipper at a site.

    Where several shippers run side by side, a process chooses its lane when it first looks after its shipper, a forked
    child anew; until then frames wait.

    Attributes:
        site: the place of the shipper.
        channel: the connections to it.
        lock_seconds: see `Transport`.
    """

    lock_seconds = LOCK_SECONDS

    def __init__(self, site: Site) -> None:
        self.site = site
        self.channel = Channel(site.make_private)
        self._sign = Sign()
        self._records = Reader()
        self._told: dict[bytes, Taken] = {}
        self._purged_ns = 0
        self._asked_at = float("-inf")
        self._is_elsewhere = False  # where the shipper is met, since frames went there last
        self._placing = Lock()
        self._is_placed = site.lanes == 1

    @property
    def is_missing(self) -> bool:
        """Whether no shipper ran at the last look, and none could be expected either."""
        return self.site.is_missing

    @property
    def exit_seconds(self) -> float:
        """The time that the end of the process may wait.

        0 if a shipper is only starting, which finds what is left to it.
        """
        return EXIT_SECONDS if shipper_runs(self.site.directory) else 0.0

    def send(self, frame: bytes) -> bool:
        """Hand a frame over to ZeroMQ; False if it takes none now, or it is not decided where to."""
        return self._is_placed and self.channel.send(frame)

    def taken(self, producer: bytes) -> Taken | None:
        """Return what stands in the shipper's record, or what it has answered, if that is more."""
        found = self._records.read(self.site.directory, producer)
        told = self._told.get(producer)
        if found is None or told is None:
            return found or (told and told._replace(shipper=None))
        return found if found[:2] >= told[:2] else told._replace(shipper=found.shipper)

    def disconnect(self, linger_milliseconds: int = 0) -> None:
        """Close the socket for frames."""
        self.channel.disconnect(linger_milliseconds)

    def supervise(self, outbox: Outbox) -> bool:
        """Show that this process lives, and make sure that a shipper runs, spawning one if none does.

        Returns:
            Whether none runs yet: ZeroMQ may hold what no shipper takes, and it must not stay there when the user says
            off.
        """
        if outbox.off:
            self._sign.let_go()
            return False
        self._take_place(outbox.producer)
        self._show_sign(outbox)
        self._is_elsewhere |= self.site.look()
        self.follow_user(outbox)
        if self._is_elsewhere:
            self._is_elsewhere = not outbox.reconnect()
        self._ask(outbox)
        return not self.site.runs

    def follow_user(self, outbox: Outbox) -> bool:
        """Move to the place of the user that this process has become: a server drops its privileges after `init`.

        And to another lane, if its own was closed.
        """
        return self.site.is_anothers and outbox.move(self.site.move, is_connected=self.site.runs)

    def confirm(
        self, request: dict[str, Any], deadline: float, meanwhile: Callable[[], object]
    ) -> dict[str, Any] | None:
        """Ask the shipper until it answers, which shows that it works. Raises OSError."""
        self._take_place(request["producer"])
        reply = self.channel.ask(request, deadline, meanwhile)
        if reply is not None:
            self.site.confirm()
        return reply

    def leave(self, producer: bytes, deadline: float) -> None:
        """Say goodbye to the shipper."""
        self.channel.leave(producer, deadline)

    def _ask(self, outbox: Outbox) -> None:
        """Ask a shipper that runs and has no record of what it was sent: of an earlier version, say."""
        kept = outbox.kept
        self._told = {producer: taken for producer, taken in self._told.items() if producer in kept}
        if not outbox.is_overdue or not self.site.runs or exits.forks_in_c():  # there no thread may wait for an answer
            return
        if monotonic() - self._asked_at < ASK_SECONDS:
            return
        self._asked_at = monotonic()
        with suppress(OSError):
            self._told |= self.channel.ask_taken(kept, ASK_WAIT_SECONDS)

    def leave_behind(self, frames: list[bytes], word: LastWord) -> None:
        """Leave frames with the shipper, and the account of their producer in the spool."""
        self._take_place(word.producer)
        for _, of_one in groupby(frames, producer_of):
            with suppress(OSError):
                self._hand_over(list(of_one))
        try:
            place = self.site.directory.name
            exits.leave_tombstone(self.site.spool, place, word.producer, word.accepted, word.dropped)
        except OSError:  # no disk to write it on; a shipper has room that is kept for what it is told
            with suppress(OSError):  # the one case in which nobody is left to count
                self._hand_over([word.frame])

    def renew(self) -> None:
        """Begin anew in a forked child; the sign is its parent's until it has one."""
        self.channel.renew()
        self._placing = Lock()
        self._is_placed = self.site.lanes == 1

    def close(self, *, is_free: bool) -> None:
        """Show no sign of life any more, and end ZeroMQ's threads."""
        self._sign.let_go()
        self._records.close()
        if is_free:
            self.channel.close()

    def _hand_over(self, frames: list[bytes]) -> None:
        """Leave frames to the shipper, which may only be starting; one is spawned if there is none. Raises OSError."""
        try:
            handover.hand_over(self.site.directory, frames)
        except (FileNotFoundError, ConnectionRefusedError):
            self.site.look()
            handover.hand_over(self.site.make_private(), frames)

    def _take_place(self, producer: bytes) -> None:
        """Choose a lane, unless this process has one, and show there that it lives: the next to choose counts it."""

        def take() -> None:
            if not self._is_placed:
                with choosing(self.site.config["product"]):
                    self.site.move()
                    with suppress(OSError):
                        self._sign.hold(self.site.spool, producer)
                self._is_placed = True

        if not self._is_placed:
            alone(self._placing, take, PLACING_SECONDS)

    def _show_sign(self, outbox: Outbox) -> None:
        """Hold the sign of life. A spool from which it was swept knows none of our numbers, so they begin anew."""
        spool = self.site.spool
        purged_ns = self._sign.purged_ns
        if purged_ns != self._purged_ns and purged_ns:
            if not outbox.purge(purged_ns):
                return
            self._purged_ns = purged_ns
        if self._sign.is_swept(spool, outbox.producer) and not outbox.move(
            outbox.dropped.clear, is_connected=self.site.runs
        ):
            return
        with suppress(OSError):  # no disk, or no locks: while it emits it is taken for alive all the same
            self._sign.hold(spool, outbox.producer)
