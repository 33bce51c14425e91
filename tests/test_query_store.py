"""What `ask` makes of stores as they are found: large, of several catalogs, with things in them that nobody meant."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import secrets
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from opentelemetry.proto.common.v1 import common_pb2 as common
from opentelemetry.proto.logs.v1 import logs_pb2 as logs

from telemetry.collector.bodies import Bodies
from telemetry.collector.catalogs import FOLDER, keep_catalogs
from telemetry.collector.query import Asked, QueryError, ask
from telemetry.collector.store import BatchRecord, Store
from telemetry.errors import CatalogError
from telemetry.receipt import Receipt
from telemetry.shipper.encode import telemetry_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TIME = "2026-01-01T00:01:00Z"
EVENT = {"event": "started", "time": TIME, "session": "s1"}
RECEIPT = Receipt("on", "host", 2, "cloud")
CATALOG = """
[catalog]
product = "{product}"
version = {version}
"""
DECLARED = """
[events."{event}"]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events."{event}".fields]
"""


class Asking:
    """A store, and questions to it; `notes` is what was said beside the last answer."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.notes: list[str] = []
        Store(directory).close()

    def keep(self, *events: object, catalog: str = "acme-db/3", suffix: str = ".ndjson.zst", route: str = "/v1") -> str:
        body = b"".join(event if isinstance(event, bytes) else json.dumps(event).encode() + b"\n" for event in events)
        return self.keep_file(zstandard.compress(body) if suffix.endswith(".zst") else body, catalog, suffix, route)

    def keep_file(
        self, data: bytes, catalog: str = "acme-db/3", suffix: str = ".ndjson.zst", route: str = "/v1"
    ) -> str:
        batch = secrets.token_hex(16)
        with contextlib.closing(Store(self.directory)) as store, store.begin(batch, suffix) as incoming:
            incoming.write(data)
            store.commit(incoming, BatchRecord(batch, TIME, catalog, RECEIPT, None, route, incoming.bytes))
        return batch

    def declare(
        self, events: dict[str, dict[str, str]] | None = None, *, product: str = "acme-db", version: int = 3
    ) -> Path:
        text = CATALOG.format(product=product, version=version)
        for event, fields in (events or {}).items():
            text += DECLARED.format(event=event)
            text += "".join(f'{name} = {{ {kind}, purpose = "p" }}\n' for name, kind in fields.items())
        file = self.directory.parent / f"{secrets.token_hex(4)}.toml"
        file.write_text(text)
        return file

    def __call__(self, sql: str, *catalogs: Path) -> list[dict[str, Any]]:
        self.notes = []
        rows = ask(self.directory, sql, catalogs, lambda asked: list(asked.objects()), self.notes.append)
        return [json.loads(row) for row in rows]

    def types(self, view: str, *catalogs: Path) -> dict[str, str]:
        described = self(f'DESCRIBE "{view}"', *catalogs)
        stamped = {"event", "time", "session", "product", "catalog", "batch", "received"}
        return {row["column_name"]: row["column_type"] for row in described if row["column_name"] not in stamped}


@pytest.fixture
def store(tmp_path: Path) -> Asking:
    return Asking(tmp_path / "store")


INT, FLOAT, BOOL = 'type = "int"', 'type = "float"', 'type = "bool"'
ENUM = 'type = "enum", values = ["failed", "done"]'
TEXT = 'type = "text", max_length = 100'


# Bodies that can't be read.


