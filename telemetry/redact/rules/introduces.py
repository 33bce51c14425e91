"""Names of keys behind which something private stands: a rule that looks for a name must not take one for it.

`unknown topic user: amy` names no topic. Were `user:` taken for one, nobody would know any more what `amy` is.
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
    """Whether a word before a colon or an equals sign says that something private follows."""
    return _KEY.fullmatch(word) is not None or secret_kind(word) is not None
