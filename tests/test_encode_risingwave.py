"""The upload format risingwave: the wire bytes, and what the official protobuf runtime reads from them."""

from __future__ import annotations

import datetime as dt
import json
import operator
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

import telemetry.catalog
from telemetry.catalog.compile import Envelope, compile_catalog
from telemetry.catalog.load import load
from telemetry.catalog.model import Catalog, Event, Field, Kind
from telemetry.cgroup import Limits
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.risingwave import encode, risingwave, session_id_of
from telemetry.shipper.intake.report import facts, raw_report
from telemetry.shipper.intake.validator import Validator
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from telemetry.shipper.encode.format import Report

split = risingwave("compute").split
BUILT_IN = Path(telemetry.catalog.__file__).with_name("risingwave.toml")
TIME_NS = 1_700_000_099 * 10**9 + 999_999_999
MINUTE = 1_700_000_040
SESSION = "0123456789abcdef0123456789abcdef"
TRACKING_ID = "01234567-89ab-cdef-0123-456789abcdef"


def _event(name: str, kind: Kind = "event", **types: Any) -> Event:
    fields = {field: Field(name=field, purpose="test", **kind_of) for field, kind_of in types.items()}
    return Event(
        name=name,
        kind=kind,
        purpose="test",
        owner="test",
        expires=dt.date(2027, 1, 1),
        sensitivity="technical",
        fields=fields,
    )


def _enum(*values: str) -> dict[str, Any]:
    return {"type": "enum", "values": values}


TEXT, INT, FLOAT = {"type": "text"}, {"type": "int"}, {"type": "float"}

COMPILED = compile_catalog(
    Catalog(
        product="test",
        version=1,
        events={
            event.name: event
            for event in [
                _event(
                    "source",
                    format=_enum("FORMAT_TYPE_PLAIN"),
                    encode=_enum("ENCODE_TYPE_JSON"),
                    node=_enum("meta"),
                    catalog_id={"type": "identifier"},
                    connector_name=_enum("kafka"),
                    object=_enum("source", "sink"),
                    event_stage=_enum("create_stream_job"),
                ),
                _event("other_catalog", node=INT, object=TEXT, event_stage=INT, connector_name=FLOAT),
                _event("any", first=TEXT, second=INT, third=FLOAT, fourth={"type": "bool"}),
                _event(
                    "system_report",
                    kind="report",
                    memory_used_bytes=INT,
                    memory_total_bytes=INT,
                    cpu_count=INT,
                    os_name=TEXT,
                    os_distribution=TEXT,
                    os_version=TEXT,
                    kernel_version=TEXT,
                    up_time_seconds=INT,
                ),
            ]
        },
    ),
    today=dt.date(2026, 1, 1),
)


def _envelope(name: str, /, **fields: Any) -> Envelope:
    [envelope] = Validator(COMPILED).validate(msgspec.msgpack.encode([[name, TIME_NS, fields]]), Tally())
    return envelope


def _message(name: str, /, **fields: Any) -> pb.EventMessage:
    [message] = pb.BatchEventMessage.FromString(encode([_envelope(name, **fields)], SESSION, 60)).events
    return message


@pytest.mark.skipif(find_spec("grpc_tools") is None, reason="the generator is for development only")
def test_the_generated_code_is_that_of_the_proto_file(tmp_path: Path) -> None:
    root, out = Path(telemetry.__file__).parents[1], tmp_path / "descriptors"
    generator = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--descriptor_set_out={out}"]
    subprocess.run([*generator, pb.DESCRIPTOR.name], cwd=root, check=True)
    [written] = FileDescriptorSet.FromString(out.read_bytes()).file
    for message in written.message_type:
        for field in message.field:
            field.ClearField("json_name")  # generated code goes without
    assert written == FileDescriptorProto.FromString(pb.DESCRIPTOR.serialized_pb)


def test_an_event_is_these_bytes() -> None:
    event = _envelope(
        "source",
        format="FORMAT_TYPE_PLAIN",
        encode="ENCODE_TYPE_JSON",
        node="meta",
        catalog_id=255,
        connector_name="kafka",
        object="source",
        event_stage="create_stream_job",
    )
    assert encode([event], SESSION, 60) == (
        b"\x0a\x84\x01"  # events = 1, 132 bytes
        b"\x0a\x2401234567-89ab-cdef-0123-456789abcdef"  # tracking_id = 1
        b"\x18\xa8\xe2\xcf\xaa\x06"  # event_time_sec = 3: 1,700,000,040
        b"\x20\x01"  # event_stage = 4: CREATE_STREAM_JOB
        b"\x2a\x06source"  # event_name = 5
        b"\x32\x05kafka"  # connector_name = 6
        b"\x38\xff\x01"  # catalog_id = 7: 255
        b'\x42\x3a{"encode":"ENCODE_TYPE_JSON","format":"FORMAT_TYPE_PLAIN"}'  # attributes = 8
        b"\x4a\x04meta"  # node = 9
        b"\x50\x01"  # object = 10: SOURCE
    )
    assert encode([event], SESSION, 60, is_test=True).endswith(b"\x50\x01\x58\x01")  # is_test = 11


