"""Examination of the shipper and of what waits in its spools, from the report of `telemetry status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.model import OTHER
from telemetry.doctor.remedies import REMEDIES
from telemetry.doctor.step import Step, fault, good, note
from telemetry.drops import DropReason
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_SECONDS = 60.0
"""The wait of a sealed segment that is a fault: where nothing stands against it, it leaves within some seconds."""

_NOBODY_UPLOADS = (
    "start a host or `telemetry ship` with that endpoint: what waits goes on; `telemetry purge` erases all that waits, "
    "where no program uploads there any more"
)

_NO_TEMPLATE = (
    "add what is missing to its `templates`: `telemetry catalog templates SOURCE` collects those of a program"
)


def examine_shipper(shipper: dict[str, Any]) -> Iterator[Step]:
    """Report whether a shipper runs and takes frames, or why none starts.

    Args:
        shipper: the member `shipper` of the report of `telemetry status --json`.
    """
    if shipper["refused"]:
        why = "; ".join(shipper["refused"].splitlines())
        yield fault("shipper", f"one could not start: {why}", "fix that; hosts try again on their own")
    runs = [run for run in (shipper, *shipper["others"]) if run["running"]]
    if not runs and not shipper["refused"]:
        yield note(
            "shipper", "none runs", "a host that is on starts one with its init, and it leaves when its hosts have"
        )
    for run in runs:
        yield from _of_run(run)


def _of_run(run: dict[str, Any]) -> Iterator[Step]:
    if run.get("starting"):
        found = f"process {run['pid']} starts: it compiles what it searches texts with, the first time for some seconds"
        yield note("shipper", found, "ask again in a moment; what hosts emit waits for it")
        return
    if "fault" in run:
        yield fault(
            "shipper", f"process {run['pid']} does not answer", "it is busy or stopped: end it, and hosts start another"
        )
        return
    said = f"process {run['pid']}, {counted(run['producers'], 'producer')}, {run['memory_bytes'] >> 20} MiB"
    yield good("shipper", said)
    if run["unreadable_frames"]:
        found = f"{counted(run['unreadable_frames'], 'frame')} could not be read"
        yield fault(
            "shipper",
            found,
            "a client of another protocol version, or one that encodes wrongly: tests/clients/README.md",
        )
    if run["refused_frames"]:
        found = f"{counted(run['refused_frames'], 'frame')} of too many new producers refused"
        yield fault("shipper", found, "call init once in a process, not for each event")
    if undeclared := run.get("undeclared"):
        found = ", ".join(f"{name} ({number})" for name, number in undeclared.items())
        yield fault("shipper", f"emitted, and not in the catalog: {found}", "declare it, or correct the name")
    if not run["text_redaction"]:
        yield note(
            "shipper", "free text can't be redacted there, and is dropped", "install hyperscan for its interpreter"
        )
    if run["tripwire"]["state"] not in {"armed", "unavailable"}:
        found = f"the tripwire has held back {counted(run['tripwire']['hits'], 'segment')} ({run['tripwire']['state']})"
        yield fault("shipper", found, "telemetry tripwire show says why; telemetry tripwire clear goes on")


def examine_spool(spool: dict[str, Any], shipper: dict[str, Any], errors: list[str]) -> Iterator[Step]:
    """Report what waits in the spools, for how long, and what keeps it there."""
    waits = spool["segments"]["sealed"]
    waiting = counted(waits, "segment waits", "segments wait")
    oldest = spool["oldest_sealed_seconds"]
    causes = {run["cause"] for run in (shipper, *shipper["others"]) if run.get("cause")}
    for cause in sorted(causes):
        yield fault(
            "spool",
            f"uploads fail: {cause}",
            "fix that; --send tries at once, with --host on if the program says so itself",
        )
    if waits and not causes and oldest is not None and oldest > LONG_SECONDS:
        endpoints = {spool["endpoints"][place] or place for place, sealed in spool["sealed"].items() if sealed}
        served = {run.get("endpoint") for run in (shipper, *shipper["others"]) if run["running"]}
        found = f"{waiting} for {', '.join(sorted(endpoints))}, the oldest for {oldest:.0f} s"
        yield fault("spool", found, "look at the log" if endpoints <= served else _NOBODY_UPLOADS)
    elif not causes:
        copies = counted(spool["segments"]["sent"], "copy", "copies")
        yield good("spool", f"{waiting}, {copies} of what was sent")
    if spool["segments"]["active"] and not causes:
        found = f"{counted(spool['segments']['active'], 'segment is', 'segments are')} being written"
        yield good("spool", f"{found}: uploaded after segment_seconds (10 s), or at flush(until='delivered')")
    if quarantined := spool["segments"]["quarantine"]:
        found = f"{counted(quarantined, 'segment is', 'segments are')} in quarantine"
        yield note("spool", found, "telemetry spool ls says why; telemetry spool requeue sends them again")
    for error in errors:
        yield note("spool", error, "from the shipper's log")


def examine_losses(ledger: dict[str, Any], by_field: dict[str, dict[str, int]]) -> Iterator[Step]:
    """Report the drops by reason and by field, with the remedy for each.

    Args:
        ledger: the member `ledger` of the report of `telemetry status --json`.
        by_field: the number of values removed, by `event.field` and by reason.
    """
    balance = "{emitted} emitted = {delivered} delivered + {on_disk} on disk + {in_flight} in flight".format(**ledger)
    yield good("losses", f"{balance} + {sum(ledger['dropped'].values())} dropped")
    # That some are dropped may be as the catalog says; that all are, can't be meant.
    say = fault if ledger["emitted"] and ledger["emitted"] == sum(ledger["dropped"].values()) else note
    for reason, events in sorted(ledger["dropped"].items()):
        is_meant = reason == DropReason.CONSENT
        yield (note if is_meant else say)("losses", f"{counted(events, 'event')}: {reason}", _remedy(reason))
    for field, reasons in sorted(by_field.items()):
        for reason, values in sorted(reasons.items()):
            yield note("losses", f"{counted(values, 'value')} of {field}: {reason}", _remedy(reason))
    for field, messages in sorted(ledger["unmatched"].items()):
        yield note(
            "losses",
            f"{counted(messages, 'message')} of {field}, without a template that fits, left as `{OTHER}`",
            _NO_TEMPLATE,
        )


def _remedy(reason: str) -> str:
    return REMEDIES[DropReason(reason)] if reason in set(DropReason) else ""
