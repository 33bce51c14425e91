"""Uploads by asynchronous libraries, from a thread that blocks, in a bounded time, and cut off from any other."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

T = TypeVar("T")


class CutOffError(Exception):
    """Raised when an upload was cut off by `Cancellable.cut`."""


class Cancellable:
    """The upload under way, if there is one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._under_way: tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]] | None = None

    def run(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        """Run an upload to its end.

        Raises:
            TimeoutError: it took longer than `seconds`.
            CutOffError: it was cut off.
            Exception: whatever it raises.
        """
        try:
            return asyncio.run(self._bounded(work, seconds))
        except asyncio.CancelledError:
            raise CutOffError from None

    def cut(self) -> None:
        """Cut off the upload under way; may be called from any thread."""
        with self._lock:
            if self._under_way is not None:
                loop, task = self._under_way
                loop.call_soon_threadsafe(task.cancel)

    async def _bounded(self, work: Coroutine[Any, Any, T], seconds: float) -> T:
        task = asyncio.ensure_future(work)
        with self._lock:
            self._under_way = asyncio.get_running_loop(), task
        try:
            return await asyncio.wait_for(task, seconds)
        finally:
            with self._lock:
                self._under_way = None
