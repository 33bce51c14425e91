"""The keys of a catalog's tables, and the forms that their values must have."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.catalog.model import MAX_INT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Key(NamedTuple):
    """A key of a table: the form its value must have, and the test for it."""

    form: str
    accepts: Callable[[Any], bool]
    required: bool = False
    choices: tuple[str, ...] = ()


def one_of(choices: Iterable[str], *, required: bool = False) -> Key:
    """Return a key whose value is one of some words."""
    words = tuple(choices)
    return Key(f"one of {', '.join(words)}", lambda value: value in words, required, words)


def is_text(value: Any) -> bool:
    """Tell whether `value` is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def is_int(value: Any) -> bool:
    """Tell whether `value` is a whole number of at most 63 bits, and no bool."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_INT


def is_count(value: Any) -> bool:
    """Tell whether `value` is a whole number of at least 1."""
    return is_int(value) and value >= 1


def is_number(value: Any) -> bool:
    """Tell whether `value` is a finite number, and no bool."""
    return is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_date(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def is_ascending(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Return the test for a list of ascending values, each of which passes the test `of`."""

    def accepts(value: Any) -> bool:
        if not (isinstance(value, list) and value and all(map(of, value))):
            return False
        return all(low < high for low, high in itertools.pairwise(value))

    return accepts


def is_values(value: Any) -> bool:
    """Tell whether `value` is a list of distinct texts."""
    if not (isinstance(value, list) and value and all(map(is_text, value))):
        return False
    return len(set(value)) == len(value)


def matches(pattern: str) -> Callable[[Any], bool]:
    """Return the test for a text that a regular expression matches as a whole."""
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def is_variables(value: Any) -> bool:
    """Tell whether `value` is a table of lists of words, by names that environment variables can have."""
    return isinstance(value, dict) and all(
        re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and isinstance(words, list) and all(map(_is_word, words))
        for name, words in value.items()
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def is_table(value: Any) -> bool:
    """Tell whether `value` is a table of TOML."""
    return isinstance(value, dict)


SENTENCE = Key('a quoted string, such as "find slow engines"', is_text, required=True)
WHOLE = Key("a whole number of at most 63 bits", is_int)
NUMBER = Key("a number", is_number)
COUNT = Key("a whole number of at least 1", is_count)
YES_OR_NO = Key("true or false", lambda value: isinstance(value, bool))
LAST_DAY = Key('its last day, such as "2027-06-30"', _is_date)
