"""Counters and distributions: each call appends; the tally is made later, one event for each name and set of fields.

The totals leave once a second, and as soon as nothing more is counted: a server that has answered its last request may
end within a tenth of a second, by a signal that lets none of our code run.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from math import inf, nan
from typing import TYPE_CHECKING, Any

from msgspec import Raw
from msgspec.msgpack import encode as pack

from telemetry.exponential import MOST, SCALE, buckets, by_bound, nearest_bound
from telemetry.native import Lock
from telemetry.producer.alone import alone
from telemetry.scalar import as_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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


_NO_EVENT: Any = (object(), {})
"""An event that nobody can encode: it is counted as dropped, as one that holds no number is to be."""


class Counters:
    """The calls of `count` and `observe`, waiting and tallied. Appending is safe from anywhere, as in the outbox.

    Args:
        scales: the scale of each distribution of the catalog, by its name.

    Attributes:
        calls: the calls of `count` that wait: a name, a number and fields.
        observed: the calls of `observe` that wait.
    """

    def __init__(self, scales: Mapping[str, int]) -> None:
        self.calls: deque[tuple[str, int, dict[str, Any]]] = deque()
        self.observed: deque[tuple[str, float, dict[str, Any]]] = deque()
        self._scales = scales
        self.renew()

    def __bool__(self) -> bool:
        return bool(self.calls or self.observed or self._totals or self._spread or self._apart)

    @property
    def unsettled(self) -> int:
        """The least number of events that the waiting calls would make."""
        waiting = (*self.calls.copy(), *self.observed.copy())
        names = {name for name, _, _ in waiting if type(name) is str}
        return len(self._totals) + len(self._spread) + len(self._apart) + len(names)

    def renew(self, calls: int = 0, observed: int = 0) -> None:
        """Begin empty, but for the newest calls of either; in a forked child, waiting calls are the parent's."""
        for _ in range(len(self.calls) - calls):
            self.calls.popleft()
        for _ in range(len(self.observed) - observed):
            self.observed.popleft()
        self._totals: dict[Key, int] = {}
        self._spread: dict[Key, _Spread] = {}
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
        counted = [(key[0], {**_labels(key), "count": number}) for key, number in self._totals.items()]
        spread = [(key[0], {**_labels(key), **one.fields()}) for key, one in self._spread.items()]
        taken = counted + spread + self._apart
        self._totals, self._spread, self._apart = {}, {}, []
        receive(taken)

    def _tally(self) -> None:
        self._tally_counts()
        self._tally_observed()

    def _tally_observed(self) -> None:
        popleft = self.observed.popleft
        found: defaultdict[Key, list[float]] = defaultdict(list)
        for _ in range(len(self.observed)):
            name, value, fields = popleft()
            number = value if type(value) is float else _number(value)
            if type(name) is not str or not 0 <= number <= MOST:
                self._apart.append(_NO_EVENT)
            elif (key := _key(name, fields)) is not None:
                found[key].append(number)
            else:  # no scalars: it goes on alone, and what can't be sent of it is counted there
                one = _Spread(SCALE)
                one.add([number])
                self._apart.append((name, {**_plainly_named(fields), **one.fields()}))
        for key, numbers in found.items():
            if (spread := self._spread.get(key)) is None:
                spread = self._spread[key] = _Spread(self._scales.get(key[0], SCALE))
            spread.add(numbers)

    def _tally_counts(self) -> None:
        popleft, totals = self.calls.popleft, self._totals
        for _ in range(len(self.calls)):
            name, number, fields = popleft()
            key = _key(name, fields) if type(name) is str else None
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


class _Spread:
    """The numbers that were observed under one name and set of fields."""

    def __init__(self, scale: int) -> None:
        self._scale = scale
        self._filled: Counter[int] = Counter()
        self._zeros = 0
        self._sum = 0.0
        self._least, self._most = inf, 0.0

    def add(self, numbers: list[float]) -> None:
        least = min(numbers)
        positive = numbers if least else [number for number in numbers if number]
        self._zeros += len(numbers) - len(positive)
        self._filled.update(by_bound(positive, self._scale))
        self._sum = min(self._sum + sum(positive), MOST)
        self._least, self._most = min(self._least, least), max(self._most, *numbers)

    def fields(self) -> dict[str, Any]:
        """Return the fields that every event of a distribution has, rounded so that no single number can be read."""
        scale, offset, counts = buckets(self._filled, self._scale)
        fields = {
            "count": self._filled.total() + self._zeros,
            "sum": nearest_bound(self._sum, self._scale),
            "min": nearest_bound(self._least, self._scale),
            "max": nearest_bound(self._most, self._scale),
            "scale": scale,
            "offset": offset,
            "bucket_counts": Raw(pack(counts)),  # a list is no scalar, and would be taken for a slip of the host's
        }
        return fields | ({"zero_count": self._zeros} if self._zeros else {})


def _number(value: object) -> float:
    """Return the number that a value is by its type, or NaN; none of its own methods is run."""
    if type(value) is bool:
        return nan
    try:
        number = as_scalar(value)
        return float(number) if isinstance(number, int | float) else nan
    except Exception:  # noqa: BLE001 no scalar, or too great for a float
        return nan


def _whole(number: object) -> int | None:
    """Return the whole number that a value is by its type, or None; none of its own methods is run."""
    try:
        whole = as_scalar(number)
    except Exception:  # noqa: BLE001 no scalar
        return None
    return whole if type(whole) is int else None


def _key(name: str, fields: dict[str, Any]) -> Key | None:
    """Return the key of a counter; None if it can't be compared without running the host's code."""
    if len(fields) == 1:
        ((label, value),) = fields.items()
        if type(value) is str and type(label) is str:
            return name, label, value
    elif not fields:
        return (name,)
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
    return name, {**_plainly_named(fields), "count": number}


def _plainly_named(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields with each label as what it plainly is: one may be of a class that has a hash of its own."""
    return {str.__str__(label): value for label, value in fields.items()}
