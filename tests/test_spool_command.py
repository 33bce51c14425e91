"""`telemetry spool`: looking into a spool offline, and erasing it."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from click.testing import CliRunner
from conftest import StartHost, wait_until
from spools import add_segment

from telemetry.cli.spool import spool as command
from telemetry.drops import DropReason
from telemetry.inspect.account import read_account
from telemetry.receipt import Receipt
from telemetry.spool.segment import ActiveSegment, Head
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

SEALED, ACTIVE, SENT, QUARANTINED, LOCAL, ABANDONED = (f"{number:032x}" for number in range(6))
STATES = {SEALED: "sealed", ACTIVE: "active", SENT: "sent", QUARANTINED: "quarantined", LOCAL: "local"}


def _run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def _head(id_: str, level: str) -> Head:
    return Head(
        id=id_,
        file=f"{int(id_, 16):020d}-{id_}.ndjson.zst",
        format="ndjson",
        compressed=True,
        content_type="application/x-ndjson",
        route="",
        catalog="acme-db/3",
        session="0123abcd",
        receipt=Receipt(level, "host", 0, "unknown"),
    )


def _body(id_: str) -> bytes:
    """Three drains of one line."""
    return b"".join(b'{"event": "%d of %s"}\n' % (number, id_.encode()) for number in range(3))


def _begin(spool: Spool, id_: str, level: str = "on") -> ActiveSegment:
    active = spool.begin(_head(id_, level))
    for line in _body(id_).splitlines(keepends=True):
        active.append(line, Tally(emitted=1, kept=1), {})
    return active


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Spool]:
    spool, _ = Spool.open(tmp_path / "spool", lambda *_: False)
    yield spool
    spool.close()


@pytest.fixture
def full(opened: Spool) -> Path:
    """A spool with one segment in each state; the active one's shipper is gone."""
    for id_ in (SENT, QUARANTINED):
        opened.seal(_begin(opened, id_), Tally())
        seal = opened.take()
        assert seal
        if id_ == SENT:
            opened.ack(seal, 1 << 20)
        else:
            opened.quarantine(seal, DropReason.REJECTED)
    opened.seal(_begin(opened, LOCAL, "local"), Tally())
    opened.seal(_begin(opened, SEALED), Tally())
    _begin(opened, ACTIVE).close()
    opened.close()
    return opened.directory


def _file(directory: Path, id_: str, suffix: str = ".ndjson.zst") -> Path:
    (path,) = directory.glob(f"*/*{id_}{suffix}")
    return path


def _is_empty(directory: Path) -> bool:
    return not any(path for folder in STATES for path in directory.glob(f"*/*{folder}*"))


# ls


def test_ls_names_every_segment_in_its_state(full: Path) -> None:
    result = _run("ls", full, "--json")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert {row["id"]: row["state"] for row in rows} == STATES
    assert [row["id"] for row in rows] == sorted(STATES), "oldest first"
    for row in rows:
        assert (row["events"], row["session"], row["format"]) == (3, "0123abcd", "ndjson")
        assert row["bytes"] == _file(full, row["id"]).stat().st_size
        assert row["age_seconds"] > 0


def test_ls_prints_a_line_for_each_to_people(full: Path) -> None:
    lines = _run("ls", full).stdout.splitlines()
    assert len(lines) == 5
    assert lines[0].split()[:2] == ["sealed", SEALED]


def test_ls_shows_a_segment_whose_seal_is_missing(full: Path) -> None:
    _file(full, QUARANTINED, ".json").unlink()
    result = _run("ls", full)
    assert result.exit_code == 0
    (line,) = (line for line in result.stdout.splitlines() if QUARANTINED in line)
    assert "?" in line


# requeue


def _counts(directory: Path) -> tuple[int, dict[str, int]]:
    account = read_account(directory)
    assert account.balance == 0
    return account.on_disk, account.tally.dropped


