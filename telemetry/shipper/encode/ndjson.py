"""The upload format `ndjson`: one JSON object a line, `{"event", "time", "session", fields...}`."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from telemetry.shipper.encode.format import Format
from telemetry.shipper.encode.precision import rounded_seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from telemetry.catalog.compile import Envelope

_encode_lines = msgspec.json.Encoder().encode_lines


def encode(events: Sequence[Envelope], session: str, precision_seconds: int) -> bytes:
    """Stamp the events with time and session and write a line for each.

    Args:
        events: redacted; their fields are changed in place.
        session: the id that goes into each line.
        precision_seconds: times are rounded down to a multiple of it, at least 1.

    Returns:
        The lines, each ending in a newline; nothing for no events.
    """
    # Every event the shipper keeps goes through this loop: neighbours share their rounded time, so most
    # events cost a comparison and two assignments.
    from_ns = until_ns = 0
    text = ""
    stamped = []
    for event in events:
        time_ns = event.time_ns
        if not from_ns <= time_ns < until_ns:
            seconds = rounded_seconds(time_ns, precision_seconds)
            from_ns = seconds * 1_000_000_000
            until_ns = from_ns + precision_seconds * 1_000_000_000
            text = _iso_utc(seconds)
        fields = event.fields
        fields.time = text
        fields.session = session
        stamped.append(fields)
    return _encode_lines(stamped)


def split(body: bytes) -> list[bytes]:
    """The lines of a body, each with its newline."""
    return body.splitlines(keepends=True)


def show(body: bytes, route: str) -> list[bytes]:  # noqa: ARG001 every body is alike
    """The lines of a body, without their newlines."""
    return body.splitlines()


@lru_cache(maxsize=256)  # events of several producers may jump between rounded times
def _iso_utc(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


NDJSON = Format(
    name="ndjson",
    suffix=".ndjson",
    content_type="application/x-ndjson",
    compressed=True,
    route="",
    encode=encode,
    split=split,
    show=show,
)
