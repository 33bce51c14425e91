"""The rules in their order: big containers first (a key file, a URL), then what may stand inside of them."""

from __future__ import annotations

from telemetry.redact.rules.connections import CONNECTION_STRINGS
from telemetry.redact.rules.database import ERROR_TEXTS
from telemetry.redact.rules.keys import KEYS
from telemetry.redact.rules.network import HOSTS, IPS, MACS
from telemetry.redact.rules.numbers import IBANS, NUMBERS, UUIDS
from telemetry.redact.rules.opaque import BASE64, RUNS
from telemetry.redact.rules.people import MAIL, PERSONS
from telemetry.redact.rules.places import PATHS, URLS
from telemetry.redact.rules.secrets import SECRETS
from telemetry.redact.rules.statements import STATEMENTS
from telemetry.redact.rules.tokens import TOKENS

RULES = (
    *KEYS,
    *CONNECTION_STRINGS,
    *STATEMENTS,
    *ERROR_TEXTS,
    *URLS,
    *TOKENS,
    *SECRETS,
    *BASE64,
    *PATHS,
    *MAIL,
    *PERSONS,
    *MACS,
    *HOSTS,
    *UUIDS,
    *IBANS,
    *RUNS,
    *IPS,
    *NUMBERS,
)
