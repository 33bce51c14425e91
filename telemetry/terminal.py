"""Preparation of text for a terminal. Standard library only: the host imports it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def counted(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun: `1 event`, `2 events`; `more` is a plural that is not formed by an s."""
    return f"{number} {one if number == 1 else more or one + 's'}"


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return the end of an error about an unknown name, which suggests the nearest known one; empty if none is near."""
    from difflib import get_close_matches  # noqa: PLC0415 it loads slowly, and only a mistake needs it

    return "".join(f"; did you mean {close}?" for close in get_close_matches(str(name), known, 1))


def printable(text: str) -> str:
    r"""Return a text with everything that could steer a terminal escaped as JSON does: `\u001b`.

    A line of JSON stays the same JSON.
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