@pytest.mark.parametrize("which", [[QUARANTINED], ["--reason", "rejected"], ["--all"]], ids=["id", "reason", "all"])
def test_requeue_brings_back_what_was_set_aside_and_it_is_delivered(full: Path, which: list[str]) -> None:
    on_disk, dropped = _counts(full)
    assert dropped == {"rejected": 3}

    result = _run("requeue", full, *which, "--json")

    assert (result.exit_code, json.loads(result.stdout)) == (0, {"segments": 1, "events": 3, "left": {}})
    assert _counts(full) == (on_disk + 3, {})
    assert _file(full, QUARANTINED).parent.name == "sealed"
    spool, _ = Spool.open(full, lambda *_: False)  # compacts
    ids = set()
    while seal := spool.take():
        assert spool.read(seal) is not None
        ids.add(seal.head.id)
        spool.ack(seal, 0)
    spool.close()
    assert QUARANTINED in ids
    assert _counts(full)[1] == {}
    assert _run("requeue", full, *which).exit_code == (1 if QUARANTINED in which else 0), "once"


def test_requeue_works_after_a_compaction_too(full: Path) -> None:
    for _ in range(2):
        Spool.open(full, lambda *_: False)[0].close()
    assert [row["reason"] for row in map(json.loads, _run("ls", full, "--json").stdout.splitlines())].count(
        "rejected"
    ) == 1
    assert _run("requeue", full, "--all").stdout == "1 segment, 3 events await delivery again\n"
    assert _counts(full)[1] == {}


def test_requeue_leaves_what_is_not_what_was_written(full: Path) -> None:
    file = _file(full, QUARANTINED)
    file.write_bytes(file.read_bytes()[:-1])
    result = _run("requeue", full, "--all")
    assert result.exit_code == 1
    assert f"{QUARANTINED} is not what was written: it stays" in result.stdout
    assert _counts(full)[1] == {"rejected": 3}
    assert file.exists()


@pytest.mark.parametrize("which", [[], [QUARANTINED, "--all"], ["--all", "--reason", "corrupt"]])
def test_requeue_wants_to_be_told_which(full: Path, which: list[str]) -> None:
    assert _run("requeue", full, *which).exit_code == 2
    assert _counts(full)[1] == {"rejected": 3}


def test_requeue_of_another_reason_or_segment_brings_nothing_back(full: Path) -> None:
    assert _run("requeue", full, "--reason", "corrupt").exit_code == 0
    result = _run("requeue", full, SEALED)
    assert (result.exit_code, _counts(full)[1]) == (1, {"rejected": 3})
    assert f"{SEALED} is not in quarantine" in result.stdout


