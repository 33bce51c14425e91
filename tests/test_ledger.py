"""The ledger accounts for every event, however often its lines are read and whoever writes them."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spools import scratch

from telemetry import files
from telemetry.drops import DropReason
from telemetry.spool import ledger
from telemetry.spool.journal import write_line
from telemetry.spool.ledger import (
    LOG_FILE,
    SPARE_BYTES,
    SPARE_FILE,
    Acked,
    Dropped,
    Ledger,
    LedgerLog,
    Line,
    Noted,
    Quarantined,
    Requeued,
    Sealed,
    Split,
    replay,
)
from telemetry.spool.positions import Position
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

LATER_REASONS = st.sampled_from([DropReason.SPOOL_FULL, DropReason.SPOOL_AGE, DropReason.CONSENT])


@st.composite
def histories(draw: st.DrawFn, *, requeues: bool = True) -> list[Line]:
    """Lines as a spool writes them: each segment is sealed, and then meets one fate; or, set aside, is brought back."""
    lines: list[Line] = []
    live: dict[str, int] = {}
    aside: dict[str, int] = {}
    for number in range(draw(st.integers(0, 25))):
        step = draw(
            st.sampled_from(["seal", "seal", "note", "ack", "drop", "quarantine", "split", *["requeue"] * requeues])
        )
        if step in {"seal", "note"}:
            lost = draw(st.integers(0, 5))
            kept = draw(st.integers(0, 9)) if step == "seal" else 0
            tally = Tally(emitted=kept + lost, kept=kept, dropped={"in_transit": lost} if lost else {})
            positions = {draw(st.sampled_from("abc")): Position(draw(st.integers(1, 3)), number)}
            lines.append((Sealed if step == "seal" else Noted)(f"{step}-{number}", tally, positions))
            if kept:
                live[f"{step}-{number}"] = kept
        elif step == "requeue":
            if aside:
                id_ = draw(st.sampled_from(sorted(aside)))
                live[id_] = aside.pop(id_)
                lines.append(Requeued(id_))
        elif live:
            id_ = draw(st.sampled_from(sorted(live)))
            events = live.pop(id_)
            if step == "ack":
                lines.append(Acked(id_))
            elif step == "split" and events > 1:
                halves = {f"{id_}/0": events // 2, f"{id_}/1": events - events // 2}
                live |= halves
                lines.append(Split(id_, halves))
            elif step == "quarantine":
                aside[id_] = events
                lines.append(Quarantined(id_, draw(st.sampled_from([DropReason.CORRUPT, DropReason.REJECTED]))))
            else:
                lines.append(Dropped(id_, draw(LATER_REASONS)))
    return lines


def _apply(lines: list[Line]) -> Ledger:
    found = Ledger()
    for line in lines:
        found.apply(line)
    return found


def _bytes(lines: list[Line]) -> bytes:
    return b"".join(map(write_line, lines))


@settings(deadline=None)
@given(histories())
def test_every_history_balances_at_each_of_its_lines(lines: list[Line]) -> None:
    found = Ledger()
    for line in lines:
        found.apply(line)

        assert found.balance == 0
        assert found.tally.emitted == found.delivered + found.on_disk + found.tally.lost


@settings(deadline=None)
@given(histories(requeues=False), st.data())
def test_a_line_that_is_repeated_later_changes_nothing(lines: list[Line], data: st.DataObject) -> None:
    once = _apply(lines).total()
    repeated = list(lines)
    for line in data.draw(st.lists(st.sampled_from(lines), max_size=5)) if lines else []:
        repeated.insert(data.draw(st.integers(lines.index(line) + 1, len(repeated))), line)

    assert _apply(repeated).total() == once
    assert _apply([*lines, *lines]).total() == once


@settings(deadline=None)
@given(histories())
def test_replay_of_the_bytes_is_the_same_as_of_the_lines(lines: list[Line]) -> None:
    assert replay(_bytes(lines)).total() == _apply(lines).total()


@settings(deadline=None)
@given(histories(), st.data())
def test_a_compaction_anywhere_keeps_the_state(lines: list[Line], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(lines)))
    compacted = write_line(_apply(lines[:at]).total()) + _bytes(lines[at:])

    assert replay(compacted).total() == _apply(lines).total()


@settings(deadline=None)
@given(histories(), st.data())
def test_a_log_torn_anywhere_balances(lines: list[Line], data: st.DataObject) -> None:
    log = _bytes(lines)

    assert replay(log[: data.draw(st.integers(0, len(log)))]).balance == 0


def test_a_half_is_known_as_soon_as_its_whole_is_split() -> None:
    found = Ledger()
    found.apply(Sealed("whole", Tally(emitted=4, kept=4)))
    found.apply(Split("whole", {"one": 1, "other": 3}))
    found.apply(Sealed("one", Tally(emitted=1, kept=1)))  # as recovery may find it

    assert (found.knows("one"), found.tally.emitted, found.live) == (True, 4, {"one": 1, "other": 3})


def test_a_position_does_not_go_back_when_segments_are_sealed_out_of_order() -> None:
    found = Ledger()
    found.apply(Sealed("late", Tally(), {"p": Position(1, 200, {"queue_full": 2})}))
    found.apply(Sealed("early", Tally(), {"p": Position(1, 100, {"queue_full": 1})}))

    assert found.positions == {"p": Position(1, 200, {"queue_full": 2})}


def _seal(id_: str, kept: int = 1) -> Sealed:
    return Sealed(id_, Tally(emitted=kept, kept=kept), {"p": Position(7, 1), "gone": Position(8, 1)})


def test_compaction_forgets_the_producers_that_are_not_to_be_kept(tmp_path: Path) -> None:
    log = LedgerLog(tmp_path)
    log.append(_seal("a"), _seal("b"), Acked("a"))

    compacted = log.compact(lambda name, position: name == "p" and position.pid == 7, ())

    assert compacted.positions == {"p": Position(7, 1)}
    assert log.read().total() == compacted.total()
    assert (tmp_path / LOG_FILE).read_bytes().strip().count(b'"is":"total"') == 2, "and once more"
    assert (log.read().live, log.read().delivered) == ({"b": 1}, 1)


def test_an_append_behind_a_torn_tail_is_read(tmp_path: Path) -> None:
    log = LedgerLog(tmp_path)
    log.append(_seal("a"))
    whole = (tmp_path / LOG_FILE).read_bytes()
    line = write_line(_seal("b"))
    for size in range(len(line)):
        (tmp_path / LOG_FILE).write_bytes(whole + line[:size])
        log.append(_seal("c"))

        assert log.read().live == {"a": 1, "c": 1}


def test_what_the_disk_refuses_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = LedgerLog(tmp_path)
    log.append(_seal("a"))
    before = (tmp_path / LOG_FILE).read_bytes()

    def write_half(file: int, data: bytes) -> None:
        os.write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(files, "write_all", write_half)
    with pytest.raises(OSError, match="full"):
        log.append(Acked("a"))
    monkeypatch.undo()

    assert (tmp_path / LOG_FILE).read_bytes() == before
    log.append(Acked("a"))
    assert log.read().delivered == 1


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 16), st.integers(1, 255))
def test_a_flaw_anywhere_in_a_compacted_log_loses_no_total(place: int, flip: int) -> None:
    """Nor does a sector that is lost."""
    with scratch() as directory:
        log = LedgerLog(directory)
        log.append(_seal("a", 5), _seal("b", 3), _seal("c", 2), Acked("a"), Quarantined("c", DropReason.REJECTED))
        before = log.compact(lambda *_: True, {"c"}).total()
        data = bytearray((directory / LOG_FILE).read_bytes())
        at = place % len(data)
        data[at] ^= flip
        (directory / LOG_FILE).write_bytes(data)
        assert log.read().total() == before
        data[at] ^= flip
        data[at : at + 512] = bytes(min(512, len(data) - at))
        (directory / LOG_FILE).write_bytes(data)
        assert log.read().total() == before


def test_on_a_full_disk_what_was_delivered_is_known_and_comes_into_the_log_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LedgerLog(tmp_path)
    log.keep_room()
    log.append(*(_seal(str(number)) for number in range(1200)))

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(LedgerLog, "_append", refuse)
    log.append(Acked("0"))
    log.append(Acked("1"), Dropped("2", DropReason.SPOOL_FULL))
    with pytest.raises(OSError, match="full"):
        log.append(_seal("late"))
    assert (log.read().delivered, len(log.read().live)) == (2, 1197)
    delivered = 2
    with suppress(OSError):  # until there is no room there either
        for number in range(3, 1199):
            log.append(Acked(str(number)))
            delivered += 1
    assert log.read().delivered == delivered, "what was said to be kept is"
    assert 100 < delivered < 1198
    monkeypatch.undo()
    log.append(Acked("1199"))
    spare = (tmp_path / SPARE_FILE).read_bytes()
    assert (log.read().delivered, len(spare), spare.strip()) == (delivered + 1, SPARE_BYTES, b"")


def test_on_a_full_disk_the_last_note_of_a_shipper_is_kept_and_counts_once_though_a_compaction_is_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = LedgerLog(tmp_path)
    log.keep_room()
    note = Noted("owed", Tally(emitted=7, dropped={"write_failed": 7}), {"a": Position(1, 7)})

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as full:
        full.setattr(LedgerLog, "_append", refuse)
        with pytest.raises(OSError, match="full"):
            log.append(note)
        log.append(note, is_last_chance=True)
        assert (log.read().tally.emitted, log.read().positions["a"].next) == (7, 7)
    with monkeypatch.context() as cut_short:
        cut_short.setattr(LedgerLog, "_fill_spare", refuse)
        with pytest.raises(OSError, match="full"):
            log.compact(lambda *_: True, set())
        assert log.read().tally.emitted == 7
        with pytest.raises(OSError, match="full"):
            log.append(Noted("next", Tally()))  # the lines are in the log and in the spare file as well
    assert log.read().tally.emitted == 7
    for _ in range(2):
        log.compact(lambda *_: True, set())
        assert (log.read().tally.emitted, log.read().balance) == (7, 0)


def test_a_log_that_grew_is_said_to_be_long_until_it_is_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger, "COMPACT_BYTES", 500)
    log = LedgerLog(tmp_path)
    log.append(_seal("a"))
    seen = [log.is_long]
    log.append(*(line for number in range(10) for line in (_seal(str(number)), Acked(str(number)))))
    seen.append(log.is_long)
    log.compact(lambda *_: False, ())
    seen.append(log.is_long)

    assert seen == [False, True, False]


_APPEND = """
import sys
from pathlib import Path
from telemetry.spool.ledger import Acked, LedgerLog, Sealed
from telemetry.spool.tally import Tally
log, who = LedgerLog(Path(sys.argv[1])), sys.argv[2]
sys.stdin.readline()
for number in range(100):
    log.append(Sealed(f"{who}{number}", Tally(emitted=3, kept=3)), Sealed(f"{who}{number}+", Tally(emitted=1, kept=1)))
    log.append(Acked(f"{who}{number}"))
    if number % 3 == 0:
        log.compact(lambda *_: True, ())
"""


def test_two_processes_that_append_and_compact_at_once_tear_nothing(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", _APPEND, str(tmp_path), who], stdin=subprocess.PIPE) for who in "xy"
    ]
    for writer in writers:
        assert writer.stdin
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    found = LedgerLog(tmp_path).read()

    assert found.tally.emitted == 800
    assert found.delivered == 600
    assert found.live == {f"{who}{number}+": 1 for who in "xy" for number in range(100)}
    assert found.balance == 0
