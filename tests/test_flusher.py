"""When events leave: the first after a pause at once, the rest within the interval, and nobody wakes for nothing."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from standin import eventually, host, stand_in, write_catalog

from telemetry.producer.backlog import FRAME_EVENTS
from telemetry.producer.flusher import Flusher

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType


@pytest.fixture
def catalog(home: Path, tmp_path: Path) -> Path:
    assert home.exists()
    return write_catalog(tmp_path)


def test_the_first_event_is_sent_at_once_and_the_rest_together(catalog: Path) -> None:
    """With an interval that long, nothing but `emit` itself can have sent the first one."""
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=60) as client:
        client.emit("query_finished", number=0)
        eventually(lambda: shipper.values("number") == [0])
        for number in range(1, 100):
            client.emit("query_finished", number=number)
        assert client._link
        assert len(client._link._outbox.events) == 99
        assert client.flush(30)
        assert [len(frame.events) for frame in shipper.frames if frame.events] == [1, 99]


def test_the_rest_is_sent_within_the_interval(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=0.5) as client:
        for number in range(100):
            client.emit("query_finished", number=number)
        eventually(lambda: shipper.values("number") == list(range(100)))
        assert [len(frame.events) for frame in shipper.frames if frame.events] == [1, 99]


def test_full_frames_are_sent_by_the_caller_that_fills_them(catalog: Path) -> None:
    events = 1 + 3 * FRAME_EVENTS  # the first goes alone
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=60) as client:
        for number in range(events):
            client.emit("query_finished", number=number)
        eventually(lambda: shipper.values("number") == list(range(events)))


def test_the_first_event_after_a_pause_is_sent_at_once_again(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=0.2) as client:
        for number in range(5):
            client.emit("query_finished", number=number)
            eventually(lambda: len(shipper.values("number")) == number + 1)  # noqa: B023 called here
        shipper.assert_unbroken()


def test_events_from_many_threads_all_arrive_without_a_flush(catalog: Path) -> None:
    with stand_in(catalog) as shipper, host(catalog, flush_interval_seconds=0.01) as client:

        def work() -> None:
            for number in range(200):
                client.emit("query_finished", number=number)
                time.sleep(0.0005)  # slow enough that the thread falls asleep in between

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        eventually(lambda: len(shipper.values("number")) == 800)
        shipper.assert_unbroken()


class Rounds:
    """Work for a flusher that counts its rounds."""

    def __init__(self) -> None:
        self.worked = self.supervised = 0
        self.busy = 0

    def work(self) -> bool:
        self.worked += 1
        self.busy = max(0, self.busy - 1)
        return not self.busy

    def supervise(self) -> None:
        self.supervised += 1


def test_an_idle_flusher_makes_no_rounds() -> None:
    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    rounds.busy = 3
    flusher.wake()
    eventually(lambda: rounds.worked == 3 and flusher.asleep)
    assert not threading.Event().wait(0.3)
    assert rounds.worked == 3
    flusher.wake()
    eventually(lambda: rounds.worked == 4)
    flusher.stop()


def test_a_flusher_that_keeps_watch_looks_twice_a_second_and_no_oftener() -> None:
    rounds = Rounds()

    def supervise() -> None:
        rounds.supervise()
        flusher.keeps_watch = rounds.supervised < 4

    flusher = Flusher(0.001, rounds.work, supervise)
    began = time.monotonic()
    flusher.wake()
    eventually(lambda: rounds.supervised == 4 and flusher.asleep)
    assert time.monotonic() - began > 3 * 0.5 * 0.9
    assert rounds.worked <= 6
    assert not threading.Event().wait(0.7)
    assert rounds.supervised == 4
    flusher.stop()


def threads_of(flusher: Flusher) -> int:
    """How many threads are in its `_run` at this moment."""
    found = 0
    for top in sys._current_frames().values():
        frame: FrameType | None = top
        while frame is not None:
            found += frame.f_code is Flusher._run.__code__ and frame.f_locals.get("self") is flusher
            frame = frame.f_back
    return found


def test_the_thread_is_not_started_before_it_is_needed_and_ends_when_stopped() -> None:
    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    assert threads_of(flusher) == 0
    flusher.wake()
    eventually(lambda: rounds.worked)
    assert threads_of(flusher) == 1
    flusher.stop()
    eventually(lambda: threads_of(flusher) == 0)


def test_threads_that_wake_it_together_start_one_thread() -> None:
    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    barrier = threading.Barrier(8)

    def wake() -> None:
        barrier.wait(30)
        flusher.wake()

    threads = [threading.Thread(target=wake) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: rounds.worked)
    assert threads_of(flusher) == 1
    flusher.stop()


def test_a_wake_that_gets_no_thread_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise RuntimeError

    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    with monkeypatch.context() as patch:
        patch.setattr("telemetry.producer.flusher.start_new_thread", refuse)
        for _ in range(3):
            flusher.wake()
    assert flusher.asleep
    assert flusher._wake.empty()
    flusher.wake()
    eventually(lambda: rounds.worked)
    flusher.stop()


def test_a_round_that_fails_is_followed_by_another() -> None:
    rounds = Rounds()

    def work() -> bool:
        rounds.worked += 1
        if rounds.worked < 3:
            raise MemoryError
        return True

    flusher = Flusher(0.001, work, rounds.supervise)
    flusher.wake()
    eventually(lambda: rounds.worked == 3 and flusher.asleep)
    flusher.stop()


def test_the_shipper_is_looked_after_twice_a_second_at_most() -> None:
    rounds = Rounds()
    began = time.monotonic()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    rounds.busy = 100
    flusher.wake()
    eventually(lambda: rounds.busy == 0)
    flusher.stop()
    assert 1 <= rounds.supervised <= 1 + 2 * (time.monotonic() - began)


def test_closing_a_client_ends_its_thread(catalog: Path) -> None:
    with stand_in(catalog):
        with host(catalog, flush_interval_seconds=0.01) as client:
            for number in range(10):
                client.emit("query_finished", number=number)
            assert client._link
            flusher = client._link._flusher
            eventually(lambda: threads_of(flusher) == 1)
        eventually(lambda: threads_of(flusher) == 0)
