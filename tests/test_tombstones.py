"""Tombstones are counted once, against what had arrived, and rubbish among them stops nothing."""

from __future__ import annotations

import errno
import json
import math
import os
import time
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any

import pytest
from spools import make_head, names, nobody_lives, open_spool, read_balanced, scratch

from telemetry import files
from telemetry.inspect.account import read_account
from telemetry.paths import TOMBSTONES
from telemetry.producer.exits import leave_tombstone
from telemetry.rendezvous.unix import listen_at
from telemetry.spool import tombstones
from telemetry.spool.positions import Position
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally
from telemetry.spool.tombstones import STRANGER_SECONDS, bury_the_dead
from telemetry.wire import HANDOVER_SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.spool.positions import Positions

PRODUCER = bytes(range(16))
HERE = Path("/run/acme-db-0123456789abcdef")


@pytest.fixture
def spool() -> Iterator[Spool]:
    with scratch() as directory:
        opened = open_spool(directory / "spool")
        yield opened
        opened.close()


def _age(path: Path) -> None:
    os.utime(path, (1, 1))


def _tombstone(spool: Spool, accepted: int, dropped: dict[str, int]) -> Path:
    leave_tombstone(spool.directory, HERE.name, PRODUCER, accepted, dropped)
    path = spool.directory / TOMBSTONES / f"{PRODUCER.hex()}.json"
    _age(path)
    return path


def _left(spool: Spool) -> set[str]:
    return names(spool.directory / TOMBSTONES)


def test_what_had_not_arrived_and_what_was_dropped_since_is_counted(spool: Spool) -> None:
    _tombstone(spool, 10, {"queue_full": 5, "exit_unconfirmed": 2})
    positions = {PRODUCER.hex(): Position(1, 7, {"queue_full": 4})}
    bury_the_dead(spool, positions, HERE)
    ledger = read_balanced(spool)

    assert ledger.tally.dropped == {"exit_unconfirmed": 3 + 2, "queue_full": 1}
    assert positions[PRODUCER.hex()].settled == 10
    assert _left(spool) == set()


def test_a_producer_that_never_met_a_shipper_is_counted_as_a_whole(spool: Spool) -> None:
    _tombstone(spool, 4, {"no_shipper": 6})
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 4, "no_shipper": 6}


def test_one_that_says_nothing_new_adds_nothing(spool: Spool) -> None:
    _tombstone(spool, 4, {})
    bury_the_dead(spool, {PRODUCER.hex(): Position(1, 4)}, HERE)

    assert read_balanced(spool).tally == Tally()
    assert _left(spool) == set()


def test_a_fresh_one_waits_until_what_was_on_its_way_has_come(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tombstones, "SETTLE_SECONDS", 1000.0)
    leave_tombstone(spool.directory, HERE.name, PRODUCER, 4, {})
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally == Tally()
    assert len(_left(spool)) == 1


def test_after_a_restart_it_is_counted_against_what_the_ledger_knows(spool: Spool) -> None:
    spool.note("n", Tally(), {PRODUCER.hex(): Position(2**22 + 1, 7)})
    _tombstone(spool, 10, {})
    spool.close()
    again, ledger = Spool.open(spool.directory, nobody_lives)
    bury_the_dead(again, ledger.positions, HERE)

    assert read_balanced(again).tally.dropped == {"exit_unconfirmed": 3}
    again.close()


def test_a_crash_between_the_count_and_its_removal_counts_nothing_twice(spool: Spool) -> None:
    _tombstone(spool, 10, {"queue_full": 1})
    bury_the_dead(spool, {}, HERE)
    _tombstone(spool, 10, {"queue_full": 1})
    spool.close()
    again, ledger = Spool.open(spool.directory, nobody_lives)
    bury_the_dead(again, ledger.positions, HERE)

    assert read_balanced(again).tally.dropped == {"exit_unconfirmed": 10, "queue_full": 1}
    again.close()


def _of_another_shipper(spool: Spool) -> Positions:
    """What a shipper knows that began before the producer went on with another one."""
    before = {PRODUCER.hex(): Position(7, 2)}
    spool.note("n", Tally(), {PRODUCER.hex(): Position(7, 9)})
    _tombstone(spool, 10, {})
    return before


def test_one_of_another_shippers_producer_is_left_to_that_shipper(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tombstones, "STRANGER_SECONDS", math.inf)
    positions = _of_another_shipper(spool)
    bury_the_dead(spool, positions, HERE)

    assert read_balanced(spool).tally == Tally()
    assert len(_left(spool)) == 1


def test_one_that_the_other_shipper_leaves_alone_is_counted_against_what_that_one_knew(spool: Spool) -> None:
    positions = _of_another_shipper(spool)
    bury_the_dead(spool, positions, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 1}
    assert positions[PRODUCER.hex()].settled == 10


def test_one_of_another_place_is_left_alone_while_a_door_is_open_there_however_old_it_is(spool: Spool) -> None:
    with scratch() as run:
        there = run / "acme-db-of-others"
        there.mkdir()
        leave_tombstone(spool.directory, there.name, PRODUCER, 10, {})
        _age(spool.directory / TOMBSTONES / f"{PRODUCER.hex()}.json")
        listening, _ = listen_at(there / HANDOVER_SOCKET)
        listener = socket(fileno=listening.detach())
        bury_the_dead(spool, {}, run / "ours")
        assert read_balanced(spool).tally == Tally()
        with pytest.raises(BlockingIOError):  # nobody has knocked
            listener.accept()
        listener.close()
        bury_the_dead(spool, {}, run / "ours")

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 10}


