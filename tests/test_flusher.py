"""When events leave: the first after a pause at once, the rest within the interval, and nobody wakes for nothing."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from standin import eventually, host, stand_in, write_catalog

from telemetry.producer.backlog import FRAME_EVENTS
from telemetry.producer.flag import Flag, forked_before_ns
from telemetry.producer.flusher import Flusher

if TYPE_CHECKING:
    from collections.abc import Callable
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
        assert client.flush(60)
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
    eventually(lambda: rounds.worked == 3 and not flusher.awake.truth)
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
    eventually(lambda: rounds.supervised == 4 and not flusher.awake.truth)
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
    assert not flusher.awake.truth
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
    eventually(lambda: rounds.worked == 3 and not flusher.awake.truth)
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


def test_a_flag_tells_what_was_last_done() -> None:
    flag = Flag()
    assert not flag.truth
    flag.set()
    assert flag.truth
    flag.clear()
    assert not flag.truth
    assert flag.is_own


def forked_in_c(work: Callable[[], object]) -> int:
    """Do `work` in a child of a `fork` that tells Python nothing; returns its exit code."""
    child = ctypes.CDLL(None).fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")
def test_a_child_forked_in_c_learns_when_that_was_to_a_tick() -> None:
    tick_ns = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    before_ns = time.time_ns()

    def look() -> None:
        assert before_ns <= forked_before_ns() <= time.time_ns() + tick_ns

    assert forked_in_c(look) == 0
    assert forked_before_ns() < before_ns


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux wipes a page")
def test_a_child_forked_in_c_finds_the_flag_clear_and_another_process() -> None:
    flag = Flag()
    flag.set()

    def look() -> None:
        assert not flag.truth
        assert not flag.is_own
        flag.own()
        assert flag.is_own

    assert forked_in_c(look) == 0
    assert flag.truth
    assert flag.is_own


FAULTS = [MemoryError, SystemExit, KeyboardInterrupt, RecursionError, OSError]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("place", ["_sleep", "_idle", "_pause", "watch"])
def test_whatever_is_thrown_into_the_thread_it_comes_back_and_says_nothing(
    fault: type[BaseException], place: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    whole = getattr(flusher, place)
    thrown: list[object] = []

    def throw() -> object:
        if len(thrown) < 3:
            thrown.append(fault)
            raise fault
        return whole()

    monkeypatch.setattr(flusher, place, throw)
    flusher.wake()
    eventually(lambda: len(thrown) == 3 and rounds.worked and rounds.supervised and not flusher.awake.truth)
    monkeypatch.undo()
    flusher._watched_at = 0.0
    worked, supervised = rounds.worked, rounds.supervised
    flusher.wake()
    eventually(lambda: rounds.worked > worked and rounds.supervised > supervised)
    assert threads_of(flusher) == 1
    flusher.stop()
    eventually(lambda: threads_of(flusher) == 0)
    assert capfd.readouterr() == ("", "")


def test_a_thread_that_is_ended_for_good_is_followed_by_another(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No memory even for what follows a fault."""

    def end() -> None:
        raise MemoryError

    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    with monkeypatch.context() as patch:
        patch.setattr(flusher, "_run", end)
        flusher.wake()
        eventually(lambda: not flusher.awake.truth and not flusher._running.locked())
    flusher.wake()
    eventually(lambda: rounds.worked)
    flusher.stop()
    assert capfd.readouterr() == ("", "")


def test_a_wake_that_is_interrupted_leaves_the_next_one_to_do_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    rounds = Rounds()
    flusher = Flusher(0.001, rounds.work, rounds.supervise)
    with monkeypatch.context() as patch:
        patch.setattr("telemetry.producer.flusher.start_new_thread", interrupt)
        with pytest.raises(KeyboardInterrupt):
            flusher.wake()
    assert not flusher.awake.truth
    flusher.wake()
    eventually(lambda: rounds.worked)
    flusher.stop()
