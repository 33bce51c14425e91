"""The upload format `risingwave`: the protobuf messages that RisingWave's telemetry endpoint reads.

Events leave as a BatchEventMessage, which is appendable. A report is a message of its own, on its node's route.
"""

from __future__ import annotations

from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
from google.protobuf.message import DecodeError, Message

from telemetry.catalog.model import OTHER
from telemetry.errors import ConfigError
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.format import Format, Report
from telemetry.shipper.encode.precision import rounded_seconds
from telemetry.shipper.encode.protobuf import split_records

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from google.protobuf.descriptor import FieldDescriptor

    from telemetry.catalog.compile import Envelope

_REPORTS = {
    "meta": (pb.MetaReport, pb.TELEMETRY_NODE_TYPE_META),
    "compute": (pb.ComputeReport, pb.TELEMETRY_NODE_TYPE_COMPUTE),
    "frontend": (pb.FrontendReport, pb.TELEMETRY_NODE_TYPE_FRONTEND),
    "compactor": (pb.CompactorReport, pb.TELEMETRY_NODE_TYPE_COMPACTOR),
}
_EVENTS = 1  # the number of BatchEventMessage's only field
_MAX_ID = (1 << 31) - 1  # RisingWave's ids of objects are positive numbers of an int32
_MAX_UINT32 = (1 << 32) - 1
_ID_ROUNDS = 10  # of a Feistel network over 32 bits; as many as NIST SP 800-38G has for short domains
_MAX_EVENTS = 100
"""The number of events that RisingWave's own nodes put into one request."""
_UINT64 = (1 << 64) - 1

_decode_attributes = msgspec.json.Decoder(dict[str, Any]).decode
_attributes_json = msgspec.json.Encoder(order="sorted").encode


def risingwave(node: str, *, is_test: bool = False) -> Format:
    """Return the format, with the reports of `node`: `meta`, `compute`, `frontend` or `compactor`.

    Args:
        node: the kind of node that the reports describe.
        is_test: whether all messages are marked as a test's, which RisingWave's endpoint checks and does not store.

    Raises:
        ConfigError: RisingWave has no such node.
    """
    if node not in _REPORTS:
        raise ConfigError(f"RisingWave has no node {node!r}: set node to one of {', '.join(_REPORTS)}")
    return Format(
        name="risingwave",
        suffix=".pb",
        content_type="application/x-protobuf",
        compressions=("none",),
        route="/events",
        encode=partial(encode, is_test=is_test),
        split=partial(split_records, number=_EVENTS),
        values=values,
        by_line=False,
        show=show,
        encode_report=partial(encode_report, node, is_test=is_test),
        max_events=_MAX_EVENTS,
        identifiers={"catalog_id": session_id_of},
    )


def encode(events: Sequence[Envelope], session: str, precision_seconds: int, *, is_test: bool = False) -> bytes:
    """Write the events as a BatchEventMessage.

    The fields `event_stage` and `object` (an enum's value in small letters, without its prefix),
    `connector_name`, `node` and `catalog_id` become the message's own. The rest goes into its `attributes`,
    and so does one of these whose value the message can't hold; but a `catalog_id` must be a number to leave.

    Args:
        events: redacted, a `catalog_id` by `session_id_of`.
        session: the id that stands as tracking id, in the form of a UUID, so that nobody is tracked beyond a session.
        precision_seconds: times are rounded down to a multiple of it, at least 1.
        is_test: whether the messages are marked as a test's.
    """
    batch = pb.BatchEventMessage()
    for event in events:
        batch.events.append(_event_message(event, str(UUID(session)), precision_seconds, is_test=is_test))
    return batch.SerializeToString()


def session_id_of(secret: bytes, value: str | int) -> int | None:
    """Return the number that stands for an object's id in one session.

    It is a permutation of 1 to 2**31 - 1, keyed with the session's secret: distinct ids stay distinct, and nobody
    without the secret can tell which they were. A Feistel network over 32 bits is walked until it comes to such a
    number.

    Args:
        secret: of the session, at most 64 bytes.
        value: the id, a number or its digits.

    Returns:
        The number; 0, which RisingWave has for "no object", for 0; None for what is no such id.
    """
    try:
        number = int(value)
    except ValueError:
        return None
    if number == 0:
        return 0
    if not 0 < number <= _MAX_ID:
        return None
    while True:
        number = _permuted(secret, number)
        if 0 < number <= _MAX_ID:
            return number


def _permuted(secret: bytes, number: int) -> int:
    left, right = number >> 16, number & 0xFFFF
    for turn in range(_ID_ROUNDS):
        digest = blake2b(bytes([turn]) + right.to_bytes(2, "big"), key=secret, digest_size=2).digest()
        left, right = right, left ^ int.from_bytes(digest, "big")
    return left << 16 | right


def values(record: bytes) -> dict[str, Any]:
    """Return the text fields of a record, including the members of its attributes.

    Raises:
        ValueError: it is no BatchEventMessage of one event.
    """
    try:
        (event,) = pb.BatchEventMessage.FromString(record).events
    except DecodeError:
        raise ValueError(f"a record of {len(record)} bytes is no event") from None
    own = {"event": event.event_name, "session": event.tracking_id, "node": event.node}
    return {**own, "connector_name": event.connector_name, **_decode_attributes(event.attributes or "{}")}