def test_what_an_event_lacks_is_not_on_the_wire() -> None:
    assert encode([_envelope("source")], SESSION, 60) == (
        b"\x0a\x34\x0a\x2401234567-89ab-cdef-0123-456789abcdef\x18\xa8\xe2\xcf\xaa\x06\x2a\x06source"
    )


def test_the_weight_of_a_sampled_event_is_an_attribute() -> None:
    event = _envelope("source", encode="ENCODE_TYPE_JSON")
    sampled = msgspec.defstruct("source", [("weight", int), ("encode", str)], tag_field="event")
    event.fields = sampled(weight=10, encode="ENCODE_TYPE_JSON")
    [message] = pb.BatchEventMessage.FromString(encode([event], SESSION, 60)).events
    assert message.attributes == '{"encode":"ENCODE_TYPE_JSON","weight":10}'


@pytest.mark.parametrize(
    ("field", "enum", "prefix"),
    [
        pytest.param("event_stage", pb.TelemetryEventStage, "TELEMETRY_EVENT_STAGE_", id="stage"),
        pytest.param("object", pb.TelemetryDatabaseObject, "TELEMETRY_DATABASE_OBJECT_", id="object"),
    ],
)
def test_every_stage_and_object_of_the_built_in_catalog_has_its_number(field: str, enum: Any, prefix: str) -> None:
    built_in = load(BUILT_IN)
    decoder = compile_catalog(built_in, today=dt.date(2026, 1, 1)).decoder
    values = built_in.events["source"].fields[field].values
    wire = msgspec.msgpack.encode([["source", TIME_NS, {field: value}] for value in values])
    messages = pb.BatchEventMessage.FromString(encode(decoder.decode(wire), SESSION, 60)).events
    assert [enum.Name(getattr(message, field)) for message in messages] == [prefix + value.upper() for value in values]
    assert not any(message.HasField("attributes") for message in messages)


@pytest.mark.parametrize("enum", ["event_stage", "object"])
def test_a_stage_or_an_object_by_its_proto_name_or_number_is_understood(enum: str) -> None:
    built_in = load(BUILT_IN)
    [names] = {event.fields[enum].prefix for event in built_in.events.values() if enum in event.fields}
    values = built_in.events["source"].fields[enum].values
    validator = Validator(compile_catalog(built_in, today=dt.date(2026, 1, 1)))
    for spelling in (str.upper, lambda value: names + value.upper(), values.index):
        wire = msgspec.msgpack.encode([["source", TIME_NS, {enum: spelling(value)}] for value in values])
        tally = Tally()
        messages = pb.BatchEventMessage.FromString(encode(validator.validate(wire, tally), SESSION, 60)).events
        assert [getattr(message, enum) for message in messages] == list(range(len(values)))
        assert not tally.fields_dropped


@given(st.integers(1, 2**31 - 1), st.binary(min_size=16, max_size=64), st.booleans())
def test_an_id_leaves_as_another_of_the_same_range(number: int, secret: bytes, as_text: bool) -> None:  # noqa: FBT001
    stands = session_id_of(secret, str(number) if as_text else number)
    assert stands is not None
    assert 1 <= stands <= 2**31 - 1


def test_no_two_ids_of_a_session_leave_alike_and_nothing_joins_two_sessions() -> None:
    ids = [*range(1, 40_000), *range(2**31 - 40_000, 2**31)]
    one, other = ([session_id_of(secret, number) for number in ids] for secret in (b"a" * 32, b"b" * 32))
    assert len(set(one)) == len(ids)
    assert sum(map(operator.eq, one, other)) <= 3  # chance would have none, or rarely one


@pytest.mark.parametrize("value", [-1, 2**31, 2**64, "orders", "", "0x10", "1" * 1000])
def test_what_is_no_id_of_risingwave_does_not_leave(value: int | str) -> None:
    assert session_id_of(bytes(32), value) is None


