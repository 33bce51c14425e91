"""Whether uploads can be taken: asked of the disk some times a second, however many want to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.collector.tokens import Tokens

_FRESH_SECONDS = 0.1


class Health:
    """What `/healthz` says.

    Args:
        find_refusal: why no batch could be kept now, or None; blocks.
        tokens: whether they could be read is told as well.
        monotonic: a clock, in seconds.
    """

    def __init__(self, find_refusal: Callable[[], str | None], tokens: Tokens, monotonic: Callable[[], float]) -> None:
        self._find_refusal = find_refusal
        self._tokens = tokens
        self._monotonic = monotonic
        self._known: tuple[int, bytes] | None = None
        self._until = 0.0

    def known(self) -> tuple[int, bytes] | None:
        """The status and the JSON of the answer, or None for one who is to `look`.

        While somebody looks, the others are told what was found before.
        """
        return self._known if self._monotonic() < self._until else None

    def look(self) -> tuple[int, bytes]:
        """Find out; blocks for as long as the disk does."""
        self._until = self._monotonic() + _FRESH_SECONDS
        fault = self._find_refusal()
        reason = {"reason": fault} if fault else {}
        warning = {"warning": "the tokens can't be read anew; those from before are good"} if self._tokens.fault else {}
        self._known = (503 if fault else 200), msgspec.json.encode({"ok": fault is None, **reason, **warning})
        return self._known
