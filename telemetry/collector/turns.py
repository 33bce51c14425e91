"""Fair turns at a bounded number of places: the length of one client's queue never delays another client."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_RECENT_SECONDS = 1.0  # how long a client counts as present after its last request


class Turns:
    """A fixed number of places for work.

    A client that is alone may take all but one, so that another finds one free. Clients present at the same time share
    half of them evenly: with more places than processors, those of one client would slow down the others' work.

    Args:
        places: the number of places.
        monotonic: a clock, in seconds.
    """

    def __init__(self, places: int, monotonic: Callable[[], float]) -> None:
        self._places = places
        self._free = places
        self._monotonic = monotonic
        self._seen: dict[str, float] = {}
        self._taken: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # the first client is called next

    def waiting(self, who: str) -> int:
        """Return the number of turns that a client is waiting for."""
        return len(self._waiting.get(who, ()))

    @asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Hold a place for the duration of the block, waiting for it if necessary."""
        await self._take(who)
        try:
            yield
        finally:
            self._free += 1
            self._taken -= Counter((who,))
            self._call_next()

    async def _take(self, who: str) -> None:
        now = self._monotonic()
        self._seen = {other: at for other, at in self._seen.items() if now - at < _RECENT_SECONDS}
        self._seen[who] = now
        called = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(who, deque()).append(called)
        self._call_next()
        try:
            await called
        except asyncio.CancelledError:
            if called.cancelled():
                self._forget(who, called)
            else:
                self._free += 1
                self._taken -= Counter((who,))
            self._call_next()
            raise

    def _call_next(self) -> None:
        together = len(self._seen)  # never nobody: who takes a turn was seen
        most = max(1, self._places - 1 if together == 1 else self._places // (2 * together))
        for who in tuple(self._waiting):
            while self._free and self._taken[who] < most and who in self._waiting:
                called = self._waiting[who][0]
                self._forget(who, called)
                if not called.cancelled():  # its task has not run since
                    self._free -= 1
                    self._taken[who] += 1
                    called.set_result(None)

    def _forget(self, who: str, called: asyncio.Future[None]) -> None:
        """Remove a waiting turn from its client's queue, and put the queue behind the others."""
        queue = self._waiting.pop(who, deque())
        with suppress(ValueError):
            queue.remove(called)
        if queue:
            self._waiting[who] = queue
