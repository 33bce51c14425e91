"""What lies in a spool at the moment of a kill: what must arrive, and how far each producer had come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from telemetry.inspect.contents import find_segments, read_body
from telemetry.spool.ledger import LedgerLog
from telemetry.spool.positions import furthest
from telemetry.spool.segment import MARKS, read_marks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Snapshot(NamedTuple):
    """A spool whose shipper stands still.

    Attributes:
        quarantined: segments that were set aside.
        reached: by the pid of a producer, how many of its events are accounted for; the next may be lost.
    """

    quarantined: set[str]
    reached: dict[int, int]


def look(spool: Path) -> Snapshot:
    """Read names, ledger and marks; changes nothing."""
    return Snapshot({found.id for found in find_segments(spool) if found.folder == "quarantine"}, _reached(spool))


def events_on_disk(spool: Path) -> Iterator[tuple[int, int]]:
    """Every (producer, number) in an active or a sealed segment. Raises SpoolError when one can't be read."""
    for found in find_segments(spool):
        if found.folder in {"active", "sealed"}:
            for line in read_body(spool, found).splitlines():
                event = json.loads(line)
                yield event["producer"], event["number"]


def _reached(spool: Path) -> dict[int, int]:
    positions = LedgerLog(spool).read().positions
    for path in (spool / "active").glob(f"*{MARKS}"):
        for mark in (read_marks(path) or (None, []))[1]:
            for producer, position in mark.positions.items():
                positions[producer] = furthest(positions.get(producer), position)
    return {position.pid: position.next for position in positions.values()}
