"""Definition of an upload format: how a drain of events becomes bytes that can be appended to a segment."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.shipper.outcome import Answer, read_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from telemetry.catalog.compile import Envelope
    from telemetry.spool.stream import Wrap


class Report(NamedTuple):
    """A message that fills a segment of its own and goes to a route of its own."""

    route: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Format:
    """An upload format: all that distinguishes it stands here.

    What `encode` returns is appendable: `encode(a) + encode(b)` is what it returns for a followed by b. A body is that,
    in the format's envelope, if it has one, and compressed.

    Attributes:
        name: the name of the format in the settings.
        suffix: the end of a segment file's name, with the dot, before the compression's own.
        content_type: the Content-Type of the upload.
        compressions: what its endpoints take, the best of it first: `zstd`, `gzip`, `none`.
        route: the path appended to that of the endpoint; may be empty.
        encode: turns events, session id and time precision in seconds into bytes.
        split: splits what `encode` returns into its events' bytes, in order; their concatenation is what was split.
        values: turns one event's bytes, as `split` gives them, into its fields, `event` among them. Raises ValueError.
        by_line: whether an event is a line, so that a body can be read a piece at a time.
        show: turns a body without compression and envelope, and its route, into one line of JSON for each event, for
            people.
        envelope: the messages around the events of a body, by the label and digest of their catalog; None for none.
        show_envelope: turns such messages into one line of JSON, for people; empty for none.
        max_body_bytes: the size before compression that endpoints take; the setting `body_bytes` goes before it.
        max_events: the number of events that the endpoint takes in one body; None sets no bound.
        read_reply: turns status, Content-Type and body of a reply into what it says of the batch.
        identifiers: by the name of a field, a function that turns the session's secret and an identifier into the value
            that leaves in this format instead of a token, or into None if it can't leave.
        encode_report: turns report events of one time, session id and time precision in seconds into the one message
            that holds their facts; None if a report is an event like any other.
    """

    name: str
    suffix: str
    content_type: str
    compressions: tuple[str, ...]
    route: str
    encode: Callable[[Sequence[Envelope], str, int], bytes]
    split: Callable[[bytes], list[bytes]]
    values: Callable[[bytes], dict[str, Any]]
    by_line: bool
    show: Callable[[bytes, str], Iterable[bytes]]
    envelope: Callable[[str, str], tuple[Wrap, ...]] | None = None
    show_envelope: Callable[[Sequence[Wrap]], bytes] = lambda _: b""
    max_body_bytes: int = 32 << 20
    max_events: int | None = None
    read_reply: Callable[[int, str, bytes], Answer] = read_reply
    identifiers: Mapping[str, Callable[[bytes, str | int], int | None]] = field(default_factory=dict)
    encode_report: Callable[[Sequence[Envelope], str, int], Report] | None = None

    @property
    def compression(self) -> str:
        """The compression of its bodies."""
        return self.compressions[0]
