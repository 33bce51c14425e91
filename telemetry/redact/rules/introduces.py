"""Names of keys that introduce something private, so that rules for the names of objects do not take a key for one.

`unknown topic user: amy` names no topic. If `user:` were taken for one, no rule would recognise `amy` any more.
"""

from __future__ import annotations

import re

from telemetry.redact.rules.numbers import ID_KEYS
from telemetry.redact.rules.people import PERSON_KEYS
from telemetry.redact.rules.secrets import secret_kind

_KEY = re.compile(
    rf"(?:\w{{0,30}}_)?(?:{PERSON_KEYS}|{ID_KEYS}|tel(?:efon|ephone)?|phone|mobile|fax|msisdn|host(?:name)?|server|e?-?mail"
    r"|i?ban|card|ip|addr(?:ess)?|mac|file|path|url|driver|dsn)",
    re.IGNORECASE,
)


def introduces(word: str) -> bool:
    """Tell whether a word before a colon or an equals sign says that something private follows."""
    return _KEY.fullmatch(word) is not None or secret_kind(word) is not None