def test_a_requeue_that_was_cut_short_is_finished_by_the_next_shipper(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or by the one that runs: it must not take what is on its way back for something that is settled."""
    with monkeypatch.context() as patch:
        patch.setattr("telemetry.spool.spool.bring_back", lambda *_: None)
        assert _run("requeue", full, "--all").exit_code == 0
    assert _file(full, QUARANTINED).parent.name == "quarantine"
    spool, _ = Spool.open(full, lambda *_: False)
    spool.close()
    assert _file(full, QUARANTINED).parent.name == "sealed"
    assert _counts(full)[1] == {}


def test_a_running_shipper_finds_what_is_brought_back_whatever_it_does_at_the_moment(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It read the ledger before, and the directory after: what it finds there is not settled, though it seems so."""
    spool, _ = Spool.open(full, lambda *_: False)
    add_segment(spool)
    set_aside = spool.take()
    assert set_aside is not None
    spool.quarantine(set_aside, DropReason.REJECTED)  # not compacted: the ledger knows it, as settled
    load = spool._sealed.load

    def bring_back_before() -> None:
        monkeypatch.undo()
        assert _run("requeue", full, "--all").exit_code == 0
        load()

    monkeypatch.setattr(spool._sealed, "load", bring_back_before)
    spool.salvage()
    assert _file(full, set_aside.head.id).parent.name == "sealed"
    spool.refresh()
    found = set()
    while seal := spool.take():
        found.add(seal.head.id)
        spool.ack(seal, 0)
    spool.close()
    assert {set_aside.head.id, QUARANTINED} <= found
    assert _counts(full)[1] == {}


# cat


def test_cat_writes_what_is_to_be_sent_byte_for_byte(full: Path) -> None:
    result = _run("cat", full)
    assert result.exit_code == 0
    assert result.stdout_bytes == _body(SEALED) + _body(ACTIVE)


@pytest.mark.parametrize("id_", STATES, ids=STATES.values())
def test_cat_writes_any_segment_by_its_id(id_: str, full: Path) -> None:
    assert _run("cat", full, id_).stdout_bytes == _body(id_)


def test_cat_writes_several_segments_oldest_first(full: Path) -> None:
    assert _run("cat", full, LOCAL, SENT).stdout_bytes == _body(SENT) + _body(LOCAL)


def test_cat_leaves_out_what_no_mark_vouches_for(full: Path) -> None:
    with _file(full, ACTIVE).open("ab") as data:
        data.write(b"half a block")
    assert _run("cat", full, ACTIVE).stdout_bytes == _body(ACTIVE)


def test_cat_of_a_torn_active_segment_ends_with_the_last_whole_drain(full: Path) -> None:
    path = _file(full, ACTIVE)
    path.write_bytes(path.read_bytes()[:-1])
    assert _run("cat", full, ACTIVE).stdout_bytes == b"".join(_body(ACTIVE).splitlines(keepends=True)[:2])


def test_cat_of_a_segment_that_is_not_there_ends_with_2(full: Path) -> None:
    result = _run("cat", full, "f" * 32)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "f" * 32 in result.stderr


def test_cat_of_what_is_no_zstd_ends_with_1_and_names_it(full: Path) -> None:
    _file(full, SEALED).write_bytes(b"no zstd stream")
    result = _run("cat", full, SEALED)
    assert result.exit_code == 1
    assert SEALED in result.stderr


# verify


def test_verify_finds_nothing_wrong_in_a_good_spool(full: Path) -> None:
    result = _run("verify", full, "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"good": True, "segments": 5, "faults": []})
    assert "all as written" in _run("verify", full).stdout


def _flip(path: Path, at: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def _append_false_line(path: Path) -> None:
    """A line with a good CRC that delivers what never was."""
    text = b'{"is":"total","tally":{"emitted":5},"delivered":7,"live":{}}'
    _append(path, b"%08x %b\n" % (zlib.crc32(text), text))


def _append(path: Path, data: bytes) -> None:
    path.write_bytes(path.read_bytes() + data)


HARM: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped bit in a sealed one": (lambda spool: _flip(_file(spool, SEALED)), SEALED),
    "a flipped bit in a sent one": (lambda spool: _flip(_file(spool, SENT)), SENT),
    "a flipped bit in a local one": (lambda spool: _flip(_file(spool, LOCAL)), LOCAL),
    "a byte more": (lambda spool: _append(_file(spool, SEALED), b"x"), SEALED),
    "no seal": (lambda spool: _file(spool, SEALED, ".json").unlink(), SEALED),
    "a seal that is none": (lambda spool: _file(spool, SEALED, ".json").write_bytes(b"{}"), SEALED),
    "a sealed one gone": (lambda spool: _file(spool, SEALED).unlink(), "ledger.log"),
    "a flipped bit in an active one": (lambda spool: _flip(_file(spool, ACTIVE), 5), ACTIVE),
    "an active one cut off": (lambda spool: _file(spool, ACTIVE).write_bytes(b""), ACTIVE),
    "no marks": (lambda spool: _file(spool, ACTIVE, ".marks").unlink(), ACTIVE),
    "marks that are none": (lambda spool: _file(spool, ACTIVE, ".marks").write_bytes(b"?\n"), ACTIVE),
    "a flipped bit in the ledger": (lambda spool: _flip(spool / "ledger.log", 20), "ledger.log"),
    "a torn ledger": (lambda spool: _append(spool / "ledger.log", b"12345678 {"), "ledger.log"),
    "a ledger that does not balance": (lambda spool: _append_false_line(spool / "ledger.log"), "unaccounted"),
}


@pytest.mark.parametrize(("harm", "named"), HARM.values(), ids=HARM)
def test_verify_names_what_is_wrong_and_ends_with_1(harm: Callable[[Path], object], named: str, full: Path) -> None:
    harm(full)
    result = _run("verify", full, "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert not report["good"]
    assert any(named in fault["where"] + fault["what"] for fault in report["faults"])
    assert named in _run("verify", full).stdout


def test_verify_lets_a_torn_end_of_an_active_segment_pass(full: Path) -> None:
    with _file(full, ACTIVE).open("ab") as data:
        data.write(b"not vouched for")
    assert _run("verify", full).exit_code == 0


# export


def test_export_copies_finished_bodies_byte_for_byte(full: Path, tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    result = _run("export", full, out, "--json")
    assert result.exit_code == 0
    finished = STATES.keys() - {ACTIVE}
    assert {path.name for path in out.iterdir()} == {f"{id_}.ndjson.zst" for id_ in finished}
    for id_ in finished:
        data = (out / f"{id_}.ndjson.zst").read_bytes()
        assert data == _file(full, id_).read_bytes()
        assert zstandard.ZstdDecompressor().decompressobj().decompress(data) == _body(id_)
    assert json.loads(result.stdout)["segments"] == 4


def test_export_to_where_nothing_can_be_written_ends_with_1(full: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = _run("export", full, tmp_path / "file" / "out")
    assert result.exit_code == 1
    assert "file" in result.stderr


# purge


def test_purge_erases_every_segment_and_the_ledger_says_why(full: Path) -> None:
    result = _run("purge", full, "--yes", "--json")
    assert result.exit_code == 0, result.stderr
    erased = json.loads(result.stdout)
    assert (erased["segments"], erased["events"]) == (5, 15)
    assert _is_empty(full)
    account = read_account(full)
    assert account.tally.dropped == {"consent": 9, "rejected": 3}
    assert (account.delivered, account.on_disk, account.balance) == (3, 0, 0)
    assert _run("verify", full).exit_code == 0


def test_purge_without_a_terminal_or_a_yes_erases_nothing(full: Path) -> None:
    result = _run("purge", full)
    assert result.exit_code == 2
    assert "--yes" in result.stderr
    assert not _is_empty(full)


def test_purge_refuses_while_a_shipper_writes_unless_forced(full: Path) -> None:
    living, _ = Spool.open(full, lambda *_: False)
    active = _begin(living, ABANDONED)
    try:
        result = _run("purge", full, "--yes")
        assert result.exit_code == 1
        assert "--force" in result.stderr
        assert _file(full, SEALED).exists()
        assert _run("purge", full, "--yes", "--force").exit_code == 0
        assert _is_empty(full)
        assert active.data_path.exists(), "what it is writing is its own"
    finally:
        active.close()
        living.close()
    assert read_account(full).balance == 0


def test_purge_refuses_while_a_shipper_delivers_though_it_writes_nothing(full: Path) -> None:
    living, _ = Spool.open(full, lambda *_: False)
    try:
        assert _run("purge", full, "--yes").exit_code == 1
        assert _file(full, SEALED).exists()
    finally:
        living.close()


# all


@pytest.mark.parametrize("name", ["ls", "cat", "verify", "export", "requeue", "purge"])
def test_a_directory_that_is_no_spool_ends_with_2_and_nothing_is_made(name: str, tmp_path: Path) -> None:
    more = {"export": [str(tmp_path / "out")], "requeue": ["--all"], "purge": ["--yes", "--force"]}
    result = _run(name, tmp_path, *more.get(name, []))
    assert result.exit_code == 2
    assert not any(tmp_path.iterdir())
    assert "is no spool" in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["ls", "cat", "verify", "purge"])
def test_a_spool_of_another_version_is_left_alone(name: str, full: Path) -> None:
    (full / "format").write_text("2")
    result = _run(name, full)
    assert result.exit_code == 2
    assert "'2'" in result.stderr


def test_looking_changes_nothing(full: Path) -> None:
    def tree() -> dict[Path, Any]:
        return {path: (path.lstat().st_mtime_ns, path.is_file() and path.read_bytes()) for path in full.rglob("*")}

    before = tree()
    for name in ("ls", "cat", "verify"):
        assert _run(name, full).exit_code == 0
    assert tree() == before


def test_beside_a_real_shipper_cat_shows_what_was_emitted_and_purge_refuses(
    start_host: StartHost, home: Path, refusing: str
) -> None:
    host = start_host(refusing)
    host.emit(25)
    (directory,) = (home / "state" / "acme-db").glob("spool-*")
    assert _run("verify", directory).exit_code == 0
    events = [json.loads(line) for line in _run("cat", directory).stdout.splitlines()]
    assert [event["event"] for event in events] == ["query_finished"] * 25
    assert _run("purge", directory, "--yes").exit_code == 1
    host.leave()
    wait_until(lambda: "sealed" in _run("ls", directory).stdout)
    assert len(_run("cat", directory).stdout.splitlines()) == 25
    assert _run("verify", directory).exit_code == 0
