"""The seam between what holds batches and the loader: partitions, each with its batches in one lasting order."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from telemetry.errors import TelemetryError
from telemetry.receipt import NOT_FIRST, First

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from telemetry.receipt import Receipt


class SourceError(TelemetryError):
    """Raised when a source can't be read now; the text says why, and what to do."""


class Batch(NamedTuple):
    """A batch as it was received, with its place in its partition.

    Attributes:
        batch: the batch's id.
        sequence: its number in the partition, from 1; the next one's is greater, not always by one.
        received: the time of receipt, with a time zone.
        catalog: product and version, `acme-db/3`; empty if nothing tells.
        catalog_digest: the SHA-256 of the catalog's file, in hexadecimal; empty if the shipper did not send it.
        receipt: the consent under which the events were collected; None if nothing tells.
        ledger: the shipper's account of the session, as received; None if it sent none.
        route: the path it was posted to.
        suffix: the encoding of the body, as the end of a file's name: one of `telemetry.collector.store.BODY_SUFFIXES`.
        body: the bytes as they were uploaded.
        first: the periods of which its session is its installation's first.
    """

    batch: str
    sequence: int
    received: datetime
    catalog: str
    catalog_digest: str
    receipt: Receipt | None
    ledger: str | None
    route: str
    suffix: str
    body: bytes
    first: First = NOT_FIRST


class Source(Protocol):
    """Batches in partitions. A batch keeps its partition and its sequence for ever; several loaders may read at once.

    A batch that comes later has a greater sequence than all that were ever read from its partition, whatever the clocks
    said. The same id may come again in its partition: the loader recognises it.
    """

    def partitions(self) -> Sequence[str]:
        """Return the names of the partitions, which are the same at every start. Blocks; raises SourceError."""
        ...

    def first(self, partition: str) -> int:
        """Return the first sequence that the partition still holds, or will give next if it is empty.

        What a loader had not read below is lost to it. Blocks; raises SourceError.
        """
        ...

    def read(self, partition: str, after: int) -> Iterator[Batch]:
        """Yield the batches of a partition whose sequence is greater than `after`, in order.

        Ends with the last one that is there now; the next call sees what has come since. Blocks as long as reading
        takes, and raises SourceError.
        """
        ...
