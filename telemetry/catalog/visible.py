"""Writes the texts of a catalog for people: on one line, with nothing in them that nobody sees."""

from __future__ import annotations


def visible(text: str) -> str:
    """Write `text` with each run of white space as one blank, and what can't be printed as an escape.

    A character that turns the direction of writing, for example, would make a page say what its source does not.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
