"""What producers that left unconfirmed wrote down: read when nothing more can come from them, counted once."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from telemetry.paths import TOMBSTONES
from telemetry.rendezvous.unix import is_listened_at
from telemetry.spool.producers import Position, bury, furthest
from telemetry.spool.tally import Tally
from telemetry.wire import HANDOVER_SOCKET

if TYPE_CHECKING:
    from pathlib import Path

    from telemetry.spool.ledger import Positions
    from telemetry.spool.spool import Spool

SETTLE_SECONDS = 1.0
"""A tombstone this old, of a producer of ours: what it had handed to the kernel has come in, or never will."""

STRANGER_SECONDS = 30.0
"""... or this old, when another shipper of the spool was its producer's, or knows more of it, and may have the rest in
hand. While a door is open where the producer met its shipper, what it left may wait there: no age is enough then."""

HANDOVER_SECONDS = 5.0
"""... or this old, for who looks on: a shipper that is only starting may be about to take in what its producer left."""

_MAX_BYTES = 4096  # some thirty times what a producer writes
_REASONS = {"queue_full", "no_shipper", "unencodable", "too_large", "exit_unconfirmed"}

_Count = Annotated[int, Meta(ge=0, le=2**48)]


class Tombstone(msgspec.Struct, frozen=True):
    """What a producer that left unconfirmed had come to.

    Attributes:
        producer: its id in hexadecimal.
        pid: of its process.
        accepted: the number that its next event would have had.
        dropped: running totals, by reason, of what it has dropped itself.
        place: the name of the rendezvous where it met its shipper, or would have; empty where that is not said.
    """

    producer: Annotated[str, Meta(pattern="^[0-9a-f]{32}$")]
    pid: _Count
    accepted: _Count
    dropped: dict[str, _Count]
    place: Annotated[str, Meta(pattern=r"^[\w.-]{0,64}$")] = ""


def bury_the_dead(spool: Spool, positions: Positions, rendezvous: Path) -> None:
    """Count what the tombstones say is missing; call when no frame waits.

    Never raises: a tombstone that can't be counted now, because the disk refuses, is left for the next call.

    Args:
        spool: where they lie.
        positions: how far the producers have come; learns of it.
        rendezvous: of the shipper that asks. Another's producers are left to that one for as long as it may come.
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
    """Those of which no shipper can know more any more, by their files. Changes nothing."""
    found = {}
    for path in _older(spool, HANDOVER_SECONDS):
        with suppress(OSError):
            if (tombstone := _read(path)) is not None:
                found[path] = tombstone
    return found


def count_missing(tombstone: Tombstone, known: Position | None, tally: Tally) -> Position:
    """Add to `tally` what a tombstone says beyond what is `known` of its producer; returns where that one ended."""
    dropped = {reason: events for reason, events in tombstone.dropped.items() if reason in _REASONS}
    return bury(known or Position(tombstone.pid), tombstone.accepted, dropped, tally)


def _older(spool: Path, seconds: float) -> list[Path]:
    return sorted(path for path in (spool / TOMBSTONES).glob("*.json") if _age_seconds(path) >= seconds)


def _age_seconds(path: Path) -> float:
    """How long ago it was written. One that is dated in the future is as old as that is far: the clock was set back."""
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _is_due(found: Tombstone, age_seconds: float, rendezvous: Path) -> bool:
    """Whether what its producer left has come in here, or can come in nowhere any more."""
    if found.place == rendezvous.name:
        return True
    door = rendezvous.parent / found.place / HANDOVER_SOCKET
    return age_seconds >= STRANGER_SECONDS and not is_listened_at(door)


def _bury(spool: Spool, positions: Positions, found: Tombstone, age_seconds: float) -> bool:
    """Whether it is counted; what is known here may be old, for the producer may have been another shipper's."""
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
    """How far the shipper of another catalog, which shares the spool, has come with a producer. Raises OSError."""
    return spool.ledger().positions.get(producer)


def _read(path: Path) -> Tombstone | None:
    """A tombstone; None for what is none: anybody of this user may write here. Raises OSError."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Tombstone)
    except (ValueError, RecursionError):
        return None
