"""Health of a collector, checked against the disk some times a second, however many clients ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.collector.tokens import Tokens

_FRESH_SECONDS = 0.1


class Health:
    """The answer to `/healthz`.

    Args:
        find_refusal: returns the reason why no batch could be kept now, or None; it blocks.
        tokens: the tokens, whose last reading is reported as well.
        monotonic: a clock, in seconds.
    """

    def __init__(self, find_refusal: Callable[[], str | None], tokens: Tokens, monotonic: Callable[[], float]) -> None:
        self._find_refusal = find_refusal
        self._tokens = tokens
        self._monotonic = monotonic
        self._known: tuple[int, bytes] | None = None
        self._until = 0.0

    def known(self) -> tuple[int, bytes] | None:
        """Return the status and the JSON body of a fresh answer, or None if the caller is to `look`.

        While one caller looks, the others are given the previous answer.
        """
        return self._known if self._monotonic() < self._until else None

    def look(self) -> tuple[int, bytes]:
        """Check the disk, which may block, and return the status and the JSON body of the answer."""
        self._until = self._monotonic() + _FRESH_SECONDS
        fault = self._find_refusal()
        reason = {"reason": fault} if fault else {}
        warning = (
            {"warning": "the tokens can't be reloaded; the previous ones stay valid"} if self._tokens.fault else {}
        )
        self._known = (503 if fault else 200), msgspec.json.encode({"ok": fault is None, **reason, **warning})
        return self._known
