"""Account of a spool's events, read from its directory with or without a shipper, and its verification.

The ledger knows sealed segments only, so the marks of active ones are added, and the tombstones that no shipper has
counted yet. Both are read before the ledger: anything sealed or counted in between is then in the ledger too, which
takes precedence.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from telemetry.inspect.contents import Found, find_segments
from telemetry.spool import segment
from telemetry.spool.journal import read_lines
from telemetry.spool.ledger import LOG_FILE, Ledger, LedgerLog, Line
from telemetry.spool.positions import catch_up
from telemetry.spool.segment import MARKS, Mark
from telemetry.spool.tally import Tally
from telemetry.spool.tombstones import Tombstone, count_missing, read_tombstones
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LOOKS = 3


class Account(NamedTuple):
    """Figures of a ledger, in events.

    Attributes:
        tally: the counts of all that intake has seen; a kept event is delivered, on disk, or has been dropped since.
        delivered: the events confirmed by the endpoint.
        on_disk: the events in active, sealed and local segments, including a batch on its way.
    """

    tally: Tally
    delivered: int
    on_disk: int

    @property
    def balance(self) -> int:
        """The number of events that are unaccounted for: 0, or there is a bug."""
        return self.tally.emitted - self.delivered - self.on_disk - self.tally.lost


class Fault(NamedTuple):
    """A fault in a spool.

    Attributes:
        where: the file.
        what: the fault, in words that follow the file's name.
    """

    where: str
    what: str


def read_account(spool: Path) -> Account:
    """Return the account of one spool, all 0 if there is none; changes nothing. Raises OSError if it can't be read."""
    for _ in range(_LOOKS):
        tombstones = read_tombstones(spool)
        active = _read_active(spool)
        ledger = LedgerLog(spool).read()
        account = _add_up(ledger, active.values(), tombstones.values())
        # A file that is gone was sealed or counted meanwhile, and a compaction may have forgotten its id: look again.
        if all(path.exists() for path in (*active, *tombstones)):
            break
    return account


def total(accounts: Iterable[Account]) -> Account:
    """Add up the accounts of several spools."""
    tally, delivered, on_disk = Tally(), 0, 0
    for account in accounts:
        tally.add(account.tally)
        delivered += account.delivered
        on_disk += account.on_disk
    return Account(tally, delivered, on_disk)


def verify(spool: Path) -> list[Fault]:
    """Compare every segment with its Seal or its marks, and the ledger with itself and with the files.

    All data is read once, and once more if a fault is found: a shipper that moves a file meanwhile causes a fault in
    one reading, but never the same one in both.
    """
    first = list(_look(spool))
    again = set(_look(spool)) if first else set()
    return [fault for fault in first if fault in again]


def _read_active(spool: Path) -> dict[Path, tuple[str, list[Mark]]]:
    """Read the id and the marks of each active segment, by the path of its marks file."""
    found = {}
    for path in sorted((spool / "active").glob(f"*{MARKS}")):
        try:
            read = segment.read_marks(path)
        except FileNotFoundError:
            continue
        if read is not None:
            head, marks = read
            found[path] = head.id, marks
    return found


def _add_up(ledger: Ledger, active: Iterable[tuple[str, list[Mark]]], tombstones: Iterable[Tombstone]) -> Account:
    tally, on_disk, positions = ledger.tally.copy(), ledger.on_disk, dict(ledger.positions)
    for id_, marks in active:
        if marks and not ledger.knows(id_):
            tally.add(marks[-1].tally)
            on_disk += marks[-1].tally.kept
        for mark in marks:
            catch_up(positions, mark.positions)
    tally.settle_late()
    for tombstone in tombstones:
        count_missing(tombstone, positions.get(tombstone.producer), tally)
    return Account(tally, ledger.delivered, on_disk)


def _look(spool: Path) -> Iterator[Fault]:
    ledger_fault = _check_lines(spool)
    if ledger_fault is not None:
        yield ledger_fault
    live = LedgerLog(spool).read().live
    segments = find_segments(spool)
    for id_ in sorted(live.keys() - {found.id for found in segments}):
        yield Fault(LOG_FILE, f"says that segment {id_} is on disk, but it is not")
    for found in segments:
        what = _check(spool, found)
        if what is not None:
            yield Fault(f"{found.folder}/{found.file}", what)
    if balance := read_account(spool).balance:
        yield Fault(LOG_FILE, f"leaves {counted(balance, 'event')} unaccounted for")


def _check_lines(spool: Path) -> Fault | None:
    path = spool / LOG_FILE
    data = path.read_bytes() if path.exists() else b""
    end = 0
    for _, end in read_lines(data, Line):  # type: ignore[arg-type]  # noqa: B007 a union is a type to msgspec; the last `end` counts
        pass
    if not data[end:].strip(b"\n"):
        return None
    return Fault(LOG_FILE, f"is torn or altered at byte {end}; what can't be read there is not counted")


def _check(spool: Path, found: Found) -> str | None:
    """Return the fault of a segment, or None. Segments in quarantine are known to be faulty and are not checked."""
    if found.folder == "quarantine":
        return None
    try:
        return _check_active(spool, found) if found.folder == "active" else _check_sealed(spool, found)
    except FileNotFoundError as fault:
        return f"has no {Path(fault.filename).name} beside it"
    except ValueError:
        return "has a seal that can't be read"


def _check_sealed(spool: Path, found: Found) -> str | None:
    folder = spool / found.folder
    seal = segment.load(folder, found.file)
    data = (folder / found.file).read_bytes()
    if len(data) != seal.length_bytes:
        return f"holds {len(data)} bytes, its seal says {seal.length_bytes}"
    if zlib.crc32(data) != seal.crc:
        return "does not have the CRC that its seal says"
    return None


def _check_active(spool: Path, found: Found) -> str | None:
    path = spool / "active" / found.file
    read = segment.read_marks(path.with_name(segment.marks_name(found.file)))
    if read is None:
        return "has marks that can't be read"
    _, marks = read
    if marks and segment.last_good(marks, path.read_bytes()) is not marks[-1]:
        return "does not hold what its last mark says"
    return None
