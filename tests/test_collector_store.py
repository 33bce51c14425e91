"""The collector's store: what opening mends, and when a directory is refused."""

from __future__ import annotations

import contextlib
import gzip
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.collector.forget import Forgotten, forget
from telemetry.collector.store import BatchRecord, Store
from telemetry.errors import ConfigError
from telemetry.receipt import Receipt

BATCH = "0123456789abcdef0123456789abcdef"
RECORD = BatchRecord(
    BATCH, "2026-01-01T00:00:00Z", "acme-db/3", Receipt("on", "host", 0, "cloud"), None, "/v1/batches", 4
)


def keep(directory: Path, body: bytes) -> bool:
    with contextlib.closing(Store(directory)) as store, store.begin(BATCH, ".ndjson") as incoming:
        incoming.write(body)
        return store.commit(incoming, RECORD)


def files(directory: Path) -> set[str]:
    return {path.name for part in ("batches", "incoming") for path in (directory / part).iterdir()}


def test_a_body_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        with store.begin(BATCH, ".ndjson") as incoming:
            incoming.write(b"body")
            incoming.describe(RECORD)
            incoming.make_safe()
            assert files(tmp_path)
        assert not files(tmp_path)


@pytest.mark.parametrize("piece_bytes", [2, 100_000])
def test_a_body_gets_a_file_when_it_has_grown_or_is_whole(tmp_path: Path, piece_bytes: int) -> None:
    piece = b"x" * piece_bytes
    with contextlib.closing(Store(tmp_path)) as store, store.begin(BATCH, ".ndjson") as incoming:
        incoming.write(piece)
        assert not files(tmp_path)
        incoming.write(piece)
        assert bool(files(tmp_path)) == (piece_bytes > 2)
        incoming.write(b"dy")
        incoming.flush()
        assert (incoming.path.read_bytes(), incoming.bytes) == (piece * 2 + b"dy", piece_bytes * 2 + 2)


def test_a_batch_is_kept_once(tmp_path: Path) -> None:
    assert keep(tmp_path, b"one!")
    assert not keep(tmp_path, b"two!")
    assert files(tmp_path) == {f"{BATCH}.ndjson", f"{BATCH}.json"}
    assert (tmp_path / "batches" / f"{BATCH}.ndjson").read_bytes() == b"one!"


def test_opening_removes_what_never_arrived_whole_and_a_record_whose_body_did_not_follow(
    tmp_path: Path,
) -> None:
    Store(tmp_path).close()
    (tmp_path / "incoming" / f"{BATCH}-0011223344556677").write_bytes(b"bo")
    (tmp_path / "batches" / f"{BATCH}.json").write_bytes(b"{}")

    Store(tmp_path).close()

    assert not files(tmp_path)


def test_opening_keeps_a_batch_whose_repetition_never_arrived_whole(tmp_path: Path) -> None:
    keep(tmp_path, b"body")
    (tmp_path / "incoming" / f"{BATCH}-0011223344556677").write_bytes(b"bo")
    (tmp_path / "incoming" / f"{BATCH}-0011223344556677.json").write_bytes(b"{")

    Store(tmp_path).close()

    assert files(tmp_path) == {f"{BATCH}.ndjson", f"{BATCH}.json"}


def test_a_store_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)), pytest.raises(ConfigError, match="another collector"):
        Store(tmp_path)
    Store(tmp_path).close()


@pytest.mark.parametrize("part", ["batches", "incoming"])
def test_a_part_that_is_a_link_is_refused_and_nothing_behind_it_is_touched(tmp_path: Path, part: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / f"{BATCH}-0011223344556677").write_bytes(b"precious")
    store = tmp_path / "store"
    store.mkdir()
    (store / part).symlink_to(elsewhere)

    with pytest.raises(ConfigError, match="link"):
        Store(store)
    assert (elsewhere / f"{BATCH}-0011223344556677").read_bytes() == b"precious"