@pytest.mark.parametrize(
    "damaged",
    [
        pytest.param(b"", id="zero-bytes"),
        pytest.param(b"hello", id="no-zstd"),
        pytest.param(zstandard.compress(b'{"event": "x"}\n' * 9)[:-3], id="cut-short"),
        pytest.param(zstandard.compress(b'{"event": "x"}\n') + b"junk", id="junk-behind"),
        pytest.param(zstandard.compress(b'{"event": "x"}\n{"event": "x"'), id="half-a-line"),
        pytest.param(zstandard.compress(b'{"event": "x"}\n[1]\n'), id="no-object"),
        pytest.param(zstandard.compress(b'{"event": "x", "event": "y"}\n'), id="a-key-twice"),
        pytest.param(zstandard.compress(b'{"event": "x"} {"event": "y"}\n'), id="two-in-a-line"),
        pytest.param(zstandard.compress(b'{"event": "\xff"}\n'), id="no-utf-8"),
        pytest.param(zstandard.compress(b'{"event": "\\ud800"}\n'), id="half-a-surrogate"),
        pytest.param(zstandard.compress(b'\xef\xbb\xbf{"event": "x"}\n'), id="byte-order-mark"),
        pytest.param(zstandard.compress(b'{"event": "' + b"x" * (100 << 20) + b'"}\n'), id="endless-line"),
        pytest.param(zstandard.compress(b'{"event": "x"}\n' * 400_000 + b"}"), id="late-in-a-large-one"),
    ],
)
def test_a_body_that_can_not_be_read_is_named_and_passed_over_as_a_whole(store: Asking, damaged: bytes) -> None:
    for _ in range(3):
        store.keep(EVENT)
    store.keep_file(os.urandom(64) + damaged, suffix=".ndjson.br")  # no body by its name: nobody looks at it
    batch = store.keep_file(damaged)
    store.keep(EVENT)
    assert store("SELECT event, count(*) AS n FROM events GROUP BY ALL") == [{"event": "started", "n": 4}]
    assert [note for note in store.notes if batch in note] == [note for note in store.notes if "skipped" in note]
    assert len([note for note in store.notes if batch in note]) == 1


