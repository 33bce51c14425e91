"""What an upload format is: how a drain of events becomes bytes that can be appended to a segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from telemetry.catalog.compile import Envelope


class Report(NamedTuple):
    """A message that fills a segment of its own and goes to a route of its own."""

    route: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """An upload format. Bodies are appendable: `encode(a) + encode(b)` is the body of a followed by b.

    Attributes:
        name: as in `ShipperSettings(format=...)`.
        suffix: of a segment's file, with the dot, without the compression's own.
        content_type: of the upload.
        compressed: whether a segment is one zstd stream, announced by Content-Encoding.
        route: what the endpoint's path is extended by; may be empty.
        encode: events, session id and time precision in seconds to bytes.
        split: an uncompressed body to its events' bytes, in order; their concatenation is the body.
        values: one event's bytes, as `split` gives them, to its fields, `event` among them. Raises ValueError.
        by_line: whether an event is a line, so that a body can be read a piece at a time.
        show: an uncompressed body and its route to one line of JSON for each event, for people.
        max_events: how many events the endpoint takes in one body; None sets no bound.
        identifiers: by the name of a field, how an identifier in it leaves in this format instead of as a token:
            session's secret and value to what leaves; to None for a value that can't leave so.
        encode_report: report events of one time, session id and time precision in seconds to the one message that
            holds their facts; None where a report is an event like any other.
    """

    name: str
    suffix: str
    content_type: str
    compressed: bool
    route: str
    encode: Callable[[Sequence[Envelope], str, int], bytes]
    split: Callable[[bytes], list[bytes]]
    values: Callable[[bytes], dict[str, Any]]
    by_line: bool
    show: Callable[[bytes, str], Iterable[bytes]]
    max_events: int | None = None
    identifiers: Mapping[str, Callable[[bytes, str | int], int | None]] = field(default_factory=dict)
    encode_report: Callable[[Sequence[Envelope], str, int], Report] | None = None
