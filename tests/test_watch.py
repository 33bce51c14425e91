"""Who lives: by a sign of life, or by being heard of."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from test_life import NAME, holder

from telemetry.paths import LIVING
from telemetry.receipt import Receipt
from telemetry.shipper.watch import (
    LOOK_PRODUCERS,
    LOST_SECONDS,
    MAX_LEFT,
    MAX_WATCHED,
    NEWCOMER_SECONDS,
    REMOTE_SECONDS,
    SILENT_SECONDS,
    Watch,
    may_live,
)
from telemetry.spool.positions import REMOTE_PID, Position

if TYPE_CHECKING:
    from pathlib import Path

HERE = Position(os.getpid())
GROUND = Receipt("on", "host", 0, "unknown"), "acme-db/3"
ELSEWHERE = Position(REMOTE_PID)
YES = Receipt("on", "host", 0, "cloud")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def _unheld(spool: Path, *producers: str) -> None:
    """Producers whose sign nobody holds any more."""
    (spool / LIVING).mkdir(mode=0o700, exist_ok=True)
    for producer in producers:
        (spool / LIVING / producer).touch()


def test_a_producer_is_counted_until_its_process_is_gone_however_long_it_is_silent(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(tmp_path, clock)
    with holder(tmp_path) as living:
        watch.see({NAME: HERE}, *GROUND)
        clock.now = 30 * 86_400.0
        watch.look()
        assert (len(watch), may_live(tmp_path, NAME, HERE)) == (1, True)
        living.kill()
        watch.look()

    assert (len(watch), watch.has_seen_any, may_live(tmp_path, NAME, HERE)) == (0, True, False)


def test_who_lost_its_sign_lives_while_frames_come_and_is_gone_when_a_newcomer_asks(tmp_path: Path) -> None:
    """A host that closes all descriptors takes its sign anew within half a second; one that was killed never does."""
    clock = Clock()
    watch = Watch(tmp_path, clock)
    _unheld(tmp_path, "p")
    for _ in range(5):
        watch.see({"p": HERE}, *GROUND)
        clock.now += LOST_SECONDS / 2
        watch.look()
        assert len(watch) == 1
    watch.look(lost_seconds=0.0)
    assert len(watch) == 0
    watch.see({"p": HERE}, *GROUND)
    clock.now += LOST_SECONDS
    watch.look()

    assert len(watch) == 0


def test_who_never_had_a_sign_lives_while_it_is_heard_of(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(tmp_path, clock)
    watch.see({"p": HERE, "q": Position(0), "r": Position(2**48)}, *GROUND)
    clock.now = SILENT_SECONDS - 1.0
    watch.see({"p": HERE}, *GROUND)
    watch.look(lost_seconds=0.0)
    assert len(watch) == 3
    clock.now = SILENT_SECONDS
    watch.look()

    assert len(watch) == 1


def test_a_producer_that_said_goodbye_is_not_counted_though_its_process_lives(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.see({"p": HERE, "q": HERE}, *GROUND)
    watch.leave("p")
    watch.see({"p": HERE}, *GROUND)  # a frame that was on its way

    assert len(watch) == 1


def test_a_goodbye_may_come_before_the_first_frame(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.leave("p")
    watch.see({"p": HERE}, *GROUND)
    watch.look()

    assert (len(watch), watch.has_seen_any) == (0, True)


def test_one_who_has_taken_a_sign_and_was_not_heard_of_yet_is_expected(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    found = [watch.expects_more]
    with holder(tmp_path) as newcomer:
        found.append(watch.expects_more)
        watch.see({NAME: HERE}, *GROUND)
        found.append(watch.expects_more)
        watch.leave(NAME)
        found.append(watch.expects_more)
        newcomer.kill()

    assert found == [False, True, False, False]
    assert not Watch(tmp_path).expects_more


def test_one_who_has_taken_it_long_ago_has_another_shipper(tmp_path: Path) -> None:
    with holder(tmp_path):
        long_ago = time.time() - NEWCOMER_SECONDS - 1.0
        os.utime(tmp_path / LIVING / NAME, (long_ago, long_ago))
        assert not Watch(tmp_path).expects_more


def test_thousands_of_short_lived_producers_leave_next_to_nothing_behind(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for number in range(2 * MAX_LEFT):
        watch.see({str(number): HERE}, *GROUND)
        watch.leave(str(number))

    assert (len(watch), len(watch._left)) == (0, MAX_LEFT)


def test_of_thousands_a_few_are_looked_after_at_a_time_and_all_of_them_in_turn(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    gone = [f"gone {number}" for number in range(LOOK_PRODUCERS)]
    _unheld(tmp_path, *gone)
    watch.see({f"lives {number}": HERE for number in range(LOOK_PRODUCERS)}, *GROUND)
    watch.see(dict.fromkeys(gone, HERE), *GROUND)
    watch.look(lost_seconds=0.0)
    assert len(watch) == 2 * LOOK_PRODUCERS
    watch.look(lost_seconds=0.0)

    assert len(watch) == LOOK_PRODUCERS


def test_when_all_are_gone_one_look_is_enough(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    gone = [str(number) for number in range(3 * LOOK_PRODUCERS)]
    _unheld(tmp_path, *gone)
    watch.see(dict.fromkeys(gone, HERE), *GROUND)
    watch.look(lost_seconds=0.0)

    assert len(watch) == 0


def test_a_producer_elsewhere_lives_until_it_leaves_or_was_not_heard_of_for_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    watch = Watch(tmp_path, clock)
    watch.see({"silent": ELSEWHERE, "talks": ELSEWHERE, "leaves": ELSEWHERE}, *GROUND)
    watch.leave("leaves")
    clock.now = REMOTE_SECONDS
    watch.see({"talks": ELSEWHERE}, *GROUND)
    watch.look()
    assert len(watch) == 2
    clock.now += 1.0
    watch.look()

    assert (len(watch), may_live(tmp_path, "talks", ELSEWHERE)) == (1, True)


def test_a_process_that_invents_producers_takes_no_more_than_its_share(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    for number in range(2 * MAX_WATCHED):
        watch.see({str(number): HERE}, *GROUND)
        watch.leave(f"never seen {number}")

    assert len(watch) == MAX_WATCHED
    assert len(watch._left) <= MAX_LEFT
