"""The placeholders that readers see, and the single characters that stand for them while rules are at work.

A rule must not read inside what another rule has written (`[secret:aws]` is no key with a value). So each placeholder
is one private-use character until the last rule is through.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import re

DRIVERS = (
    "postgres mysql mongodb redis amqp kafka mssql oracle sqlite clickhouse cassandra snowflake ldap nats mqtt "
    "azure odbc "
    "other"
).split()
VENDORS = (
    "aws github gitlab slack google stripe openai anthropic npm pypi sendgrid twilio azure vault databricks "
    "huggingface "
    "digitalocean docker shopify grafana sentry atlassian telegram discord mailgun newrelic age other"
).split()
KINDS = "ip mac email url host path jwt key secret user table card iban phone id uuid sql opaque".split()

PLACEHOLDERS = (*KINDS, *(f"dsn:{driver}" for driver in DRIVERS), *(f"secret:{vendor}" for vendor in VENDORS))
_FIRST = 0xE000
_MARK_OF = {kind: chr(_FIRST + number) for number, kind in enumerate(PLACEHOLDERS)}
_SHOWN = {mark: f"[{kind}]" for kind, mark in _MARK_OF.items()}
MARKS = f"{chr(_FIRST)}-{chr(_FIRST + len(PLACEHOLDERS) - 1)}"
"""All marks, to stand within a character class of `re`."""
ALL_MARKS = "".join(_MARK_OF.values())
"""All marks, as one string."""
_MARK = re.compile(f"[{MARKS}]")
_PLACEHOLDER = re.compile(rf"\[({'|'.join(sorted(PLACEHOLDERS, key=len, reverse=True))})\]")


def mark(kind: str) -> str:
    """Return the character that stands for `[kind]`."""
    return _MARK_OF[kind]


def protect(text: str) -> str:
    """Replace each placeholder by its mark; a mark that the text contained already becomes U+FFFD."""
    foreign = text if text.isascii() else _MARK.sub("\ufffd", text)
    return _PLACEHOLDER.sub(lambda match: _MARK_OF[match[1]], foreign) if "[" in foreign else foreign


def find_placeholders(text: str) -> list[str]:
    """Return the placeholders of a redacted text, each once."""
    return list(dict.fromkeys(match[0] for match in _PLACEHOLDER.finditer(text)))


def cut(text: str, max_length: int) -> str:
    """Return the first `max_length` characters of a redacted text, less a placeholder that would be cut in two."""
    start = text.rfind("[", 0, max_length)
    last = _PLACEHOLDER.match(text, start) if start >= 0 else None
    return text[:start] if last and last.end() > max_length else text[:max_length]


def reveal(text: str) -> str:
    """Replace each mark of a text by its placeholder."""
    return _MARK.sub(lambda match: _SHOWN[match[0]], text)
