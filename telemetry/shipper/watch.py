"""Watch over the producers that live, by their signs of life (telemetry/rendezvous/life.py), whatever their pids here.

A producer on another machine can hold no sign. It counts as living until it says goodbye or is silent for an hour. One
of this machine without a sign, which may be written in any language, lives for as long as it is heard.
"""

from __future__ import annotations

from collections import Counter
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from telemetry.rendezvous.life import is_held, newcomers_in
from telemetry.spool.positions import MAX_POSITIONS, REMOTE_PID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from telemetry.receipt import Receipt
    from telemetry.spool.positions import Position, Positions

REMOTE_SECONDS = 3600.0
"""The silence after which a remote producer counts as gone: it may have nothing to say, or have been killed."""

SILENT_SECONDS = 60.0
"""The time for which a producer without a sign may be silent."""

LOST_SECONDS = 1.0
"""The time after a frame for a producer to take its sign anew: a host that closes all descriptors loses it, and
looks after it twice a second while it emits."""

NEWCOMER_SECONDS = 10.0
"""The time after it took its sign for which a producer may be on its way to this shipper."""

MAX_WATCHED = 10_000
"""The number of producers watched; beyond it the longest known is dropped. It was invented, or others live anyway."""

MAX_LEFT = 10_000
"""The number of producers remembered that said goodbye, and of which a frame may still be on its way."""

LOOK_PRODUCERS = 200
"""The number of producers looked at in one go, once one is known to live: each costs some dozen microseconds."""


def may_live(spool: Path, producer: str, position: Position) -> bool:
    """Tell whether a producer's numbers must be remembered."""
    return position.pid == REMOTE_PID or is_held(spool, producer) is not False


def remembered(spool: Path, positions: Positions) -> Positions:
    """Return the positions to keep if there are too many: no dead producer's, and at most the limit.

    Beyond that the process with the most producers gives way, the oldest of them first, because it invents them.
    """
    living = {name: position for name, position in positions.items() if may_live(spool, name, position)}
    crowds = Counter(position.pid for position in living.values())
    order = sorted(living, key=lambda name: -crowds[living[name].pid])
    for name in order[: max(0, len(living) - MAX_POSITIONS)]:
        del living[name]
    return living


class HostFacts(NamedTuple):
    """The facts that a producer tells in its frames.

    Attributes:
        pid: the producer's process, in its own namespace.
        receipt: its consent, the voice that decided it, and its deployment.
        catalog: the catalog it was started with, as `product/version`.
    """

    pid: int
    receipt: Receipt
    catalog: str


class Watch:
    """The producers of one shipper that have not left.

    Only producers that sent a frame to this shipper are known; one of a predecessor's makes itself known by its next
    frame.

    Attributes:
        has_seen_any: whether a producer ever came.
    """

    def __init__(self, spool: Path, clock: Callable[[], float] = monotonic) -> None:
        self.has_seen_any = False
        self._spool = spool
        self._clock = clock
        self._heard_at: dict[str, float] = {}
        self._facts: dict[str, HostFacts] = {}
        self._remote: set[str] = set()
        self._left: dict[str, None] = {}

    @property
    def receipts(self) -> Iterator[Receipt]:
        """The receipts of the living producers, from their last frames."""
        return (facts.receipt for facts in self._facts.values())

    def see(self, positions: Positions, receipt: Receipt, catalog: str) -> None:
        """Note the producers of a drain, with their receipt and catalog."""
        for producer, position in positions.items():
            self.has_seen_any = True
            if producer in self._left:
                continue
            self._heard_at[producer] = self._clock()
            self._facts[producer] = HostFacts(position.pid, receipt, catalog)
            if position.pid == REMOTE_PID:
                self._remote.add(producer)
        while len(self._heard_at) > MAX_WATCHED:
            self._forget(next(iter(self._heard_at)))

    def leave(self, producer: str) -> None:
        """Note that a producer said goodbye; its process may live on."""
        self._forget(producer)
        self._left[producer] = None
        if len(self._left) > MAX_LEFT:
            del self._left[next(iter(self._left))]

    def look(self, *, lost_seconds: float = LOST_SECONDS) -> None:
        """Forget the producers that are gone. While some live, only a part of very many is looked at in one go.

        Args:
            lost_seconds: the time after its last frame for which a producer may be without the sign that it had.
        """
        living = 0
        for looked_at in range(len(self._heard_at)):
            if living and looked_at >= LOOK_PRODUCERS:
                break
            producer = next(iter(self._heard_at))
            if self._lives(producer, lost_seconds):
                living += 1
                self._heard_at[producer] = self._heard_at.pop(producer)  # the next look begins with the others
            else:
                self._forget(producer)

    @property
    def expects_more(self) -> bool:
        """Whether a producer that has not been heard yet may be on its way, here or to another shipper of this spool.

        A producer takes its sign before it connects.
        """
        known = self._heard_at.keys() | self._left.keys()
        return any(producer not in known for producer in newcomers_in(self._spool, NEWCOMER_SECONDS))

    def _lives(self, producer: str, lost_seconds: float) -> bool:
        silent_seconds = self._clock() - self._heard_at[producer]
        if producer in self._remote:
            return silent_seconds <= REMOTE_SECONDS
        held = is_held(self._spool, producer)
        return held or silent_seconds < (SILENT_SECONDS if held is None else lost_seconds)

    def _forget(self, producer: str) -> None:
        self._heard_at.pop(producer, None)
        self._facts.pop(producer, None)
        self._remote.discard(producer)

    def hosts(self, limit: int) -> list[HostFacts]:
        """Return the facts about the producers heard last, at most `limit` of them."""
        last = sorted(self._facts, key=lambda producer: -self._heard_at[producer])
        return [self._facts[producer] for producer in last[:limit]]

    def __contains__(self, producer: object) -> bool:
        return producer in self._heard_at

    def __len__(self) -> int:
        return len(self._heard_at)
