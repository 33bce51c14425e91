"""The rules in the order of their application: containers (a key file, a URL) before what may stand inside them.

Numbers that are recognised by their form come before paths, hosts and names, which would take the first part of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.redact.rules.connections import CONNECTION_STRINGS
from telemetry.redact.rules.database import ERROR_TEXTS
from telemetry.redact.rules.introduces import sparing
from telemetry.redact.rules.keys import KEYS
from telemetry.redact.rules.network import ADDRESSES, HOSTS, IPS, MACS
from telemetry.redact.rules.numbers import CARDS, IBANS, NUMBERS, PHONES, UUIDS
from telemetry.redact.rules.opaque import BASE64, RUNS
from telemetry.redact.rules.people import MAIL, PERSONS
from telemetry.redact.rules.places import PATHS, URLS
from telemetry.redact.rules.secrets import SECRETS
from telemetry.redact.rules.statements import STATEMENTS
from telemetry.redact.rules.tokens import SHORT_TOKENS, TOKENS

if TYPE_CHECKING:
    from telemetry.redact.rules.rule import Rule


def _sparing(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    return tuple(rule._replace(confirm=sparing(rule.confirm)) for rule in rules)


RULES = (
    *KEYS,
    *CONNECTION_STRINGS,
    *STATEMENTS,
    *_sparing(ERROR_TEXTS),
    *URLS,
    *TOKENS,
    *_sparing(SECRETS),
    *BASE64,
    *ADDRESSES,
    *MACS,
    *IBANS,
    *CARDS,
    *PHONES,
    *_sparing(PATHS),
    *_sparing(MAIL),
    *_sparing(PERSONS),
    *_sparing(HOSTS),
    *UUIDS,
    *SHORT_TOKENS,
    *RUNS,
    *IPS,
    *NUMBERS,
)
