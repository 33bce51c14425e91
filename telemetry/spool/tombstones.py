"""Tombstones of producers that left unconfirmed: read when nothing more can arrive from them, and counted once."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from telemetry.drops import HOST_REASONS
from telemetry.paths import TOMBSTONES
from telemetry.rendezvous.unix import is_listened_at
from telemetry.spool.positions import Position, bury, furthest
from telemetry.spool.tally import Tally
from telemetry.wire import HANDOVER_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.spool.positions import Positions
    from telemetry.spool.spool import Spool

SETTLE_SECONDS = 1.0
"""The age of a tombstone of one's own producer at which all that the kernel held of it has arrived, or never will."""

STRANGER_SECONDS = 30.0
"""The age at which a tombstone is counted whose producer another shipper of the spool knows better, or may hear from.
No age is enough while somebody listens where that producer met its shipper: what it left may wait there."""

HANDOVER_SECONDS = 5.0
"""The age at which a reader counts a tombstone: a shipper that is only starting may be about to take the frames in."""

_MAX_BYTES = 4096  # some thirty times what a producer writes

_Count = Annotated[int, Meta(ge=0, le=2**48)]


class Tombstone(msgspec.Struct, frozen=True):
    """The last numbers of a producer that left unconfirmed.

    Attributes:
        producer: the producer's id in hexadecimal.
        pid: the producer's process.
        accepted: the number that its next event would have had.
        dropped: the running totals, by reason, of what it has dropped itself.
        place: the name of the directory where it met its shipper, or would have; empty if it is not given.
    """

    producer: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    pid: _Count
    accepted: _Count
    dropped: dict[str, _Count]
    place: Annotated[str, Meta(pattern=r"^[\w.-]{0,64}$")] = ""


def bury_the_dead(spool: Spool, positions: Positions, rendezvous: Path) -> None:
    """Count the events that tombstones report missing; called when no frame waits.

    Never raises: a tombstone that can't be counted now, because the disk refuses, is left for the next call.

    Args:
        spool: the spool with the tombstones.
        positions: the producers' positions, updated by the call.
        rendezvous: the directory where the calling shipper meets its producers. Producers of another shipper are left
            to that one for as long as it may come.
    """
    for path in _older(spool.directory, SETTLE_SECONDS):
        try:
            found, age_seconds = _read(path), _age_seconds(path)
            if found is None or (
                _is_due(found, age_seconds, rendezvous) and _bury(spool, positions, found, age_seconds)
            ):
                path.unlink()
        except OSError:
            continue


def read_tombstones(spool: Path) -> dict[Path, Tombstone]:
    """Return the tombstones of which no shipper can learn more, by their files. Changes nothing."""
    found = {}
    for path in _older(spool, HANDOVER_SECONDS):
        with suppress(OSError):
            if (tombstone := _read(path)) is not None:
                found[path] = tombstone
    return found


def count_missing(tombstone: Tombstone, known: Position | None, tally: Tally) -> Position:
    """Add to `tally` what a tombstone reports beyond its producer's `known` position; return the final position."""
    dropped = {reason: events for reason, events in tombstone.dropped.items() if reason in HOST_REASONS}
    return bury(known or Position(tombstone.pid), tombstone.accepted, dropped, tally)


def _older(spool: Path, seconds: float) -> list[Path]:
    return sorted(path for path in (spool / TOMBSTONES).glob("*.json") if _age_seconds(path) >= seconds)


def _age_seconds(path: Path) -> float:
    """Return the age of a file. A date in the future, after the clock was set back, counts as that long ago."""
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _is_due(found: Tombstone, age_seconds: float, rendezvous: Path) -> bool:
    """Tell whether the frames its producer left have arrived here, or can arrive nowhere any more."""
    if found.place == rendezvous.name:
        return True
    handover_socket = rendezvous.parent / found.place / HANDOVER_SOCKET
    return age_seconds >= STRANGER_SECONDS and not is_listened_at(handover_socket)


def _bury(spool: Spool, positions: Positions, found: Tombstone, age_seconds: float) -> bool:
    """Count a tombstone and return True; return False if another shipper may know more of its producer."""
    here, others = positions.get(found.producer), _known_to_others(spool, found.producer)
    known = furthest(here, others) if others else here
    if known != here and age_seconds < STRANGER_SECONDS:
        return False
    tally = Tally()
    position = count_missing(found, known, tally)
    if tally.emitted:
        spool.note(
            f"tombstone-{found.producer}-{found.accepted}-{sum(found.dropped.values())}",
            tally,
            {found.producer: position},
        )
    positions[found.producer] = position
    return True


def _known_to_others(spool: Spool, producer: str) -> Position | None:
    """Return a producer's position as known to the shipper of another catalog on the same spool. Raises OSError."""
    return spool.ledger().positions.get(producer)


def _read(path: Path) -> Tombstone | None:
    """Return a tombstone, or None for any other file: every process of this user may write here. Raises OSError."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tombstone)
    except (ValueError, RecursionError):
        return None
