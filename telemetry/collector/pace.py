"""Lets each holder of a token have one thing done in a round of the event loop, however many connections are its.

What all connections of one holder have sent would otherwise be seen to before anything of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Rounds, in the loop that runs when they are asked for."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def may(self, who: str, later: Callable[[], None]) -> bool:
        """Whether it is somebody's turn; otherwise `later` is called when it is."""
        if who in self._waiting:
            self._waiting[who].append(later)
            return False
        self._waiting[who] = deque()
        asyncio.get_running_loop().call_soon(self._next, who)
        return True

    def _next(self, who: str) -> None:
        if not self._waiting[who]:
            del self._waiting[who]
            return
        asyncio.get_running_loop().call_soon(self._next, who)
        self._waiting[who].popleft()()
