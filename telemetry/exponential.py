"""Exponential buckets, as OpenTelemetry's data model of metrics defines them. Pure.

At a scale s, bucket i holds the numbers over 2**(i / 2**s), up to and including 2**((i + 1) / 2**s); each scale less
joins two neighbours.
"""

from __future__ import annotations

from collections import Counter
from math import ceil, log2
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SCALE = 4
"""The usual scale: a bucket is 4.4 % wide, so that any number in it is at most 2.2 % from its middle."""

SCALES = range(-4, 9)
"""The scales that may be chosen."""

MAX_BUCKETS = 160
"""The most buckets from the first filled one to the last; beyond it the scale becomes less."""

MOST = 2.0**1000
"""The greatest number that is taken: the bounds of its bucket are floats at every scale."""


class Buckets(NamedTuple):
    """The filled buckets of some numbers over 0.

    Attributes:
        scale: the scale.
        offset: the index of the first bucket.
        counts: how many numbers are in each, from the first to the last.
    """

    scale: int
    offset: int
    counts: list[int]


def by_bound(numbers: Iterable[float], scale: int) -> Counter[int]:
    """Count numbers over 0 by the index of the bound that is at or above them, which is the bucket's index and one."""
    return Counter(map(ceil, map((2.0**scale).__mul__, map(log2, numbers))))  # no step of it in Python


def buckets(filled: Counter[int], scale: int) -> Buckets:
    """Return buckets in a row, at the scale or a lesser one if they would be too many.

    Args:
        filled: numbers by bound, as `by_bound` counts them.
        scale: the scale that they were counted at.
    """
    if not filled:
        return Buckets(scale, 0, [])
    shift = 0
    while (max(filled) - 1 >> shift) - (min(filled) - 1 >> shift) >= MAX_BUCKETS:
        shift += 1
    joined: Counter[int] = Counter()
    for bound, number in filled.items():
        joined[bound - 1 >> shift] += number
    first, last = min(joined), max(joined)
    return Buckets(scale - shift, first, [joined[index] for index in range(first, last + 1)])


def nearest_bound(number: float, scale: int) -> float:
    """Return the bound of a bucket that is nearest to a number of 0 or more; 0 for 0."""
    if number == 0:
        return 0.0
    per_octave = 2.0**scale
    return float(2.0 ** (round(log2(number) * per_octave) / per_octave))
