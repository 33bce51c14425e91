"""Prefilters of names for hyperscan: supersets of what `find` finds, in bytes of UTF-8 and in any ASCII case.

Texts are scanned as they are: `[^a-z0-9]` at an edge needs a byte there, which a text's separator or JSON's quote is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import product
from typing import NamedTuple

from telemetry.redact.names.name import Name, Reach


class Written(NamedTuple):
    """The form in which a text is scanned.

    Attributes:
        edge: the pattern before a segment.
        quote: the pattern for a quote before a value.
        blank: the pattern for a blank.
    """

    edge: str
    quote: str
    blank: str


PLAIN = Written(r"[^a-z0-9]", r"[\x22\x27\x60]", r"\s")
JSON = Written(r"(?:[^a-z0-9]|\\[bfnrt]|\\u[0-9a-f]{4})", r"(?:\\\x22|[\x27\x60])", r"(?:\s|\\[fnrt])")
"""The form of values in JSON, which has escapes, and where a quote without a backslash begins a value."""

_END = "[^a-z0-9]"
_CONTEXT_CHARACTERS = b"/\\@~=:>\"'` "
_LEAST_DIGITS = 4  # of base64: less of it stands in many a word
_MOST_DIGITS = 8  # of base64, and of hexadecimal twice as many: what compiles in a moment, and seldom fires
_BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE = {"+": "-", "/": "_"}

_Bytes = Sequence[Iterable[int]]
"""The possible values of each byte of a name: letters have two cases."""


def plain(name: Name, written: Written = PLAIN, spellings: Iterable[str] = ()) -> list[str]:
    """Return the expressions for the name as it is written.

    Args:
        name: the name to look for.
        written: the form of the texts.
        spellings: spellings of the name beside its folded one.
    """
    literals = [_literal(spelling.encode()) for spelling in dict.fromkeys((name.folded, *spellings))]
    body = f"(?:{name.pattern or '|'.join(literals)})"
    edge, quote, blank = written
    match name.reach:
        case Reach.ANYWHERE:
            return [body]
        case Reach.SEGMENT:
            return [f"{edge}{body}{_END}"]
        case Reach.CONTEXT:
            key = rf"(?:[/\\@~=:>\[({{]|{quote}|[=:>]{blank}{{1,2}}|-[a-z_]{{1,14}} )"
            return [f"{key}{body}{_END}", rf"{edge}{body}(?:@|:[0-9]{{2}})"]


def encoded(name: Name) -> str:
    """Return the expression for the name in hexadecimal and base64, at any offset; empty if it is too short.

    There is one expression for all forms: hyperscan compiles that in half the time of one for each.
    """
    if name.pattern:
        return ""  # the rules know an address when they see one
    options: list[_Bytes] = [[_cases(byte) for byte in name.folded.encode()]]
    if not name.folded.isascii():
        options.append([[byte] for byte in name.folded.upper().encode()])
    if name.reach is Reach.CONTEXT:
        options = [found for each in options for found in ([_CONTEXT_CHARACTERS, *each], [*each, b"@"])]
    expressions = [expression for each in options for expression in (_hex(each), *(_base64(each, n) for n in range(3)))]
    return "|".join(filter(None, expressions))


def _literal(text: bytes) -> str:
    return "".join(chr(byte) if chr(byte).isalnum() and byte < 0x80 else f"\\x{byte:02x}" for byte in text)  # noqa: PLR2004 ASCII


def _cases(byte: int) -> Iterable[int]:
    letter = bytes([byte])
    return {*letter.lower(), *letter.upper()}


def _hex(options: _Bytes) -> str:
    digits = [[f"{byte:02x}" for byte in each] for each in options[:_MOST_DIGITS]]
    return "".join(f"{_class({d[0] for d in each})}{_class({d[1] for d in each})}" for each in digits)


def _base64(options: _Bytes, offset: int) -> str:
    """Return the base64 digits that depend on the name alone, if it begins at byte `offset` of a group of three."""
    first_bit, end_bit = 8 * offset, 8 * (offset + len(options))
    padded: list[Iterable[int]] = [*([[0]] * offset), *options, [0]]
    starts = range(-(-first_bit // 6) * 6, end_bit - 5, 6)[:_MOST_DIGITS]
    if len(starts) < _LEAST_DIGITS:
        return ""
    return "".join(_class(_digits(padded[bit // 8], padded[bit // 8 + 1], bit % 8)) for bit in starts)


def _digits(first: Iterable[int], second: Iterable[int], bit: int) -> set[str]:
    found = {_BASE64[(a << 8 | b) >> (10 - bit) & 63] for a, b in product(first, second)}
    return found | {_URL_SAFE[digit] for digit in found & _URL_SAFE.keys()}


def _class(characters: set[str]) -> str:
    return "[" + "".join(f"\\x{ord(character):02x}" for character in sorted(characters)) + "]"
