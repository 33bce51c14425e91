"""Ctrl-C, taken only where it is asked for: so nothing is ever half started when the demo ends."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedDemoError(Exception):
    """Somebody wants the demo to end."""


class Interrupt:
    """Takes note of SIGINT, SIGTERM and SIGHUP inside its `with` block."""

    def __init__(self) -> None:
        self._came = False
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._note) for number in _SIGNALS]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in zip(_SIGNALS, self._before, strict=True):
            signal.signal(number, handler)

    def check(self) -> None:
        """Raise `InterruptedDemoError` when a signal came."""
        if self._came:
            raise InterruptedDemoError

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._came = True