def _large(*, checksum: bool = True) -> bytes:
    lines = b"".join(json.dumps({"event": "x", "n": secrets.token_hex(20)}).encode() + b"\n" for _ in range(9000))
    return zstandard.ZstdCompressor(level=1, write_checksum=checksum).compress(lines)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda body: body[:-1], id="a-byte-less"),
        pytest.param(lambda body: body[: len(body) // 2], id="half"),
        pytest.param(lambda body: body + b"\0", id="a-byte-more"),
        pytest.param(lambda body: body[:-1] + bytes([body[-1] ^ 1]), id="another-checksum"),
        *(
            pytest.param(
                lambda body, at=at: body[: (i := len(body) * at // 10)] + bytes([body[i] ^ 16]) + body[i + 1 :],
                id=f"a-bit-flipped-after-{at}-tenths",
            )
            for at in (1, 5, 9)
        ),
        pytest.param(lambda body: body[:4] + b"\xff" + body[5:], id="another-head"),
    ],
)
def test_a_large_body_that_is_damaged_is_named_and_passed_over(store: Asking, damage: Callable[[bytes], bytes]) -> None:
    store.keep_file(_large())
    batch = store.keep_file(damage(_large()))
    assert store("SELECT event, count(*) AS n FROM events GROUP BY ALL") == [{"event": "x", "n": 9000}]
    assert len([note for note in store.notes if batch in note and "skipped" in note]) == 1


def test_large_bodies_are_read_as_they_lie_or_not_and_come_to_the_same(store: Asking) -> None:
    body = _large()
    plain = zstandard.ZstdDecompressor().decompress(body)
    half = plain.index(b"\n", len(plain) // 2) + 1
    raw = b"".join(
        (len(piece) << 3 | (at + 100 >= 20_000)).to_bytes(3, "little") + piece
        for at, piece in ((at, plain[at : at + 100]) for at in range(0, 20_000, 100))
    )
    for form in (
        body,
        _large(checksum=False),
        zstandard.compress(plain[:half]) + zstandard.compress(plain[half:]),
        b"\x50\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"skip" + body,
    ):
        store.keep_file(form)
    store.keep_file(plain, suffix=".ndjson")
    assert store("SELECT count(*) AS n, count(DISTINCT batch) AS b FROM events") == [{"n": 45_000, "b": 5}]
    store.keep_file(b"\x28\xb5\x2f\xfd\x00\x58" + raw)  # two hundred blocks, and a line that is cut
    assert store("SELECT count(*) AS n FROM events") == [{"n": 45_000}]
    assert len(store.notes) <= 2


def test_many_damaged_bodies_are_counted_beyond_the_first_ten(store: Asking) -> None:
    for _ in range(30):
        store.keep_file(b"no zstd")
        store.keep_file(zstandard.compress(b"{}\n[]\n"))
    store.keep(EVENT)
    assert store("SELECT count(*) AS n FROM events") == [{"n": 1}]
    assert store.notes[-1] == "skipped: 50 more that can't be read"


def test_what_can_not_be_read_is_passed_over_in_every_form_of_an_answer(store: Asking, tmp_path: Path) -> None:
    store.keep(*[EVENT] * 5000)
    store.keep_file(zstandard.compress(b'{"event": "x"}\n' * 400_000 + b"}"))

    def written(form: str) -> bytes:
        def take(asked: Asked) -> None:
            asked.write(file, form)

        with (tmp_path / form).open("w+b") as file:
            ask(store.directory, "SELECT event, time FROM events", [], take, store.notes.append)
            file.seek(0)
            return file.read()

    assert written("csv") == b"event,time\n" + b"started,2026-01-01 00:01:00+00\n" * 5000
    assert written("parquet").endswith(b"PAR1")


def test_frames_one_after_the_other_are_one_body(store: Asking) -> None:
    line = json.dumps(EVENT).encode() + b"\n"
    store.keep_file(zstandard.compress(line) * 3)
    assert store("SELECT count(*) AS n FROM events") == [{"n": 3}]


def test_blank_lines_blanks_and_a_missing_newline_are_no_fault(store: Asking) -> None:
    line = json.dumps(EVENT).encode()
    store.keep_file(zstandard.compress(b"\n\n  " + line + b"\r\n\t" + line + b"  \n   \n{}\n" + line))
    found = store("SELECT event, count(*) AS n, count(DISTINCT batch) AS batches FROM events GROUP BY ALL ORDER BY ALL")
    assert found == [{"event": "started", "n": 3, "batches": 1}, {"event": None, "n": 1, "batches": 1}]


def test_blank_lines_by_the_million_in_a_small_body_take_no_memory_of_their_own(store: Asking) -> None:
    store.keep_file(zstandard.compress(b"\n" * (60 << 20) + json.dumps(EVENT).encode()))
    tracemalloc.start()
    assert store("SELECT count(event) AS n FROM events") == [{"n": 1}]
    assert tracemalloc.get_traced_memory()[1] < 200 << 20  # a list of them has 256 MiB, and another one is made of it
    tracemalloc.stop()


def test_what_is_no_body_of_the_store_is_not_read(store: Asking, tmp_path: Path) -> None:
    store.keep(EVENT)
    batches = store.directory / "batches"
    (batches / "README.txt").write_text("hello")
    (batches / "a.json").write_text("{")
    (batches / "b.ndjson.zst.part").write_bytes(b"x")
    (tmp_path / "elsewhere.ndjson").write_text('{"event": "stolen"}\n')
    (batches / "c.ndjson").symlink_to(tmp_path / "elsewhere.ndjson")
    (batches / "d.ndjson").mkdir()
    os.mkfifo(batches / "e.ndjson")
    assert store("SELECT event FROM events") == [{"event": "started"}]
    assert {note.rpartition("/")[2] for note in store.notes} == {f"{name}.ndjson is no file" for name in "cde"}


@pytest.mark.parametrize("name", ["ein Büro", "it's; DROP", "*", "[a]?", "back\\slash", "%2F"])
def test_a_body_that_somebody_put_there_is_read_whatever_its_name_and_with_no_record(store: Asking, name: str) -> None:
    (store.directory / "batches" / f"{name}.ndjson").write_text(json.dumps(EVENT))
    found = store("SELECT event, batch, product, received FROM events JOIN batches USING (batch, product, received)")
    assert found == []  # NULL is equal to nothing
    assert store("SELECT event, batch, product FROM events") == [{"event": "started", "batch": name, "product": None}]
    assert store("SELECT batch, receipt FROM batches") == [{"batch": name, "receipt": None}]


@pytest.mark.parametrize(
    "record",
    [b"", b"{", b"[]", b'{"received": 5}', b'{"receipt": {"notice": 99999999999999999999}}', b"[" * 60_000, b"\xff"],
)
def test_a_record_that_is_none_costs_its_batch_no_event(store: Asking, record: bytes) -> None:
    batch = store.keep(EVENT)
    (store.directory / "batches" / f"{batch}.json").write_bytes(record)
    assert store("SELECT event, product FROM events") == [{"event": "started", "product": None}]
    assert store("SELECT batch, catalog FROM batches") == [{"batch": batch, "catalog": None}]


def test_a_time_of_receipt_that_is_none_is_null(store: Asking) -> None:
    batch = store.keep(EVENT)
    (store.directory / "batches" / f"{batch}.json").write_text('{"received": "02-01-25"}')
    assert store("SELECT event, received FROM events") == [{"event": "started", "received": None}]


def test_a_body_that_goes_away_meanwhile_is_said_and_no_fault(store: Asking) -> None:
    kept, removed = store.keep(EVENT), store.keep(EVENT)

    def take(asked: Asked) -> list[str]:
        (store.directory / "batches" / f"{removed}.ndjson.zst").unlink()
        return list(asked.objects())

    file = store.declare({"started": {}})
    found = ask(store.directory, "SELECT batch FROM events", [file], take, store.notes.append)
    assert found == [json.dumps({"batch": kept}, separators=(",", ":"))]
    assert store.notes == ["1 batch was removed from the store meanwhile"]


def test_small_and_large_bodies_are_told_apart_by_batch_and_product(store: Asking) -> None:
    expected = {}
    for number in range(40):
        large = [{**EVENT, "noise": secrets.token_hex(40)}] * 10 if number % 7 else []
        large += [{**EVENT, "noise": secrets.token_hex(40)} for _ in range(number % 3 * 200)]
        batch = store.keep(EVENT, *large, catalog=f"p{number % 2}/1")
        expected[batch] = (f"p{number % 2}", 1 + len(large))
    sizes = [body.size_bytes for body in Bodies(store.directory / "batches").bodies]
    assert min(sizes) < 1000
    assert max(sizes) > 16_000
    found = store("SELECT batch, product, count(*) AS n FROM events GROUP BY ALL")
    assert {row["batch"]: (row["product"], row["n"]) for row in found} == expected


def test_thousands_of_bodies_are_read_with_a_few_open_files(store: Asking) -> None:
    resource = pytest.importorskip("resource")
    first = store.keep(*[EVENT] * 3)
    batches = store.directory / "batches"
    body, record = (batches / f"{first}.ndjson.zst").read_bytes(), (batches / f"{first}.json").read_bytes()
    for number in range(3000):
        (batches / f"{number:032x}.ndjson.zst").write_bytes(body)
        (batches / f"{number:032x}.json").write_bytes(record)
    declared = store.declare({"started": {}})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, limits[1]))
    try:
        found = store("SELECT count(*) AS n, count(DISTINCT batch) AS batches FROM events", declared)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert found == [{"n": 9003, "batches": 3001}]


def test_events_and_reports_of_risingwave_are_events_like_others(store: Asking) -> None:
    event = pb.EventMessage(
        tracking_id="s1",
        event_time_sec=1_767_225_660,
        event_name="create_source",
        event_stage=pb.TELEMETRY_EVENT_STAGE_CREATE_STREAM_JOB,
        connector_name="kafka",
        catalog_id=7,
        attributes='{"event":"forged","n":9007199254740993}',
    )
    store.keep(pb.BatchEventMessage(events=[event, event]).SerializeToString(), suffix=".pb", route="/v1/events")
    report = pb.ComputeReport(
        base=pb.ReportBase(
            tracking_id="s2",
            report_time=1_767_225_660,
            up_time=3600,
            system_data=pb.SystemData(cpu=pb.SystemCpu(available=8.0), memory=pb.SystemMemory(used=1 << 30)),
            node_type=pb.TELEMETRY_NODE_TYPE_COMPUTE,
        )
    )
    store.keep(report.SerializeToString(), suffix=".pb.zst", route="/v1/compute")
    store.keep(EVENT)
    broken = store.keep(b"\xff\xff", suffix=".pb")
    assert store("SELECT session, time, connector_name, event_stage, catalog_id, n FROM create_source LIMIT 1") == [
        {
            "session": "s1",
            "time": "2026-01-01 00:01:00+00",
            "connector_name": "kafka",
            "event_stage": "create_stream_job",
            "catalog_id": 7,
            "n": 9007199254740993,
        }
    ]
    assert store("SELECT node, cpu_count, memory_used_bytes, up_time_seconds FROM system_report") == [
        {"node": "compute", "cpu_count": 8, "memory_used_bytes": 1 << 30, "up_time_seconds": 3600}
    ]
    assert [note for note in store.notes if broken in note]


def test_bodies_of_otlp_and_of_gzip_are_read_like_others(store: Asking) -> None:
    attributes = [
        common.KeyValue(key="session.id", value=common.AnyValue(string_value="s1")),
        common.KeyValue(key="engine", value=common.AnyValue(string_value="batch")),
        common.KeyValue(
            key="bucket_counts",
            value=common.AnyValue(
                array_value=common.ArrayValue(values=[common.AnyValue(int_value=number) for number in (3, 0, 1)])
            ),
        ),
    ]
    record = logs.LogRecord(
        event_name="acme_db.query_times", time_unix_nano=1_767_225_660 * 10**9, attributes=attributes
    )
    scopes = [logs.ScopeLogs(log_records=[record, record]), logs.ScopeLogs(log_records=[record])]
    request = service.ExportLogsServiceRequest(resource_logs=[logs.ResourceLogs(scope_logs=scopes)] * 2)
    body = request.SerializeToString()
    store.keep_file(gzip.compress(body), suffix=".pb.gz", route="/v1/batches/v1/logs")
    store.keep_file(zstandard.compress(body), suffix=".pb.zst", route="/v1/logs")
    line = (
        b'{"event":"query_times","time":"2026-01-01T00:01:00Z","session":"s1","engine":"batch","bucket_counts":[3,0,1]}'
    )
    store.keep_file(gzip.compress(line), suffix=".ndjson.gz")
    harmed = {".pb.gz": gzip.compress(body)[:-9], ".ndjson.gz": b"\x1f\x8b" + bytes(20), ".pb": body[:-1]}
    cut = [store.keep_file(data, suffix=suffix, route="/v1/logs") for suffix, data in harmed.items()]
    assert store("SELECT count(*) AS n, session, time, engine, bucket_counts FROM query_times GROUP BY ALL") == [
        {"n": 13, "session": "s1", "time": "2026-01-01 00:01:00+00", "engine": "batch", "bucket_counts": "[3,0,1]"}
    ]
    assert all(any(batch in note for note in store.notes) for batch in cut)


# Values, without a catalog.


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(["25-11-2025", "02-01-25"], id="german-dates"),
        pytest.param(["1:02:03", "2:03"], id="times"),
        pytest.param(["2024-1-1", "2024-01-01"], id="two-spellings-of-a-day"),
        pytest.param(["2026-01-01T00:00:00Z", "2026-01-01 00:00:00"], id="iso"),
        pytest.param(["123", "0123", "1e3", "true", "null", "NaN"], id="numbers-in-strings"),
        pytest.param(["6ba7b810-9dad-11d1-80b4-00c04fd430c8", "{}", "[1]"], id="uuid-and-json"),
        pytest.param([9007199254740993, -(2**63) + 1, 2**63 - 1], id="whole-numbers"),
        pytest.param([0.1, 1.5, -2.25e-7], id="others"),
        pytest.param([True, False], id="truth"),
    ],
)
def test_values_are_read_as_they_were_written_and_never_as_dates(store: Asking, values: list[Any]) -> None:
    store.keep(*({**EVENT, "value": value} for value in values))
    found = [row["value"] for row in store("SELECT value FROM events")]
    assert sorted(found, key=str) == sorted(values, key=str)
    assert {type(value) for value in found} == {type(value) for value in values}
    assert store.notes == []


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        pytest.param([1, "failed"], ["1", "failed"], id="whole-and-text"),
        pytest.param([True, 1], ["true", "1"], id="truth-and-number"),
        pytest.param([12345678901234567890123, 5], ["12345678901234567890123", "5"], id="beyond-64-bits"),
        pytest.param([{"a": [1]}, [None]], ['{"a":[1]}', "[null]"], id="nested"),
    ],
)
def test_what_has_no_one_type_is_text(store: Asking, values: list[Any], texts: list[str]) -> None:
    store.keep(*({**EVENT, "value": value} for value in values))
    assert sorted(row["value"] for row in store("SELECT value FROM events")) == sorted(texts)
    assert store("SELECT count(*) AS n FROM events WHERE value = ?".replace("?", f"'{texts[0]}'")) == [{"n": 1}]


