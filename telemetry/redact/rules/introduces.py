"""Names of keys that introduce something private, so that a rule does not take a key for a value, or for a part of one.

`unknown topic user: amy` names no topic, and `retry@host: db1` is no address of mail. If the key were taken, no rule
would recognise what stands behind it any more.
"""

from __future__ import annotations

import re
from string import ascii_letters
from typing import TYPE_CHECKING

from telemetry.redact.rules.numbers import ID_KEYS, begins_a_phone, begins_an_iban, begins_an_id
from telemetry.redact.rules.people import PERSON_KEYS
from telemetry.redact.rules.placeholder import MARKS
from telemetry.redact.rules.secrets import COMMANDS, secret_kind

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = re.compile(
    rf"(?:\w{{0,30}}_)?(?:{PERSON_KEYS}|{ID_KEYS}|tel(?:efon|ephone)?|phone|mobile|fax|msisdn|host(?:name)?|server|e?-?mail"
    r"|i?ban|card|ip|addr(?:ess)?|mac|file|path|url|driver|dsn)",
    re.IGNORECASE,
)


def introduces(word: str) -> bool:
    """Tell whether a word before a colon or an equals sign says that something private follows."""
    return _KEY.fullmatch(word) is not None or secret_kind(word) is not None


_LETTERS = ascii_letters + "_"
_SIGNS = ".,;:!?)]}>'\"`="
_IBAN_HEAD = 4  # a country and two digits
_MAY_FOLLOW = frozenset(" :=\"'\\")
_SAID = re.compile(rf"permission denied|(?:{COMMANDS})\s+-|[A-Za-z]:\\", re.IGNORECASE)
_FOUND_BEHIND = re.compile(rf"[\s.:=]{{0,3}}(?:(?:no|nr|num|number)\b[\s.:=]{{0,3}})?[{MARKS}]", re.IGNORECASE)
_UP_TO_A_MARK = re.compile(f".*[{MARKS}]", re.DOTALL)


def sparing(confirm: Callable[[re.Match[str]], str | None]) -> Callable[[re.Match[str]], str | None]:
    """Wrap the confirmation of a rule so that a key at the end of what it takes stays, if its value stands behind."""

    def spared(match: re.Match[str]) -> str | None:
        new = confirm(match)
        written = _UP_TO_A_MARK.match(new) if new else None
        if new is None or written is None:
            return new
        tail = new[written.end() :]
        end = match.end() - len(tail)
        if match.string[end : end + 1] not in _MAY_FOLLOW or not match[0].endswith(tail):
            return new
        start = _key_before(match.string, match.start(), end)
        if start is None:
            return new
        kept = match.string[start:end]
        return None if written[0][:-1] + kept + tail == match[0] else f"{written[0]} {kept}{tail}"

    return spared


def _key_before(text: str, first: int, end: int) -> int | None:
    """Return where a key begins that stands right before a place; None if there is none, or it introduces nothing.

    Args:
        text: the text.
        first: the place before which it does not begin.
        end: the end of what was taken.
    """
    old = text[first:end].rstrip(_SIGNS)
    start = first + len(old.rstrip(_LETTERS))
    word = text[start : first + len(old)]
    if old[-2:].isdigit() and begins_an_iban(text, max(first, first + len(old) - _IBAN_HEAD)):
        return max(first, first + len(old) - _IBAN_HEAD)
    if not word:  # a key and the head of its value, as in `retry@nhs=867 683 6698`
        head, sign, _ = old.rpartition("=")
        start = first + len(head.rstrip(_LETTERS))
        return start if sign and (begins_an_id(text, start) or begins_a_phone(text, start)) else None
    behind = text[start + len(word) : end + 3].lstrip()
    if behind[:1] in {":", "="} and introduces(word) and not behind.startswith("://"):
        return start
    if begins_an_id(text, start) or begins_a_phone(text, start) or _SAID.match(text, start):
        return start
    return start if introduces(word) and _FOUND_BEHIND.match(text, start + len(word)) else None
