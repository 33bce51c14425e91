"""What the user's stored choice permits a shipper, beyond what each producer's own context says.

Whether a segment is older than the consent is not asked of a clock, which may have been set: a segment bears the date
of the consent that it was begun under, and leaves only under that one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent import State

if TYPE_CHECKING:
    from telemetry.consent import Stored
    from telemetry.spool.segment import Head

CLOUD_DEFAULT = "cloud-default"
"""The one basis that rests on the notice, and so on its date."""


class Permission(NamedTuple):
    """What a shipper may do with events, and what it must do with those it has.

    Attributes:
        collects: take in events at all.
        uploads: let them leave this machine.
        erases: erase what was collected.
        is_chosen: whether it is the user's own yes; else it is that nobody said no.
        since_unix_seconds: when that was said, or the notice was shown; 0 for neither.
    """

    collects: bool
    uploads: bool
    erases: bool
    is_chosen: bool = False
    since_unix_seconds: float = 0.0

    def lets_leave(self, head: Head) -> bool:
        """Whether a segment may be uploaded: not when it is older than the consent, nor of one that was taken back."""
        rests_on_it = self.is_chosen or head.receipt.basis == CLOUD_DEFAULT
        return self.uploads and (head.since_unix_seconds == self.since_unix_seconds or not rests_on_it)


def permission_of(stored: Stored) -> Permission:
    """What a stored choice permits; one that can't be read permits nothing, but erases nothing either."""
    if stored.fault:
        return Permission(collects=False, uploads=False, erases=False)
    if stored.choice is State.OFF:
        return Permission(collects=False, uploads=False, erases=True)
    return Permission(
        collects=True,
        uploads=stored.choice is not State.LOCAL,
        erases=False,
        is_chosen=stored.choice is State.ON,
        since_unix_seconds=stored.since_unix_seconds,
    )
