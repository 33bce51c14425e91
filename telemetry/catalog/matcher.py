"""Matching of the texts of a `message` field: finds the template that a text fits, and the values of its typed holes.

A text that fits several templates leaves as the one with the longest constant part. Its values leave only if there is
one way to read it: the text in a bare hole may look like another template, or like a later part of the same one. So
nothing that a program put into a bare hole is ever a value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from contextlib import suppress
from enum import IntEnum
from functools import cached_property, lru_cache, partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.scan import TemplateScan
from telemetry.catalog.template import Hole, form_of, parse_template
from telemetry.redact.scanner import ScannerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from telemetry.catalog.template import Part

MAX_CHARACTERS = 8 << 10
"""The longest text, in characters, that is compared."""

_Place = tuple[int, int, "Sequence[str]"]
"""The beginning and end of a chunk in a text, and the values in it."""

_TELLING = 4
"""The characters of a beginning or an end that few other texts have: in Chinese, a word or two."""

_FEW = 3
"""The number of templates that a text is compared with one by one for less than a look-up would cost."""


_MANY_TEMPLATES = 64
"""The number of templates with holes from which on a scan for all of them is worth its compilation, some 2 ms each."""

_MANY_TEXTS = 4
"""The number of texts that one scan finds the templates of sooner than they are looked up one by one."""


class _Kind(IntEnum):
    """A kind of key that a template can be filed under; an end is read backwards."""

    WORD = 0
    BEGINNING = 1
    END = 2


class Match(NamedTuple):
    """A template that a text fits.

    Attributes:
        template: the template as it stands in the catalog.
        has_holes: whether anything was left out of the text.
        values: the values of the typed holes, by name; None if the text can be read in more than one way.
    """

    template: str
    has_holes: bool
    values: dict[str, str | None]


class Matcher:
    """The templates of one field. The cost of looking a text up hardly grows with their number.

    Each template with holes is filed under a feature that all its texts share: a word, a beginning, or an end. Of these
    the one that fewest other templates have is taken; of words the longest, wherever that is good enough: all words of
    a text are looked up at once, and long ones are in few.

    Attributes:
        typed: the names of the holes that have a type.
    """

    def __init__(self, templates: Iterable[str]) -> None:
        ranked = sorted(map(_Template, templates), key=attrgetter("constant"), reverse=True)
        self.typed = dict.fromkeys(hole for one in ranked for hole in one.typed)
        self._exact = {one.whole: one.bare for one in ranked if one.whole}
        for rank, one in enumerate(ranked):
            one.rank = rank
        self._holed = holed = [one for one in ranked if not one.whole]
        self._bare = [None if one.typed else one.bare for one in holed]
        self._scan: TemplateScan | None = None
        crowd = Counter(key for one in holed for key in one.keys)
        filed: dict[_Kind, dict[str, list[_Template]]] = {kind: {} for kind in _Kind}
        for one in holed:
            kind, key = min(
                one.keys,
                key=lambda key: (max(crowd[key], _FEW), key[0], crowd[key], -len(key[1])),
                default=(_Kind.WORD, ""),
            )
            filed[kind].setdefault(key, []).append(one)
        self._others = filed[_Kind.WORD].pop("", [])
        self._by_word = filed[_Kind.WORD]
        self._words = frozenset(self._by_word)
        self._by_beginning = _Beginnings(filed[_Kind.BEGINNING])
        self._by_end = _Beginnings(filed[_Kind.END])
        # Most texts begin and end with none: what it takes to know that is at hand, since each text is asked.
        self._first, self._beginnings = slice(self._by_beginning.reach), self._by_beginning.starts
        self._last, self._ends = slice(None, -self._by_end.reach - 1, -1), self._by_end.starts

    def match(self, text: str) -> Match | None:
        """Return the template that a text fits, or None."""
        if (exact := self._exact.get(text)) is not None:
            return exact
        if len(text) > MAX_CHARACTERS:
            return None
        return _best(text, self._candidates(text))

    def open_scan(self, cache: Path | None) -> None:
        """Have `match_all` look for many templates in one scan, if there are that many and hyperscan is here.

        To compile it takes up to a second. From then on this matcher is for use in one thread.

        Args:
            cache: a directory that may hold the scan compiled; None to compile it.
        """
        if self._scan is None and len(self._holed) >= _MANY_TEMPLATES:
            with suppress(ScannerUnavailableError):  # each text is looked up by itself then
                self._scan = TemplateScan([one.parts for one in self._holed], cache)

    def match_all(self, texts: Sequence[str]) -> list[Match | None]:
        """Return, for each text, the template that it fits, or None; as `match` does, and sooner for many."""
        matches = list(map(self._exact.get, texts))
        if self._scan is None or len(texts) < _MANY_TEXTS:
            return [match or self.match(text) for match, text in zip(matches, texts, strict=True)]
        left = [n for n, match in enumerate(matches) if match is None and len(texts[n]) <= MAX_CHARACTERS]
        firsts, others = self._scan.find([texts[n] for n in left])
        bare, holed = self._bare, self._holed
        for found, (n, first) in enumerate(zip(left, firsts, strict=True)):
            if first is None:
                continue
            if found in others:
                matches[n] = _best(texts[n], [holed[first], *map(holed.__getitem__, others[found])])
            elif (match := bare[first]) is not None:
                matches[n] = match
            else:
                matches[n] = _best(texts[n], (holed[first],))
        return matches

    def all_that_fit(self, text: str) -> list[str]:
        """Return every template that a text fits."""
        exact = [self._exact[text].template] if text in self._exact else []
        return exact + [one.text for one in self._candidates(text) if one.place(text) is not None]

    def _candidates(self, text: str) -> list[_Template]:
        """Return every template that the text may fit."""
        words = self._words.intersection(text.split(" "))
        filed = [self._by_word[word] for word in words] if words else []
        if text[self._first] in self._beginnings:
            filed += self._by_beginning.of(text)
        if text[self._last] in self._ends:
            filed += self._by_end.of(text[::-1])
        if self._others:
            filed.append(self._others)
        return filed[0] if len(filed) == 1 else [one for some in filed for one in some]


class _Beginnings:
    """An index of keys, which finds those that a text begins with.

    Attributes:
        reach: the number of characters that all keys have.
        starts: the first `reach` characters of each key.
    """

    def __init__(self, filed: dict[str, list[_Template]]) -> None:
        self._keys = sorted(filed)
        self.reach = min(map(len, self._keys), default=0)
        self.starts = frozenset(key[: self.reach] for key in self._keys)
        self._filed = [filed[key] for key in self._keys]
        self._shorter: list[int] = []  # of each key, where the next shorter one is that it begins with itself
        for number, key in enumerate(self._keys):
            shorter = number - 1
            while shorter >= 0 and not key.startswith(self._keys[shorter]):
                shorter = self._shorter[shorter]
            self._shorter.append(shorter)

    def of(self, text: str) -> list[list[_Template]]:
        """Return the templates filed under keys that the text begins with; the last of them leads to all others."""
        found = []
        at = bisect_right(self._keys, text) - 1
        while at >= 0:
            if text.startswith(self._keys[at]):
                found.append(self._filed[at])
            at = self._shorter[at]
        return found


class _Template:
    """A template made ready to be compared with texts.

    Its *chunks* are the stretches between the holes that may hold anything: constant text, and values that end where
    their form does. The first chunk stands at a text's beginning, the last one at its end, each other one as early as
    it can.
    """

    def __init__(self, text: str) -> None:
        self.parts = parts = parse_template(text)
        self.text = text
        self.rank = 0
        self._longest = max((part for part in parts if isinstance(part, str)), key=len, default="")
        self.whole = parts[0] if len(parts) == 1 and isinstance(parts[0], str) else ""
        self.constant = sum(len(part) for part in parts if isinstance(part, str))
        self.head = parts[0] if isinstance(parts[0], str) else ""
        self.tail = parts[-1] if isinstance(parts[-1], str) else ""
        self.keys = [
            *((_Kind.WORD, word) for word in _words(parts)),
            *([(_Kind.BEGINNING, self.head)] if len(self.head) >= _TELLING else []),
            *([(_Kind.END, self.tail[::-1])] if len(self.tail) >= _TELLING else []),
        ]
        self.typed = [part.name for part in parts if isinstance(part, Hole) and part.type]
        self._chunks, self._between = _take_apart(parts)
        self.bare = Match(text, has_holes=not self.whole, values={})
        self._names = [[part.name for part in chunk if isinstance(part, Hole)] for chunk in self._chunks]
        beside = {n + side for n, hole in enumerate(self._between) if hole.type for side in (0, 1)}
        self._telling = sorted(beside | {n for n, names in enumerate(self._names) if names})
        self._middles = [str(chunk[0]) for chunk in self._chunks[1:-1]]

    def place(self, text: str) -> Sequence[_Place] | None:
        """Return the place of each chunk in a text; None if it does not fit, nothing if no hole has a type."""
        if self._longest not in text or not text.startswith(self.head) or not text.endswith(self.tail):
            return None
        if self.typed:
            return self._place(text, 0, 0)
        at, end = len(self.head), len(text) - len(self.tail)
        for middle in self._middles:
            at = text.find(middle, at, end)
            if at < 0:
                return None
            at += len(middle)
        return () if at <= end else None

    def values(self, text: str, places: Sequence[_Place]) -> dict[str, str | None]:
        """Return the values of the typed holes of a text that was placed; None for one that could be read otherwise."""
        values: dict[str, str | None] = dict(zip(self._names[0], places[0][2], strict=True))
        if len(places) == 1:  # the whole text is of one form
            return values
        fixed = {n: n == 0 or self._place(text, n, places[n][0] + 1) is None for n in self._telling}
        for n, names in enumerate(self._names):
            if n and names:
                values.update(zip(names, places[n][2], strict=True) if fixed[n] else dict.fromkeys(names))
        for n, hole in enumerate(self._between):
            if hole.type:
                is_told = fixed[n] and fixed[n + 1]
                values[hole.name] = text[places[n][1] : places[n + 1][0]] if is_told else None
        return values

    def _place(self, text: str, number: int, start: int) -> list[_Place] | None:
        """Place the chunks from a number on, the first of them not before `start`."""
        places = []
        for find in self._finders[number:]:
            place = find(text, start)
            if place is None:
                return None
            places.append(place)
            start = place[1]
        return places

    @cached_property
    def _finders(self) -> list[Callable[[str, int], _Place | None]]:
        """The expressions of the chunks, made when a text first looks like it: a program uses few of its messages."""
        last = len(self._chunks) - 1
        return [_finder(chunk, is_first=n == 0, is_last=n == last) for n, chunk in enumerate(self._chunks)]


def _best(text: str, candidates: Iterable[_Template]) -> Match | None:
    """Return the best of the candidates that a text fits, or None."""
    best: _Template | None = None
    places: Sequence[_Place] = ()
    fitting = 0
    for one in candidates:
        found = one.place(text)
        if found is not None:
            fitting += 1
            if best is None or one.rank < best.rank:
                best, places = one, found
    if best is None:
        return None
    if not best.typed:
        return best.bare
    values = best.values(text, places) if fitting == 1 else dict.fromkeys(best.typed)
    return Match(best.text, has_holes=True, values=values)


def _words(parts: Sequence[Part]) -> Iterator[str]:
    """Yield the words that every text has, each between blanks or the text's ends."""
    for number, part in enumerate(parts):
        if isinstance(part, str):
            pieces = part.split(" ")
            yield from filter(None, pieces[number > 0 : len(pieces) - (number < len(parts) - 1)])


