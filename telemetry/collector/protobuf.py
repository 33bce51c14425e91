"""Conversion of protobuf bodies to lines of JSON like those of other bodies, so that queries read all alike.

Of OTLP, a record is an event: its `event_name` without the product, its time, its `session.id`, its attributes. Of
RisingWave's messages, an event's `event_name` becomes `event`, `event_time_sec` becomes `time`, `tracking_id` becomes
`session`, and the members of `attributes` become fields, as they were emitted. A report becomes an event
`system_report`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from telemetry.shipper.encode import otlp, risingwave

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIXES = {"event_stage": "TELEMETRY_EVENT_STAGE_", "object": "TELEMETRY_DATABASE_OBJECT_"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.encode


def event_lines(body: bytes, route: str) -> Iterator[bytes]:
    """Yield the events of a body, or the report that it is, one line each.

    Args:
        body: one message.
        route: the path it was posted to, whose end tells the kind of message.

    Raises:
        ValueError: the body is no such message.
    """
    if route.endswith(otlp.ROUTE):
        yield from (_encode(_record(record)) + b"\n" for record in otlp.read_request(body))
        return
    for message in map(_decode, risingwave.show(body, route.rpartition("/")[2])):
        yield _encode(_report(message) if "base" in message else _event(message)) + b"\n"


def _record(record: dict[str, Any]) -> dict[str, Any]:
    fields = record["attributes"]
    own = {
        "event": record["event_name"].partition(".")[2],
        "time": _time(record.get("time_unix_nano", 0) // 1_000_000_000),
        "session": fields.pop("session.id", None),
    }
    return {**own, **fields, **own}


def _event(message: dict[str, Any]) -> dict[str, Any]:
    own = {
        "event": message.pop("event_name", None),
        "time": _time(message.pop("event_time_sec", 0)),
        "session": message.pop("tracking_id", None),
    }
    for field in _PREFIXES.keys() & message.keys():
        message[field] = message[field].removeprefix(_PREFIXES[field]).lower()
    return {**own, **_decode(message.pop("attributes", "{}")), **message, **own}


def _report(message: dict[str, Any]) -> dict[str, Any]:
    base = message.pop("base")
    system = base.get("system_data", {})
    facts = {
        "memory_used_bytes": system.get("memory", {}).get("used"),
        "memory_total_bytes": system.get("memory", {}).get("total"),
        "cpu_count": _whole(system.get("cpu", {}).get("available")),
        "os_name": system.get("os", {}).get("name"),
        "os_version": system.get("os", {}).get("version"),
        "kernel_version": system.get("os", {}).get("kernel_version"),
        "up_time_seconds": base.get("up_time"),
        "node": base.get("node_type", "").removeprefix("TELEMETRY_NODE_TYPE_").lower(),
    }
    own = {"event": "system_report", "time": _time(base.get("report_time", 0)), "session": base.get("tracking_id")}
    return {**own, **facts, **message, **own}


def _whole(number: float | None) -> float | None:
    return int(number) if number is not None and number.is_integer() else number


def _time(unix_seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(unix_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # no clock of a shipper's says so
        return None