def test_whole_and_other_numbers_are_numbers_until_one_would_not_be_exact(store: Asking) -> None:
    store.keep({**EVENT, "value": 1}, {**EVENT, "value": 1.5})
    assert store("SELECT sum(value) AS total FROM events") == [{"total": 2.5}]
    store.keep({**EVENT, "value": 9007199254740993})
    assert {row["value"] for row in store("SELECT value FROM events")} == {"1", "1.5", "9007199254740993"}
    assert "events.value: 1 value is no DOUBLE (the column is text)" in store.notes[0]


def test_numbers_with_an_exponent_are_numbers_however_large(store: Asking) -> None:
    store.keep(*({**EVENT, "value": value} for value in (1.5, 1e16, 1e308, -5e-324)))
    assert store("SELECT max(value) AS most, typeof(min(value)) AS type FROM events") == [
        {"most": 1e308, "type": "DOUBLE"}
    ]
    assert store.notes == []


def test_a_value_beyond_the_look_that_does_not_fit_makes_its_column_text(store: Asking) -> None:
    filler = [{**EVENT, "value": 1, "noise": "x" * 1000}] * 20_000
    store.keep(*filler, {**EVENT, "value": "failed"}, {**EVENT, "late": 1})
    assert store("SELECT max(value) AS value FROM events") == [{"value": "failed"}]
    assert "look" in store.notes[0]
    assert "(the column is text)" in store.notes[1]
    with pytest.raises(QueryError, match="late"):
        store("SELECT late FROM events")


