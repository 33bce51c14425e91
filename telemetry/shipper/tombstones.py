"""What producers that left unconfirmed wrote down: read when nothing more can come from them, counted once."""

from __future__ import annotations

import json
import time
from pathlib import Path

from telemetry.producer.exits import TOMBSTONES
from telemetry.shipper.ledger import Positions
from telemetry.shipper.producers import Position, bury
from telemetry.shipper.spool import Spool
from telemetry.shipper.tally import Tally

SETTLE_SECONDS = 1.0
"""A tombstone this old: what its producer had handed to the kernel has come in, or never will."""

_REASONS = {"queue_full", "no_shipper", "unencodable", "too_large", "exit_unconfirmed"}


def bury_the_dead(spool: Spool, positions: Positions) -> None:
    """Count what the tombstones say is missing; call when no frame waits. `positions` learns of it."""
    for path in sorted((spool.directory / TOMBSTONES).glob("*.json")):
        if time.time() - path.stat().st_mtime < SETTLE_SECONDS:
            continue
        found = _read(path)
        if found is not None:
            _bury(spool, positions, *found)
        path.unlink(missing_ok=True)


def _bury(spool: Spool, positions: Positions, producer: str, pid: int, accepted: int, dropped: dict[str, int]) -> None:
    tally = Tally()
    positions[producer] = bury(positions.get(producer) or Position(pid), accepted, dropped, tally)
    if tally.emitted:
        spool.note(f"tombstone-{producer}", tally, {producer: positions[producer]})


def _read(path: Path) -> tuple[str, int, int, dict[str, int]] | None:
    """Producer, pid, accepted, dropped; None for what is no tombstone: anybody of this user may write here."""
    try:
        found = json.loads(path.read_text())
        producer, pid, accepted = str(found["producer"]), int(found["pid"]), int(found["accepted"])
        dropped = {name: int(number) for name, number in found["dropped"].items() if name in _REASONS}
        bytes.fromhex(producer)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return producer, pid, accepted, dropped
