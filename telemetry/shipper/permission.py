"""Permission of the user's stored choice to a shipper, beyond each producer's own context.

Whether a segment is older than the consent is not decided by a clock, which may have been set: a segment bears the date
of the consent under which it was begun, and leaves only under that one, or under one that has followed it without a
stricter one between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.consent import State, strictest
from telemetry.ground import CLOUD_DEFAULT
from telemetry.receipt import level_of

if TYPE_CHECKING:
    from msgspec import UnsetType

    from telemetry.catalog.model import Sensitivity
    from telemetry.consent import Stored
    from telemetry.receipt import Receipt
    from telemetry.spool.segment import Head

UNSURE_NS = 60_000_000_000
"""The age up to which an event is taken if no clock tells whether it is older than the consent."""


class Permission(NamedTuple):
    """The operations on events that the user permits, and those that are owed.

    Attributes:
        state: the most that may happen to any event.
        erases: whether to erase what was collected.
        is_chosen: whether it is the user's own yes; otherwise nobody has said no.
        since_unix_seconds: when that was said, or the notice was shown; 0 for neither.
        unbroken: the dates of earlier consents from the first of which on technical events could leave at any time.
    """

    state: State
    erases: bool = False
    is_chosen: bool = False
    since_unix_seconds: float = 0.0
    unbroken: tuple[float, ...] = ()

    @property
    def collects(self) -> bool:
        """Whether events are taken in at all."""
        return self.state is not State.OFF

    @property
    def uploads(self) -> bool:
        """Whether any events may leave this machine."""
        return self.state in {State.TECHNICAL, State.ON}

    def under(self, receipt: Receipt) -> Receipt:
        """Return the receipt under which a producer's events go on: its own, or a stricter one."""
        if not self.uploads:
            return receipt._replace(level=State.LOCAL.value)
        return receipt._replace(level=strictest(State(receipt.level), self.state).value)

    def covers(self, since_unix_seconds: float, sensitivity: Sensitivity | UnsetType) -> bool:
        """Tell whether events collected under the consent of that date may still leave, as far as dates tell."""
        return since_unix_seconds == self.since_unix_seconds or (
            sensitivity == "technical" and since_unix_seconds in self.unbroken
        )

    def begins_unix_seconds(self, sensitivity: Sensitivity) -> float:
        """Return the time since when events of a sensitivity may leave."""
        return self.unbroken[0] if self.unbroken and sensitivity == "technical" else self.since_unix_seconds

    def not_before_ns(self, receipt: Receipt, since_unix_seconds: float, sensitivity: Sensitivity, now_ns: int) -> int:
        """Return the time before which an event may not leave, in UNIX nanoseconds: that of the user's yes.

        An event emitted under this very yes may have any time, because a clock may have been set. If the yes lies in
        the future because the clock was set back, events of the last minute are taken.

        Args:
            receipt: the receipt under which the event goes on.
            since_unix_seconds: the date of the consent under which it was emitted.
            sensitivity: the event's sensitivity.
            now_ns: the present time in UNIX nanoseconds.
        """
        if receipt.level == "local" or not self.is_chosen or self.covers(since_unix_seconds, sensitivity):
            return 0
        since_ns = int(self.begins_unix_seconds(sensitivity) * 1e9)
        return since_ns if since_ns <= now_ns else now_ns - UNSURE_NS

    def lets_leave(self, head: Head) -> bool:
        """Tell whether a segment may be uploaded: not if it is older than the consent, or its consent was withdrawn."""
        if not self.uploads or level_of(self.state, head.sensitivity) == State.LOCAL:
            return False
        rests_on_it = self.is_chosen or head.receipt.basis == CLOUD_DEFAULT
        return not rests_on_it or self.covers(head.since_unix_seconds, head.sensitivity)


def permission_of(stored: Stored) -> Permission:
    """Return the permission of a stored choice; one that can't be read permits nothing, but erases nothing either."""
    if stored.fault:
        return Permission(State.OFF)
    return Permission(
        state=stored.choice or State.ON,
        erases=stored.choice is State.OFF,
        is_chosen=stored.choice in {State.TECHNICAL, State.ON},
        since_unix_seconds=stored.since_unix_seconds,
        unbroken=stored.unbroken,
    )