@pytest.mark.parametrize("time", ["02-01-25", "2024-1-1", "1:02:03", "now", "infinity", 5, "2026-13-01T00:00:00Z"])
def test_a_time_that_is_none_is_null_and_said(store: Asking, time: object) -> None:
    store.keep(EVENT, {**EVENT, "time": time})
    assert store("SELECT time FROM events ORDER BY ALL") == [{"time": "2026-01-01 00:01:00+00"}, {"time": None}]
    assert len(store.notes) == 1
    assert store("SELECT count(*) AS n FROM events") == [{"n": 2}]
    assert store.notes == []


@pytest.mark.parametrize(
    "name",
    [
        *("select", "group", 'a"b', "a'b", "it; DROP TABLE x", "ß", "数", "a b", "", "\x1b[2J", "%s", "{}", "filename"),
        *("product", "batch", "Event", "time_", "_store", "number", "x" * 200),
    ],
)
def test_a_field_may_have_any_name(store: Asking, name: str) -> None:
    store.keep({**EVENT, name: "value"})
    rows = store("SELECT * FROM events")
    if name == "Event":
        assert "capitals" in store.notes[0]
    elif name:
        assert "value" in rows[0].values()
    assert rows[0]["event"] == "started"
    assert rows[0]["product"] == "acme-db"


