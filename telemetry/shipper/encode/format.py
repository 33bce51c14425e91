"""What an upload format is: how a drain of events becomes bytes that can be appended to a segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from telemetry.catalog.compile import Envelope


class Report(NamedTuple):
    """A message that fills a segment of its own and goes to a route of its own."""

    route: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """An upload format. Bodies are appendable: `encode(a) + encode(b)` is the body of a followed by b.

    Attributes:
        name: as in `init(format=...)`.
        suffix: of a segment's file, with the dot, without the compression's own.
        content_type: of the upload.
        compressed: whether a segment is one zstd stream, announced by Content-Encoding.
        route: what the endpoint's path is extended by; may be empty.
        encode: events, session id and time precision in seconds to bytes.
        split: an uncompressed body to its events' bytes, in order; their concatenation is the body.
        show: an uncompressed body and its route to one line of JSON for each event, for people.
        encode_report: a report event, session id and time precision in seconds to its own message; None
            where a report is an event like any other.
    """

    name: str
    suffix: str
    content_type: str
    compressed: bool
    route: str
    encode: Callable[[Sequence[Envelope], str, int], bytes]
    split: Callable[[bytes], list[bytes]]
    show: Callable[[bytes, str], Iterable[bytes]]
    encode_report: Callable[[Envelope, str, int], Report] | None = None
