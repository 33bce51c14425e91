"""Takeover of what lanes that are no more have left, so that a change of their number leaves nothing behind.

A spool of the same product and endpoint is free if no shipper delivers from it and no producer lives that would spawn
one. The first shipper to see one in which something waits takes the turn to deliver from it, as any successor there
would, finishes what its predecessor left half done, and uploads between its own batches; one spool at a time. It lets
go when all is delivered, or when somebody comes to whom the spool belongs.
"""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from telemetry.errors import SpoolError
from telemetry.inspect.erase import is_held
from telemetry.paths import TOMBSTONES, spools_beside
from telemetry.rendezvous.life import living_in
from telemetry.shipper.watch import may_live
from telemetry.spool.spool import Spool
from telemetry.spool.tombstones import bury_the_dead

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from telemetry.shipper.delivery.uploader import Uploader
    from telemetry.shipper.permission import Permission
    from telemetry.spool.positions import Positions
    from telemetry.spool.segment import Head

LOOK_SECONDS = 5.0
"""The interval of looks for a spool that is free, and at whether one that was taken over still is."""

_WAITING = ("active", "sealed", TOMBSTONES)


class _Taken(NamedTuple):
    """A spool that was taken over, with the positions of the producers that it knew, and its delivery."""

    spool: Spool
    positions: Positions
    uploader: Uploader


class Takeover:
    """The delivery of the spools that other lanes have left.

    Args:
        own: the uploader of the shipper's own spool, of which another is made for what is taken over.
        spool: the directory of that spool.
        rendezvous: the directory where the shipper meets its producers.
        clock: monotonic seconds.
    """

    def __init__(self, own: Uploader, spool: Path, rendezvous: Path, clock: Callable[[], float]) -> None:
        self._own = own
        self._own_spool = spool
        self._rendezvous = rendezvous
        self._clock = clock
        self._taken: _Taken | None = None
        self._obeyed: Permission | None = None
        self._looked_at = float("-inf")
        self._found_nothing = False

    # Called by the delivery loop.

    def turn(self) -> float:
        """Deliver one batch of a spool that was taken over, if it is time to; return the seconds until the next turn.

        Never raises.
        """
        taken = self._taken
        if self._clock() - self._looked_at >= LOOK_SECONDS or (taken and not taken.spool.waiting):
            self._looked_at = self._clock()
            with suppress(OSError, SpoolError):
                self._look()
            self._found_nothing = self._taken is None
        taken = self._taken
        if taken is None or self._obeyed is None:  # the user's choice first
            return LOOK_SECONDS if taken is None else 0.1
        return min(taken.uploader.turn(), LOOK_SECONDS)

    def _look(self) -> None:
        if self._taken is not None and not _is_left(self._taken.spool.directory):
            self.let_go()
        if self._taken is None:
            self._take()
        if self._taken is not None:
            bury_the_dead(self._taken.spool, self._taken.positions, self._rendezvous)

    def _take(self) -> None:
        """Take the first spool over that is free."""
        for directory in spools_beside(self._own_spool):
            if not _is_left(directory) or is_held(directory):
                continue
            spool, ledger = Spool.open(directory, partial(may_live, directory))
            if spool.delivers:
                self._obeyed = None
                self._taken = _Taken(spool, ledger.positions, self._own.beside(spool))
                return
            spool.close()

    # Called by either loop.

    @property
    def waits(self) -> bool:
        """Whether something waits in a free spool, or may."""
        return not self._found_nothing

    @property
    def goes_well(self) -> bool:
        """Whether there is something to upload, and nothing stands against it."""
        taken = self._taken
        return taken is not None and taken.uploader.goes_well

    @property
    def in_flight(self) -> int:
        """The number of events in the upload under way."""
        taken = self._taken
        return taken.uploader.in_flight if taken else 0

    @property
    def sending(self) -> Head | None:
        """The head of the batch under way; None while there is none."""
        taken = self._taken
        return taken.uploader.sending if taken else None

    def hurry(self) -> None:
        """Upload without jitter, because the shipper leaves."""
        if taken := self._taken:
            taken.uploader.hurry()

    def obey(self, permission: Permission, carry_out: Callable[[Spool], object]) -> None:
        """Do there what the user's choice demands, once, before anything is sent.

        Args:
            permission: what the user permits.
            carry_out: does with a spool what that demands; may raise OSError, and is called again then.
        """
        taken = self._taken
        if taken is not None and permission != self._obeyed:
            with suppress(OSError):
                carry_out(taken.spool)
                self._obeyed = permission

    def enforce(self, limit_bytes: int, limit_segments: int, limit_seconds: float) -> None:
        """Keep what was taken over within what is left of the limits of the own spool."""
        if taken := self._taken:
            taken.spool.enforce(max(0, limit_bytes), limit_segments, limit_seconds)

    def let_go(self) -> None:
        """Leave the spool to others; the delivery loop is at its end, or calls this."""
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.spool.sweep()
            taken.spool.close()


def _is_left(spool: Path) -> bool:
    """Tell whether something waits in a spool to which no living producer belongs."""
    return any(any(os.scandir(spool / folder)) for folder in _WAITING if (spool / folder).is_dir()) and not living_in(
        spool
    )
