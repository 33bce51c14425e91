"""A planted value, and how a trace of it is found in what should be free of it."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

TRACE_CHARACTERS = 4
"""So many characters in a row of a private value are a leak."""

_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{6,}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}")


class Canary(NamedTuple):
    """A private value in one of its spellings.

    Attributes:
        text: what is planted: the value, with the words around it that its kind needs (`password=`).
        private: the parts of it that nobody may see again.
    """

    text: str
    private: tuple[str, ...]


def trace(private: tuple[str, ...], left: str, allowed: str) -> str | None:
    """A trace of a private value in a text, however it is encoded there; None if there is none.

    Args:
        private: what must be gone.
        left: the text to be searched.
        allowed: what may stand there without being a trace: the carrier, the placeholders.
    """
    windows = {
        part[at : at + TRACE_CHARACTERS].casefold()
        for part in private
        for at in range(max(1, len(part) - TRACE_CHARACTERS + 1))
    }
    allowed = allowed.casefold()
    for reading in readings(left):
        folded = reading.casefold()
        for window in windows:
            if window in folded and window not in allowed:
                return window
    return None


def readings(text: str) -> Iterator[str]:
    """A text, and what somebody who knows the usual encodings reads in it."""
    yield text
    plain = "".join(c for c in unicodedata.normalize("NFKC", text) if unicodedata.category(c) != "Cf")
    if plain != text:
        yield plain
    unescaped = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), html.unescape(unquote(plain)))
    if unescaped != plain:
        yield unescaped
    for match in _BASE64.finditer(text):
        for shift in range(4):
            run = match[0][shift:].replace("-", "+").replace("_", "/")
            yield base64.b64decode(run[: len(run) // 4 * 4]).decode("latin-1")
    for match in _HEX.finditer(text):
        yield bytes.fromhex(match[0]).decode("latin-1")
        if len(match[0]) > 8:
            yield bytes.fromhex("0" + match[0][:-1]).decode("latin-1")
