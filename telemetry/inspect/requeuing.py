"""Bringing back what was set aside, beside a running shipper or without one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.errors import SpoolError
from telemetry.inspect.account import Fault
from telemetry.inspect.contents import find_segments, read_batch
from telemetry.spool.ledger import LedgerLog
from telemetry.spool.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def requeue(directory: Path, is_meant: Callable[[str, str], bool]) -> tuple[dict[str, int], list[Fault]]:
    """Bring segments back from the quarantine of a spool.

    Args:
        directory: of the spool.
        is_meant: whether a segment is, by its id and the reason that it was set aside for.

    Returns:
        What was brought back, id to events; and what was meant and stays, by id.

    Raises:
        OSError: the disk refuses; saying it again finishes it.
    """
    aside = LedgerLog(directory).read().aside
    good, left = [], []
    for found in find_segments(directory):
        if found.folder == "quarantine" and found.id in aside and is_meant(found.id, aside[found.id].reason):
            try:
                read_batch(directory, found)
                good.append(found.id)
            except (SpoolError, FileNotFoundError):
                left.append(Fault(found.id, "is not what was written"))
    brought = Spool(directory).requeue(good) if good else []
    return {id_: aside[id_].events for id_ in brought}, left
