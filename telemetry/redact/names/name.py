"""Names of this machine, and their reach: which occurrences of a name in a text are meant by it.

A distinctive name counts anywhere. One that is short, or a common word in texts about software, counts only in the
context of a path, an `@` or a key that asks for such a name.
"""

from __future__ import annotations

import ipaddress
import re
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.names.everyday_words import COMMON
from telemetry.redact.normalise import normalise
from telemetry.redact.rules.placeholder import protect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from telemetry.names import Names

SHORT_CHARACTERS = 4
LONG_CHARACTERS = 8
"""The length from which on a name that is no common word also counts within a word."""
_LONG_DIGITS = 12
"""The length from which on a secret of digits also counts within a number: six digits stand in many a number."""

KINDS = ("secret", "path", "host", "user", "table", "mac", "ip")
"""The kinds of names; of overlapping names of one length, the first in this order gives the placeholder."""

# Names that every host has.
_EVERYBODYS = frozenset(["localhost", "localdomain", "localhost.localdomain", "ip6-localhost", "127.0.0.1", "::1"])


class Reach(Enum):
    """The places where a name counts."""

    ANYWHERE = "as any part of a text"
    SEGMENT = "between characters that are no letters and no digits"
    CONTEXT = "as a segment in the context of a path, an @ or a key"


class Name(NamedTuple):
    """A name of this machine.

    Attributes:
        kind: the kind, which gives the placeholder; one of `KINDS`.
        folded: the name as `normalise` and `casefold` return it.
        reach: the places where it counts.
        pattern: for an address, a regular expression for all its spellings, in small letters, for `re` and hyperscan.
    """

    kind: str
    folded: str
    reach: Reach
    pattern: str = ""


def names_to_find(names: Names, words: Collection[str] = ()) -> frozenset[Name]:
    """Return the names that are worth finding, each with how far it reaches.

    Args:
        names: the names as collected, by kind; an unknown kind counts as a secret.
        words: the catalog's words, in small letters, which say nothing about a person or a place.
    """
    kinds = ((kind if kind in KINDS else "secret", name) for kind, found in names.items() for name in found)
    return frozenset(found for kind, name in kinds if (found := _name_to_find(kind, name, words)) is not None)


def allowing(names: Iterable[Name], words: Collection[str]) -> frozenset[Name]:
    """Return the names, limiting those among more words of a catalog to their context."""
    return frozenset(
        name._replace(reach=Reach.CONTEXT)
        if name.folded in words and not name.pattern and not is_directory(name.kind, name.folded)
        else name
        for name in names
    )


def words_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the words of a catalog's constants, and the constants."""
    folded = [text.casefold() for text in texts]
    return frozenset(word for text in folded for word in (text, *re.split(r"[^a-z0-9]+", text)) if word)


def is_directory(kind: str, folded: str) -> bool:
    """Tell whether a name is a whole path, not a component of one."""
    return kind == "path" and folded[0] in "/\\~"


def _name_to_find(kind: str, name: str, words: Collection[str]) -> Name | None:
    folded = normalise(name).casefold().strip()
    if folded in _EVERYBODYS:
        return None
    if kind in {"ip", "host", "user"} and (address := _address(folded)) is not None:
        return address
    if kind == "mac":
        return _mac(folded)
    if len(folded) <= 1 or (folded.isdigit() and kind != "secret") or not any(map(str.isalnum, folded)):
        return None
    if protect(folded) != folded:  # a placeholder is not to be read
        return None
    return Name(kind, folded, _reach(kind, folded, words))


def _reach(kind: str, folded: str, words: Collection[str]) -> Reach:
    if is_directory(kind, folded):
        return Reach.SEGMENT
    if len(folded) <= SHORT_CHARACTERS or folded in COMMON or folded in words:
        return Reach.CONTEXT
    if kind == "secret" and not folded.isalpha():
        return Reach.ANYWHERE if not folded.isdigit() or len(folded) >= _LONG_DIGITS else Reach.SEGMENT
    return Reach.ANYWHERE if len(folded) >= LONG_CHARACTERS and not folded.isdigit() else Reach.SEGMENT


def _address(folded: str) -> Name | None:
    try:
        address = ipaddress.ip_address(folded.partition("%")[0])
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified:
        return None
    pattern = _v4(address) if isinstance(address, ipaddress.IPv4Address) else _v6(address)
    return Name("ip", str(address), Reach.SEGMENT, pattern)


def _v4(address: ipaddress.IPv4Address) -> str:
    octets = str(address).split(".")
    dot = r"(?:\.|-|\[\.\]|_)"
    padded = [f"0{{0,2}}{octet}" for octet in octets]
    number, digits = int(address), f"{int(address):08x}"
    return "|".join([dot.join(padded), r"\.".join(reversed(octets)), str(number), f"(?:0x)?{digits}"])


def _v6(address: ipaddress.IPv6Address) -> str:
    """Return a pattern for the address's groups that are not zero, with any spelling of the zeros between them."""
    groups = [group.lstrip("0") for group in address.exploded.split(":")]
    parts: list[str] = []
    zeros = False
    for group in groups:
        if group:
            parts.append(f"[:0]{{1,40}}{group}" if parts else f"0{{0,3}}{group}")
        zeros = not group
    return "".join(parts) + (r"[:0]{2,40}" if zeros else "") if parts else r"\Z\A"


def _mac(folded: str) -> Name | None:
    digits = re.sub(r"[^0-9a-f]", "", folded)
    if len(digits) not in {12, 16, 40} or not digits.strip("0f"):
        return None
    octets = [digits[at : at + 2] for at in range(0, len(digits), 2)]
    return Name("mac", ":".join(octets), Reach.SEGMENT, "[:.-]?".join(octets))
