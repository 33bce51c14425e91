"""Fair turns in the event loop: each holder of a token gets one thing done in a round, whatever its connections.

Without it, everything that one holder's connections have sent would be handled before anything of the others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Pace:
    """Rounds in the event loop that is running when a turn is asked for."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[Callable[[], None]]] = {}

    def may(self, who: str, later: Callable[[], None]) -> bool:
        """Tell whether it is a holder's turn; if not, `later` is called when it is."""
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