@pytest.mark.parametrize("place", ["acme-db-of-others", "", "x" * 64])
def test_one_of_another_place_is_left_alone_while_it_is_young(spool: Spool, place: str) -> None:
    leave_tombstone(spool.directory, place, PRODUCER, 10, {})
    path = spool.directory / TOMBSTONES / f"{PRODUCER.hex()}.json"
    os.utime(path, (time.time() - STRANGER_SECONDS / 2,) * 2)
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally == Tally()
    assert len(_left(spool)) == 1


def test_what_a_producer_leaves_after_a_tombstone_was_counted_is_counted_too(spool: Spool) -> None:
    """It was not its end after all: a server whose last work was flushed may go on."""
    positions: Positions = {}
    for accepted in (4, 6):
        _tombstone(spool, accepted, {})
        bury_the_dead(spool, positions, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 6}


def test_what_it_says_is_in_the_account_before_a_shipper_has_counted_it_and_the_same_after(spool: Spool) -> None:
    spool.note("n", Tally(emitted=7, dropped={"invalid": 7}), {PRODUCER.hex(): Position(7, 7)})
    active = spool.begin(make_head())
    active.append(b"{}\n", Tally(emitted=1, kept=1), {PRODUCER.hex(): Position(7, 8, {"queue_full": 1})})
    _tombstone(spool, 10, {"queue_full": 3, "exit_unconfirmed": 4})
    before = read_account(spool.directory)
    bury_the_dead(spool, {PRODUCER.hex(): Position(7, 8, {"queue_full": 1})}, HERE)
    after = read_account(spool.directory)
    active.close()

    assert before == after
    assert before.balance == 0
    assert before.tally.dropped == {"invalid": 7, "queue_full": 2, "exit_unconfirmed": 2 + 4}


def test_rubbish_among_them_changes_no_account(spool: Spool) -> None:
    (spool.directory / TOMBSTONES / "x.json").write_text("[")
    (spool.directory / TOMBSTONES / "y.json").mkdir()
    for path in (spool.directory / TOMBSTONES).iterdir():
        _age(path)

    assert read_account(spool.directory).tally == Tally()


def test_a_full_disk_leaves_it_for_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_all(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    _tombstone(spool, 4, {})
    positions: Positions = {}
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_all", write_all)
        bury_the_dead(spool, positions, HERE)
    assert (len(_left(spool)), positions) == (1, {})
    bury_the_dead(spool, positions, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 4}


GOOD: dict[str, Any] = {"producer": PRODUCER.hex(), "pid": 7, "accepted": 4, "dropped": {}}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("[" * 3000, id="deep"),
        pytest.param("[]", id="a list"),
        pytest.param('"text"', id="a text"),
        pytest.param(json.dumps(GOOD)[:-1], id="torn"),
        pytest.param(json.dumps(GOOD | {"producer": "../../x"}), id="a path for a producer"),
        pytest.param(json.dumps(GOOD | {"producer": "AA"}), id="a short producer"),
        pytest.param(json.dumps(GOOD | {"pid": "x"}), id="a text for a pid"),
        pytest.param(json.dumps(GOOD | {"accepted": -1}), id="negative"),
        pytest.param(json.dumps(GOOD | {"accepted": 2**80}), id="over 64 bits"),
        pytest.param(json.dumps(GOOD | {"accepted": float("inf")}), id="infinite"),
        pytest.param(json.dumps(GOOD | {"place": "../x"}), id="a path for a place"),
        pytest.param(json.dumps(GOOD | {"dropped": [1]}), id="a list of drops"),
        pytest.param(json.dumps(GOOD | {"dropped": {"queue_full": -3}}), id="a negative drop"),
        pytest.param(json.dumps(GOOD | {"dropped": {"queue_full": "3"}}), id="a text for a drop"),
        pytest.param(" " * 5000 + json.dumps(GOOD), id="too long"),
    ],
)
def test_what_is_no_tombstone_counts_nothing_and_goes(spool: Spool, text: str) -> None:
    path = spool.directory / TOMBSTONES / "x.json"
    path.write_text(text)
    _age(path)
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally == Tally()
    assert _left(spool) == set()


def test_a_reason_that_no_producer_has_is_left_out(spool: Spool) -> None:
    path = spool.directory / TOMBSTONES / "x.json"
    path.write_text(json.dumps(GOOD | {"dropped": {"rejected": 9, "queue_full": 1}}))
    _age(path)
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 4, "queue_full": 1}


def test_other_things_in_the_folder_stop_nothing(spool: Spool) -> None:
    folder = spool.directory / TOMBSTONES
    (folder / "a.json").mkdir()
    _age(folder / "a.json")
    (folder / "b.json").symlink_to("nowhere")
    (folder / "c.json").symlink_to("/etc/passwd")
    os.mkfifo(folder / "d.json")
    _age(folder / "d.json")
    (folder / "notes.txt").write_text("")
    _tombstone(spool, 4, {})
    bury_the_dead(spool, {}, HERE)

    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 4}
    assert "notes.txt" in _left(spool)


def test_one_that_is_dated_in_the_future_is_counted_all_the_same(spool: Spool) -> None:
    path = _tombstone(spool, 10, {})
    ahead = time.time() + 3600  # the clock has been set back since
    os.utime(path, (ahead, ahead))
    assert read_account(spool.directory).tally.dropped == {"exit_unconfirmed": 10}
    bury_the_dead(spool, {}, HERE)
    assert read_balanced(spool).tally.dropped == {"exit_unconfirmed": 10}
    assert not _left(spool)
