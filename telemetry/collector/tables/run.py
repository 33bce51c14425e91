"""A run of the loader: all partitions of a source, once or for as long as it is let, with the upkeep of the tables."""

from __future__ import annotations

from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING

from telemetry.collector.tables.lake import LakeError
from telemetry.collector.tables.source import SourceError
from telemetry.collector.tables.upkeep import tend

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry.collector.tables.lake import Lake
    from telemetry.collector.tables.loader import Loader

_POLL_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_TEND_SECONDS = 600.0


def load(lake: Lake, loaders: Sequence[Loader], keep_days: int, is_stopped: Callable[[], bool]) -> None:
    """Load what each partition has now, and tend the tables.

    Args:
        lake: the tables.
        loaders: a loader for each partition.
        keep_days: the days of receipt that stay; 0 for all.
        is_stopped: asked often; once it is true, what was read is committed, and the call returns.

    Raises:
        TelemetryError: the source can't be read, or the tables can't be written; what was committed stays.
        OSError: the disk refuses; the same.
    """
    for loader in loaders:
        loader.advance(is_stopped)
        while not loader.commit():
            loader.advance(is_stopped)
    tend(lake, datetime.now(UTC), keep_days, is_stopped)


def follow(
    lake: Lake,
    loaders: Sequence[Loader],
    keep_days: int,
    is_stopped: Callable[[], bool],
    wait: Callable[[float], object],
    note: Callable[[str], None],
) -> None:
    """Load what comes, until stopped; what can't be read or written is tried again.

    Args:
        lake: the tables.
        loaders: a loader for each partition.
        keep_days: the days of receipt that stay; 0 for all.
        is_stopped: asked often; once it is true, what was read is committed, and the call returns.
        wait: waits so many seconds, or until stopped.
        note: receives a line for each failure.

    Raises:
        ConfigError: a catalog declares another type for a column.
    """
    wait_seconds = _POLL_SECONDS
    tended = monotonic()
    while not is_stopped():
        try:
            for loader in loaders:
                loader.advance(is_stopped)
            if monotonic() - tended > _TEND_SECONDS:
                tend(lake, datetime.now(UTC), keep_days, is_stopped)
                tended = monotonic()
            wait_seconds = _POLL_SECONDS
        except (SourceError, LakeError, OSError) as fault:
            wait_seconds = min(2 * wait_seconds, _LONGEST_WAIT_SECONDS)
            note(f"{fault}; the next try is in {wait_seconds:.0f} s")
        wait(wait_seconds)
    for loader in loaders:
        loader.commit()