def test_keys_without_end_are_no_columns_without_end(store: Asking) -> None:
    store.keep({**EVENT, **{f"f{number}": 1 for number in range(5000)}})
    assert len(store("SELECT * FROM events")[0]) == 7 + 2000 - 3
    assert "look" in store.notes[0]


# Values, with catalogs.


def test_each_event_has_a_view_with_the_types_of_its_catalog(store: Asking) -> None:
    declared = store.declare({"query_finished": {"ms": FLOAT, "rows": INT, "ok": BOOL, "engine": ENUM, "detail": TEXT}})
    store.keep({**EVENT, "event": "query_finished", "ms": 1, "rows": 2**63 - 1, "ok": True, "detail": "2026-01-01"})
    types = {
        "weight": "DOUBLE",
        "ms": "DOUBLE",
        "rows": "BIGINT",
        "ok": "BOOLEAN",
        "engine": "VARCHAR",
        "detail": "VARCHAR",
    }
    assert store.types("query_finished", declared) == types
    assert store.types("events", declared) == types
    found = store("SELECT ms, rows, ok, engine, detail, product FROM query_finished", declared)
    assert found == [
        {"ms": 1.0, "rows": 2**63 - 1, "ok": True, "engine": None, "detail": "2026-01-01", "product": "acme-db"}
    ]
    assert store.notes == []


