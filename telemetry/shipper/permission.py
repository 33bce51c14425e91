"""What the user's stored choice permits a shipper, beyond what each producer's own context says.

Whether a segment is older than the consent is not asked of a clock, which may have been set: a segment bears the date
of the consent that it was begun under, and leaves only under that one, or under one that has followed it without a
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

"""The one basis that rests on the notice, and so on its date."""

UNSURE_NS = 60_000_000_000
"""How old an event may be where no clock tells whether it is older than the consent."""


class Permission(NamedTuple):
    """What a shipper may do with events, and what it must do with those it has.

    Attributes:
        state: the most that may become of any event.
        erases: whether to erase what was collected.
        is_chosen: whether it is the user's own yes; else it is that nobody said no.
        since_unix_seconds: when that was said, or the notice was shown; 0 for neither.
        unbroken: the dates of the consents before, since the first of which technical events could leave at any time.
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
        """Whether any may leave this machine."""
        return self.state in {State.TECHNICAL, State.ON}

    def under(self, receipt: Receipt) -> Receipt:
        """The ground on which what a producer has collected may go on: its own, or a stricter one."""
        if not self.uploads:
            return receipt._replace(level=State.LOCAL.value)
        return receipt._replace(level=strictest(State(receipt.level), self.state).value)

    def covers(self, since_unix_seconds: float, sensitivity: Sensitivity | UnsetType) -> bool:
        """Whether what was collected under the consent of that date may still leave, as far as dates tell."""
        return since_unix_seconds == self.since_unix_seconds or (
            sensitivity == "technical" and since_unix_seconds in self.unbroken
        )

    def begins_unix_seconds(self, sensitivity: Sensitivity) -> float:
        """Since when events of a sensitivity may leave."""
        return self.unbroken[0] if self.unbroken and sensitivity == "technical" else self.since_unix_seconds

    def not_before_ns(self, receipt: Receipt, since_unix_seconds: float, sensitivity: Sensitivity, now_ns: int) -> int:
        """The moment that an event must not be older than, UNIX nanoseconds: of before the user's yes nothing leaves.

        What a host emitted under this very yes is not asked for its time, for a clock may have been set. Where the yes
        lies in the future, since the clock was set back, nobody can tell; what is a minute old or less is taken.

        Args:
            receipt: the ground on which the event goes on.
            since_unix_seconds: the date of the consent that it was emitted under.
            sensitivity: of the event.
            now_ns: UNIX nanoseconds.
        """
        if receipt.level == "local" or not self.is_chosen or self.covers(since_unix_seconds, sensitivity):
            return 0
        since_ns = int(self.begins_unix_seconds(sensitivity) * 1e9)
        return since_ns if since_ns <= now_ns else now_ns - UNSURE_NS

    def lets_leave(self, head: Head) -> bool:
        """Whether a segment may be uploaded: not when it is older than the consent, nor of one that was taken back."""
        if not self.uploads or level_of(self.state, head.sensitivity) == State.LOCAL:
            return False
        rests_on_it = self.is_chosen or head.receipt.basis == CLOUD_DEFAULT
        return not rests_on_it or self.covers(head.since_unix_seconds, head.sensitivity)


def permission_of(stored: Stored) -> Permission:
    """What a stored choice permits; one that can't be read permits nothing, but erases nothing either."""
    if stored.fault:
        return Permission(State.OFF)
    return Permission(
        state=stored.choice or State.ON,
        erases=stored.choice is State.OFF,
        is_chosen=stored.choice in {State.TECHNICAL, State.ON},
        since_unix_seconds=stored.since_unix_seconds,
        unbroken=stored.unbroken,
    )