def test_a_store_below_a_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    parent = tmp_path / "parent"
    (parent / "store").mkdir(parents=True)
    parent.chmod(0o777)
    with pytest.raises(ConfigError, match="others may write in"):
        Store(parent / "store")
    with pytest.raises(ConfigError, match="others may write in"):
        Store(parent / "none-yet")
    parent.chmod(0o1777)  # as /tmp is: nobody can rename what is another one's
    Store(parent / "store").close()


@pytest.mark.parametrize("part", ["", "batches", "incoming"])
def test_a_directory_that_others_may_write_is_refused(tmp_path: Path, part: str) -> None:
    Store(tmp_path / "store").close()
    (tmp_path / "store" / part).chmod(0o707)
    with pytest.raises(ConfigError, match=r"others may write in .*chmod go-w"):
        Store(tmp_path / "store")


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
@pytest.mark.parametrize("part", ["batches", "incoming"])
def test_a_part_of_another_user_is_refused(tmp_path: Path, part: str) -> None:
    Store(tmp_path / "store").close()
    os.chown(tmp_path / "store" / part, 12_345, 12_345)
    with pytest.raises(ConfigError, match="12345"):
        Store(tmp_path / "store")


@pytest.mark.parametrize("name", ["collector.lock", "erased.sqlite", "erased.lock"])
def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path, name: str) -> None:
    Store(tmp_path / "store").close()
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / "store" / name).unlink()
    (tmp_path / "store" / name).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError):  # noqa: PT011 which one, the system decides
        Store(tmp_path / "store")
    assert (tmp_path / "precious").read_bytes() == b"precious"


def test_what_others_have_put_into_incoming_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    (tmp_path / "incoming" / "README").write_bytes(b"mine")
    (tmp_path / "incoming" / BATCH).mkdir()
    Store(tmp_path).close()
    assert {path.name for path in (tmp_path / "incoming").iterdir()} == {"README", BATCH}


def _line(session: str, more: str = "") -> bytes:
    return b'{"event":"e","time":"2026-01-01T00:00:00Z","session":"%b"%b}\n' % (session.encode(), more.encode())


def _keep(store: Store, number: int, body: bytes, suffix: str, received: str = "2026-01-01T00:00:00Z") -> bool:
    record = RECORD._replace(batch=f"{number:032x}", received=received, bytes=len(body))
    with store.begin(record.batch, suffix) as incoming:
        incoming.write(body)
        return store.commit(incoming, record, {"s1"} if b'"s1"' in body else ())


def test_a_session_is_forgotten_in_every_kind_of_body_and_comes_never_again(tmp_path: Path) -> None:
    session = "00112233445566778899aabbccddeeff"
    mine, other = _line(session), _line("s2", f',"detail":"{session}"')
    uuid = b"\x0a\x2400112233-4455-6677-8899-aabbccddeeff"
    stream = zstandard.ZstdCompressor().compressobj()
    bodies = [
        (zstandard.compress(mine * 3), ".ndjson.zst"),
        (stream.compress(mine + other + mine) + stream.flush(), ".ndjson.zst"),
        (gzip.compress(mine + other), ".ndjson.gz"),
        (mine[:-1], ".ndjson"),
        (other, ".ndjson"),
        (uuid, ".pb"),
        (zstandard.compress(uuid), ".pb.zst"),
        (gzip.compress(session.encode()), ".pb.gz"),
        (b"\x0a\x01x", ".pb"),
    ]
    with contextlib.closing(Store(tmp_path)) as store:  # a collector that runs
        for number, (body, suffix) in enumerate(bodies):
            assert _keep(store, number, body, suffix)

        assert forget(tmp_path, session) == Forgotten(5, 2, 7, ())

        left = {path.name: path.read_bytes() for path in (tmp_path / "batches").iterdir() if path.suffix != ".json"}
        assert left.keys() == {
            f"{1:032x}.ndjson.zst",
            f"{2:032x}.ndjson.gz",
            f"{4:032x}.ndjson",
            f"{8:032x}.pb",
        }
        assert gzip.decompress(left[f"{2:032x}.ndjson.gz"]) == other
        assert zstandard.ZstdDecompressor().decompressobj().decompress(left[f"{1:032x}.ndjson.zst"]) == other
        assert left[f"{4:032x}.ndjson"] == other
        assert len(list((tmp_path / "batches").iterdir())) == 8
        assert not any((tmp_path / "incoming").iterdir())

        for number, (body, suffix) in enumerate(bodies):  # repeats
            assert not _keep(store, number, body, suffix)
        assert forget(tmp_path, session) == Forgotten(0, 0, 0, ())


