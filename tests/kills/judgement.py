"""What a run of kills comes to: each event emitted has arrived once, for its host lived, and had room to keep it."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kills.collector import Collector
    from kills.disk import Snapshot
    from telemetry.inspect.account import Account


class Run(NamedTuple):
    """What was seen.

    Attributes:
        pids: of the producers.
        emitted: by each of them.
        confirmed: whether each was told that all of it is on disk, or counted.
        collector: what arrived.
        snapshots: of the spool, one for each kill.
        lost_from_disk: events that lay on disk at a kill and never arrived.
        account: of the spool at the end.
        kills_while_starting: how many met a shipper that was just starting.
        pauses: by SIGSTOP, with a SIGCONT after.
        slowest_return_seconds: from one kill until the next shipper had the lock, at most.
        seconds: in all.
    """

    pids: list[int]
    emitted: list[int]
    confirmed: bool
    collector: Collector
    snapshots: list[Snapshot]
    lost_from_disk: int
    account: Account
    kills_while_starting: int
    pauses: int
    slowest_return_seconds: float
    seconds: float


class Verdict(NamedTuple):
    """What is printed.

    Attributes:
        kills: survived.
        kills_while_starting: of them, those that met a shipper that was just starting.
        pauses: survived.
        emitted: events.
        arrived: events, each counted once.
        lost: by reason, as the ledger says.
        most_lost_at_once: events of one producer in a row.
        lost_from_disk: events that lay on disk at a kill and never arrived.
        lost_beyond_hand: events lost that were not next in line at a kill: no drain in hand can have held them.
        repeated_batches: uploads of a batch that was known, by its id.
        slowest_return_seconds: from a kill until the next shipper had the lock.
        seconds: in all.
        faults: what is not as it must be, in words.
    """

    kills: int
    kills_while_starting: int
    pauses: int
    emitted: int
    arrived: int
    lost: dict[str, int]
    most_lost_at_once: int
    lost_from_disk: int
    lost_beyond_hand: int
    repeated_batches: int
    slowest_return_seconds: float
    seconds: float
    faults: list[str]


def judge(run: Run) -> Verdict:
    """Hold what arrived against what was emitted, and both against the ledger."""
    gaps = [list(_gaps(run, index)) for index in range(len(run.pids))]
    arrived = sum(emitted - sum(map(len, ranges)) for emitted, ranges in zip(run.emitted, gaps, strict=True))
    lost_beyond_hand = sum(
        len(gap) for index, ranges in enumerate(gaps) for gap in ranges if gap.start not in _next_in_line(run, index)
    )
    verdict = Verdict(
        kills=len(run.snapshots),
        kills_while_starting=run.kills_while_starting,
        pauses=run.pauses,
        emitted=sum(run.emitted),
        arrived=arrived,
        lost=run.account.tally.dropped,
        most_lost_at_once=max((len(gap) for ranges in gaps for gap in ranges), default=0),
        lost_from_disk=run.lost_from_disk,
        lost_beyond_hand=lost_beyond_hand,
        repeated_batches=run.collector.repeated,
        slowest_return_seconds=round(run.slowest_return_seconds, 3),
        seconds=round(run.seconds, 1),
        faults=[*run.collector.wrong],
    )
    verdict.faults.extend(_faults(run, verdict))
    return verdict


def _gaps(run: Run, index: int) -> Iterator[range]:
    """The events of one producer that never arrived, in rows."""
    times = run.collector.arrived[index]
    there = (number for number in range(min(len(times), run.emitted[index])) if times[number])
    for before, after in pairwise([-1, *there, run.emitted[index]]):
        if after > before + 1:
            yield range(before + 1, after)


def _next_in_line(run: Run, index: int) -> set[int]:
    """The numbers that a producer had come to on disk at the kills: what the killed one had in hand begins there."""
    return {snapshot.reached.get(run.pids[index], 0) for snapshot in run.snapshots}


def _faults(run: Run, verdict: Verdict) -> Iterator[str]:
    account, lost = run.account, verdict.emitted - verdict.arrived
    if verdict.lost_from_disk:
        yield f"{verdict.lost_from_disk} events lay on disk at a kill and never arrived"
    if verdict.lost_beyond_hand:
        yield f"{verdict.lost_beyond_hand} events are lost that no killed shipper can have had in hand"
    if quarantined := set().union(*(snapshot.quarantined for snapshot in run.snapshots)):
        yield f"segments were quarantined: {sorted(quarantined)}"
    if not run.confirmed:
        yield "a producer's flush was not confirmed"
    if account.balance or account.on_disk:
        yield f"the ledger leaves {account.balance} events unaccounted for, and {account.on_disk} on disk"
    if (account.tally.emitted, account.delivered) != (verdict.emitted, verdict.arrived):
        yield f"the ledger says {account.tally.emitted} emitted and {account.delivered} delivered"
    if lost or account.tally.dropped:
        yield f"{lost} events are lost, and their hosts had room; the ledger counts {account.tally.dropped}"
