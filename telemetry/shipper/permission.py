"""What the user's stored choice permits a shipper, beyond what each producer's own context says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent import State

if TYPE_CHECKING:
    from telemetry.consent import Stored


class Permission(NamedTuple):
    """What a shipper may do with events, and what it must do with those it has.

    Attributes:
        collects: take in events at all.
        uploads: let them leave this machine.
        erases: erase what was collected.
    """

    collects: bool
    uploads: bool
    erases: bool


def permission_of(stored: Stored) -> Permission:
    """What a stored choice permits; one that can't be read permits nothing, but erases nothing either."""
    if stored.fault:
        return Permission(collects=False, uploads=False, erases=False)
    if stored.choice is State.OFF:
        return Permission(collects=False, uploads=False, erases=True)
    return Permission(collects=True, uploads=stored.choice is not State.LOCAL, erases=False)
