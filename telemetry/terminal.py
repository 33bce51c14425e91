"""Preparation of text for a terminal. Standard library only: the host imports it."""

from __future__ import annotations


def counted(number: int, one: str, more: str = "") -> str:
    """Return a number with its noun: `1 event`, `2 events`; `more` is a plural that is not formed by an s."""
    return f"{number} {one if number == 1 else more or one + 's'}"


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
