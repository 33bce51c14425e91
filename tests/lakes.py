"""Stores to be loaded, and the loader as a process or in this one; what the tables have is compared with the store."""

from __future__ import annotations

import hashlib
import json
import random
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import zstandard

from telemetry.collector.catalogs import kept_catalogs
from telemetry.collector.query import ask
from telemetry.collector.tables.lake import Lake, place_of
from telemetry.collector.tables.loader import Loader, Pace
from telemetry.collector.tables.read import ask_tables
from telemetry.collector.tables.stored import StoreSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from telemetry.catalog.model import Catalog
    from telemetry.collector.query import Asked
    from telemetry.collector.views import Plan

    Question = str | Callable[[Plan, list[Catalog]], str]

CATALOG = """
[catalog]
product = "acme-db"
version = {version}

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = {{ type = "float", purpose = "find slow engines" }}
engine = {{ type = "enum", values = ["batch", "stream"], purpose = "compare engines" }}
rows = {{ type = "int", purpose = "how much is read" }}
cached = {{ type = "bool", purpose = "whether the cache helps" }}
note = {{ type = "message", templates = ["took {{n:int}} rows"], purpose = "what is said" }}
{more}

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
[events.queries.fields]
engine = {{ type = "enum", values = ["batch", "stream"], purpose = "compare engines" }}

[events.query_times]
kind = "distribution"
purpose = "how long queries take"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"

[events.sampled]
purpose = "some of many"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
sample = 0.5
[events.sampled.fields]
product = {{ type = "enum", values = ["a"], purpose = "a name that uploads have too" }}
"""
EAGER = Pace()
SESSION = "0123456789abcdef0123456789abcdef"
LABEL = "acme-db/3"


def declare(store: Path, version: int = 3, more: str = "") -> None:
    """Give a store a catalog, as `telemetry collect --catalog` does."""
    text = CATALOG.format(version=version, more=more).encode()
    (store / "catalogs").mkdir(parents=True, exist_ok=True)
    (store / "catalogs" / f"{hashlib.sha256(text).hexdigest()}.toml").write_bytes(text)


def an_event(chance: random.Random) -> dict[str, Any]:
    """Return an event as a shipper writes it."""
    head = {"time": f"2026-01-31T10:{chance.randrange(60):02d}:00Z", "session": SESSION}
    match chance.randrange(6):
        case 0:
            return {"event": "queries", **head, "engine": "stream", "count": chance.randrange(1, 50)}
        case 1:
            counts = [chance.randrange(9) for _ in range(4)]
            numbers = {"count": sum(counts), "sum": 12.5, "min": 0.5, "max": 8.0, "scale": 2, "offset": -3}
            return {"event": "query_times", **head, **numbers, "bucket_counts": counts}
        case 2:
            return {"event": "sampled", **head, "weight": 2.0, "product": "a"}
        case _:
            return {
                "event": "query_finished",
                **head,
                "duration_ms": round(chance.expovariate(0.02), 3),
                "engine": chance.choice(["batch", "stream"]),
                "rows": chance.randrange(10**6),
                **({"cached": chance.random() < 0.5} if chance.random() < 0.7 else {}),
                **({"note": "took {n} rows", "note_n": 3} if chance.random() < 0.3 else {}),
            }


def put(
    store: Path,
    events: Sequence[dict[str, Any] | bytes],
    *,
    batch: str | None = None,
    received: str = "2026-01-31T10:00:00Z",
    catalog: str = LABEL,
    suffix: str = ".ndjson.zst",
) -> str:
    """Put a batch into a store as a collector would, without the waits for the disk."""
    batch = batch or f"{random.getrandbits(128):032x}"
    body = b"".join(event if isinstance(event, bytes) else json_line(event) for event in events)
    batches = store / "batches"
    batches.mkdir(parents=True, exist_ok=True)
    record = {
        "batch": batch,
        "received": received,
        "catalog": catalog,
        "receipt": {"level": "on", "basis": "host", "notice": 2, "deployment": "cloud"},
        "ledger": '{"emitted": 7}',
        "route": "/v1/batches",
        "bytes": len(body),
        "catalog_digest": "ab" * 32,
        "first": {"day": True, "week": False, "month": False},
    }
    (batches / f"{batch}.json").write_text(json.dumps(record))
    arriving = store / f"arriving-{batch}"
    arriving.write_bytes(zstandard.compress(body) if suffix.endswith(".zst") else body)
    arriving.rename(batches / f"{batch}{suffix}")
    return batch


def json_line(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


def fill(store: Path, batches: int, events: int = 20, *, seed: int = 1, days: int = 1) -> None:
    """Put batches of events into a store, received over some days."""
    chance = random.Random(seed)
    for number in range(batches):
        received = f"2026-01-{28 + number * days // batches:02d}T10:{number % 60:02d}:00Z"
        put(
            store, [an_event(chance) for _ in range(events)], batch=f"{chance.getrandbits(128):032x}", received=received
        )


def lake_at(place: Path) -> Lake:
    return Lake(place_of(str(place), None), is_new=True)


def loader(
    lake: Lake,
    store: Path,
    notes: list[str] | None = None,
    pace: Pace = EAGER,
    *,
    keep_types: bool = False,
) -> Loader:
    """Return a loader of a store in this process."""
    source = StoreSource(store)
    said = [] if notes is None else notes
    catalogs = lambda: [catalog for _, catalog in kept_catalogs(store) if catalog]  # noqa: E731
    return Loader(lake, source, source.partitions()[0], catalogs, pace, said.append, keep_types=keep_types)


def load_here(store: Path, place: Path, notes: list[str] | None = None, *, keep_types: bool = False) -> dict[str, int]:
    """Load a store in this process; return the rows by table."""
    loading = loader(lake_at(place), store, notes, keep_types=keep_types)
    loading.advance(lambda: False)
    assert loading.commit()
    return loading.rows


def run_load(store: Path, place: Path | str, *options: str, **more: Any) -> subprocess.CompletedProcess[str]:
    """Load a store by the command."""
    command = [sys.executable, "-m", "telemetry", "load", str(store), "--tables", str(place), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, **more)


def of_store(store: Path, sql: Question) -> list[dict[str, Any]]:
    """Answer a query over a store."""
    return ask(store, sql, (), _objects, lambda _: None)


def of_tables(place: Path | Lake, sql: Question) -> list[dict[str, Any]]:
    """Answer a query over tables."""
    return ask_tables(place if isinstance(place, Lake) else lake_at(place), sql, _objects)


def _objects(asked: Asked) -> list[dict[str, Any]]:
    return [json.loads(row) for row in asked.objects()]


EVENTS = ("query_finished", "queries", "query_times", "sampled")


def assert_same(store: Path, place: Path | Lake) -> None:
    """Compare what queries over a store and over its tables see, row by row."""
    for view in EVENTS:
        sql = f"SELECT * FROM {view} ORDER BY ALL"
        assert of_tables(place, sql) == of_store(store, sql), view
    sql = "SELECT event, session, count(*) AS n, count(DISTINCT batch) AS batches FROM events GROUP BY ALL ORDER BY ALL"
    assert of_tables(place, sql) == of_store(store, sql)


def ids(place: Path) -> Counter[str]:
    """Count the batches in tables by id."""
    return Counter(row["batch"] for row in of_tables(place, "SELECT batch FROM batches"))
