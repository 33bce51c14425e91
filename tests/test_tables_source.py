"""A store as a source of the loader: a batch keeps its place, whatever the listing, the clock and erasures do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from telemetry.collector.tables.source import SourceError
from telemetry.collector.tables.stored import StoreSource
from telemetry.receipt import Receipt

RECEIPT = Receipt("on", "host", 0, "unknown")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "store" / "batches").mkdir(parents=True)
    return tmp_path / "store"


def put(store: Path, batch: str, received: str = "2026-01-31T10:00:00Z", body: bytes = b"{}\n") -> None:
    said = {
        "batch": batch,
        "received": received,
        "catalog": "acme-db/3",
        "receipt": RECEIPT._asdict(),
        "ledger": None,
        "route": "/v1/batches",
        "bytes": len(body),
        "catalog_digest": "ab" * 32,
    }
    (store / "batches" / f"{batch}.json").write_text(json.dumps(said))
    (store / "batches" / f"{batch}.ndjson").write_bytes(body)


def order(source: StoreSource, after: int = 0) -> list[tuple[int, str]]:
    return [(batch.sequence, batch.batch) for batch in source.read(source.partitions()[0], after)]


def test_a_batch_is_read_with_what_the_collector_recorded(store: Path) -> None:
    put(store, "a" * 32, body=b'{"event":"x"}\n')
    source = StoreSource(store)
    (batch,) = source.read(source.partitions()[0], 0)
    assert batch.received == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert (batch.catalog, batch.catalog_digest, batch.receipt) == ("acme-db/3", "ab" * 32, RECEIPT)
    assert (batch.route, batch.suffix, batch.body) == ("/v1/batches", ".ndjson", b'{"event":"x"}\n')


def test_what_comes_later_is_behind_even_if_its_name_and_time_are_before(store: Path) -> None:
    put(store, "b" * 32)
    source = StoreSource(store)
    assert order(source) == [(1, "b" * 32)]
    put(store, "a" * 32, received="2020-01-01T00:00:00Z")
    os.utime(store / "batches" / f"{'a' * 32}.ndjson", (0, 0))
    assert order(source) == [(1, "b" * 32), (2, "a" * 32)]
    assert order(source, 1) == [(2, "a" * 32)]


def test_the_order_outlives_a_restart_and_erasures(store: Path) -> None:
    for letter in "cab":
        put(store, letter * 32)
        os.utime(store / "batches" / f"{letter * 32}.ndjson", (ord(letter), ord(letter)))
    source = StoreSource(store)
    partition, before = source.partitions()[0], order(source)
    assert [batch[0] for _, batch in before] == ["a", "b", "c"]
    source.close()
    (store / "batches" / f"{'a' * 32}.ndjson").unlink()
    (store / "batches" / f"{'c' * 32}.ndjson").unlink()
    again = StoreSource(store)
    assert again.partitions() == (partition,)
    assert order(again) == [before[1]]
    assert again.first(partition) == before[1][0]
    put(store, "d" * 32)
    assert order(again) == [before[1], (4, "d" * 32)]  # 3 is given to nobody else


def test_an_empty_store_tells_the_sequence_that_comes_next(store: Path) -> None:
    source = StoreSource(store)
    assert source.first(source.partitions()[0]) == 1
    put(store, "a" * 32)
    assert order(source) == [(1, "a" * 32)]
    (store / "batches" / f"{'a' * 32}.ndjson").unlink()
    assert source.first(source.partitions()[0]) == 2


def test_several_loaders_that_number_at_once_agree(store: Path) -> None:
    seen: list[list[tuple[int, str]]] = []

    def follow() -> None:
        source = StoreSource(store)
        found: list[tuple[int, str]] = []
        while len(found) < 60:
            found += order(source, found[-1][0] if found else 0)
        seen.append(found)
        source.close()

    followers = [threading.Thread(target=follow) for _ in range(3)]
    for follower in followers:
        follower.start()
    for number in range(60):
        put(store, f"{number * 7919 % 60:032x}")
    for follower in followers:
        follower.join(60)
    assert seen[0] == seen[1] == seen[2]
    assert sorted(batch for _, batch in seen[0]) == [f"{number:032x}" for number in range(60)]


def test_what_is_no_body_is_passed_over(store: Path) -> None:
    put(store, "a" * 32)
    batches = store / "batches"
    (batches / "notes.txt").write_text("?")
    (batches / "folder.ndjson").mkdir()
    (batches / "link.ndjson").symlink_to("/etc/passwd")
    os.mkfifo(batches / "pipe.ndjson")
    (batches / os.fsdecode(b"odd-\xff.ndjson")).write_bytes(b"{}\n")
    (batches / f"{'a' * 32}.json").write_text("no record")
    source = StoreSource(store)
    found = {batch.batch: batch for batch in source.read(source.partitions()[0], 0)}
    assert set(found) == {"a" * 32, "odd-\\udcff"}
    assert found["a" * 32].receipt is None
    assert found["a" * 32].received.tzinfo is UTC


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_who_can_not_write_in_the_store_is_told_so() -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        (store := Path(place, "store")).mkdir()
        (store / "batches").mkdir()
        put(store, "a" * 32)
        code = (
            "import os, pathlib, sys; from telemetry.collector.tables.stored import StoreSource; os.setuid(65534);"
            "StoreSource(pathlib.Path(sys.argv[1]))"
        )
        done = subprocess.run([sys.executable, "-c", code, store], capture_output=True, text=True, check=False)
    assert f"{SourceError.__name__}: {store}/sequences.sqlite can't be used" in done.stderr
