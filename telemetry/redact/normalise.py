"""Normalisation of spellings of a text: invisible characters, wide letters, look-alikes, foreign digits, escapes."""

from __future__ import annotations

import html
import re
import unicodedata

ESCAPED = (
    r"[\x00-\x08\x0e-\x1f\x7f]",
    r"%[0-9a-f]{2}",
    r"(?-i:(?:=[0-9A-F]{2}){3}|=[C-F][0-9A-F]=[89AB][0-9A-F])",
    r"[a-z0-9_]=[^\s]*(?:\+[^\s]*&|&[^\s]*\+)",
    r"(?:\\|%)u(?:\{[0-9a-f]|[0-9a-f]{4})",
    r"\\(?:x[0-9a-f]{2}|[0-3][0-7]{2}|[nrtbf\"/\\])",
    r"&(?:#x?[0-9a-f]{1,7}|[a-z][a-z0-9]{1,31};)",
)
"""The prefilters for escapes: a text with one of these is read in other spellings too."""

_ESCAPE = re.compile(
    r"(?=[\\%=&])(?:"  # most characters fail here
    r"(?:\\[uU]|%u)(?:\{0{0,8}([0-9a-fA-F]{1,6})\}|((?<=U)[0-9a-fA-F]{8}|[0-9a-fA-F]{4}))"
    r"|\\(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2})|([nrtbf\"/\\]))"
    r"|((?:%[0-9a-fA-F]{2})+|(?:=[0-9A-F]{2}){3,}|(?:=[C-F][0-9A-F](?:=[89AB][0-9A-F]){1,3})+)"
    r"|(&(?:#[xX]?[0-9a-fA-F]{1,7};?|[a-zA-Z][a-zA-Z0-9]{1,31};?)))"
)
MAX_ESCAPES = 2048
"""The limit of escapes in one layer: a quote in each fourth character of the longest text, at 0.5 us for each."""
_BLANKS = frozenset("nrtbf")
# Control characters other than blanks, zero-width and directional marks, joiners, variation selectors, tags.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufe00-\ufe0f\ufeff\U000e0000-\U000e007f\U000e0100-\U000e01ef]"
)
# Colour codes of a terminal: nothing to a reader, and they may stand within a word.
_COLOUR = re.compile(r"\x1b\[[0-9;:?]{0,60}[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")
# Putting marks in order takes a time that grows with the square of their number; no language stacks so many.
_NO_WORD = re.compile(r"[^\w\s\x00-\x7f]{32,}")
_STACKED_MARKS = 32
# Letters of other scripts that look like Latin ones; folded only in words that mix scripts, which no language does.
_LATIN = str.maketrans(
    "аеорсухіјѕԁһԛԝАВЕКМНОРСТУХІЈЅԌαορνικτυχγΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdhqwABEKMHOPCTYXIJSGaopviktuxyABEZHIKMNOPTYX",
)
_MIXED = re.compile("[a-zA-Z][\u0370-\u052f]|[\u0370-\u052f][a-zA-Z]")
_FOREIGN_WORD = re.compile(r"(?<![^\W_])[a-zA-Z0-9]*+[^\W_]++")  # a word that is not all ASCII
_FOREIGN_LETTER = re.compile(r"[^\W\x00-\x7f]")
_DOTLESS = str.maketrans("\u0130\u0131", "ii")  # both are an `i` to a pattern that ignores case
_FOREIGN_BLANK = re.compile(r"[^\S\x00-\x7f]")
_FOREIGN = re.compile(r"[^\x00-\x7f]")


class UnreadableError(ValueError):
    """Raised if a text can't be redacted with certainty, so that it must be dropped.

    Attributes:
        why: the reason in a word, which findings carry in place of a rule's name.
    """

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def normalise(text: str, invisible: str = "") -> str:
    """Write a text in its plainest characters (NFKC), with decimal digits of all scripts as ASCII.

    Args:
        text: any text.
        invisible: the replacement for a character that no reader sees.

    Raises:
        UnreadableError: it is made of marks upon marks.
    """
    if text.isascii():
        return text if text.isprintable() else _INVISIBLE.sub(invisible, _COLOUR.sub("", text))
    if any(_is_stacked(run[0]) for run in _NO_WORD.finditer(text)):
        raise UnreadableError("stacked")
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub(invisible, _COLOUR.sub("", text)))
    plain = _FOREIGN_DIGIT.sub(lambda match: str(unicodedata.decimal(match[0])), plain)
    return _FOREIGN_WORD.sub(_fold, plain) if _MIXED.search(plain) else plain


def has_invisible(text: str) -> bool:
    """Tell whether a reader sees fewer characters than there are."""
    if text.isascii() and text.isprintable():
        return False
    return _INVISIBLE.search(_COLOUR.sub("", text)) is not None


def decode(text: str) -> str:
    """Undo one layer of percent, quoted-printable, HTML and backslash escapes.

    Control characters become blanks, so a line stays one. The characters that an escape becomes are not part of another
    one in the same layer: `&#92;new` holds no end of a line.

    Raises:
        UnreadableError: there are more than `MAX_ESCAPES`.
    """
    decoded, number = _ESCAPE.subn(_unescape, text)
    if number > MAX_ESCAPES:
        raise UnreadableError("costly")
    return _CONTROL.sub(" ", _COLOUR.sub("", decoded.replace("\0", ""))) if decoded != text else text


def shadows(text: str) -> tuple[bytes, bytes]:
    """Return a text in ASCII, a byte for each character, for prefilters that know ASCII only.

    A pattern takes a foreign letter for a letter or, if the pattern itself knows ASCII only, for a sign, so there are
    two versions.
    """
    spaced = _FOREIGN_BLANK.sub(" ", text.translate(_DOTLESS))
    letters = _FOREIGN.sub("!", _FOREIGN_LETTER.sub("a", spaced))
    return letters.encode(), _FOREIGN.sub("!", spaced).encode()


def _is_stacked(run: str) -> bool:
    return sum(unicodedata.combining(character) != 0 for character in run) >= _STACKED_MARKS


def _fold(word: re.Match[str]) -> str:
    return word[0].translate(_LATIN) if _MIXED.search(word[0]) else word[0]


def _unquote(percent: str) -> str:
    return bytes.fromhex(percent.replace("%", "").replace("=", "")).decode(errors="replace")


def _unescape(match: re.Match[str]) -> str:
    braced, long, short, octal, sign, percent, entity = match.groups()
    if percent or entity:
        return _unquote(percent) if percent else html.unescape(entity)
    if sign:
        return " " if sign in _BLANKS else sign
    code = int(octal, 8) if octal else int(braced or long or short, 16)
    return chr(code) if code <= 0x10FFFF else match[0]  # noqa: PLR2004 - the last there is
