"""What producers that left unconfirmed wrote down: read when nothing more can come from them, counted once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from telemetry.paths import TOMBSTONES
from telemetry.spool.producers import Position, bury
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.spool.ledger import Positions
    from telemetry.spool.spool import Spool

SETTLE_SECONDS = 1.0
"""A tombstone this old: what its producer had handed to the kernel has come in, or never will."""

_MAX_BYTES = 4096  # some thirty times what a producer writes
_REASONS = {"queue_full", "no_shipper", "unencodable", "too_large", "exit_unconfirmed"}

_Count = Annotated[int, Meta(ge=0, le=2**48)]


class _Tombstone(msgspec.Struct, frozen=True):
    producer: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    pid: _Count
    accepted: _Count
    dropped: dict[str, _Count]


def bury_the_dead(spool: Spool, positions: Positions) -> None:
    """Count what the tombstones say is missing; call when no frame waits. `positions` learns of it.

    Never raises: a tombstone that can't be counted now, because the disk refuses, is left for the next call.
    """
    for path in sorted((spool.directory / TOMBSTONES).glob("*.json")):
        try:
            if time.time() - path.stat().st_mtime >= SETTLE_SECONDS:
                _bury(spool, positions, _read(path))
                path.unlink()
        except OSError:
            continue


def _bury(spool: Spool, positions: Positions, found: _Tombstone | None) -> None:
    if found is None:
        return
    tally = Tally()
    before = positions.get(found.producer) or _known_to_others(spool, found.producer) or Position(found.pid)
    dropped = {reason: events for reason, events in found.dropped.items() if reason in _REASONS}
    position = bury(before, found.accepted, dropped, tally)
    if tally.emitted:
        spool.note(f"tombstone-{found.producer}", tally, {found.producer: position})
    positions[found.producer] = position


def _known_to_others(spool: Spool, producer: str) -> Position | None:
    """How far the shipper of another catalog, which shares the spool, has come with a producer. Raises OSError."""
    return spool.ledger().positions.get(producer)


def _read(path: Path) -> _Tombstone | None:
    """A tombstone; None for what is none: anybody of this user may write here. Raises OSError."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Tombstone)
    except (ValueError, RecursionError):
        return None
