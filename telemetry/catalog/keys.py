"""Which keys each table of a catalog's file takes, and the form that their values must have."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from telemetry.catalog.model import MAX_STRING_LENGTH, SENSITIVITIES, FieldType, Kind, Overflow

if TYPE_CHECKING:
    from collections.abc import Callable

_MAX_INT = 2**63 - 1


class Key(NamedTuple):
    """A key of a table: the form its value must have, and the test for it."""

    form: str
    accepts: Callable[[Any], bool]
    required: bool = False
    choices: tuple[str, ...] = ()


def _one_of(choices: tuple[str, ...], *, required: bool = False) -> Key:
    return Key(f"one of {', '.join(choices)}", lambda value: value in choices, required, choices)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _MAX_INT


def _is_count(value: Any) -> bool:
    return _is_int(value) and value >= 1


def is_number(value: Any) -> bool:
    """Whether `value` is a finite number, and no bool."""
    return _is_int(value) or (isinstance(value, float) and math.isfinite(value))


def _is_date(value: Any) -> bool:
    if not isinstance(value, str):
        return isinstance(value, dt.date) and not isinstance(value, dt.datetime)
    try:
        dt.date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_ascending(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    def accepts(value: Any) -> bool:
        if not (isinstance(value, list) and value and all(map(of, value))):
            return False
        return all(low < high for low, high in itertools.pairwise(value))

    return accepts


def _is_values(value: Any) -> bool:
    if not (isinstance(value, list) and value and all(map(_is_text, value))):
        return False
    return len(set(value)) == len(value)


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _is_variables(value: Any) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", name) and isinstance(words, list) and all(map(_is_word, words))
        for name, words in value.items()
    )


def _is_word(value: Any) -> bool:
    return isinstance(value, str)


def is_table(value: Any) -> bool:
    """Whether `value` is a table of TOML."""
    return isinstance(value, dict)


_SENTENCE = Key('a text in quotes, such as "find slow engines"', _is_text, required=True)
_WHOLE = Key("a whole number of at most 63 bits", _is_int)
_NUMBER = Key("a number", is_number)
_COUNT = Key("a whole number of at least 1", _is_count)
_YES_OR_NO = Key("true or false", lambda value: isinstance(value, bool))
_LAST_DAY = Key('its last day, such as "2027-06-30"', _is_date)

DOCUMENT = {
    "catalog": Key("a table, [catalog]", is_table, required=True),
    "events": Key("a table, [events.NAME] for each event", is_table),
}
CATALOG = {
    "product": Key(
        'small letters, digits, "_" and "-", a letter or digit first, such as "acme-db"',
        _matches("[a-z0-9][a-z0-9_-]{0,63}"),
        required=True,
    ),
    "version": _COUNT._replace(required=True),
    "policy_url": Key('a URL, such as "https://acme.example/privacy"', _matches("https?://\\S+")),
    "time_precision_seconds": _COUNT,
    "no_unless": Key(
        'variables with the words that do not mean no, such as { ENABLE_TELEMETRY = ["1", "true"] }', _is_variables
    ),
}
EVENT = {
    "purpose": _SENTENCE,
    "owner": Key('who answers for it, such as "query team"', _is_text, required=True),
    "expires": _LAST_DAY._replace(required=True),
    "sensitivity": _one_of(SENSITIVITIES, required=True),
    "kind": _one_of(get_args(Kind)),
    "sample": Key("a number over 0 and up to 1", lambda value: is_number(value) and 0 < value <= 1),
    "max_per_second": _COUNT,
    "fields": Key("a table, [events.NAME.fields]", is_table),
}
FIELD = {"type": _one_of(get_args(FieldType), required=True), "purpose": _SENTENCE, "expires": _LAST_DAY}
FIELD_OF_TYPE = {
    "int": {
        "min": _WHOLE,
        "max": _WHOLE,
        "buckets": Key("ascending whole numbers, such as [0, 10, 100]", _is_ascending(_is_int)),
    },
    "float": {
        "min": _NUMBER,
        "max": _NUMBER,
        "buckets": Key("ascending numbers, such as [0, 0.5, 10]", _is_ascending(is_number)),
    },
    "enum": {
        "values": Key('distinct texts, such as ["batch", "stream"]', _is_values, required=True),
        "fold_case": _YES_OR_NO,
        "prefix": Key('a text in quotes, such as "ENGINE_"', _is_text),
        "numbered": _YES_OR_NO,
    },
    "message": {
        "templates": Key(
            'distinct texts, such as ["no route to {host}", "took {ms:number} ms"]', _is_values, required=True
        ),
        "holes": Key("a table with the keys of a hole's type, such as { ms = { buckets = [0, 10, 100] } }", is_table),
    },
    "text": {
        "max_length": Key(
            f"a whole number from 1 to {MAX_STRING_LENGTH}",
            lambda value: _is_count(value) and value <= MAX_STRING_LENGTH,
            required=True,
        ),
        "overflow": _one_of(get_args(Overflow)),
        "reason": Key('a text in quotes, such as "the plugins of others write it"', _is_text),
    },
}
HOLE = {"purpose": _SENTENCE._replace(required=False)}
EVENT_NAME = _matches("[A-Za-z][A-Za-z0-9_.]*")
FIELD_NAME = _matches("[a-z][a-z0-9_]*")
