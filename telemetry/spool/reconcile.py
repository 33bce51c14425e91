"""Makes ledger and folders of a spool agree: what a crash left between a line and its file is finished.

By whoever delivers, and under the spool's lock. What is in `active/` is recovery's.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry.drops import DropReason
from telemetry.spool import segment
from telemetry.spool.ledger import Dropped, Ledger, LedgerLog, Line, Sealed
from telemetry.spool.segment import begun_ns, id_of

if TYPE_CHECKING:
    from collections.abc import Container

    from telemetry.spool.folder import Folder


def reconcile(log: LedgerLog, sealed: Folder, local: Folder, quarantined: Folder) -> None:
    """Finish what was left half done in these folders.

    Raises:
        OSError: the disk refuses; what the ledger does not know is then not among what may be delivered.
    """
    ledger = log.read()  # before the directory: a segment sealed in between is new, and not gone
    try:
        _agree(log, ledger, sealed, local, quarantined)
    except OSError:
        for folder in (sealed, local):
            for file in list(folder):
                if id_of(file) not in ledger.live:  # not to be delivered before the ledger knows it
                    folder.forget(file)
        raise


def bring_back(file: str, quarantined: Folder, sealed: Folder) -> None:
    """Move a segment from quarantine to those that wait. Raises OSError."""
    # The Seal first: a data file without one would be set aside anew.
    for name in (segment.seal_name(file), file):
        with suppress(FileNotFoundError):  # the shipper that delivers has done it meanwhile
            (quarantined.path / name).replace(sealed.path / name)
    quarantined.forget(file)
    sealed.add(file)


def _agree(log: LedgerLog, ledger: Ledger, sealed: Folder, local: Folder, quarantined: Folder) -> None:
    quarantined.load()
    for file in [file for file in quarantined if id_of(file) in ledger.live]:
        bring_back(file, quarantined, sealed)
    gone = set(ledger.live)
    adopted: list[Line] = []
    stale = []
    for folder in (sealed, local):
        folder.load()
        for file in list(folder):
            id_ = id_of(file)
            if id_ in ledger.live:
                gone.discard(id_)
            elif ledger.knows(id_):
                stale.append((folder, file))
            elif (line := _adopt(folder, file, ledger.live, quarantined)) is not None:
                adopted.append(line)
    if adopted or gone:
        log.append(*adopted, *(Dropped(id_, DropReason.CORRUPT) for id_ in gone))
    live = log.read().live if stale else {}  # a segment requeued meanwhile is there too
    for folder, file in stale:
        if id_of(file) not in live:
            folder.remove(file)


def _adopt(folder: Folder, file: str, live: Container[str], quarantined: Folder) -> Sealed | None:
    """Return the ledger's line for a sealed segment that it does not know, because a crash came between the two.

    A segment that still has marks is left to recovery. A half that the ledger does not know does not count, whole or
    not: its parent is still there.
    """
    if (folder.path.parent / "active" / segment.marks_name(file)).exists():
        folder.forget(file)
        return None
    try:
        seal = segment.load(folder.path, file)
    except (FileNotFoundError, ValueError):
        if _is_half(file, folder, live):
            folder.remove(file)
        else:
            folder.move(file, quarantined)
        return None
    if seal.depth:
        folder.remove(file)
        return None
    return Sealed(seal.head.id, seal.tally, seal.positions)


def _is_half(file: str, folder: Folder, live: Container[str]) -> bool:
    """Tell whether a file can only be the beginning of a split that was cut short: its name has its parent's time."""
    return any(begun_ns(other) == begun_ns(file) and id_of(other) in live for other in folder)