def show(body: bytes, route: str) -> Iterator[bytes]:
    """Show a body's messages by the names of their fields: a line for each event, or for the report of a node's route.

    Raises:
        ValueError: the body is no message of that route.
    """
    report, _ = _REPORTS.get(route.removeprefix("/"), (None, None))
    message: Message = pb.BatchEventMessage() if report is None else report()
    try:
        message.ParseFromString(body)
    except DecodeError as fault:
        raise ValueError(f"a body of {len(body)} bytes is no message for the route {route!r}") from fault
    return map(msgspec.json.encode, map(_named_values, getattr(message, "events", [message])))


def encode_report(
    node: str, events: Sequence[Envelope], session: str, precision_seconds: int, *, is_test: bool = False
) -> Report:
    """Write report events of one time as the report of `node`.

    ReportBase holds the facts of `telemetry.shipper.intake.report`, and MetaReport what only a meta node knows; any
    other field stays behind.
    """
    message, node_type = _REPORTS[node]
    values: dict[str, Any] = {}
    for event in events:
        values |= msgspec.to_builtins(event.fields)
    tracking_id = str(UUID(session))
    base = pb.ReportBase(
        tracking_id=tracking_id,
        session_id=tracking_id,
        system_data=_system_data(values),
        up_time=_uint64(values.get("up_time_seconds")),
        report_time=rounded_seconds(events[0].time_ns, precision_seconds),
        node_type=node_type,
        is_test=is_test,
    )
    own = _meta_facts(values) if message is pb.MetaReport else {}
    return Report(route=f"/{node}", body=message(base=base, **own).SerializeToString())


def _meta_facts(values: dict[str, Any]) -> dict[str, Any]:
    counts = {name: _uint32(values.get(f"{name}_nodes")) for name in ("meta", "compute", "frontend", "compactor")}
    version = _text(values.get("rw_version"))
    return {
        "meta_backend": _META_BACKENDS.get(str(values.get("meta_backend"))),
        "cluster_type": _CLUSTER_TYPES.get(str(values.get("cluster_type"))),
        "node_count": pb.NodeCount(**counts) if any(counts.values()) else None,
        "rw_version": pb.RwVersion(rw_version=version) if version else None,
    }


def _event_message(event: Envelope, tracking_id: str, precision_seconds: int, *, is_test: bool) -> pb.EventMessage:
    values = msgspec.to_builtins(event.fields)
    name = values.pop("event")
    own: dict[str, Any] = {}
    for field, read in _OWN_FIELDS.items():
        value = read(values.get(field))
        if value is not None:
            own[field] = value
            del values[field]
    values.pop("catalog_id", None)  # still there, so no number of a session's, so no telling what it is
    return pb.EventMessage(
        tracking_id=tracking_id,
        event_time_sec=rounded_seconds(event.time_ns, precision_seconds),
        event_name=name,
        attributes=_attributes_json(values).decode() if values else None,
        is_test=is_test,
        **own,
    )


def _system_data(values: dict[str, Any]) -> pb.SystemData:
    distribution = _text(values.get("os_distribution"))
    # A version says something of a distribution that is named, and of no other.
    version = None if distribution == OTHER else _text(values.get("os_version"))
    return pb.SystemData(
        memory=pb.SystemMemory(
            used=_uint64(values.get("memory_used_bytes")), total=_uint64(values.get("memory_total_bytes"))
        ),
        os=pb.SystemOs(
            name=_text(values.get("os_name")) if distribution in {None, OTHER} else distribution,
            version=version,
            kernel_version=_text(values.get("kernel_version")),
        ),
        cpu=pb.SystemCpu(available=_uint64(values.get("cpu_count"))),
    )


def _named_values(message: Message) -> dict[str, Any]:
    return {field.name: _shown(field, value) for field, value in message.ListFields()}


def _shown(field: FieldDescriptor, value: Any) -> Any:
    if isinstance(value, Message):
        return _named_values(value)
    if field.enum_type is not None:
        return field.enum_type.values_by_number[value].name
    return value


def _numbers(items: Iterable[tuple[str, int]], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix).lower(): number for name, number in items}


# A value that is not what the message wants, of a catalog other than RisingWave's own, reads as None.


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _uint64(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _UINT64 else None


def _uint32(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _MAX_UINT32 else None


def _session_id(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _MAX_ID else None


_META_BACKENDS = _numbers(pb.MetaBackend.items(), "META_BACKEND_")
_CLUSTER_TYPES = _numbers(pb.TelemetryClusterType.items(), "TELEMETRY_CLUSTER_TYPE_")
_OWN_FIELDS: dict[str, Callable[[Any], Any]] = {
    "event_stage": _numbers(pb.TelemetryEventStage.items(), "TELEMETRY_EVENT_STAGE_").get,
    "object": _numbers(pb.TelemetryDatabaseObject.items(), "TELEMETRY_DATABASE_OBJECT_").get,
    "connector_name": _text,
    "node": _text,
    "catalog_id": _session_id,
}
