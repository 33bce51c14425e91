"""Who lives: by pid and the time its process began."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import wait_until

from telemetry.shipper.intake.receiver import REMOTE_PID
from telemetry.shipper.watch import MAX_WATCHED, REMOTE_SECONDS, Watch, find, lives, may_live
from telemetry.spool.producers import Position

IMPOSSIBLE = [2**22 + 1, 2**31, 2**62]


def _process() -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)


def test_a_producer_is_counted_until_its_process_is_gone() -> None:
    watch = Watch()
    with _process() as process:
        watch.see({"p": Position(process.pid)})
        watch.look()
        assert len(watch) == 1
        process.kill()  # a zombie until it is waited for
        wait_until(lambda: not lives(find(process.pid)))
        watch.look()

        assert (len(watch), watch.has_seen_any) == (0, True)


def test_a_producer_that_said_goodbye_is_not_counted_though_its_process_lives() -> None:
    watch = Watch()
    watch.see({"p": Position(os.getpid()), "q": Position(os.getpid())})
    watch.leave("p")
    watch.see({"p": Position(os.getpid())})  # a frame that was on its way

    assert len(watch) == 1


def test_a_goodbye_may_come_before_the_first_frame() -> None:
    watch = Watch()
    watch.leave("p")
    watch.see({"p": Position(os.getpid())})
    watch.look()

    assert (len(watch), watch.has_seen_any) == (0, True)


@pytest.mark.parametrize("pid", [0, *IMPOSSIBLE])
def test_a_frame_of_a_process_that_can_t_be_is_forgotten(pid: int) -> None:
    watch = Watch()
    watch.see({"p": Position(pid)})
    watch.look()

    assert len(watch) == 0


@pytest.mark.parametrize("pid", IMPOSSIBLE)
def test_a_pid_that_can_t_be_does_not_live(pid: int) -> None:
    assert not may_live(Position(pid))
    assert not lives(find(pid))


def test_we_live() -> None:
    assert may_live(Position(os.getpid()))
    assert lives(find(os.getpid()))


def test_a_clock_that_is_set_makes_no_producer_another(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    watch.see({"p": Position(os.getpid())})
    boot_time = psutil.boot_time()
    monkeypatch.setattr(psutil._psplatform, "boot_time", lambda: boot_time + 3600)  # type: ignore[attr-defined]
    watch.look()

    assert len(watch) == 1


@pytest.mark.skipif(not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK), reason="nobody may choose a pid here")
def test_a_pid_that_another_process_got_is_no_producer() -> None:
    watch = Watch()
    with _process() as first:
        watch.see({"p": Position(first.pid)})
        # The times that processes began are told apart by hundredths of a second.
        later = time.monotonic() + 0.05
        wait_until(lambda: time.monotonic() > later)
        first.kill()
    for _ in range(100):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(first.pid - 1))
        with _process() as second:
            if second.pid == first.pid:
                watch.look()
            second.kill()
        if second.pid == first.pid:
            break
    else:
        pytest.skip("others were faster to get the pid")

    assert len(watch) == 0


def test_thousands_of_short_lived_producers_leave_nothing_behind() -> None:
    watch = Watch()
    for number in range(2000):
        watch.see({str(number): Position(2**22 + 1)})
        watch.leave(str(number))
    watch.look()

    assert (watch._known, watch._left) == ({}, set())


def test_a_producer_elsewhere_lives_until_it_leaves_or_was_not_heard_of_for_an_hour() -> None:
    now = 0.0
    watch = Watch(lambda: now)
    watch.see({"silent": Position(REMOTE_PID), "talks": Position(REMOTE_PID), "leaves": Position(REMOTE_PID)})
    watch.leave("leaves")
    now = REMOTE_SECONDS
    watch.see({"talks": Position(REMOTE_PID)})
    watch.look()
    assert len(watch) == 2
    now += 1.0
    watch.look()

    assert (len(watch), may_live(Position(REMOTE_PID))) == (1, True)


def test_a_process_that_invents_producers_takes_no_more_than_its_share() -> None:
    watch = Watch()
    for number in range(3 * MAX_WATCHED):
        watch.see({str(number): Position(os.getpid())})
        watch.leave(f"never seen {number}")
    watch.look()

    assert len(watch) == MAX_WATCHED
    assert len(watch._left) <= 2 * MAX_WATCHED