def _take_apart(parts: Sequence[Part]) -> tuple[list[list[Part]], list[Hole]]:
    """Return the chunks of a template, and the holes between them."""
    chunks: list[list[Part]] = [[]]
    between: list[Hole] = []
    for part in parts:
        if isinstance(part, Hole) and not form_of(part):
            between.append(part)
            chunks.append([])
        else:
            chunks[-1].append(part)
    return chunks, between


def _finder(chunk: list[Part], *, is_first: bool, is_last: bool) -> Callable[[str, int], _Place | None]:
    constant = "".join(part for part in chunk if isinstance(part, str))
    if all(isinstance(part, str) for part in chunk):
        return partial(_find_first if is_first else _find_last if is_last else _find_next, constant)
    forms = [re.escape(part) if isinstance(part, str) else f"((?>{form_of(part)}))" for part in chunk if part]
    pattern = re.compile("".join(forms) + (r"\Z" if is_last else ""))
    return partial(_find_form, pattern.match if is_first else pattern.search)


def _find_first(constant: str, text: str, _start: int) -> _Place | None:
    return (0, len(constant), ()) if text.startswith(constant) else None


def _find_next(constant: str, text: str, start: int) -> _Place | None:
    at = text.find(constant, start)
    return None if at < 0 else (at, at + len(constant), ())


def _find_last(constant: str, text: str, start: int) -> _Place | None:
    at = len(text) - len(constant)
    return (at, len(text), ()) if at >= start and text.endswith(constant) else None


def _find_form(search: Callable[[str, int], re.Match[str] | None], text: str, start: int) -> _Place | None:
    found = search(text, start)
    return None if found is None else (found.start(), found.end(), found.groups())


@lru_cache(maxsize=64)
def matcher_of(templates: tuple[str, ...]) -> Matcher:
    """Return the matcher of these templates, cached: it is slow to make, and each session has a redactor of its own."""
    return Matcher(templates)
