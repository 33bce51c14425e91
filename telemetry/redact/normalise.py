"""Other spellings of the same text: invisible characters, wide letters, foreign digits, one layer of escapes."""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import unquote

ESCAPED = (
    r"[\x00-\x08\x0e-\x1f\x7f]",
    r"%[0-9a-f]{2}",
    r"\\u[0-9a-f]{4}",
    r"\\x[0-9a-f]{2}",
    r"&#x?[0-9a-f]{1,6};",
    r"&(?:commat|period|colon|sol);",
)
"""Prefilters: a text with one of these is read in other spellings too."""

_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2}))")
# Control characters other than blanks, zero-width and directional marks, joiners, variation selectors, tags.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")


def normalise(text: str, invisible: str = "") -> str:
    """Write a text in its plainest characters (NFKC), with decimal digits of all scripts as ASCII.

    Args:
        text: any text.
        invisible: what stands for a character that no reader sees.
    """
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub(invisible, text))
    return "".join(map(_ascii_digit, plain))


def has_invisible(text: str) -> bool:
    """Whether a reader sees fewer characters than there are."""
    return _INVISIBLE.search(text) is not None


def decode(text: str) -> str:
    """Undo one layer of percent, HTML and backslash escapes; control characters become blanks, so a line stays one."""
    decoded = _ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), html.unescape(unquote(text)))
    return _CONTROL.sub(" ", decoded) if decoded != text else text


def _ascii_digit(character: str) -> str:
    if character.isascii() or not character.isdecimal():
        return character
    return str(unicodedata.decimal(character))
