"""Which of the batches that wait is the newest that may leave: as a look at each of them would tell, at less cost."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from telemetry.shipper.delivery.pace import Pace
from telemetry.shipper.delivery.queue import Queue
from telemetry.spool.folder import Arrival

JITTER_SECONDS = 60.0


def arrival(number: int, seen_at: float) -> Arrival:
    return Arrival(f"{number:020}-{number:032x}.zst", seen_at)


def id_of(waiting: Arrival) -> str:
    return waiting.file.partition("-")[2].removesuffix(".zst")


class Waiting(RuleBasedStateMachine):
    """Batches that come, wait, are hurried, set aside, doubted and leave; a look at all of them is the model."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.pace = Pace(JITTER_SECONDS, self.now, lambda: 1.0)
        self.waiting: list[Arrival] = []
        self.doubted: set[str] = set()
        self.queue = Queue(self.pace, lambda file: any(file == waiting.file for waiting in self.waiting))
        self.count = 0

    @rule(batches=st.integers(1, 40))
    def come(self, batches: int) -> None:
        for _ in range(batches):
            self.count += 1
            self.waiting.append(arrival(self.count, self.now))
            self.queue.add(self.waiting[-1])

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def hurry(self) -> None:
        self.pace.hurry(self.now)

    @rule()
    def recover(self) -> None:
        self.pace.recover(self.now)

    @rule(data=st.data(), took_seconds=st.floats(0, 1))
    def leave(self, data: st.DataObject, took_seconds: float) -> None:
        if self.waiting:
            gone = self.waiting.pop(data.draw(st.integers(-min(3, len(self.waiting)), len(self.waiting) - 1)))
            self.pace.upload(gone.seen_at, took_seconds, self.now)

    @rule(data=st.data())
    def split(self, data: st.DataObject) -> None:
        """A part is as old as its whole, and comes after what is younger."""
        if self.waiting:
            at = data.draw(st.integers(0, len(self.waiting) - 1))
            self.count += 1
            self.waiting[at] = arrival(self.count, self.waiting[at].seen_at)
            self.queue.add(self.waiting[at])

    @rule(data=st.data(), seconds=st.floats(0, 100))
    def set_aside(self, data: st.DataObject, seconds: float) -> None:
        if self.waiting:
            self.pace.set_aside(id_of(data.draw(st.sampled_from(self.waiting))), self.now + seconds)

    @rule(data=st.data())
    def doubt(self, data: st.DataObject) -> None:
        if self.waiting:
            self.doubted = {id_of(waiting) for waiting in data.draw(st.lists(st.sampled_from(self.waiting[-5:])))}

    @invariant()
    def the_newest_that_may_leave_is_found(self) -> None:
        leave = [waiting for waiting in self.waiting if self._may_leave(waiting)]
        found = self.queue.newest(self.now, self.doubted.__contains__)

        assert (found and found.seen_at) == max((waiting.seen_at for waiting in leave), default=None)
        assert found is None or found in leave

    @invariant()
    def whoever_waits_for_its_jitter_is_looked_for_in_time(self) -> None:
        if not any(self._may_leave(waiting) for waiting in self.waiting):
            early = [waiting for waiting in self.waiting if waiting.seen_at > self.pace.hurried_at]
            ends = [self.pace.due_at(id_of(waiting), waiting.seen_at) for waiting in early]
            next_end = min((end for end in ends if end > self.now), default=float("inf"))
            assert self.queue.wait_seconds(self.now) <= next_end - self.now

    def _may_leave(self, waiting: Arrival) -> bool:
        id_ = id_of(waiting)
        return id_ not in self.doubted and self.pace.wait_seconds(id_, waiting.seen_at, self.now) <= 0


TestWaiting = Waiting.TestCase
TestWaiting.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def test_a_look_asks_for_no_more_batches_when_more_wait() -> None:
    asked: list[str] = []

    def awaits(file: str) -> bool:
        asked.append(file)
        return True

    queue = Queue(Pace(JITTER_SECONDS, 0.0, lambda: 1.0), awaits)
    for number in range(1_000):
        queue.add(arrival(number, 1.0))
    asked.clear()

    assert queue.newest(1.0 + JITTER_SECONDS, lambda _: False) is not None
    assert len(asked) == 1


def test_what_has_left_is_not_kept_for_ever() -> None:
    here: set[str] = set()
    queue = Queue(Pace(JITTER_SECONDS, 0.0, lambda: 1.0), here.__contains__)
    for number in range(3_000):
        waiting = arrival(number, float(number))
        here.add(waiting.file)
        queue.add(waiting)
        here.discard(arrival(number - 10, 0).file)
        assert queue.newest(float(number) + JITTER_SECONDS, lambda _: False) == waiting

    assert len(queue._early) + len(queue._due) < 200