def test_the_id_0_means_no_object() -> None:
    assert session_id_of(bytes(32), 0) == 0
    assert _message("source", catalog_id=0).catalog_id == 0


@pytest.mark.parametrize("value", ["00000000000000ff", "the_users_table", 2**31, 2**63 - 1, -1])
def test_a_catalog_id_that_no_redactor_made_does_not_leave(value: int | str) -> None:
    message = _message("source", catalog_id=value)
    assert message.catalog_id == 0
    assert not message.HasField("attributes")


def test_a_value_that_the_messages_own_field_cannot_hold_is_an_attribute() -> None:
    message = _message("other_catalog", node=7, object="invoice", event_stage=1, connector_name=0.5)
    assert json.loads(message.attributes) == {
        "node": 7,
        "object": "invoice",
        "event_stage": 1,
        "connector_name": 0.5,
    }
    assert (message.node, message.event_stage) == ("", pb.TELEMETRY_EVENT_STAGE_UNSPECIFIED)
    assert not message.HasField("object")
    assert not message.HasField("connector_name")


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "first": st.text(st.characters(exclude_categories=["Cs"])),
            "second": st.integers(-(2**63) + 1, 2**63 - 1),
            "third": st.floats(-1e10, 1e10),
            "fourth": st.booleans(),
        },
    )
)
def test_the_attributes_are_compact_json_with_sorted_keys_of_all_other_fields(fields: dict[str, Any]) -> None:
    message = _message("any", **fields)
    assert json.loads(message.attributes or "{}") == fields
    assert list(json.loads(message.attributes or "{}")) == sorted(fields)
    assert message.HasField("attributes") == bool(fields)
    assert (message.event_name, message.event_time_sec, message.is_test) == ("any", MINUTE, False)


@given(st.binary(max_size=64) | st.lists(st.sampled_from([b"\x0a", b"\x00", b"\x02", b"ab", b"\x80"])).map(b"".join))
def test_any_body_is_split_to_what_adds_up_to_it_or_refused(body: bytes) -> None:
    try:
        parts = split(body)
    except ValueError:
        return
    assert b"".join(parts) == body