def test_a_column_of_a_declared_field_is_there_before_any_event_has_it(store: Asking) -> None:
    declared = store.declare({"query_finished": {"ms": FLOAT}})
    assert store("SELECT avg(ms) AS ms, count(*) AS n FROM query_finished", declared) == [{"ms": None, "n": 0}]
    store.keep(EVENT)
    assert store("SELECT ms FROM events", declared) == [{"ms": None}]


def test_a_name_with_two_types_is_text_in_events_and_typed_in_the_view_of_each(store: Asking) -> None:
    declared = store.declare({"finished": {"status": INT}, "failed": {"status": ENUM}})
    store.keep({**EVENT, "event": "finished", "status": 7}, {**EVENT, "event": "failed", "status": "failed"})
    assert store("SELECT status FROM events ORDER BY ALL", declared) == [{"status": "7"}, {"status": "failed"}]
    assert store("SELECT sum(status) AS n FROM finished", declared) == [{"n": 7}]
    assert store("SELECT event FROM events WHERE status = 'failed'", declared) == [{"event": "failed"}]
    assert store.notes == []


def test_two_versions_with_two_types_are_text_and_can_be_told_apart(store: Asking) -> None:
    kinds = {3: INT, 4: ENUM}
    versions = [store.declare({"finished": {"status": kind}}, version=version) for version, kind in kinds.items()]
    store.keep({**EVENT, "event": "finished", "status": 1}, catalog="acme-db/3")
    store.keep({**EVENT, "event": "finished", "status": "done"}, catalog="acme-db/4")
    store.keep({**EVENT, "event": "finished", "status": "done"}, catalog="other/1")
    found = store("SELECT product, catalog, status FROM finished ORDER BY ALL", *versions)
    assert [tuple(row.values()) for row in found] == [
        *[("acme-db", "acme-db/3", "1"), ("acme-db", "acme-db/4", "done"), ("other", "other/1", "done")]
    ]


@pytest.mark.parametrize(
    ("kind", "value"),
    [(INT, 1.5), (INT, "x"), (INT, True), (INT, 10**30), (FLOAT, "x"), (FLOAT, True), (BOOL, 1), (BOOL, "yes")],
)
def test_a_value_that_its_catalog_rules_out_is_null_and_said_and_spoils_no_other(
    store: Asking, kind: str, value: object
) -> None:
    declared = store.declare({"finished": {"x": kind, "y": INT}})
    good = True if kind == BOOL else 3
    store.keep({**EVENT, "event": "finished", "x": good, "y": 1})
    batch = store.keep({**EVENT, "event": "finished", "x": value, "y": 2})
    assert store("SELECT x, y FROM finished ORDER BY y", declared) == [{"x": good, "y": 1}, {"x": None, "y": 2}]
    assert len(store.notes) == 1
    assert store.notes[0].startswith("finished.x: 1 value is no ")
    assert store.notes[0].endswith(f"first in {batch}")
    assert store("SELECT count(*) AS n FROM finished WHERE y > 1", declared) == [{"n": 1}]
    assert store.notes == []


