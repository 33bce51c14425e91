"""Planted numbers of cards, accounts and installations."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from schwifty import IBAN, registry
from schwifty.exceptions import SchwiftyException
from stdnum import luhn

from bench.corpus.canary import Canary
from bench.corpus.words import characters

if TYPE_CHECKING:
    from random import Random

# Issuers' prefixes and lengths, from the networks' public lists.
_ISSUERS = (
    ("4", 16),
    ("4", 13),
    ("4", 19),
    ("51", 16),
    ("55", 16),
    ("2221", 16),
    ("2720", 16),
    ("34", 15),
    ("37", 15),
    ("6011", 16),
    ("65", 16),
    ("644", 16),
    ("62", 16),
    ("62", 19),
    ("36", 14),
    ("305", 14),
    ("3528", 16),
    ("3589", 16),
    ("5018", 16),
    ("6304", 12),
    ("6759", 19),
    ("2200", 16),
    ("81", 16),
    ("60", 16),
)


def card(dice: Random) -> Canary:
    """Numbers of every network, in groups or not."""
    prefix, length = dice.choice(_ISSUERS)
    body = prefix + characters(dice, "0123456789", length - len(prefix) - 1)
    digits = body + luhn.calc_check_digit(body)
    groups = [digits[at : at + 4] for at in range(0, length, 4)]
    amex = [digits[:4], digits[4:10], digits[10:]] if length == 15 else groups
    text = dice.choice(
        (digits, digits, " ".join(groups), "-".join(groups), ".".join(groups), "\u00a0".join(groups), " ".join(amex))
    )
    around = dice.choice(("{}", "({})", "{},", "card={}", "[{},0]", "PAN {}.", "2024-01-31 {}"))
    return Canary(around.format(text), (text,))


def iban(dice: Random) -> Canary:
    """Account numbers of every country that has them, valid by schwifty."""
    country = dice.choice(sorted(registry.get_countries()))
    compact = _random_iban(country, dice)
    if compact is None:
        return iban(dice)
    spaced = " ".join(compact[at : at + 4] for at in range(0, len(compact), 4))
    text = dice.choice((compact, spaced, compact.lower(), spaced.replace(" ", "-"), spaced.lower()))
    return Canary(dice.choice(("{}", "({})", "{},", "iban={}", "paid to {} today")).format(text), (text,))


def _random_iban(country: str, dice: Random) -> str | None:
    """An IBAN to the country's own form; the check digits are schwifty's."""
    try:
        return IBAN.random(country_code=country, random=dice).compact
    except (SchwiftyException, ValueError, KeyError):
        return None


def identifier(dice: Random) -> Canary:
    """UUIDs of the versions that are in use."""
    made = dice.choice(
        (
            uuid.UUID(int=dice.getrandbits(128), version=4),
            uuid.UUID(int=dice.getrandbits(128), version=1),
            uuid.UUID(int=(0x018F << 112 | dice.getrandbits(112)) & ~(0xF << 76) | 7 << 76),
        )
    )
    text = str(made).upper() if dice.random() < 0.2 else str(made)
    around = dice.choice(("{}", "{{{}}}", "urn:uuid:{}", "id={}", "job-{}", "{}.", "/{}"))
    return Canary(around.format(text), (text,))
