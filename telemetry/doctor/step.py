"""The finding of one step of an examination."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """A verdict on a step."""

    GOOD = "good"
    NOTE = "note"  # it works, and may surprise
    FAULT = "fault"  # nothing, or not all, arrives because of it


class Step(NamedTuple):
    """A step of an examination, with what was found.

    Attributes:
        step: where on the way: `package`, `catalog`, `consent`, `place`, `shipper`, `spool`, `endpoint`, `send` or
            `losses`.
        verdict: how it stands.
        found: what is so, with the values that tell.
        advice: what to do; empty when there is nothing to do.
    """

    step: str
    verdict: Verdict
    found: str
    advice: str = ""


def good(step: str, found: str) -> Step:
    """Return a step that is as it should be."""
    return Step(step, Verdict.GOOD, found)


def note(step: str, found: str, advice: str) -> Step:
    """Return a step that works, and may surprise."""
    return Step(step, Verdict.NOTE, found, advice)


def fault(step: str, found: str, advice: str) -> Step:
    """Return a step at which events stay."""
    return Step(step, Verdict.FAULT, found, advice)
