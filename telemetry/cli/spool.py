"""The command `telemetry spool`, which looks into a spool's directory offline; a shipper may run meanwhile.

All subcommands but `requeue` and `purge` only read.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemetry import files
from telemetry.cli.consent import CommandError, FailedError, json_option
from telemetry.cli.purge import as_counts, confirm, describe_erased, yes_option
from telemetry.errors import SpoolError
from telemetry.inspect import account, erase, requeuing
from telemetry.inspect.account import Fault
from telemetry.inspect.contents import Found, describe, find_segments, follow, is_spool, read_body, read_data
from telemetry.spool.ledger import LedgerLog
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from telemetry.spool.ledger import Aside

_CAT_BY_ITSELF = ("active", "sealed")
_LS_LINE = "{state:<11} {id}  {events:>8} events {bytes:>10} bytes {age_seconds:>10} s  {session}  {format}  {reason}"
_FINISHED = ("sealed", "sent", "quarantine", "local")


class _SpoolDirectory(click.ParamType[Path]):
    """A command's argument that must be a spool of this version."""

    name = "directory"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        directory = Path(value)
        try:
            if is_spool(directory):
                return directory
        except (SpoolError, OSError) as fault:
            self.fail(str(fault), param, ctx)
        return self.fail(f"{value} is no spool; `telemetry status` names those there are", param, ctx)


_directory = click.argument("directory", metavar="DIR", type=_SpoolDirectory())


@click.group()
def spool() -> None:
    """Look into a spool: a directory named by `telemetry status`."""


