"""Redaction of a `version` field: a version number leaves, or nothing."""

from __future__ import annotations

import re

from telemetry.redact.checksum import is_card

MAX_CHARACTERS = 32
FORM = (
    r"(?ai:v?[0-9]{1,8}(?:\.[0-9]{1,8}){0,3}"
    r"(?:[-._]?(?:alpha|beta|preview|pre|post|dev|rc|a|b|c)[-._]?[0-9]{0,8}){0,2})"
)
"""The form of a version. Its numbers have up to eight digits: a date may be one (20240131), a telephone number not."""

_VERSION = re.compile(FORM)
_INSURANCE = re.compile(r"756\.\d{4}\.\d{4}\.\d{2}")


def clean(value: str) -> str | None:
    """Let a version number pass: up to four numbers, and a part like `-rc.1`, `b2`, `.post1` or `.dev3`.

    Args:
        value: at most `MAX_CHARACTERS` characters.

    Returns:
        The number in small letters, without a leading `v`; None for any other form, and for a card's or an insurance
        number in groups.
    """
    match = _VERSION.fullmatch(value.strip()) if len(value) <= MAX_CHARACTERS else None
    number = match[0].lower().removeprefix("v") if match else ""
    return None if not number or is_card(number.replace(".", "")) or _INSURANCE.fullmatch(number) else number
