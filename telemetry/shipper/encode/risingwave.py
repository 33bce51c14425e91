"""The upload format `risingwave`: the protobuf messages that RisingWave's telemetry endpoint reads.

Events go out as a BatchEventMessage, which is appendable. A report is a message of its own, on its node's
route.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from google.protobuf.message import DecodeError, Message

from telemetry.errors import ConfigError
from telemetry.shipper.encode import telemetry_pb2 as pb
from telemetry.shipper.encode.format import Format, Report
from telemetry.shipper.encode.precision import rounded_seconds

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
_TOKEN = re.compile(r"[0-9a-f]{16}")
_EVENTS_TAG = 0x0A  # field 1 of BatchEventMessage, with a length
_MAX_VARINT_BYTES = 10
_INT63 = (1 << 63) - 1
_UINT64 = (1 << 64) - 1

_attributes_json = msgspec.json.Encoder(order="sorted").encode


def risingwave(node: str) -> Format:
    """The format, with the reports of `node`: `meta`, `compute`, `frontend` or `compactor`.

    Raises:
        ConfigError: RisingWave has no such node.
    """
    if node not in _REPORTS:
        raise ConfigError(f"RisingWave has no node {node!r}: set node to one of {', '.join(_REPORTS)}")
    return Format(
        name="risingwave",
        suffix=".pb",
        content_type="application/x-protobuf",
        compressed=False,  # the endpoint takes none
        route="/events",
        encode=encode,
        split=split,
        show=show,
        encode_report=partial(encode_report, node),
    )


def encode(events: Sequence[Envelope], session: str, precision_seconds: int) -> bytes:
    """Write the events as a BatchEventMessage.

    The fields `event_stage` and `object` (an enum's value in small letters, without its prefix),
    `connector_name`, `node` and `catalog_id` become the message's own. The rest goes into its `attributes`,
    and so does one of these whose value the message can't hold; but a `catalog_id` must be a token to leave.

    Args:
        events: redacted.
        session: the id that stands as tracking id, so that nobody is tracked beyond a session.
        precision_seconds: times are rounded down to a multiple of it, at least 1.
    """
    batch = pb.BatchEventMessage()
    for event in events:
        batch.events.append(_event_message(event, session, precision_seconds))
    return batch.SerializeToString()


def split(body: bytes) -> list[bytes]:
    """The records of a BatchEventMessage: each is one event and, alone, a body of one.

    Raises:
        ValueError: the body is no sequence of whole records.
    """
    records = []
    start = 0
    while start < len(body):
        if body[start] != _EVENTS_TAG:
            raise ValueError(f"no event begins at byte {start} of a body of {len(body)}: quarantine it")
        length, payload = _read_varint(body, start + 1)
        end = payload + length
        if end > len(body):
            raise ValueError(f"the event at byte {start} ends beyond the body's {len(body)} bytes: quarantine it")
        records.append(body[start:end])
        start = end
    return records


def show(body: bytes, route: str) -> Iterator[bytes]:
    """A body's messages by the names of their fields: a line for each event, or for the report of a node's route.

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


def encode_report(node: str, event: Envelope, session: str, precision_seconds: int) -> Report:
    """Write a `system_report` event as the report of `node`.

    ReportBase holds the facts of `telemetry.shipper.intake.report`; any other field stays behind.
    """
    message, node_type = _REPORTS[node]
    values = msgspec.to_builtins(event.fields)
    base = pb.ReportBase(
        tracking_id=session,
        session_id=session,
        system_data=_system_data(values),
        up_time=_uint64(values.get("up_time_seconds")),
        report_time=rounded_seconds(event.time_ns, precision_seconds),
        node_type=node_type,
    )
    return Report(route=f"/{node}", body=message(base=base).SerializeToString())


def _event_message(event: Envelope, session: str, precision_seconds: int) -> pb.EventMessage:
    values = msgspec.to_builtins(event.fields)
    name = values.pop("event")
    own: dict[str, Any] = {}
    for field, read in _OWN_FIELDS.items():
        value = read(values.get(field))
        if value is not None:
            own[field] = value
            del values[field]
    values.pop("catalog_id", None)  # still there, so no token, so no telling what it is
    return pb.EventMessage(
        tracking_id=session,
        event_time_sec=rounded_seconds(event.time_ns, precision_seconds),
        event_name=name,
        attributes=_attributes_json(values).decode() if values else None,
        **own,
    )


def _system_data(values: dict[str, Any]) -> pb.SystemData:
    return pb.SystemData(
        memory=pb.SystemMemory(
            used=_uint64(values.get("memory_used_bytes")), total=_uint64(values.get("memory_total_bytes"))
        ),
        os=pb.SystemOs(
            name=_text(values.get("os_name")),
            version=_text(values.get("os_version")),
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


def _read_varint(body: bytes, start: int) -> tuple[int, int]:
    """The varint at `start`, and where it ends."""
    value = 0
    for position, byte in enumerate(body[start : start + _MAX_VARINT_BYTES]):
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:  # noqa: PLR2004 the high bit says that more follows
            return value, start + position + 1
    raise ValueError(f"the length at byte {start} of a body of {len(body)} never ends: quarantine it")


def _numbers(items: Iterable[tuple[str, int]], prefix: str) -> dict[str, int]:
    return {name.removeprefix(prefix).lower(): number for name, number in items}


# A value that is not what the message wants, of a catalog other than RisingWave's own, reads as None.


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _uint64(value: Any) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= _UINT64 else None


def _int63(value: Any) -> int | None:
    return int(value, 16) & _INT63 if isinstance(value, str) and _TOKEN.fullmatch(value) else None


_OWN_FIELDS: dict[str, Callable[[Any], Any]] = {
    "event_stage": _numbers(pb.TelemetryEventStage.items(), "TELEMETRY_EVENT_STAGE_").get,
    "object": _numbers(pb.TelemetryDatabaseObject.items(), "TELEMETRY_DATABASE_OBJECT_").get,
    "connector_name": _text,
    "node": _text,
    "catalog_id": _int63,
}
