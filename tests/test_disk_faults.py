"""Each call that the spool makes of a disk, failing with each error that disks have: while it works and as it starts.

The same in every case: nothing but what is documented is raised, no event is lost without a count, what was confirmed
is kept, and when the fault is over a fresh event goes through.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
from brittle_disk import CALLS
from test_spool_machine import SpoolMachine

if TYPE_CHECKING:
    from collections.abc import Iterator

CODES = ("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EMFILE", "ENOMEM")


@pytest.fixture
def machine() -> Iterator[SpoolMachine]:
    """A spool with two sealed segments and an active one, all confirmed; at the end all must be accounted for."""
    machine = SpoolMachine()
    machine.start(seed=0)
    for _ in range(2):
        machine.drain(events=3)
        machine.seal()
    machine.drain(events=2)
    machine.confirm()
    assert len(machine.durable) == 8
    yield machine
    machine.teardown()


def _work(machine: SpoolMachine) -> None:
    for _ in range(2):
        machine.drain(events=2)
        machine.confirm()
        machine.tick()
        machine.seal()
        machine.deliver(then="ack")
        machine.deliver(then="split")
        machine.deliver(then="reject")
        machine.drop_by_limit(segments=5)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", CODES)
def test_a_call_that_fails_while_the_spool_works_loses_nothing_uncounted(
    machine: SpoolMachine, call: str, code: str
) -> None:
    machine.break_({call}, getattr(errno, code))
    _work(machine)
    machine.heal()
    machine.tick()
    _work(machine)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("code", CODES)
def test_a_call_that_fails_at_the_start_lets_the_spool_open_or_says_why_not(
    machine: SpoolMachine, call: str, code: str
) -> None:
    machine.break_({call}, getattr(errno, code))
    machine.restart_amid_faults()
    _work(machine)
    machine.kill()
    _work(machine)


@pytest.mark.parametrize("room_bytes", [0, 1, 50, 100, 200, 400, 800, 1600])
def test_a_disk_that_fills_up_half_way_loses_nothing_uncounted(machine: SpoolMachine, room_bytes: int) -> None:
    machine.fill(room_bytes)
    _work(machine)
    machine.heal()
    machine.tick()
    _work(machine)


@pytest.mark.parametrize("then", ["power", "kill"])
def test_a_disk_that_turns_read_only_keeps_what_was_confirmed(machine: SpoolMachine, then: str) -> None:
    machine.turn_read_only()
    _work(machine)
    machine.cut_power() if then == "power" else machine.kill()
    _work(machine)


def test_a_power_cut_at_every_call_of_the_disk_keeps_what_was_confirmed() -> None:
    """From the first call of a spool's life to the last: every instant at which one can come."""
    fuse = 0
    while True:
        machine = SpoolMachine()
        machine.start(seed=fuse)
        machine.disk.fuse = fuse
        _work(machine)
        is_over = machine.disk.fuse is not None
        machine.teardown()
        if is_over:
            return
        fuse += 1
