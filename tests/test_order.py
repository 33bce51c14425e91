"""What a producer keeps is taken once and in order, whatever comes twice, too early, or in half."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgpack
import pytest
from conftest import CATALOG
from msgspec import Raw
from msgspec.structs import replace
from spools import decompress
from test_receiver import CONTEXT
from test_two_shippers import CONTEXT as UNDER_OWN
from test_two_shippers import start as _start

from telemetry.inspect.account import read_account
from telemetry.rendezvous.taken import Reader
from telemetry.shipper.intake.order import in_order
from telemetry.shipper.intake.receiver import Frame, decode_frame
from telemetry.spool.positions import Position, complete, furthest
from telemetry.spool.segment import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.shipper.shipper import Shipper

PRODUCER = bytes(range(16))
start = _start  # the fixture
NAME = PRODUCER.hex()


def _frame(first: int, events: int, kept: int | None = 0) -> Frame:
    tail = [] if kept is None else [kept]
    said = [["done", 1, {"n": number}] for number in range(first, first + events)]
    frame = decode_frame(msgpack.packb([1, PRODUCER, CONTEXT, first, {}, said, *tail]))
    assert frame is not None
    return frame


def _numbers(frames: list[Frame]) -> list[int]:
    return [fields["n"] for frame in frames for _, _, fields in msgpack.unpackb(frame.events)]


def _taken(position: Position, *frames: Frame, unsure: tuple[str, ...] = ()) -> list[int]:
    halves, whole = in_order(frames, {NAME: position}.get, unsure)  # type: ignore[arg-type] # none is missing
    assert halves == []
    return _numbers(whole)


def test_what_is_behind_a_gap_that_can_be_filled_is_put_off() -> None:
    assert _taken(Position(1, 5), _frame(7, 2, kept=5), _frame(5, 2, kept=5), _frame(7, 3, kept=5)) == [5, 6, 7, 8, 9]


def test_what_is_kept_no_more_is_waited_for_no_more() -> None:
    assert _taken(Position(1, 5), _frame(9, 2, kept=9)) == [9, 10]
    assert _taken(Position(1, 5), _frame(9, 2, kept=9), unsure=(NAME,)) == [], "nobody was asked who may have it"


def test_what_comes_again_is_passed_over_to_the_event() -> None:
    assert _taken(Position(1, 5), _frame(0, 5), _frame(3, 4), _frame(0, 7), _frame(7, 1)) == [5, 6, 7]


@pytest.mark.parametrize("head", [b"\xdc\0\x14", b"\xdd\0\0\0\x14"], ids=["16 bits", "32 bits"])
def test_a_frame_of_many_events_is_cut_to_the_event_however_their_number_is_written(head: bytes) -> None:
    frame = _frame(0, 20)
    events = Raw(head + bytes(frame.events)[3:])
    assert _taken(Position(1, 5), replace(frame, events=events)) == [*range(5, 20)]


@pytest.mark.parametrize("events", [b"\xa0", b"\xc0", b"\x8f"], ids=["text", "nothing", "map"])
def test_what_is_no_list_of_events_goes_on_as_it_is(events: bytes) -> None:
    frame = replace(_frame(9, 1), events=Raw(events))
    assert in_order([frame], lambda _: Position(1, 5)) == ([], [frame])


def test_a_hello_passes_where_nothing_is_missing_and_an_old_one_says_nothing() -> None:
    _, frames = in_order([_frame(5, 0), _frame(4, 0), _frame(6, 0, kept=5)], lambda _: Position(1, 5))
    assert [frame.first for frame in frames] == [5]


def test_who_keeps_nothing_is_let_pass_as_it_comes() -> None:
    frames = [_frame(3, 2, kept=None), _frame(9, 1, kept=None), _frame(0, 1, kept=None)]
    assert in_order(frames, lambda _: Position(1, 5)) == ([], frames)


def test_of_numbers_that_are_half_on_disk_the_frames_are_told_apart() -> None:
    position = Position(1, 7, half=(5, 9))
    halves, frames = in_order([_frame(3, 2), _frame(5, 2), _frame(7, 2), _frame(9, 1)], lambda _: position)
    assert (_numbers(halves), _numbers(frames)) == ([5, 6, 7, 8], [9])
    halves, frames = in_order([_frame(9, 1, kept=9)], lambda _: position)
    assert (halves, _numbers(frames)) == ([], [9])


def test_a_position_is_whole_again_when_the_rest_has_come() -> None:
    half = Position(1, 7, half=(5, 9))
    assert half.whole == 5
    further = complete(half, 7, 1)
    assert (further.next, further.half, further.whole) == (8, (7, 9), 7)
    assert complete(further, 9, 1) == Position(1, 9)
    for one, other in ((half, further), (further, half)):
        assert furthest(one, other) == further
    for one, other in ((half, Position(1, 9)), (Position(1, 9), half)):
        assert furthest(one, other) == Position(1, 9)
    assert furthest(Position(1, 5), half) == half


BOTH = CATALOG.replace(
    "[events.query_finished]",
    """[events.clicked]
