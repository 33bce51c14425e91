"""What invented values are made of."""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

from string import ascii_letters, ascii_lowercase, ascii_uppercase, digits
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

FIRST = (
    "jane amir chloe dmitri eleni farid giulia hiroshi ingrid javier kwame leila marek nadia oluwaseun priya quentin "
    "rosalind stanislaw tatiana umberto valeria wilhelm ximena yasmin zoltan bjork maeve tobias saoirse"
).split()
LAST = (
    "abernathy brzezicki castellanos delacroix eriksson fitzgerald gutierrez hadjipetrou ivanenko jorgensen kowalczyk "
    "lindqvist mbeki nakamura okonkwo petrosyan quispe rasmussen szymanski takahashi ulyanov vasquez wojcik "
    "yilmaz zimmermann"
).split()
FOREIGN = "jürgen josé zoë łukasz иван νίκος 小林 محمد किरण björn françois".split()
FIRMS = (
    "acme globex initech umbrella hooli vandelay wonka stark-industries wayne tyrell cyberdyne soylent-foods "
    "contoso fabrikam northwind gringotts duff pied-piper dunder-mifflin oceanic"
).split()
MACHINES = "web db cache api mail build mon kafka worker gate edge app sql vault ci".split()
FOLDERS = (
    "home srv data opt mnt projects clients archive invoices payroll fear Library uploads backups team exports models"
).split()
ENDINGS = "txt csv log sqlite py yaml json docx pdf mp4 parquet key tar.gz conf".split()
ALPHANUMERIC = ascii_letters + digits
HEX = digits + "abcdef"


def characters(dice: Random, alphabet: str, length: int) -> str:
    """A random string."""
    return "".join(dice.choices(alphabet, k=length))


def name(dice: Random) -> str:
    """A person's name as a login has it."""
    first, last = dice.choice(FIRST), dice.choice(LAST)
    return dice.choice(
        (f"{first}.{last}", f"{first[0]}{last}", f"{first}_{last}", f"{first}{dice.randrange(100)}{last}")
    )


def password(dice: Random) -> str:
    """A password as people and generators make them, eight characters or more, without quotes or blanks."""
    marks = "!#$%&*+-.=?@^_~/:,;"
    made = dice.choice(
        (
            characters(dice, ALPHANUMERIC, dice.randrange(8, 25)),
            characters(dice, ALPHANUMERIC + marks, dice.randrange(8, 25)),
            f"{dice.choice(LAST).title()}{dice.randrange(1950, 2026)}{dice.choice(marks)}",
            f"{dice.choice(FIRST)}{dice.choice('@:/!#')}{dice.choice(LAST)}{dice.choice(marks)}",
        )
    )
    return made[0].replace("-", "k") + made[1:]


def company_host(dice: Random) -> str:
    """A host in a company's domain."""
    return f"{machine(dice)}.{dice.choice(FIRMS)}.{dice.choice(('com', 'net', 'org', 'io', 'de', 'co.uk', 'internal'))}"


def machine(dice: Random) -> str:
    """A machine's name."""
    return (
        f"{dice.choice(MACHINES)}{dice.choice(('-', ''))}{dice.choice(('prod', 'eu', '', 'x'))}{dice.randrange(1, 99)}"
    )


def upper(dice: Random, length: int) -> str:
    """Capitals."""
    return characters(dice, ascii_uppercase, length)


def lower(dice: Random, length: int) -> str:
    """Small letters."""
    return characters(dice, ascii_lowercase, length)