def test_of_a_forgotten_session_nothing_new_is_kept(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        forget(tmp_path, "s1")
        assert not _keep(store, 1, _line("s1"), ".ndjson")
        assert _keep(store, 2, _line("s2"), ".ndjson")
    with contextlib.closing(Store(tmp_path)) as store:
        assert not _keep(store, 3, _line("s1"), ".ndjson")


def test_a_body_that_can_not_be_read_is_named_and_left(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        _keep(store, 1, b"rubbish", ".ndjson.zst")
        _keep(store, 2, _line("s1"), ".ndjson")
    assert forget(tmp_path, "s1") == Forgotten(1, 0, 1, (f"{1:032x}.ndjson.zst",))


def _held(directory: Path) -> int:
    return sum(path.stat().st_size for path in (directory / "batches").iterdir())


_DAYS = st.sampled_from(["2026-01-01", "2026-01-02", "2026-01-03"])
_STEPS = st.one_of(
    st.tuples(
        st.just("store"),
        st.integers(0, 9),
        st.sampled_from([_line("s1"), _line("s2"), _line("s1") + _line("s2")]),
        _DAYS,
    ),
    st.tuples(st.just("give up"), st.integers(0, 9)),
    st.tuples(st.just("expire"), _DAYS),
    st.tuples(st.just("forget"), st.sampled_from(["s1", "s2", "s3"])),
    st.tuples(st.just("restart")),
)


@settings(max_examples=30, deadline=None)
@given(steps=st.lists(_STEPS, max_size=10), max_bytes=st.sampled_from([0, 1 << 20]))
def test_what_the_store_says_it_holds_is_what_lies_there(steps: list[tuple[Any, ...]], max_bytes: int) -> None:
    with TemporaryDirectory() as place:
        directory = Path(place)
        store = Store(directory, max_bytes=max_bytes)
        for step in steps:
            match step:
                case ("store", number, body, day):
                    _keep(store, number, body, ".ndjson", f"{day}T00:00:00Z")
                case ("give up", number):
                    with store.begin(f"{number:032x}", ".ndjson") as incoming:
                        incoming.write(b"half")
                        assert store.usage()[0] == _held(directory) + 4
                case ("expire", day):
                    sum(store.expire(f"{day}T00:00:00Z"))
                case ("forget", session):
                    forget(directory, session)
                case _:
                    store.close()
                    store = Store(directory, max_bytes=max_bytes)
            assert store.usage()[0] == _held(directory)
        store.close()


def test_room_that_another_process_has_made_is_used(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path, max_bytes=8000)) as store:
        assert _keep(store, 1, _line("s1", f',"detail":"{"x" * 6000}"'), ".ndjson")
        with pytest.raises(OSError, match="--max-store-bytes"):
            _keep(store, 2, bytes(6000), ".pb")
        forget(tmp_path, "s1")
        assert _keep(store, 2, bytes(6000), ".pb")


def test_old_batches_are_removed_and_known_and_give_back_their_room(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path, max_bytes=1 << 20)) as store:
        for number, day in enumerate(["2025-12-31", "2026-01-02", "2026-01-03"]):
            _keep(store, number, bytes(300_000), ".pb", f"{day}T00:00:00Z")
        (tmp_path / "batches" / "unknown.json").write_bytes(b"rubbish")

        assert sum(store.expire("2026-01-03T00:00:00Z")) == 2

        assert files(tmp_path) == {f"{2:032x}.pb", f"{2:032x}.json", "unknown.json"}
        assert store.knows(f"{0:032x}")
        assert not _keep(store, 1, bytes(300_000), ".pb")
        assert _keep(store, 3, bytes(600_000), ".pb")
