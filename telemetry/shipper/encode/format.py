"""Definition of an upload format: how a drain of events becomes bytes that can be appended to a segment."""

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
        name: the name of the format in the settings.
        suffix: the end of a segment file's name, with the dot, before the compression's own.
        content_type: the Content-Type of the upload.
        compressed: whether a segment is one zstd stream, announced by Content-Encoding.
        route: the path appended to that of the endpoint; may be empty.
        encode: turns events, session id and time precision in seconds into bytes.
        split: splits an uncompressed body into its events' bytes, in order; their concatenation is the body.
        values: turns one event's bytes, as `split` gives them, into its fields, `event` among them. Raises ValueError.
        by_line: whether an event is a line, so that a body can be read a piece at a time.
        show: turns an uncompressed body and its route into one line of JSON for each event, for people.
        max_events: the number of events that the endpoint takes in one body; None sets no bound.
        identifiers: by the name of a field, a function that turns the session's secret and an identifier into the value
            that leaves in this format instead of a token, or into None if it can't leave.
        encode_report: turns report events of one time, session id and time precision in seconds into the one message
            that holds their facts; None if a report is an event like any other.
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