purpose = "tell of what somebody did"
owner = "tests"
expires = "2099-12-31"
sensitivity = "interaction"
[events.query_finished]""",
)


@pytest.fixture
def both(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shippers of these tests read a catalog of both sensitivities."""
    monkeypatch.setattr("test_two_shippers.CATALOG", BOTH)
    assert tmp_path.exists()


def _mixed(first: int, events: int, kept: int = 0) -> bytes:
    names = ["clicked", "query_finished"]
    said = [[names[number % 2], number + 2**60, {}] for number in range(first, first + events)]
    packed: bytes = msgpack.packb([1, PRODUCER, UNDER_OWN, first, {}, said, kept])
    return packed


def _on_disk(shipper: Shipper) -> dict[str, int]:
    shipper._intake.seal_all()
    sealed = shipper._spool.directory / "sealed"
    found: dict[str, int] = {}
    for path in sealed.glob("*.ndjson*"):
        sensitivity = str(load(sealed, path.name).head.sensitivity)
        found[sensitivity] = found.get(sensitivity, 0) + decompress(path.read_bytes()).count(b"\n")
    return found


@pytest.mark.usefixtures("both")
@pytest.mark.parametrize("dies_after", ["the first of both", "both", "none"])
def test_a_shipper_that_dies_between_the_two_segments_of_a_drain_costs_and_doubles_nothing(
    start: Callable[[], Shipper], monkeypatch: pytest.MonkeyPatch, dies_after: str
) -> None:
    first = start()
    appended: list[Any] = []
    append = first._writer.append

    def dying(*arguments: Any) -> None:
        if dies_after == "none" or (appended and dies_after == "the first of both"):
            raise KeyboardInterrupt
        appended.append(arguments)
        append(*arguments)

    first._intake.take([_mixed(0, 3)])
    monkeypatch.setattr(first._writer, "append", dying)
    frames = [_mixed(3, 4), _mixed(7, 4)]
    if dies_after == "both":
        first._intake.take(frames)
    else:
        with pytest.raises(KeyboardInterrupt):
            first._intake.take(frames)

    second = start()
    again = [_mixed(0, 3), *frames, _mixed(11, 1)]
    second._intake.take(again[2:])  # what ZeroMQ had for the dead one comes first
    for frame in again:
        second._intake.take([frame])
    assert second._intake.position_of(NAME).whole == 12
    reader = Reader()
    assert reader.read(second._rendezvous, PRODUCER).number == 12  # type: ignore[union-attr]
    reader.close()
    first._intake.seal_all()
    assert _on_disk(second) == {"technical": 6, "interaction": 6}
    account = read_account(second._spool.directory)
    assert (account.tally.emitted, account.tally.dropped, account.balance) == (12, {}, 0)
