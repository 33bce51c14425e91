"""What a stored choice permits a shipper: row by row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec import UNSET
from spools import make_head

from telemetry.consent import State, Stored
from telemetry.receipt import Receipt
from telemetry.shipper.permission import UNSURE_NS, Permission, permission_of

if TYPE_CHECKING:
    from msgspec import UnsetType

    from telemetry.catalog.model import Sensitivity

ON, TECHNICAL, LOCAL, OFF = State.ON, State.TECHNICAL, State.LOCAL, State.OFF
NOW_NS = 1_800_000_000_000_000_000
NOTHING = Stored()
NOTIFIED = Stored(since_unix_seconds=5.0, notice=1)
YES = Stored(ON, 9.0, unbroken=(5.0, 7.0))
NARROWED = Stored(TECHNICAL, 9.0, unbroken=(5.0, 7.0))
UNREADABLE = Stored(OFF, fault="is damaged")


@pytest.mark.parametrize(
    ("stored", "permission", "collects", "uploads"),
    [
        (NOTHING, Permission(ON), True, True),
        (NOTIFIED, Permission(ON, since_unix_seconds=5.0), True, True),
        (YES, Permission(ON, is_chosen=True, since_unix_seconds=9.0, unbroken=(5.0, 7.0)), True, True),
        (NARROWED, Permission(TECHNICAL, is_chosen=True, since_unix_seconds=9.0, unbroken=(5.0, 7.0)), True, True),
        (Stored(LOCAL, 9.0), Permission(LOCAL, since_unix_seconds=9.0), True, False),
        (Stored(OFF, 9.0), Permission(OFF, erases=True, since_unix_seconds=9.0), False, False),
        (UNREADABLE, Permission(OFF), False, False),
    ],
    ids=["nothing", "notified", "on", "technical", "local", "off", "unreadable"],
)
def test_what_a_choice_permits(stored: Stored, permission: Permission, *, collects: bool, uploads: bool) -> None:
    assert permission_of(stored) == permission
    assert (permission.collects, permission.uploads) == (collects, uploads)


@pytest.mark.parametrize(
    ("state", "levels"),
    [
        (ON, {"on": "on", "technical": "technical", "local": "local"}),
        (TECHNICAL, {"on": "technical", "technical": "technical", "local": "local"}),
        (LOCAL, {"on": "local", "technical": "local", "local": "local"}),
        (OFF, {"on": "local", "technical": "local", "local": "local"}),
    ],
)
def test_an_event_goes_on_under_the_stricter_of_what_its_producer_and_its_user_say(
    state: State, levels: dict[str, str]
) -> None:
    for said, level in levels.items():
        assert Permission(state).under(_receipt(said)) == _receipt(level)


@pytest.mark.parametrize(
    ("since", "sensitivity", "covered"),
    [
        (9.0, "technical", True),
        (9.0, "interaction", True),
        (5.0, "technical", True),
        (5.0, "interaction", False),
        (6.0, "technical", False),
        (6.0, "interaction", False),
    ],
)
def test_a_yes_covers_what_was_collected_under_it_and_technical_events_without_a_break(
    since: float, sensitivity: Sensitivity, *, covered: bool
) -> None:
    assert permission_of(YES).covers(since, sensitivity) is covered
    head = make_head(sensitivity=sensitivity)
    head = msgspec.structs.replace(head, since_unix_seconds=since)
    assert permission_of(YES).lets_leave(head) is covered


@pytest.mark.parametrize(
    ("stored", "sensitivity", "begins"),
    [
        (YES, "technical", 5.0),
        (YES, "interaction", 9.0),
        (Stored(ON, 9.0), "technical", 9.0),
        (Stored(ON, 9.0), "interaction", 9.0),
    ],
)
def test_an_event_emitted_under_another_consent_leaves_if_it_is_no_older_than_this_one(
    stored: Stored, sensitivity: Sensitivity, begins: float
) -> None:
    permission = permission_of(stored)
    begins_ns = int(begins * 1e9)

    def not_before(since: float = 6.0, now_ns: int = NOW_NS, level: str = "on") -> int:
        return permission.not_before_ns(_receipt(level), since, sensitivity, now_ns)

    assert permission.begins_unix_seconds(sensitivity) == begins
    assert not_before() == begins_ns
    assert not_before(level="local") == 0, "it stays here whatever its age"
    assert not_before(since=9.0) == 0, "it was emitted under this very consent"
    assert not_before(now_ns=begins_ns) == begins_ns
    assert not_before(now_ns=begins_ns - 1) == begins_ns - 1 - UNSURE_NS, "the clock was set back"
    assert UNSURE_NS == 60e9


def test_without_a_yes_of_the_users_an_event_may_have_any_age() -> None:
    assert permission_of(NOTIFIED).not_before_ns(_receipt("on"), 6.0, "technical", NOW_NS) == 0


@pytest.mark.parametrize(
    ("stored", "basis", "since", "sensitivity", "leaves"),
    [
        (NOTHING, "host", 0.0, "interaction", True),
        (NOTHING, "host", 3.0, "interaction", True),
        (NOTIFIED, "cloud-default", 5.0, "interaction", True),
        (NOTIFIED, "cloud-default", 3.0, "interaction", False),
        (NOTIFIED, "host", 3.0, "interaction", True),
        (YES, "host", 3.0, "interaction", False),
        (YES, "host", 9.0, UNSET, True),
        (NARROWED, "host", 9.0, "technical", True),
        (NARROWED, "host", 9.0, "interaction", False),
        (NARROWED, "host", 9.0, UNSET, False),
        (Stored(LOCAL, 9.0), "host", 9.0, "technical", False),
        (Stored(OFF, 9.0), "host", 9.0, "technical", False),
        (UNREADABLE, "host", 0.0, "technical", False),
    ],
)
def test_which_segments_leave(
    stored: Stored, basis: str, since: float, sensitivity: Sensitivity | UnsetType, *, leaves: bool
) -> None:
    head = make_head(sensitivity=sensitivity)
    receipt = head.receipt._replace(basis=basis)
    assert (
        permission_of(stored).lets_leave(msgspec.structs.replace(head, since_unix_seconds=since, receipt=receipt))
        is leaves
    )


def _receipt(level: str) -> Receipt:
    return Receipt(level, "host", 0, "cloud")
