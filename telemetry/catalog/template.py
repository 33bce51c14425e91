"""Templates of a message: constant text with holes for the parts that vary.

`{name}` is a bare hole: nothing it holds leaves. `{name:type}` is a parameter, which leaves as a field of that type. A
brace of the text itself is doubled. No two holes touch: nobody could tell where one ends.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.field_types import TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_CHARACTERS = 1_000
"""The most characters of a template: longer than any message."""

MAX_HOLES = 16
"""The most holes of a template: what it costs to read a text grows with them."""

MIN_LETTERS = 4
"""The least letters of the constant parts of a template, to which each hole that may hold anything adds two: less says
nothing of a text."""

_IDEOGRAPHS = "\u2e80"
"""The first character that says about as much as three letters: those of Chinese and Japanese."""

_NAME = re.compile("[a-z][a-z0-9_]*")
_SAMPLES = ("1", "1.5", "1e5", "true", "v1.2")
_BEGINNINGS = ("", "1", "rc1")  # of what may follow: each could be the rest of a number or of a version


class Hole(NamedTuple):
    """A place in a template that texts fill. `type` is that of its field; None for a bare one."""

    name: str
    type: str | None


Part = str | Hole


def form_of(hole: Hole) -> str:
    """Return the regular expression that tells where a value in `hole` ends.

    Empty for a bare one, and for one of a type without a form: it holds whatever is between two constant parts.
    """
    return TYPES[hole.type].form if hole.type else ""


def parse_template(text: str) -> tuple[Part, ...]:
    """Take a template apart into constant texts and holes.

    Raises:
        ValueError: it is none; the text gives the reason and the remedy.
    """
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"has {len(text)} characters, of at most {MAX_CHARACTERS}; shorten it")
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        raise ValueError("has a brace that is no hole's; double a brace of the text: `{{`, `}}`") from None
    parts: list[Part] = []
    for constant, name, form, conversion in pieces:
        if constant and parts and isinstance(parts[-1], str):  # a doubled brace ends a piece
            parts[-1] += constant
        elif constant:
            parts.append(constant)
        if name is not None:
            parts.append(_hole(name, form or "", conversion))
    _check(parts)
    return tuple(parts)


def shape_of(parts: tuple[Part, ...]) -> tuple[str, ...]:
    """Return the shape of a template, equal for templates that fit the same texts: constants, and places of holes."""
    return tuple(part if isinstance(part, str) else "" for part in parts)


def written(parts: Sequence[Part]) -> str:
    """Return the template that consists of these parts."""
    return "".join(
        part.replace("{", "{{").replace("}", "}}")
        if isinstance(part, str)
        else f"{{{part.name}:{TYPES[part.type].holes[0]}}}"
        if part.type
        else f"{{{part.name}}}"
        for part in parts
    )


def is_hollow(parts: Sequence[Part]) -> bool:
    """Tell whether a template is nearly all hole, so that fitting it says nothing about a text."""
    letters = (
        3 if char >= _IDEOGRAPHS else 1 for part in parts if isinstance(part, str) for char in part if char.isalpha()
    )
    open_holes = sum(isinstance(part, Hole) and not form_of(part) for part in parts)
    return open_holes > 0 and sum(letters) < max(MIN_LETTERS, 2 * open_holes)


def _hole(name: str, form: str, conversion: str | None) -> Hole:
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"has a hole `{{{name}}}`; its name must be a lower-case letter, then lower-case letters, digits or `_`"
        )
    if conversion:
        raise ValueError(
            f"has `!{conversion}` in the hole `{name}`; remove it, a hole is `{{name}}` or `{{name:type}}`"
        )
    if not form:
        return Hole(name, None)
    types = {word: type_ for type_, row in TYPES.items() for word in row.holes}
    if form not in types:
        known = ", ".join(types)
        raise ValueError(f"has a hole `{name}` of type `{form}`; it may be one of {known}, or bare: `{{{name}}}`")
    return Hole(name, types[form])


def _check(parts: list[Part]) -> None:
    holes = [part for part in parts if isinstance(part, Hole)]
    if len(holes) > MAX_HOLES:
        raise ValueError(f"has {len(holes)} holes, of at most {MAX_HOLES}; make a bare one of several")
    names = [hole.name for hole in holes]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"has the hole `{twice}` twice; rename one")
    for number, hole in enumerate(parts):
        if isinstance(hole, str) or number + 1 == len(parts):
            continue
        behind = parts[number + 1]
        if isinstance(behind, Hole):
            raise ValueError(  # noqa: TRY004 what it is of is a text
                f"has the holes `{hole.name}` and `{behind.name}` side by side; nobody can tell where one ends: make "
                "one of them, or put a text between"
            )
        if hole.type is not None and _goes_on(hole.type, behind, is_last=number + 2 == len(parts)):
            raise ValueError(f"has {behind[:8]!r} behind the hole `{hole.name}`, which could be part of its value")


def _goes_on(type_: str, behind: str, *, is_last: bool) -> bool:
    """Tell whether the text behind a value, with whatever may begin after it, could be read as part of the value."""
    form = re.compile(TYPES[type_].form or "(?!)")
    values = [sample for sample in _SAMPLES if form.fullmatch(sample)]
    texts = [(value, f"{value}{behind}{begins}") for value in values for begins in ([""] if is_last else _BEGINNINGS)]
    return any((found := form.match(text)) is None or found.end() != len(value) for value, text in texts)
