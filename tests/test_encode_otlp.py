"""What leaves as OTLP is what opentelemetry-proto reads, and what a receiver of it may answer has its outcome."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import socket
import subprocess
import sys
import zlib
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import zstandard
from conftest import wait_until
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from spools import Answer, Endpoint, Request, open_spool, read_balanced, source_of
from test_encode import SESSION, drains

from telemetry import files
from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.consent import State
from telemetry.receipt import Receipt
from telemetry.settings import ShipperSettings
from telemetry.shipper.delivery.http_sink import HttpSink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader, cut
from telemetry.shipper.encode import format_of, open_format
from telemetry.shipper.encode.otlp import MAX_BODY_BYTES, envelope, otlp, read_reply
from telemetry.shipper.encode.precision import rounded_seconds
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.outcome import Outcome
from telemetry.shipper.permission import Permission
from telemetry.spool import segment
from telemetry.spool.recovery import recover
from telemetry.spool.stream import encode as encoded
from telemetry.spool.stream import wrap
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.catalog.compile import Envelope
    from telemetry.spool.segment import Seal
    from telemetry.spool.spool import Spool

unhurried = settings(deadline=None)
TEST = otlp("test")
ACME = otlp("acme-db", "2.1")
ON = Receipt("on", "host", 0, "cloud")
DIGEST = "ab" * 32


def _field(name: str, kind: str, **more: Any) -> Field:
    return Field(name=name, type=kind, purpose="test", **more)


def _event(name: str, *fields: Field, kind: Any = "event") -> Event:
    return Event(
        name=name,
        purpose="test",
        owner="test",
        expires=dt.date(2099, 1, 1),
        sensitivity="technical",
        kind=kind,
        fields={field.name: field for field in fields},
    )


CATALOG = Catalog(
    product="acme-db",
    version=3,
    events={
        event.name: event
        for event in (
            _event(
                "query_finished",
                _field("engine", "enum", values=("batch", "stream")),
                _field("duration_ms", "float"),
                _field("rows", "int"),
                _field("ok", "bool"),
            ),
            _event("failed", _field("error", "error"), _field("detail", "text")),
            _event("queries", _field("engine", "enum", values=("batch", "stream")), kind="counter"),
        )
    },
)
ACME_COMPILED = compile_catalog(CATALOG, dt.date(2026, 1, 1))


def _events(*events: tuple[str, int, dict[str, Any]]) -> list[Envelope]:
    return ACME_COMPILED.decoder.decode(msgspec.msgpack.encode(events))


def _read(body: bytes) -> Any:
    return service.ExportLogsServiceRequest.FromString(body)


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind)


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _records(body: bytes) -> list[Any]:
    request = _read(body)
    (resource_logs,) = request.resource_logs
    (scope_logs,) = resource_logs.scope_logs
    return list(scope_logs.log_records)


# ---- The body ----


@unhurried
@given(events=drains, precision_seconds=st.sampled_from([1, 60, 3600]))
@example(events=[], precision_seconds=60)
def test_what_is_written_is_what_opentelemetry_reads(events: list[Envelope], precision_seconds: int) -> None:
    written = TEST.encode(events, SESSION, precision_seconds)
    records = _records(wrap(envelope("", "test/1", DIGEST), written))

    for event, record in zip(events, records, strict=True):
        fields = msgspec.structs.asdict(event.fields)
        attributes = _attributes(record.attributes)
        assert attributes.pop("session.id") == SESSION
        expected = {name: value for name, value in fields.items() if value is not None and value is not msgspec.UNSET}
        assert attributes.keys() == expected.keys()
        assert all(repr(attributes[name]) == repr(value) for name, value in expected.items())
        rounded_ns = min(rounded_seconds(event.time_ns, precision_seconds) * 10**9, 2**64 - 1)
        assert record.time_unix_nano == record.observed_time_unix_nano == rounded_ns
        assert not record.HasField("body")
        assert record.severity_number == 9


def test_an_event_is_a_record_with_the_qualified_name_in_one_resource_that_names_no_machine() -> None:
    events = _events(
        ("query_finished", 61 * 10**9, {"engine": "batch", "duration_ms": 2.5, "rows": -7, "ok": False}),
        ("failed", 61 * 10**9, {"error": "ValueError@acme.store:12", "detail": "why"}),
        ("failed", 61 * 10**9, {"detail": "why"}),
        ("queries", 61 * 10**9, {"count": 4711, "engine": "stream"}),
    )
    body = wrap(envelope("2.1", "acme-db/3", DIGEST), ACME.encode(events, SESSION, 60))

    (resource_logs,) = _read(body).resource_logs
    resource = _attributes(resource_logs.resource.attributes)
    assert resource.pop("telemetry.sdk.version")
    assert resource == {
        "service.name": "acme-db",
        "service.version": "2.1",
        "telemetry.sdk.name": "telemetry-shipper",
        "telemetry.sdk.language": "python",
    }
    (scope_logs,) = resource_logs.scope_logs
    assert _attributes(scope_logs.scope.attributes) == {
        "telemetry.catalog.version": 3,
        "telemetry.catalog.sha256": DIGEST,
    }
    found = [
        (record.event_name, record.severity_number, record.time_unix_nano, _attributes(record.attributes))
        for record in scope_logs.log_records
    ]
    session = {"session.id": SESSION}
    minute_ns = 60 * 10**9
    first = {**session, "engine": "batch", "duration_ms": 2.5, "rows": -7, "ok": False}
    assert found == [
        ("acme_db.query_finished", 9, minute_ns, first),
        ("acme_db.failed", 17, minute_ns, {**session, "error": "ValueError@acme.store:12", "detail": "why"}),
        ("acme_db.failed", 9, minute_ns, {**session, "detail": "why"}),
        ("acme_db.queries", 9, minute_ns, {**session, "count": 4711, "engine": "stream"}),
    ]


@unhurried
@given(events=drains)
def test_what_is_shown_and_looked_through_is_what_was_written(events: list[Envelope]) -> None:
    written = TEST.encode(events, SESSION, 60)
    shown = [json.loads(line) for line in TEST.show(written, TEST.route)]
    values = [TEST.values(record) for record in TEST.split(written)]

    assert [line["event_name"] for line in shown] == [f"test.{value['event']}" for value in values]
    assert all(value.pop("session") == SESSION for value in values)
    assert [value.get("detail") for value in values] == [getattr(event.fields, "detail", None) for event in events]


@unhurried
@given(junk=st.binary(max_size=60))
def test_what_is_no_record_is_a_value_error(junk: bytes) -> None:
    for read in (TEST.split, TEST.values, lambda body: list(TEST.show(body, ""))):
        try:
            read(junk)
        except ValueError:
            continue


def test_more_values_than_are_remembered_are_written_all_the_same() -> None:
    events = _events(*(("failed", 0, {"detail": f"text {number}"}) for number in range(500)))
    for _ in range(12):
        ACME.encode(events, SESSION, 60)
        for number, event in enumerate(events):
            event.fields.detail += str(number)
    last = ACME.encode(events, SESSION, 60)
    assert [ACME.values(record)["detail"] for record in ACME.split(last)] == [event.fields.detail for event in events]


# ---- Replies ----


def _status(code: int, text: bytes = b"db.prod.internal said no") -> bytes:
    return bytes([0x08, code, 0x12, len(text)]) + text


def _partial(refused: int, text: str = "") -> bytes:
    partial = service.ExportLogsPartialSuccess(rejected_log_records=refused, error_message=text)
    data: bytes = service.ExportLogsServiceResponse(partial_success=partial).SerializeToString()
    return data


PROTOBUF = "application/x-protobuf"
PAGE = b"<html><body>nginx</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", Outcome.DELIVERED),
        (202, b"", Outcome.DELIVERED),
        (200, b"\xff\xff cut off", Outcome.DELIVERED),
        *((status, b"", Outcome.RETRY) for status in (429, 502, 503, 504)),
        *((status, PAGE, Outcome.RETRY) for status in (429, 502, 503, 504)),
        *((status, _status(3), Outcome.SPLIT) for status in (400, 413, 422)),
        *(
            (status, _status(13), Outcome.REJECTED)
            for status in (406, 408, 409, 410, 418, 425, 500, 506, 507, 508, 599)
        ),
        *((status, b"", Outcome.PAUSED) for status in (302, 401, 403, 404, 405, 407, 411, 415, 421, 426, 501, 505)),
        *((status, PAGE, Outcome.PAUSED) for status in (200, 400, 409, 422, 500)),
        (413, PAGE, Outcome.SPLIT),
    ],
)
def test_four_refusals_alone_are_tried_again(status: int, body: bytes, outcome: Outcome) -> None:
    content_type = "text/html" if body == PAGE else PROTOBUF
    answer = read_reply(status, content_type, body)
    assert answer.outcome is outcome
    assert answer.is_doubtful == (body == PAGE and status in {400, 409, 422, 500})


@pytest.mark.parametrize(
    ("body", "refused", "warns"),
    [
        (_partial(3, "two few"), 3, False),
        (_partial(0, "deprecated"), 0, True),
        (_partial(0), 0, False),
        (_partial(-5), 0, False),
        (_partial(3)[:-1], 0, False),
        (b"{}", 0, False),
    ],
)
def test_a_partial_success_is_delivered_but_for_a_number(body: bytes, refused: int, *, warns: bool) -> None:
    answer = read_reply(200, PROTOBUF, body)
    assert (answer.outcome, answer.refused, bool(answer.words)) == (Outcome.DELIVERED, refused, warns)


def test_of_an_error_the_code_is_told_and_never_the_message() -> None:
    assert read_reply(400, PROTOBUF, _status(3)).words == "INVALID_ARGUMENT"
    assert read_reply(500, PROTOBUF, _status(99)).words == ""
    assert read_reply(500, "application/json", _status(3)).words == ""


@unhurried
@given(status=st.integers(100, 599), body=st.binary(max_size=80))
def test_any_reply_has_an_outcome(status: int, body: bytes) -> None:
    assert read_reply(status, PROTOBUF, body).refused >= 0


# ---- The segment ----


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    opened = open_spool(tmp_path / "spool")
    yield opened
    opened.close()


def _settings(**more: Any) -> ShipperSettings:
    quick = {"upload_jitter_seconds": 0.0, "retry_min_seconds": 0.0, "retry_max_seconds": 0.0, "pause_seconds": 0.0}
    return ShipperSettings(format="otlp", **{**quick, "segment_seconds": 1000.0, **more})


def _write(spool: Spool, settings: ShipperSettings, drains: int, *, seals: bool = True, each: int = 5) -> Writer:
    """Write so many drains of five events, by the format of the settings."""
    format_, session, source = format_of(settings, "acme-db"), Session(), source_of(CATALOG)
    writer = Writer(spool, format_, settings, lambda: None)
    for drain in range(drains):
        events = _events(*(("query_finished", 0, {"rows": drain * each + number}) for number in range(each)))
        body = format_.encode(events, session.id, 60)
        writer.append(ON, source, Drain(body, Tally(emitted=each, kept=each), {}), session)
    if seals:
        writer.seal_all(session)
    return writer


def _take(spool: Spool) -> tuple[Seal, bytes]:
    seal = spool.take()
    assert seal is not None
    body = spool.read(seal)
    assert body is not None
    return seal, body


def _rows(body: bytes) -> list[int]:
    return [_attributes(record.attributes)["rows"] for record in _records(body)]


def _decompress(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            assert body.count(b"\x1f\x8b\x08") == 1, "one member"
            return gzip.decompress(body)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


@pytest.mark.parametrize("compression", ["", "gzip", "zstd", "none"])
def test_a_segment_of_many_drains_is_one_request_with_one_resource(spool: Spool, compression: str) -> None:
    _write(spool, _settings(compression=compression), 150)
    seal, body = _take(spool)

    assert seal.head.encoding == (compression or "gzip")
    assert _rows(_decompress(body, seal.head.encoding)) == list(range(750))
    assert seal.tally.kept == 750


def test_an_active_segment_is_recovered_as_what_its_end_would_have_written(spool: Spool) -> None:
    _write(spool, _settings(), 7)
    _, sealed = _take(spool)
    _write(spool, _settings(), 7, seals=False)._active.popitem()[1][0].close()
    (seal,) = list(recover(spool.directory))

    body = (spool.directory / "sealed" / seal.head.file).read_bytes()
    assert _rows(gzip.decompress(body)) == _rows(gzip.decompress(sealed))
    assert zlib.crc32(body) == seal.crc


def test_a_seal_whose_body_was_not_written_yet_is_salvaged_from_the_events(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _write(spool, _settings(), 7, seals=False)
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_durably", _once_and_then_full(files.write_durably))
        writer.seal_all(Session())
    assert not list((spool.directory / "sealed").glob("*.gz"))
    writer.tick(Session())

    _, body = _take(spool)
    assert _rows(gzip.decompress(body)) == list(range(35))
    assert read_balanced(spool).on_disk == 35


def _once_and_then_full(write: Any) -> Any:
    left = iter([write])

    def write_or_refuse(*arguments: Any) -> None:
        if (may := next(left, None)) is None:
            raise OSError(5, "input/output error")
        may(*arguments)

    return write_or_refuse


def test_a_segment_is_sealed_before_its_body_is_larger_than_receivers_take(spool: Spool) -> None:
    _write(spool, _settings(body_bytes=2000), 20)
    bodies = []
    while (seal := spool.take()) is not None:
        body = spool.read(seal)
        assert body is not None
        bodies.append(gzip.decompress(body))
        spool.ack(seal, 0)

    assert len(bodies) > 1
    assert [row for body in bodies for row in _rows(body)] == list(range(100))
    assert all(len(body) < 2400 for body in bodies), "the envelope comes on top"


def test_one_that_is_too_large_by_a_later_setting_goes_as_several(spool: Spool) -> None:
    _write(spool, _settings(), 20)
    seal, body = _take(spool)
    parts = cut(seal, body, ACME, 2000)

    assert parts == cut(seal, body, ACME, 2000)
    assert [row for _, part in parts for row in _rows(gzip.decompress(part))] == list(range(100))
    assert all((part_seal.body_bytes or 0) <= 2000 for part_seal, _ in parts)


# ---- Receivers ----


def _uploader(spool: Spool, url: str, settings: ShipperSettings) -> Uploader:
    permission = Permission(State.ON)
    return Uploader(spool, HttpSink(url, settings, {}), settings, lambda: permission, Tripwire(lambda _: CATALOG))


def _deliver_all(uploader: Uploader, spool: Spool) -> None:
    deadline = monotonic() + 60  # a busy machine may have a try fail, after which it waits
    while spool.waiting:
        assert monotonic() < deadline, "it does not end"
        uploader.step()


class Collector:
    """A receiver that behaves as the OpenTelemetry Collector does: see its confighttp and otlpreceiver."""

    def __init__(self, max_bytes: int = 20 << 20, poison: int | None = None, fault: int = 400) -> None:
        self.rows: list[int] = []
        self.requests = 0
        self._max_bytes = max_bytes
        self._poison = poison
        self._fault = fault

    def answer(self, request: Request) -> Answer:
        self.requests += 1
        of_protobuf = (("Content-Type", PROTOBUF),)
        if request.path != "/v1/logs":
            return Answer(404, of_protobuf)
        if request.header("Content-Type") != PROTOBUF:
            return Answer(415, of_protobuf)
        body = _decompress(request.body, request.header("Content-Encoding") or "none")
        if len(body) > self._max_bytes:
            return Answer(400, of_protobuf, _status(3, b"request body too large"))
        rows = _rows(body)
        if self._poison in rows:
            return Answer(self._fault, of_protobuf, _status(13 if self._fault == 500 else 3))
        self.rows += rows
        return Answer(200, of_protobuf, _partial(0))


@pytest.mark.parametrize("suffix", ["", "/v1/logs"])
def test_a_collector_takes_all_whichever_of_its_addresses_is_given(spool: Spool, suffix: str) -> None:
    collector = Collector()
    _write(spool, _settings(), 30)
    with Endpoint(decide=collector.answer) as endpoint:
        _deliver_all(_uploader(spool, endpoint.url.removesuffix("/v1/batches") + suffix, _settings()), spool)
    assert (collector.rows, collector.requests) == (list(range(150)), 1)
    assert read_balanced(spool).delivered == 150


def test_a_body_that_a_collector_finds_too_large_is_halved(spool: Spool) -> None:
    collector = Collector(max_bytes=3000)
    _write(spool, _settings(), 8)
    with Endpoint(decide=collector.answer) as endpoint:
        _deliver_all(_uploader(spool, endpoint.url.removesuffix("/v1/batches"), _settings()), spool)
    assert sorted(collector.rows) == list(range(40))
    assert read_balanced(spool).delivered == 40


@pytest.mark.parametrize(("fault", "lost"), [(400, 1), (500, 40)])
def test_a_poison_event_costs_itself_and_a_permanent_error_its_batch(spool: Spool, fault: int, lost: int) -> None:
    collector = Collector(poison=17, fault=fault)
    _write(spool, _settings(), 8)
    with Endpoint(decide=collector.answer) as endpoint:
        _deliver_all(_uploader(spool, endpoint.url.removesuffix("/v1/batches"), _settings()), spool)
    ledger = read_balanced(spool)
    assert (ledger.delivered, ledger.tally.dropped) == (40 - lost, {"rejected": lost})


@pytest.mark.parametrize("refused", [2, 10, 1000])
def test_what_a_receiver_refuses_of_a_batch_is_counted_and_not_sent_again(
    spool: Spool, caplog: pytest.LogCaptureFixture, refused: int
) -> None:
    _write(spool, _settings(), 2)
    with Endpoint(Answer(200, (("Content-Type", PROTOBUF),), _partial(refused, "why"))) as endpoint:
        _deliver_all(_uploader(spool, endpoint.url, _settings()), spool)
        assert len(endpoint.requests) == 1
    ledger = read_balanced(spool)
    lost = min(refused, 10)
    assert (ledger.delivered, ledger.tally.dropped) == (10 - lost, {"refused_by_receiver": lost})
    assert f"but for {lost} events" in caplog.text


def test_a_warning_of_a_receiver_is_logged_once_in_our_own_words(spool: Spool, caplog: Any) -> None:
    _write(spool, _settings(), 1)
    _write(spool, _settings(), 1)
    _write(spool, _settings(), 1)
    with Endpoint(
        200, decide=lambda _: Answer(200, (("Content-Type", PROTOBUF),), _partial(0, "db.prod says"))
    ) as endpoint:
        _deliver_all(_uploader(spool, endpoint.url, _settings()), spool)
        assert len(endpoint.requests) == 3
    assert caplog.text.count("took the batch with a warning") == 1
    assert "db.prod" not in caplog.text
    assert read_balanced(spool).delivered == 15


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_may_ask_for_time(spool: Spool, status: int) -> None:
    _write(spool, _settings(), 1)
    with Endpoint(Answer(status, (("Retry-After", "7"), ("Content-Type", PROTOBUF)), _status(8))) as endpoint:
        uploader = _uploader(spool, endpoint.url, _settings())
        assert uploader.step() == pytest.approx(7.0)
        assert uploader.cause == f"HTTP {status} (RESOURCE_EXHAUSTED)"


def test_a_change_of_format_leaves_what_waits_to_be_sent_as_it_is(spool: Spool) -> None:
    ndjson = _settings()._replace(format="ndjson")
    _write(spool, ndjson, 1)
    _write(spool, _settings(), 1)
    _write(spool, ndjson._replace(compression="gzip"), 1)
    with Endpoint() as endpoint:
        _deliver_all(_uploader(spool, endpoint.url, _settings()), spool)
    sent = {
        (request.path, request.header("Content-Type"), request.header("Content-Encoding"))
        for request in endpoint.requests
    }

    assert sent == {
        ("/v1/batches", "application/x-ndjson", "zstd"),
        ("/v1/batches/v1/logs", PROTOBUF, "gzip"),
        ("/v1/batches", "application/x-ndjson", "gzip"),
    }
    assert read_balanced(spool).delivered == 15


def test_after_a_format_and_back_each_body_goes_as_it_lay_even_what_a_crash_left_active(spool: Spool) -> None:
    otlp_, ndjson = _settings(), _settings()._replace(format="ndjson")
    lay = {}
    for chosen in (ndjson, otlp_, ndjson):
        _write(spool, chosen, 2)
    _write(spool, otlp_, 2, seals=False)._active.popitem()[1][0].close()  # killed
    for seal in recover(spool.directory):
        lay[seal.head.id] = (spool.directory / "sealed" / seal.head.file).read_bytes()
    spool.close()
    again = open_spool(spool.directory)
    for path in (spool.directory / "sealed").glob("*.json"):
        seal = msgspec.json.decode(path.read_bytes(), type=segment.Seal)
        lay[seal.head.id] = (spool.directory / "sealed" / seal.head.file).read_bytes()
    with Endpoint() as endpoint:
        _deliver_all(_uploader(again, endpoint.url, ndjson), again)
    assert {request.header("Idempotency-Key"): request.body for request in endpoint.requests} == lay
    assert read_balanced(again).delivered == 40
    again.close()


def test_a_segment_that_this_version_can_t_read_waits_and_keeps_nothing_else_waiting(spool: Spool) -> None:
    head = segment.Head(
        id="ab" * 16,
        file=f"{1:020d}-{'ab' * 16}.parquet",
        format="parquet",
        compressed=False,
        content_type="x",
        route="",
        catalog="acme-db/3",
        session="s",
        receipt=ON,
    )
    active = spool.begin(head)
    active.append(b"columns", Tally(emitted=1, kept=1), {})
    spool.seal(active, Tally())
    _write(spool, _settings(), 1)
    settings = _settings(pause_seconds=100.0)
    with Endpoint() as endpoint:
        uploader = _uploader(spool, endpoint.url, settings)
        for _ in range(10):
            uploader.step()
        assert len(endpoint.requests) == 1
    assert (spool.waiting, read_balanced(spool).delivered) == (1, 5)


def test_a_receiver_of_somebody_else_reads_it(spool: Spool) -> None:
    settings = _settings(compression="none", retry_max_seconds=0.05)  # it takes no other
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "oteltap", "--port", str(port)]
    _write(spool, settings, 30)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as receiver:
        try:
            uploader = _uploader(spool, f"http://127.0.0.1:{port}", settings)
            wait_until(lambda: (uploader.step(), not spool.waiting)[1])
            assert read_balanced(spool).delivered == 150
            assert receiver.stdout is not None
            lines = (line for line in receiver.stdout if line.startswith("{"))
            printed = list(islice(lines, 150))
        finally:
            receiver.terminate()
    assert all("acme_db.query_finished" in line for line in printed)


def test_the_cap_before_compression_is_within_what_vendors_take() -> None:
    assert open_format("otlp", "").max_body_bytes == MAX_BODY_BYTES == 4 << 20
    assert len(encoded("gzip", b"")) < 40
