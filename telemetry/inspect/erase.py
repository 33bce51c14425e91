"""Erasure of what was collected, at the user's word: the segments of a spool, or all that a product left here.

Erasing segments is safe beside a running shipper: their drops are in the ledger before the files go, and a later
outcome of their upload changes nothing. The shipper's active segments are its own: it erases them itself when it sees
that the stored choice is "off".
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from itertools import chain
from time import monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from telemetry.drops import DropReason
from telemetry.errors import ShipperUnreachableError, SpoolError
from telemetry.files import is_locked
from telemetry.inspect.contents import describe, find_segments, is_spool
from telemetry.paths import LIVING, product_dir, spools_of
from telemetry.rendezvous.find import Rendezvous, find_rendezvous
from telemetry.rendezvous.life import gone_in, sweep, tell_of_purge
from telemetry.rendezvous.life import is_held as shows_life
from telemetry.rendezvous.lock import acquire
from telemetry.spool import activity
from telemetry.spool.layout import DELIVERY_LOCK_FILE, FOLDERS, FORMAT_FILE, prepare
from telemetry.spool.ledger import LedgerLog, Total
from telemetry.spool.positions import REMOTE_PID
from telemetry.spool.segment import MARKS
from telemetry.spool.spool import Spool
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Container, Iterable
    from pathlib import Path

    from telemetry.spool.positions import Positions

STOP_SECONDS = 10.0
"""The time for a shipper to stop: it seals, and waits for two seconds for the upload under way to be cut off."""

RELEASE_SECONDS = 5.0
"""The time that the end of a process may take on a busy machine."""

WITHDRAW_SECONDS = 3.0
"""The time for a shipper to see the stored choice, at which it looks at least once a second."""

TELL_SECONDS = 1.0
"""The time for living producers to hear of a purge; those that keep nothing look later, and have nothing to discard."""

_ASK_SECONDS = 0.5
_POLL_SECONDS = 0.05


class Erased(NamedTuple):
    """The extent of an erasure: segments in any state, their events, and their bytes on disk."""

    segments: int = 0
    events: int = 0
    size_bytes: int = 0


def count(spools: Iterable[Path]) -> Erased:
    """Count what there is to erase."""
    segments = events = size_bytes = 0
    for spool in spools:
        for found in find_segments(spool):
            described = describe(spool, found)
            segments += 1
            events += described[1] if described else 0
            size_bytes += found.size_bytes
    return Erased(segments, events, size_bytes)


def is_held(spool: Path) -> bool:
    """Tell whether a living shipper delivers from here or writes to an active segment."""
    held_files = chain([spool / DELIVERY_LOCK_FILE], (spool / "active").glob(f"*{MARKS}"))
    return any(map(_is_locked, held_files))


def erase_segments(spool: Path) -> None:
    """Erase every segment but the active ones of living shippers; those of dead ones are recovered first.

    Events that were to be delivered count as dropped for `consent`. The ledger stays.

    Raises:
        SpoolError: the spool is of another format.
        OSError: the disk lets nothing be erased, or not all.
    """
    if is_spool(spool):
        if not all((spool / folder).is_dir() for folder in FOLDERS):
            prepare(spool)  # a purge beside living hosts has left nothing but their signs of life
        opened = Spool(spool)
        try:
            opened.claim()  # when no shipper does: what a crash left between a file and its line is counted then
            opened.wipe(DropReason.CONSENT)
        finally:
            opened.close()


def withdraw(product: str) -> None:
    """Erase the contents of a product's spools, after its "off" was stored.

    A living shipper erases its spool itself when it sees the choice; the call blocks until it has. If it does not,
    whatever it is not writing at the moment is erased all the same.

    Raises:
        ShipperUnreachableError: a shipper still writes after `WITHDRAW_SECONDS`.
        SpoolError: a spool is of another format.
        OSError: the disk refuses.
    """
    activity.forget(product)
    deadline = monotonic() + WITHDRAW_SECONDS
    left = _erase_free(spools_of(product))
    while left and monotonic() < deadline:
        sleep(_POLL_SECONDS)
        left = _erase_free(left)
    for spool in left:
        erase_segments(spool)
    activity.forget(product)  # of a shipper that had not seen the choice yet
    if still := list(filter(_holds_events, left)):
        raise ShipperUnreachableError(f"a shipper still writes to {still[0]}: stop it, then run this again")


def erase_product(product: str) -> None:
    """Stop the product's shippers and remove its spools, logs and rendezvous; the stored choice stays.

    A producer that lives on is told by its sign of life: what it keeps it discards within half a second, and begins
    anew. One in another language does not notice, and goes on with its numbers. So signs stay, and where the numbers
    have come to: without that, all that was ever emitted would look like a loss.

    Blocks until they have stopped, and for a second at most until living producers have heard of it. One of them may
    spawn a new shipper right after.

    Raises:
        ShipperUnreachableError: a shipper does not stop, or one that can't be found holds a spool.
        OSError: the disk refuses.
    """
    taken: dict[Path, int] = {}
    try:
        for rendezvous in find_rendezvous(product):
            taken[rendezvous.directory] = _take_over(rendezvous)
        _await_release(spools_of(product))
        living = {spool: positions for spool in spools_of(product) if (positions := _living(spool))}
        if product_dir(product).exists():
            _remove(product_dir(product), {spool / name for spool in living for name in (FORMAT_FILE, LIVING)})
        _tell_producers(living)
        for spool, positions in living.items():
            sweep(spool, gone_in(spool))
            LedgerLog(spool).append(Total(Tally(), positions=positions))
        for directory in taken:
            shutil.rmtree(directory)
    finally:
        for lock in taken.values():
            os.close(lock)


def _tell_producers(living: dict[Path, Positions]) -> None:
    """Tell living producers of the purge, and wait until they have heard of it: no shipper may come before."""
    told = [(spool, name) for spool, positions in living.items() for name in positions]
    for spool, name in told:
        tell_of_purge(spool, name)
    deadline = monotonic() + TELL_SECONDS
    while any(shows_life(spool, name) for spool, name in told) and monotonic() < deadline:
        sleep(_POLL_SECONDS)


def _living(spool: Path) -> Positions:
    """How far the producers have come that live on; of one without a sign its process tells, if it is of this machine.

    None where that can't be read: to erase is more.
    """
    with suppress(SpoolError, OSError):
        if is_spool(spool):
            positions = Spool(spool).ledger().positions
            return {name: position for name, position in positions.items() if _lives(spool, name, position.pid)}
    return {}


def _lives(spool: Path, producer: str, pid: int) -> bool:
    held = shows_life(spool, producer)
    return held or (held is None and (pid == REMOTE_PID or _is_process(pid)))


def _is_process(pid: int) -> bool:
    try:
        os.getpgid(pid)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return pid > 0


def _remove(directory: Path, but: Container[Path]) -> None:
    """Remove a directory, but for some directories in it and the way to them. Raises OSError."""
    for path in directory.iterdir():
        if path in but:
            continue
        if path.is_dir() and not path.is_symlink():
            _remove(path, but)
        else:
            path.unlink()
    if not any(directory.iterdir()):
        directory.rmdir()


def _erase_free(spools: list[Path]) -> list[Path]:
    """Erase the spools that no shipper holds; returns those of the others that still hold events."""
    held = []
    for spool in spools:
        if is_held(spool):
            held.append(spool)
        else:
            erase_segments(spool)
    return list(filter(_holds_events, held))


def _holds_events(spool: Path) -> bool:
    """An active segment without data has counts only: what a shipper drops after an "off"."""
    return any(found.folder != "active" or found.size_bytes for found in find_segments(spool))


def _take_over(rendezvous: Rendezvous) -> int:
    """Stop the shipper and hold its lock, so that no producer can spawn another before all is erased."""
    deadline = monotonic() + STOP_SECONDS
    while (lock := acquire(rendezvous.directory)) is None:
        if monotonic() > deadline:
            raise ShipperUnreachableError(
                f"the shipper {rendezvous.pid} does not stop within {STOP_SECONDS:.0f} s: end it, then run this again"
            )
        try:
            rendezvous.ask("stop", _ASK_SECONDS, uploads=False)  # what is to be erased must not leave meanwhile
        except ShipperUnreachableError:
            continue  # busy, or already on its way out
    return lock


def _await_release(spools: list[Path]) -> None:
    """A shipper lets go of its rendezvous first, and of its spool only when its process ends."""
    deadline = monotonic() + RELEASE_SECONDS
    while held := [spool for spool in spools if is_held(spool)]:
        if monotonic() > deadline:
            raise ShipperUnreachableError(f"a shipper holds {held[0]}: stop it first, then run this again")
        sleep(_POLL_SECONDS)


def _is_locked(path: Path) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return is_locked(file)
    finally:
        os.close(file)