def test_what_is_passed_over_waits_on() -> None:
    queue = Queue(Pace(0.0, 0.0, lambda: 1.0), lambda _: True)
    batches = [arrival(number, float(number)) for number in range(1, 5)]
    for waiting in batches:
        queue.add(waiting)

    assert queue.newest(10.0, {id_of(waiting) for waiting in batches[2:]}.__contains__) == batches[1]
    assert queue.newest(10.0, lambda _: False) == batches[3]


def test_of_batches_of_one_moment_the_latest_leaves_first() -> None:
    queue = Queue(Pace(0.0, 0.0, lambda: 1.0), lambda _: True)
    for number in range(1, 4):
        queue.add(arrival(number, 5.0))
    assert queue.newest(5.0, lambda _: False) == arrival(3, 5.0)


def test_what_has_left_is_removed_at_64_and_then_at_twice_as_many_as_remain() -> None:
    here: set[str] = set()
    pace = Pace(0.0, 0.0, lambda: 1.0)
    queue = Queue(pace, here.__contains__)

    def kept() -> int:
        return len(queue._early) + len(queue._due) + len(queue._hurried)

    def come(first: int, last: int, staying: int) -> None:
        for number in range(first, last):
            waiting = arrival(number, float(number))
            if number - first < staying:
                here.add(waiting.file)
            queue.add(waiting)

    come(0, 63, 39)
    assert kept() == 63
    come(63, 64, 1)
    assert kept() == 40
    pace.hurry(20.0)
    queue.newest(30.0, lambda _: True)
    assert (len(queue._hurried), len(queue._due), len(queue._early)) == (21, 10, 9)
    come(64, 103, 0)
    assert kept() == 79
    here.clear()
    come(103, 104, 1)
    assert kept() == 1
    come(104, 166, 0)
    assert kept() == 63
    come(166, 167, 0)
    assert kept() == 1


def test_a_batch_whose_jitter_ends_now_may_leave_now() -> None:
    pace = Pace(JITTER_SECONDS, 0.0, lambda: 1.0)
    queue = Queue(pace, lambda _: True)
    assert queue.wait_seconds(1.0) == float("inf")
    batch = arrival(1, 1.0)
    queue.add(batch)
    due_at = pace.due_at(id_of(batch), 1.0)
    assert queue.wait_seconds(1.0) == due_at - 1.0
    assert queue.newest(due_at - 0.5, lambda _: False) is None
    assert queue.newest(due_at, lambda _: False) == batch


def test_a_batch_that_comes_after_a_hurry_and_was_sealed_by_then_leaves_at_once() -> None:
    pace = Pace(JITTER_SECONDS, 0.0, lambda: 1.0)
    queue = Queue(pace, lambda _: True)
    pace.hurry(20.0)
    assert queue.newest(20.0, lambda _: False) is None
    queue.add(arrival(1, 20.0))
    queue.add(arrival(2, 20.5))
    assert queue.newest(20.0, lambda _: False) == arrival(1, 20.0)


def test_a_batch_that_waits_for_a_part_of_a_second_still_waits() -> None:
    pace = Pace(0.0, 0.0, lambda: 1.0)
    queue = Queue(pace, lambda _: True)
    batch = arrival(1, 5.0)
    queue.add(batch)
    pace.set_aside(id_of(batch), 10.5)
    assert queue.newest(10.0, lambda _: False) is None
    assert queue.newest(10.5, lambda _: False) == batch


def test_while_the_backlog_pauses_a_look_asks_for_one_of_it() -> None:
    asked: list[str] = []

    def awaits(file: str) -> bool:
        asked.append(file)
        return True

    pace = Pace(0.0, 0.0, lambda: 1.0)
    queue = Queue(pace, awaits)
    for number in range(1_000):
        queue.add(arrival(number, 1.0))
    pace.recover(5.0)
    pace.upload(1.0, 1.0, 10.0)
    asked.clear()

    assert queue.newest(10.0, lambda _: False) is None
    assert len(asked) == 1


def test_what_is_left_after_a_removal_keeps_its_order() -> None:
    queue = Queue(Pace(0.0, 0.0, lambda: 1.0), lambda file: int(file[:20]) > 3)
    for number in range(64, 0, -1):
        queue.add(arrival(number, float(number)))
    assert len(queue._early) == 61
    assert queue.wait_seconds(0.0) == 4.0


def test_what_is_not_hurried_keeps_its_order() -> None:
    pace = Pace(0.0, 0.0, lambda: 1.0)
    queue = Queue(pace, lambda _: True)
    for number in range(63, 0, -1):
        queue.add(arrival(number, float(number)))
    pace.hurry(3.0)
    queue._hurry()
    assert (len(queue._hurried), queue.wait_seconds(0.0)) == (3, 4.0)