@pytest.mark.parametrize("event", ["select", "table", "events", "Batches", "a.b.c", "information_schema", "telemetry"])
def test_an_event_may_have_any_name(store: Asking, event: str) -> None:
    declared = store.declare({event: {"n": INT}})
    store.keep({**EVENT, "event": event, "n": 5})
    view = f"{event}_" if event.lower() in {"events", "batches"} else event
    assert store(f'FROM "{view}" SELECT n', declared) == [{"n": 5}]
    assert store(f"FROM events SELECT n WHERE event = '{event}'", declared) == [{"n": 5}]
    assert view in {row["name"] for row in store("SHOW TABLES", declared)}


def test_fields_named_like_what_every_event_has_get_an_underscore(store: Asking) -> None:
    declared = store.declare({"finished": {"product": ENUM, "batch": INT}})
    store.keep({**EVENT, "event": "finished", "product": "done", "batch": 5})
    found = store("SELECT product, product_, batch_ FROM finished", declared)
    assert found == [{"product": "acme-db", "product_": "done", "batch_": 5}]


def test_a_sampled_event_has_its_weight_and_a_counter_its_count(store: Asking) -> None:
    file = store.declare({"seen": {"n": INT}})
    text = file.read_text().replace("purpose", 'kind = "counter"\npurpose', 1)
    file.write_text(text + DECLARED.format(event="kept").replace("purpose", "sample = 0.5\npurpose", 1))
    assert store.types("seen", file) == {"count": "BIGINT", "n": "BIGINT"}
    assert store.types("kept", file) == {"weight": "DOUBLE"}


# Catalogs that the store keeps.


def test_the_store_keeps_each_catalog_that_it_was_given_once(store: Asking) -> None:
    first, second = store.declare({"finished": {"x": INT}}, version=3), store.declare({"done": {"y": BOOL}}, version=4)
    for files in ([first], [first, second], [second]):
        keep_catalogs(store.directory, files)
    kept = sorted((store.directory / FOLDER).iterdir())
    assert sorted(file.read_text() for file in kept) == sorted([first.read_text(), second.read_text()])
    assert {file.stat().st_mode & 0o777 for file in kept} == {0o600}
    assert store.types("events") == {"weight": "DOUBLE", "x": "BIGINT", "y": "BOOLEAN"}


def test_a_catalog_with_faults_is_not_kept_and_not_asked(store: Asking, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[catalog]\n")
    with pytest.raises(CatalogError):
        keep_catalogs(store.directory, [store.declare(), tmp_path / "bad.toml"])
    assert not (store.directory / FOLDER).exists()
    with pytest.raises(CatalogError):
        store("SELECT 1", tmp_path / "bad.toml")


def test_what_is_no_catalog_in_the_store_is_named_and_passed_over(store: Asking) -> None:
    keep_catalogs(store.directory, [store.declare({"finished": {"x": INT}})])
    (store.directory / FOLDER / "strange.toml").write_bytes(b"\xff")
    assert store.types("events") == {"weight": "DOUBLE", "x": "BIGINT"}
    assert len(store.notes) == 1
    assert "strange.toml" in store.notes[0]


def test_a_query_writes_nothing_into_the_store(store: Asking) -> None:
    store.keep(EVENT)
    before = {path: path.stat().st_mtime_ns for path in store.directory.rglob("*")}
    store("SELECT * FROM events", store.declare({"started": {"x": INT}}))
    assert {path: path.stat().st_mtime_ns for path in store.directory.rglob("*")} == before
