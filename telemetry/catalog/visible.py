"""Form of a catalog's texts for people: on one line, with nothing invisible in them."""

from __future__ import annotations


def visible(text: str) -> str:
    """Return `text` with each run of white space as one blank, and unprintable characters as escapes.

    A character that turns the direction of writing, for example, would make a page say something its source does not.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in " ".join(text.split()))
