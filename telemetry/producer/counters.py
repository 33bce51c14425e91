"""Counters: each call appends; the tally is made later, one event for each name and set of fields.

The totals leave once a second, and as soon as nothing more is counted: a server that has answered its last request may
end within a tenth of a second, by a signal that lets none of our code run.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from telemetry.native import Lock
from telemetry.producer.alone import alone
from telemetry.scalar import as_scalar

if TYPE_CHECKING:
    from collections.abc import Callable

TALLY_SECONDS = 1.0
"""The interval of aggregates while calls follow each other."""

EBB_SECONDS = 0.05
"""The time without a call after which the totals leave before their second is over."""

TALLY_CALLS = 4096
"""The number of calls that may wait for a tally, which bounds memory between two rounds of the flusher."""

MAX_TOTAL = 2**63 - 1
"""The greatest total an event can carry; one that would grow beyond it leaves, and the next begins."""

Aggregate = tuple[str, dict[str, Any]]
Key = tuple[str] | tuple[str, str, str] | tuple[str, tuple[tuple[tuple[str, Any], ...], tuple[type, ...]]]
"""The key of a counter: its name alone; with its only label and text; or with labels and types: 1, 1.0 and True are
equal, and not the same label. Most counters have one text or nothing, and need no more to be told apart."""

_KNOWN = frozenset(map(id, (str, int, float, bool, type(None))))
"""The types that can be compared, by identity: a class may have a hash of its own."""


class Counters:
    """The calls of `count`, waiting and tallied. Appending to `calls` is safe from anywhere, as in the outbox."""

    def __init__(self) -> None:
        self.calls: deque[tuple[str, int, dict[str, Any]]] = deque()
        self.renew()

    def __bool__(self) -> bool:
        return bool(self.calls or self._totals or self._apart)

    @property
    def unsettled(self) -> int:
        """The least number of events that the waiting calls would make."""
        return (
            len(self._totals) + len(self._apart) + len({name for name, _, _ in self.calls.copy() if type(name) is str})
        )

    def renew(self, kept: int = 0) -> None:
        """Begin empty, but for the newest `kept` calls; in a forked child, waiting calls are the parent's."""
        for _ in range(len(self.calls) - kept):
            self.calls.popleft()
        self._totals: dict[Key, int] = {}
        self._apart: list[Aggregate] = []
        self._lock = Lock()

    def tally(self) -> None:
        """Add the waiting calls to the totals, unless another thread is at it."""
        alone(self._lock, self._tally)

    def hand_over(self, receive: Callable[[list[Aggregate]], object], patience_seconds: float = 0.0) -> bool:
        """Give the totals away, as names and fields of events, `count` among the fields; begin again at nothing.

        A caller that finds nothing here can rely on `receive` having returned: otherwise the end of a process, while a
        thread has taken the totals and not passed them on, would lose them.

        Args:
            receive: takes the totals; must not block.
            patience_seconds: how long to wait for another thread that has them in hand.

        Returns:
            False if that thread did not end in time.
        """
        return alone(self._lock, lambda: self._move(receive), patience_seconds)

    def _move(self, receive: Callable[[list[Aggregate]], object]) -> None:
        self._tally()
        taken = [(key[0], {**_labels(key), "count": number}) for key, number in self._totals.items()] + self._apart
        self._totals, self._apart = {}, []
        receive(taken)

    def _tally(self) -> None:
        popleft, totals = self.calls.popleft, self._totals
        for _ in range(len(self.calls)):
            name, number, fields = popleft()
            key: Key | None = None
            if type(name) is str:
                if len(fields) == 1:
                    ((label, value),) = fields.items()
                    if type(value) is str and type(label) is str:
                        key = name, label, value
                elif not fields:
                    key = (name,)
                if key is None:
                    key = _key(name, fields)
            whole = number if type(number) is int else _whole(number)
            if key is None or whole is None:
                # No scalars, or no whole number: it goes on alone, and what can't be sent of it is counted there.
                self._apart.append(_event(name, fields, number))
                continue
            total = totals.get(key, 0) + whole
            if -MAX_TOTAL <= total <= MAX_TOTAL:
                totals[key] = total
            else:
                self._apart.append(_event(name, fields, whole))


def _whole(number: object) -> int | None:
    """Return the whole number that a value is by its type, or None; none of its own methods is run."""
    try:
        whole = as_scalar(number)
    except Exception:  # noqa: BLE001 no scalar
        return None
    return whole if type(whole) is int else None


def _key(name: str, fields: dict[str, Any]) -> Key | None:
    """Return the key of a counter; None if it can't be compared without running the host's code."""
    for label, value in fields.items():
        if type(label) is not str or id(type(value)) not in _KNOWN:
            return None
    labels = tuple(sorted(fields.items()))  # no two are of one name, so no values are compared
    return name, (labels, tuple([type(value) for _, value in labels]))


def _labels(key: Key) -> dict[str, Any]:
    if len(key) == 1:
        return {}
    if len(key) == 2:  # noqa: PLR2004 a name, and the labels with their types
        return dict(key[1][0])
    return {key[1]: key[2]}


def _event(name: str, fields: dict[str, Any], number: object) -> Aggregate:
    # A label may be of a class that has a hash of its own; kept as what it plainly is.
    return name, {**{str.__str__(label): value for label, value in fields.items()}, "count": number}
