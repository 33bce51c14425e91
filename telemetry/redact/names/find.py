"""Search for names in a text: exact, in any case, as far as each name reaches."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.names.name import KINDS, Name, Reach

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PERSON_KEYS = (
    "user|users|usr|user_?name|login|log_?name|owner|uid|account|author|committer|assignee|principal|member|role"
    "|run_?as|home"
)
HOST_KEYS = (
    "hosts?|host_?name|server|node|node_?name|machine|peer|domain|addr|address|upstream|broker|endpoint|computer|target"
)
CREDENTIAL_KEYS = "pass|pass_?word|passwd|pass_?phrase|pwd|secret|token|key|credentials?|auth|pin|code"
PLACE_KEYS = "dir|directory|folder|path|cwd|work_?dir|home|root|project|repo|repository|workspace"
TABLE_KEYS = "database|db|db_?name|schema|catalog|tenant|bucket|table"
KEYS = {
    "user": PERSON_KEYS,
    "host": HOST_KEYS,
    "secret": CREDENTIAL_KEYS,
    "path": PLACE_KEYS,
    "table": TABLE_KEYS,
    "ip": HOST_KEYS,
    "mac": HOST_KEYS,
}
"""The keys that, followed by `=` or `:`, mark a short or common word as a name of a kind."""

_BEFORE_CHARACTERS = 48
_KEY_BEFORE = {
    kind: re.compile(
        rf"(?:{keys})(?:\\{{0,4}}[\"'\]]{{0,2}}\s{{0,2}}(?:=>|[=:])\s{{0,2}}[\[({{]?\\{{0,4}}[\"'`]?|\s\\{{0,4}}[\"'`])\Z"
        rf"|(?:^|\s)--?(?:{keys}|u)[ =]\Z"
    )
    for kind, keys in KEYS.items()
}
_TOKEN = re.compile(r"[^\s\"'`<>|,;()\[\]{}=]*\Z")
_SEPARATORS = "/\\"
_PORT = re.compile(r":\d{2,5}(?!\w)")
_REST_OF_PATH = re.compile(r"(?:[/\\][^\s\"'`<>|:,;()\[\]{}\ue000-\uf8ff]*)?")


class Span(NamedTuple):
    """A stretch of a text that is a name; `end` is behind it."""

    start: int
    end: int
    kind: str


def find(text: str, names: Iterable[Name]) -> list[Span]:
    """Return the stretches of a normalised text that are one of the names, in order, none touching another.

    Args:
        text: a text as `normalise` returns it.
        names: the names to look for.
    """
    folded, origins = _fold(text)
    spans = [span for name in names for span in _occurrences(folded, name)]
    if origins is not None:
        spans = [Span(origins[start], origins[end - 1] + 1, kind) for start, end, kind in spans]
    return _merge(spans)


def _occurrences(folded: str, name: Name) -> Iterator[Span]:
    for start, end in _places(folded, name):
        if name.reach is Reach.ANYWHERE or (
            _is_segment(folded, start, end)
            and (name.reach is Reach.SEGMENT or _has_context(folded, start, end, name.kind))
        ):
            yield Span(start, _end_of_path(folded, end) if name.kind == "path" else end, name.kind)


def _places(folded: str, name: Name) -> Iterator[tuple[int, int]]:
    if name.pattern:
        yield from (match.span() for match in _compiled(name.pattern).finditer(folded))
        return
    start = folded.find(name.folded)
    while start >= 0:
        yield start, start + len(name.folded)
        start = folded.find(name.folded, start + 1)


def _is_segment(folded: str, start: int, end: int) -> bool:
    return not (folded[start - 1 : start].isalnum() or folded[end : end + 1].isalnum())


def _has_context(folded: str, start: int, end: int, kind: str) -> bool:
    before, after = folded[max(0, start - _BEFORE_CHARACTERS) : start], folded[end : end + 6]
    if after[:1] == "@" or before[-1:] == "@" or before[-1:] == "~":
        return True
    if kind in {"host", "ip"} and _PORT.match(after):
        return True
    return _is_in_path(before, after) or _KEY_BEFORE[kind].search(before) is not None


def _is_in_path(before: str, after: str) -> bool:
    """Tell whether a separator before the name is a path's: `read/write` is none."""
    if before[-1:] not in set(_SEPARATORS):
        return False
    token = _TOKEN.search(before)
    head = token[0] if token else ""
    separators = sum(map(head.count, _SEPARATORS))
    return not head or head[0] in "/\\.~" or ":" in head or separators > 1 or after[:1] in set(_SEPARATORS)


def _end_of_path(folded: str, end: int) -> int:
    """Return the end of a path that begins with a known directory."""
    rest = _REST_OF_PATH.match(folded, end)
    return rest.end() if rest else end


def _merge(spans: list[Span]) -> list[Span]:
    """Join stretches that overlap or touch; the longest of them gives the kind."""
    merged: list[Span] = []
    longest = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end, KINDS.index(span.kind))):
        length = span.end - span.start
        if not merged or span.start > merged[-1].end:
            merged.append(span)
            longest = length
            continue
        last = merged[-1]
        merged[-1] = Span(last.start, max(last.end, span.end), span.kind if length > longest else last.kind)
        longest = max(longest, length)
    return merged


def _fold(text: str) -> tuple[str, list[int] | None]:
    """Return the text in its folded case and, if a letter folds to several, the origin of each letter."""
    folded = text.casefold()
    if len(folded) == len(text):  # no letter folds to none
        return folded, None
    return folded, [at for at, letter in enumerate(text) for _ in letter.casefold()]


@lru_cache(1024)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.ASCII)
