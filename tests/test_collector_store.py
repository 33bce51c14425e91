"""The collector's store: what opening mends, and when a directory is refused."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from telemetry.collector.store import BatchRecord, Store
from telemetry.errors import ConfigError
from telemetry.receipt import Receipt

if TYPE_CHECKING:
    from pathlib import Path

BATCH = "0123456789abcdef0123456789abcdef"
RECORD = BatchRecord(
    BATCH, "2026-01-01T00:00:00Z", "acme-db/3", Receipt("on", "host", 0, "cloud"), None, "/v1/batches", 4
)


def keep(directory: Path, body: bytes) -> bool:
    with contextlib.closing(Store(directory)) as store, store.begin(BATCH, ".ndjson") as incoming:
        incoming.write(body)
        return store.commit(incoming, RECORD)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*") if path.is_file() and path.name != "collector.lock"}


def test_a_body_without_a_commit_leaves_nothing(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)) as store:
        with store.begin(BATCH, ".ndjson") as incoming:
            incoming.write(b"body")
            incoming.sync()
            assert files(tmp_path)
        assert not files(tmp_path)


def test_a_batch_is_kept_once(tmp_path: Path) -> None:
    assert keep(tmp_path, b"one!")
    assert not keep(tmp_path, b"two!")
    assert files(tmp_path) == {f"{BATCH}.ndjson", f"{BATCH}.json"}
    assert (tmp_path / "batches" / f"{BATCH}.ndjson").read_bytes() == b"one!"


def test_opening_removes_what_never_arrived_whole_and_a_record_whose_body_did_not_follow(
    tmp_path: Path,
) -> None:
    Store(tmp_path).close()
    (tmp_path / "incoming" / f"{BATCH}-0011").write_bytes(b"bo")
    (tmp_path / "batches" / f"{BATCH}.json").write_bytes(b"{}")

    Store(tmp_path).close()

    assert not files(tmp_path)


def test_opening_keeps_a_batch_whose_repetition_never_arrived_whole(tmp_path: Path) -> None:
    keep(tmp_path, b"body")
    (tmp_path / "incoming" / f"{BATCH}-0011").write_bytes(b"bo")
    (tmp_path / "incoming" / f"{BATCH}-0011.json").write_bytes(b"{")

    Store(tmp_path).close()

    assert files(tmp_path) == {f"{BATCH}.ndjson", f"{BATCH}.json"}


def test_a_store_has_one_writer_at_a_time(tmp_path: Path) -> None:
    with contextlib.closing(Store(tmp_path)), pytest.raises(ConfigError, match="another collector"):
        Store(tmp_path)
    Store(tmp_path).close()
