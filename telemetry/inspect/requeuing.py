"""Return of segments from quarantine, beside a running shipper or without one."""

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
        directory: the spool.
        is_meant: tells whether to bring a segment back, by its id and the reason for which it was set aside.

    Returns:
        The number of events of each segment brought back, by its id; and a fault for each segment that was meant but
        stays.

    Raises:
        OSError: the disk refuses; another call finishes the work.
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