def test_a_body_that_was_cut_is_refused() -> None:
    body = encode([_envelope("any", first="x" * 200)], SESSION, 60)
    assert split(body + body) == [body, body]
    for length in range(1, len(body)):
        with pytest.raises(ValueError, match="quarantine"):
            split(body + body[:length])


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        pytest.param(b"\x12\x00", "no event begins at byte 0", id="another field"),
        pytest.param(b"\x0a\x05ab", "beyond the body's 4 bytes", id="beyond the end"),
        pytest.param(b"\x0a" + b"\x80" * 11 + b"\x00", "never ends", id="endless length"),
    ],
)
def test_a_body_that_is_no_batch_is_refused(body: bytes, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        split(body)


def _report(node: str, **facts: Any) -> Report:
    encode_report = risingwave(node).encode_report
    assert encode_report is not None
    return encode_report([_envelope("system_report", **facts)], SESSION, 60)


@pytest.mark.parametrize(
    ("node", "message", "node_type"),
    [
        pytest.param("meta", pb.MetaReport, pb.TELEMETRY_NODE_TYPE_META, id="meta"),
        pytest.param("compute", pb.ComputeReport, pb.TELEMETRY_NODE_TYPE_COMPUTE, id="compute"),
        pytest.param("frontend", pb.FrontendReport, pb.TELEMETRY_NODE_TYPE_FRONTEND, id="frontend"),
        pytest.param("compactor", pb.CompactorReport, pb.TELEMETRY_NODE_TYPE_COMPACTOR, id="compactor"),
    ],
)
def test_a_report_goes_as_its_nodes_message_on_its_nodes_route(
    node: str, message: Any, node_type: pb.TelemetryNodeType
) -> None:
    report = _report(
        node,
        memory_used_bytes=2**29,
        memory_total_bytes=2**35,
        cpu_count=6,
        os_name="Linux",
        os_version="24.04",
        kernel_version="6.18",
        up_time_seconds=3600,
    )
    assert report.route == f"/{node}"
    assert message.FromString(report.body) == message(
        base=pb.ReportBase(
            tracking_id=TRACKING_ID,
            session_id=TRACKING_ID,
            system_data=pb.SystemData(
                memory=pb.SystemMemory(used=2**29, total=2**35),
                os=pb.SystemOs(name="Linux", version="24.04", kernel_version="6.18"),
                cpu=pb.SystemCpu(available=6.0),
            ),
            up_time=3600,
            report_time=MINUTE,
            node_type=node_type,
        )
    )


def test_the_built_in_catalogs_report_of_this_machine_arrives_complete() -> None:
    built_in = load(BUILT_IN)
    [event] = compile_catalog(built_in, today=dt.date(2026, 1, 1)).decoder.decode(
        raw_report(built_in, {}, uptime_seconds=3661.0, now_ns=TIME_NS)
    )
    encode_report = risingwave("compute").encode_report
    assert encode_report is not None
    base = pb.ComputeReport.FromString(encode_report([event], SESSION, 60).body).base
    known = facts(3661.0, Limits())
    assert base.system_data.memory.total == known["memory_total_bytes"]
    assert base.system_data.memory.used > 0
    assert base.system_data.cpu.available == known["cpu_count"]
    assert base.system_data.os == pb.SystemOs(
        name=str(known.get("os_distribution", known["os_name"])),
        version=str(known.get("os_version", "")),
        kernel_version=str(known["kernel_version"]),
    )
    assert base.up_time == 3660


def test_a_report_is_these_bytes() -> None:
    report = _report("frontend", memory_total_bytes=256, cpu_count=2, os_name="macOS", up_time_seconds=60)
    assert report.body == (
        b"\x0a\x6d"  # base = 1, 109 bytes
        b"\x0a\x2401234567-89ab-cdef-0123-456789abcdef"  # tracking_id = 1
        b"\x12\x2401234567-89ab-cdef-0123-456789abcdef"  # session_id = 2
        b"\x1a\x15"  # system_data = 3, 21 bytes
        b"\x0a\x03\x10\x80\x02"  # memory = 1: total = 2: 256
        b"\x12\x07\x0a\x05macOS"  # os = 2: name = 1
        b"\x1a\x05\x0d\x00\x00\x00\x40"  # cpu = 3: available = 1: 2.0
        b"\x20\x3c"  # up_time = 4
        b"\x28\xa8\xe2\xcf\xaa\x06"  # report_time = 5: 1,700,000,040
        b"\x30\x03"  # node_type = 6: FRONTEND
    )


def test_a_fact_that_the_report_cannot_hold_stays_out_of_it() -> None:
    report = _report("compute", memory_used_bytes=-1, cpu_count=-5, up_time_seconds=-60, os_name="Linux")
    base = pb.ComputeReport.FromString(report.body).base
    assert base.system_data == pb.SystemData(memory=pb.SystemMemory(), os=pb.SystemOs(name="Linux"), cpu=pb.SystemCpu())
    assert base.up_time == 0


def test_a_meta_node_reports_what_its_host_has_given() -> None:
    given: dict[str, int | float | str] = {
        "rw_version": "2.6.1",
        "cluster_type": "TELEMETRY_CLUSTER_TYPE_KUBERNETES",
        "meta_backend": 3,
        "meta_nodes": 1,
        "compute_nodes": 7,
        "frontend_nodes": 2,
        "license": "acme",
    }
    built_in = load(BUILT_IN)
    events = Validator(compile_catalog(built_in, today=dt.date(2026, 1, 1))).validate(
        raw_report(built_in, given, uptime_seconds=0.0, now_ns=TIME_NS), Tally()
    )
    encode_report = risingwave("meta", is_test=True).encode_report
    assert encode_report is not None
    report = pb.MetaReport.FromString(encode_report(events, SESSION, 60).body)
    assert report.rw_version == pb.RwVersion(rw_version="2.6.1")
    assert report.cluster_type == pb.TELEMETRY_CLUSTER_TYPE_KUBERNETES
    assert report.meta_backend == pb.META_BACKEND_RDB
    assert report.node_count == pb.NodeCount(meta=1, compute=7, frontend=2)  # a redactor would have put 5 for 7
    assert report.base.is_test
    assert report.base.system_data.memory.total > 0


@pytest.mark.parametrize(
    ("distribution", "name", "version"),
    [
        pytest.param("Ubuntu", "Ubuntu", "24.04", id="named"),
        pytest.param("other", "Linux", "", id="not named"),
        pytest.param(None, "Linux", "24.04", id="of another catalog"),
    ],
)
def test_a_distributions_version_goes_with_its_name(distribution: str | None, name: str, version: str) -> None:
    report = _report("compute", os_name="Linux", os_distribution=distribution, os_version="24.04")
    assert pb.ComputeReport.FromString(report.body).base.system_data.os == pb.SystemOs(name=name, version=version)
