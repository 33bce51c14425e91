"""Removal of the rest of a run of which a rule has taken a part: the rest of a key is as good as the key.

A run is a stretch without a blank, quote, bracket, comma or semicolon. Parts of it that no rule knew stay if they are
words, names of keys or ports; other digits and letters go with the part that was taken.
"""

from __future__ import annotations

import re

from telemetry.redact.rules.placeholder import MARKS, mark

_GLUE = rf"[^\s\"'`<>()\[\]{{}},;{MARKS}]"
_GLUED = re.compile(rf"[{MARKS}](?:(?={_GLUE})|(?<={_GLUE}[{MARKS}]))")  # the mark first: `re` skips to one
_RUN = re.compile(rf"(?<!{_GLUE}){_GLUE}*[{MARKS}](?:[^\s\"'`<>()\[\]{{}},;]*[{MARKS}])?{_GLUE}*")
_PIECE = re.compile(r"[^\W_]+")
_MARK = re.compile(f"([{MARKS}])")
_SWITCH = re.compile(r"(?<=[0-9])[A-Za-z]|(?<=[A-Za-z])[0-9]|(?<=[a-z])[A-Z](?![a-z]{2})")
_GROUPS = re.compile(r"(?:[0-9a-f]{0,4}:){1,8}\Z", re.IGNORECASE)
_MORE_GROUPS = re.compile(r"(?::[0-9a-f]{1,4}){2,8}\Z", re.IGNORECASE)
_KEYS = frozenset(map(mark, ("opaque", "jwt", "key", "secret")))
_ADDRESSES = frozenset(map(mark, ("ip", "mac")))
_DIGEST = re.compile(
    r"(?:sha|md|blake|keccak|ripemd|xxh)[0-9]{1,3}[a-z]?", re.IGNORECASE
)  # names the kind of what was taken
_FEWEST_CHARACTERS = 6
_FEWEST_SWITCHES = 3  # from letters to digits and back; `utf8mb4` has so many, and is no neighbour of a mark


def without_rests(text: str) -> str:
    """Remove the rests of runs of which a part is a mark already."""
    return _RUN.sub(_without_rest, text) if _GLUED.search(text) else text


def _without_rest(match: re.Match[str]) -> str:
    run = match[0]
    if len(run) == 1:
        return run
    parts = _MARK.split(run)  # marks stand at odd places
    last = len(parts) - 1
    for n in range(0, last + 1, 2):
        if rest := parts[n]:
            neighbours = "".join((*parts[max(0, n - 1) : n], *parts[n + 1 : n + 2]))
            parts[n] = _kept(rest, neighbours, first=n == 0, last=n == last)
    return "".join(parts)


def _kept(rest: str, neighbours: str, *, first: bool, last: bool) -> str:
    """Return the part of a rest that may stay: seen from the mark, what lies beyond the last piece that is no word.

    Args:
        rest: what stands between two marks, or beside one.
        neighbours: those marks.
        first: whether it is the run's beginning.
        last: whether it is the run's end.
    """
    if ":" in rest and (first or last) and not _ADDRESSES.isdisjoint(neighbours):
        groups = (_GROUPS if first else _MORE_GROUPS).search(rest)
        if groups and any(map(str.isdigit, groups[0])) and (mark("mac") in neighbours or groups[0].count(":") > 1):
            return rest[: groups.start()]
    sure = not _KEYS.isdisjoint(neighbours)
    if sure and not first and rest[0].isascii() and rest[0].isalnum():  # no sign stands between: it is of the same run
        return rest[len(rest.rstrip(".:!?")) - len(rest) :] if last and rest[-1] in ".:!?" else ""
    if len(rest) < _FEWEST_CHARACTERS:
        return rest
    found = [piece for piece in _PIECE.finditer(rest) if _is_fragment(piece[0], sure=sure)]
    if not found:
        return rest
    if first:
        return rest[: found[0].start()]
    return rest[found[-1].end() :] if last else ""


def _is_fragment(piece: str, *, sure: bool) -> bool:
    if len(piece) < _FEWEST_CHARACTERS or _DIGEST.fullmatch(piece):
        return False
    letters, digits = any(map(str.isalpha, piece)), any(map(str.isdigit, piece))
    if sure and digits:
        return True
    return letters and len(_SWITCH.findall(piece)) >= _FEWEST_SWITCHES
