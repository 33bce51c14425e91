"""Findings of the steps of an examination."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Verdict(StrEnum):
    """The verdict on a finding."""

    GOOD = "good"
    NOTE = "note"  # it works, and may surprise
    FAULT = "fault"  # nothing, or not all, arrives because of it


class Step(NamedTuple):
    """A finding of one step.

    Attributes:
        step: the place on the way: `package`, `catalog`, `consent`, `place`, `shipper`, `spool`, `endpoint`, `send` or
            `losses`; of a fleet's stream `server`, `stream`, `state` or `syncs`.
        verdict: the verdict.
        found: the finding, with the values that show it.
        advice: the remedy; empty if there is nothing to do.
    """

    step: str
    verdict: Verdict
    found: str
    advice: str = ""


def good(step: str, found: str) -> Step:
    """Return a finding that all is as it should be."""
    return Step(step, Verdict.GOOD, found)


def note(step: str, found: str, advice: str) -> Step:
    """Return a finding about something that works but may surprise."""
    return Step(step, Verdict.NOTE, found, advice)


def fault(step: str, found: str, advice: str) -> Step:
    """Return a finding about something that keeps events from arriving."""
    return Step(step, Verdict.FAULT, found, advice)
