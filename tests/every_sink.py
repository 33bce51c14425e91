"""Events in each format to each sink, compared field by field at the far side, by decoders that are not ours.

`tools/every-sink` sends a million of each; `test_every_sink.py` some thousand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gzip
import json
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import zstandard
from confluent_kafka import Consumer, TopicPartition
from far_sides import S3, SETTINGS, Directory, FarSide, Http, Kafka, Nats, Stored
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as service
from spools import open_spool, read_balanced

from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.load import parse
from telemetry.consent import State
from telemetry.receipt import Receipt
from telemetry.shipper.catalogs import Source
from telemetry.shipper.delivery.sink import open_sink
from telemetry.shipper.delivery.tripwire import Tripwire
from telemetry.shipper.delivery.uploader import Uploader
from telemetry.shipper.encode import format_of, telemetry_pb2
from telemetry.shipper.intake.pipeline import Drain
from telemetry.shipper.intake.session import Session
from telemetry.shipper.intake.writer import Writer
from telemetry.shipper.permission import Permission
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.spool.spool import Spool

FORMATS = ("ndjson", "otlp", "risingwave")
SINKS: dict[str, Any] = {"http": Http, "file": Directory, "nats": Nats, "s3": S3, "kafka": Kafka}
_CHUNK_EVENTS = 20_000  # brokers in memory keep some megabytes
_DRAIN_EVENTS = 500
_TIME_NS = 1_767_225_660 * 10**9
_DEADLINE_SECONDS = 3600.0
_CATALOG = """
[catalog]
product = "acme-db"
version = 1
[events.done]
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.done.fields]
number = { type = "int", purpose = "tests" }
change = { type = "int", purpose = "tests" }
share = { type = "float", purpose = "tests" }
ok = { type = "bool", purpose = "tests" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "tests" }
detail = { type = "text", max_length = 200, reason = "tests", purpose = "tests" }
[events.times]
kind = "distribution"
purpose = "tests"
owner = "tests"
expires = "2099-12-31"
sensitivity = "technical"
[events.times.fields]
number = { type = "int", purpose = "tests" }
"""
_SOURCE = Source("", parse(_CATALOG.encode(), Path("acme.toml")), dt.date.min)
_DECODER = compile_catalog(_SOURCE.catalog, dt.date(2026, 1, 1)).decoder


class Outcome(NamedTuple):
    """What was found at the far side.

    Attributes:
        equal: the events that are there as they were made, each counted once.
        unequal: those that differ in a field.
        doubled: those that came again, in a batch of another id.
        seconds: how long it took.
    """

    equal: int
    unequal: int
    doubled: int
    seconds: float


def event(number: int) -> tuple[str, dict[str, Any]]:
    """Return the name and the fields of the event of a number: any type, values of all sizes, some left out."""
    if number % 50 == 49:
        counts = [number % 3, 0, number % 1000, 1]
        own = {"count": sum(counts), "sum": number / 3, "scale": 4, "offset": -number % 100 - 50}
        return "times", {"number": number, **own, "min": 0.5, "max": float(number), "bucket_counts": counts}
    fields: dict[str, Any] = {"number": number, "share": number / 7, "ok": number % 2 == 0}
    fields["engine"] = "batch" if number % 3 else "stream"
    if number % 4:
        fields["change"] = -99_991 * number if number % 8 < 4 else 99_991 * number
    if number % 5 == 0:
        fields["detail"] = f'text "{number}"\n of ünïts \U0001f600 \\ {number * "x" if number < 100 else ""}'
    return "done", fields


def send(format_name: str, sink_name: str, events: int, place: Path) -> Outcome:
    """Send events in one format to one sink, and compare what is there."""
    began = monotonic()
    far: FarSide = SINKS[sink_name](place)
    kept = _Kafka(far) if isinstance(far, Kafka) else far
    spool = open_spool(place / "spool")
    # The server of NATS takes 64 KiB; what OTLP has on disk is not compressed yet.
    segment_bytes = 24 << 10 if format_name == "ndjson" else 160 << 10
    settings = SETTINGS._replace(
        format=format_name, node="meta", segment_bytes=segment_bytes, body_bytes=192 << 10, spool_bytes=1 << 30
    )
    sink = open_sink(far.url, settings, far.environ)
    try:
        uploader = Uploader(spool, sink, settings, lambda: Permission(State.ON), Tripwire(lambda _: None))
        found = _Found(events, READERS[format_name])
        session = Session()
        for first in range(0, events, _CHUNK_EVENTS):
            _write(spool, settings, session, range(first, min(events, first + _CHUNK_EVENTS)))
            _upload(spool, uploader)
            if isinstance(kept, _Kafka):
                found.take(kept.stored())
        if not isinstance(kept, _Kafka):
            found.take(kept.stored())
        assert read_balanced(spool).delivered == events
    finally:
        sink.close()
        spool.close()
        if isinstance(kept, _Kafka):
            kept.close()
        far.end()
    return Outcome(found.equal, found.unequal, found.doubled, round(monotonic() - began, 1))


def _write(spool: Spool, settings: Any, session: Session, numbers: range) -> None:
    format_ = format_of(settings, "acme-db")
    writer = Writer(spool, format_, settings, lambda: None)
    drain_events = min(_DRAIN_EVENTS, format_.max_events or _DRAIN_EVENTS)
    for first in range(0, len(numbers), drain_events):
        part = numbers[first : first + drain_events]
        emissions = [(name, _TIME_NS, fields) for name, fields in map(event, part)]
        decoded = _DECODER.decode(msgspec.msgpack.encode(emissions))
        body = format_.encode(decoded, session.id, 60)
        drain = Drain(body, Tally(emitted=len(part), kept=len(part)), {})
        writer.append(Receipt("on", "host", 0, "cloud"), _SOURCE, drain, session)
    writer.seal_all(session)


def _upload(spool: Spool, uploader: Uploader) -> None:
    deadline = monotonic() + _DEADLINE_SECONDS
    while spool.waiting:
        assert monotonic() < deadline, uploader.cause
        uploader.step()


class _Found:
    """What was found so far: each body is read once, whatever copies there are of it."""

    def __init__(self, events: int, read: Any) -> None:
        self.equal = self.unequal = self.doubled = 0
        self._seen = bytearray(events)
        self._ids: set[str] = set()
        self._read = read

    def take(self, batches: Iterable[Stored]) -> None:
        for batch in batches:
            if batch.id in self._ids:
                continue
            self._ids.add(batch.id)
            headers = {name.lower(): value for name, value in batch.headers.items()}
            for name, fields in self._read(_unpack(batch.body, headers.get("content-encoding", ""))):
                number = fields["number"]
                self.doubled += self._seen[number]
                is_equal = (name, fields) == event(number)
                self.equal += is_equal and not self._seen[number]
                self.unequal += not is_equal
                self._seen[number] = 1


def _unpack(body: bytes, encoding: str) -> bytes:
    match encoding:
        case "gzip":
            return gzip.decompress(body)
        case "zstd":
            return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body


def _read_ndjson(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in body.splitlines():
        fields = json.loads(line)
        del fields["time"], fields["session"]
        yield fields.pop("event"), fields


def _read_otlp(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for resource in service.ExportLogsServiceRequest.FromString(body).resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                fields = {pair.key: _value(pair.value) for pair in record.attributes}
                del fields["session.id"]
                yield record.event_name.removeprefix("acme_db."), fields


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [_value(each) for each in found.values] if kind == "array_value" else found


def _read_risingwave(body: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    for message in telemetry_pb2.BatchEventMessage.FromString(body).events:
        yield message.event_name, json.loads(message.attributes)


READERS = {"ndjson": _read_ndjson, "otlp": _read_otlp, "risingwave": _read_risingwave}


class _Kafka:
    """What brokers have, each time from where the last look has ended."""

    def __init__(self, far: Kafka) -> None:
        self._consumer = Consumer({"bootstrap.servers": far.peers, "group.id": "tests", "log_level": 0})
        self._read: dict[int, int] = {}

    def close(self) -> None:
        self._consumer.close()

    def stored(self) -> Iterator[Stored]:
        topic = "acme-batches"
        partitions = self._consumer.list_topics(topic, timeout=20).topics[topic].partitions
        places = [TopicPartition(topic, number, self._read.get(number, 0)) for number in partitions]
        ends = {place.partition: self._consumer.get_watermark_offsets(place, timeout=20)[1] for place in places}
        self._consumer.assign(places)
        while any(self._read.get(number, 0) < end for number, end in ends.items()):
            message = self._consumer.poll(0.1)
            if message is not None and message.error() is None:
                self._read[message.partition()] = message.offset() + 1
                headers = {name: value.decode() for name, value in message.headers()}
                yield Stored(message.key().decode(), message.value(), headers)


def main() -> None:
    """Send a million events, or so many, in each format to each sink, and print what was found."""
    parser = argparse.ArgumentParser(prog="tools/every-sink", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--format", choices=FORMATS, action="append")
    parser.add_argument("--sink", choices=SINKS, action="append")
    options = parser.parse_args()
    is_whole = True
    for sink_name in options.sink or SINKS:
        for format_name in options.format or FORMATS:
            with tempfile.TemporaryDirectory() as place:
                outcome = send(format_name, sink_name, options.events, Path(place))
            is_whole = is_whole and outcome[:3] == (options.events, 0, 0)
            found = f"{outcome.equal:,} equal, {outcome.unequal:,} unequal, {outcome.doubled:,} doubled"
            print(f"{format_name:<12}{sink_name:<8}{found}, {outcome.seconds} s", flush=True)
    sys.exit(not is_whole)


if __name__ == "__main__":
    main()