@spool.command()
@_directory
@json_option
def ls(directory: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Print a line for each segment, oldest first; with --json, an object a line."""
    now, aside = time.time(), LedgerLog(directory).read().aside
    for found in find_segments(directory):
        row = _row(directory, found, now, aside)
        known = {name: "?" if value is None else value for name, value in row.items()} | {"reason": row["reason"] or ""}
        print(json.dumps(row) if as_json else _LS_LINE.format(**known).rstrip())


def _row(directory: Path, found: Found, now: float, aside: Mapping[str, Aside]) -> dict[str, str | float | None]:
    described = describe(directory, found)
    head, events = described or (None, None)
    return {
        "state": "quarantined" if found.folder == "quarantine" else found.folder,
        "id": found.id,
        "events": events,
        "bytes": found.size_bytes,
        "age_seconds": round(max(0.0, now - found.began_seconds), 1),
        "reason": aside[found.id].reason if found.id in aside else None,
        "session": head.session if head else None,
        "format": head.format if head else None,
        "sensitivity": (head.sensitivity or None) if head else None,
    }


@spool.command()
@_directory
@click.argument("ids", metavar="[ID]...", nargs=-1)
def cat(directory: Path, ids: tuple[str, ...]) -> None:
    """Write the decompressed bodies of segments to stdout, byte for byte; without ID, all that is to be sent.

    Of an active segment it is what its marks vouch for. Exit codes: 1, one can't be read; 2, one is not there.
    """
    segments = find_segments(directory)
    if unknown := set(ids) - {found.id for found in segments}:
        raise CommandError(f"{directory} has no segment {', '.join(sorted(unknown))}; `telemetry spool ls` lists them")
    for found in segments:
        if found.id in ids or (not ids and found.folder in _CAT_BY_ITSELF):
            _write_body(directory, found)
    sys.stdout.flush()


def _write_body(directory: Path, found: Found) -> None:
    try:
        body = follow(directory, found, read_body)
    except SpoolError as fault:
        raise FailedError(str(fault)) from None
    sys.stdout.buffer.write(body or b"")


@spool.command()
@_directory
@json_option
def verify(directory: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Compare every segment with its seal or marks, and the ledger with itself and with them.

    Exit codes: 0, all is as it was written; 1, something is not, and it is named.
    """
    faults = account.verify(directory)
    segments = len(find_segments(directory))
    if as_json:
        print(json.dumps({"good": not faults, "segments": segments, "faults": [fault._asdict() for fault in faults]}))
    else:
        for fault in faults:
            print(f"{fault.where}: {fault.what}")
        print(f"{counted(segments, 'segment')}, " + (counted(len(faults), "fault") if faults else "all as written"))
    if faults:
        sys.exit(1)


@spool.command()
@_directory
@click.argument("out", type=click.Path(path_type=Path, file_okay=False))
@json_option
def export(directory: Path, out: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Copy every finished body to OUT as <id>.ndjson.zst, byte for byte; quarantined and local ones too."""
    segments = size_bytes = 0
    try:
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in find_segments(directory):
            data = follow(directory, found, read_data) if found.folder in _FINISHED else None
            if data is not None:
                files.write_durably(out / f"{found.id}{found.suffix}", data)
                segments, size_bytes = segments + 1, size_bytes + len(data)
    except OSError as fault:
        raise FailedError(f"{fault.filename or out}: {fault.strerror}; {segments} were copied before that") from None
    if as_json:
        print(json.dumps({"out": str(out), "segments": segments, "bytes": size_bytes}))
    else:
        print(f"{out}: {counted(segments, 'segment')}, {counted(size_bytes, 'byte')}")


@spool.command()
@_directory
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--reason", metavar="REASON", help="All that were set aside for it: rejected, corrupt, redaction_failed.")
@click.option("--all", "everything", is_flag=True, help="All that were set aside.")
@json_option
def requeue(directory: Path, ids: tuple[str, ...], reason: str | None, everything: bool, as_json: bool) -> None:  # noqa: FBT001 click passes them by name
    """Bring segments back from quarantine: by ID, by the reason that they were set aside for, or all.

    They await delivery again, and count as lost no more; a running shipper takes them within seconds, looks at each for
    secrets as before, and sends it under the id that it had. What is not what was written stays.

    Exit codes: 0, all that were meant are brought back; 1, some are not, and they are named; 2, none was named.
    """
    if sum((bool(ids), reason is not None, everything)) != 1:
        raise CommandError("name them: ids, --reason REASON, or --all; `telemetry spool ls` lists what is quarantined")
    try:
        brought, left = requeuing.requeue(directory, lambda id_, why: everything or id_ in ids or why == reason)
    except OSError as fault:
        raise FailedError(
            f"not everything was brought back: {fault}; run it again when the disk can be written"
        ) from None
    left += [Fault(id_, "is not in quarantine") for id_ in ids if id_ not in {*brought, *(one.where for one in left)}]
    if as_json:
        print(json.dumps({"segments": len(brought), "events": sum(brought.values()), "left": dict(left)}))
    else:
        print(f"{counted(len(brought), 'segment')}, {counted(sum(brought.values()), 'event')} await delivery again")
        for one in left:
            print(f"{one.where} {one.what}: it stays")
    if left:
        sys.exit(1)


@spool.command()
@_directory
@yes_option
@click.option("--force", is_flag=True, help="Even while a shipper writes here; what it is writing stays.")
@json_option
def purge(directory: Path, yes: bool, force: bool, as_json: bool) -> None:  # noqa: FBT001 click passes them by name
    """Erase every segment; those that were to be sent count as dropped for `consent`, and the ledger stays.

    Exit codes: 0, erased; 1, a shipper writes here, or the disk refuses; 2, nobody said yes.
    """
    if not force and erase.is_held(directory):
        raise FailedError(f"a shipper writes to {directory}: stop it, or pass --force")
    before = erase.count([directory])
    confirm(f"Erase {describe_erased(before)} in {directory}?", yes=yes)
    try:
        erase.erase_segments(directory)
    except OSError as fault:
        raise FailedError(f"not everything was erased: {fault}") from None
    after = erase.count([directory])
    erased = erase.Erased(*(was - stays for was, stays in zip(before, after, strict=True)))
    print(json.dumps(as_counts(erased)) if as_json else f"erased {describe_erased(erased)}")
