"""Makes inputs of valid examples: cut, doubled, spliced, with bits flipped and numbers at their bounds.

The same seed gives the same inputs. An input that made a target answer as none had before is mutated further.
"""

from __future__ import annotations

import re
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAX_CORPUS = 500
_NUMBER = re.compile(rb"\d+")
_BOUNDS = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16, 2**31, 2**32 - 1, 2**48 + 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)
_NUMBERS = tuple(n.to_bytes(size, "big") for n in (2**15 - 1, 2**16 - 1) for size in (2, 4))
_MSGPACK = (
    *(
        b"\xc0",
        b"\xc1",
        b"\x90",
        b"\xdc\xff\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xd6\xff" + bytes(4),
    ),
    *(b"\xcf" + b"\xff" * 8, b"\xcb\x7f\xf0" + bytes(6), b"\xd3\x80" + bytes(7), b"\x91" * 2000),
)
_TOKENS = (
    *(str(number).encode() for number in _BOUNDS),
    *_NUMBERS,
    *_MSGPACK,
    *(b"-1", b"-0", b"1e999", b"NaN", b"Infinity", b"0.1", b"9" * 5000, b"null", b"true", b'""', b"{}", b"[]"),
    *(
        b"\x00",
        b"\xff",
        b"\x7f",
        b"\x80",
        b"\xed\xa0\x80",
        b"\xf0\x9f\x98\x80",
        b"\xd9\xa1\xc4\xb0\xe2\x80\x8b",
        b"\\ud800",
    ),
    *(b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b'"', b"'", b"\\", b"../", b"%00", b"{", b"}", b"[", b"]", b"(", b"="),
    *(b"[" * 2000, b'{"a":' * 1000, b"\\u0000", b"0001-01-01T00:00:00+14:00", b"9999-12-31T23:59:59.9999999-14:00"),
)


class Mutator:
    """The inputs of one run.

    Args:
        seeds: valid examples, and invalid ones that were worth keeping.
        seed: of the randomness.
        max_bytes: of an input.
    """

    def __init__(self, seeds: Sequence[bytes], seed: str, max_bytes: int) -> None:
        self._corpus = list(seeds)
        self._random = Random(seed).random
        self._max_bytes = max_bytes

    def next(self) -> bytes:
        """One more input."""
        data = self._some()
        random = self._random
        for _ in range(1 + int(random() * random() * 6)):
            start = int(random() * (len(data) + 1))
            end = min(len(data), start + 1 + int(random() * random() * random() * len(data)))
            data = _CHANGES[int(random() * len(_CHANGES))](self, data, start, end)
        return data[: self._max_bytes]

    def learn(self, data: bytes) -> None:
        """Mutate this one too from now on."""
        if len(self._corpus) < _MAX_CORPUS:
            self._corpus.append(data)

    def _some(self) -> bytes:
        return self._corpus[int(self._random() * len(self._corpus))]

    def _flip(self, data: bytes, start: int, end: int) -> bytes:
        if start == end:
            return data
        return data[:start] + bytes((data[start] ^ (1 << int(self._random() * 8)),)) + data[start + 1 :]

    def _byte(self, data: bytes, start: int, _end: int) -> bytes:
        return data[:start] + bytes((int(self._random() * 256),)) + data[start + 1 :]

    def _delete(self, data: bytes, start: int, end: int) -> bytes:
        return data[:start] + data[end:]

    def _truncate(self, data: bytes, start: int, _end: int) -> bytes:
        return data[:start]

    def _double(self, data: bytes, start: int, end: int) -> bytes:
        return data[:end] + data[start:end] + data[end:]

    def _repeat(self, data: bytes, start: int, end: int) -> bytes:
        times = int(self._random() * 2 * self._max_bytes / (end - start or 1)) if self._random() < 0.1 else 3
        return data[:start] + data[start:end] * times + data[end:]

    def _insert(self, data: bytes, start: int, _end: int) -> bytes:
        return data[:start] + self._token() + data[start:]

    def _replace(self, data: bytes, start: int, end: int) -> bytes:
        return data[:start] + self._token() + data[end:]

    def _splice(self, data: bytes, start: int, _end: int) -> bytes:
        other = self._some()
        return data[:start] + other[int(self._random() * (len(other) + 1)) :]

    def _transplant(self, data: bytes, start: int, end: int) -> bytes:
        other = self._some()
        at = int(self._random() * (len(other) + 1))
        return data[:start] + other[at : at + end - start] + data[end:]

    def _number(self, data: bytes, start: int, _end: int) -> bytes:
        found = _NUMBER.search(data, start)
        if found is None:
            return data
        return data[: found.start()] + self._token() + data[found.end() :]

    def _token(self) -> bytes:
        return _TOKENS[int(self._random() * len(_TOKENS))]


_CHANGES: tuple[Callable[[Mutator, bytes, int, int], bytes], ...] = (
    Mutator._flip,
    Mutator._byte,
    Mutator._delete,
    Mutator._truncate,
    Mutator._double,
    Mutator._repeat,
    Mutator._insert,
    Mutator._replace,
    Mutator._splice,
    Mutator._transplant,
    Mutator._number,
)
