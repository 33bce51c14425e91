"""The command `telemetry forget`: erases one session from a collector's store."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import click

from telemetry.cli.consent import CommandError, FailedError, json_option
from telemetry.cli.extras import not_installed
from telemetry.errors import ConfigError
from telemetry.terminal import counted

_SESSION = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The form of a session's id: as it stands in events, or as a UUID, which is how a RisingWave endpoint shows it."""


@click.command()
@click.argument("session")
@click.option(
    "--store",
    "directory",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory that keeps batches.",
)
@json_option
def forget(session: str, directory: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Erase all that a collector's store has of SESSION, and let none of it come again.

    A person finds the ids of their sessions with `telemetry preview --sent`, in each event. A collector may run
    meanwhile. Exit codes: 0, erased, or nothing was there; 1, DIR is no store, a body can't be read, and is named, or
    the disk refuses; 2, SESSION is no session's id.
    """
    try:
        from telemetry.collector.forget import forget as erase  # noqa: PLC0415 zstandard and SQLite load slowly
    except ImportError as fault:
        raise CommandError(not_installed(fault)) from None
    if not _SESSION.fullmatch(session):
        raise CommandError(f"{session!r} is no session's id: 32 hexadecimal digits, or a UUID")
    session = session.replace("-", "").lower()
    try:
        erased = erase(directory, session)
    except (ConfigError, OSError) as fault:
        raise FailedError(str(fault)) from None
    if as_json:
        print(json.dumps({"session": session, **erased._asdict()}))
    else:
        if erased == (0, 0, 0, ()):
            print("nothing of this session is stored here; it will be refused from now on")
        else:
            events, batches = counted(erased.events, "event"), counted(erased.batches, "batch", "batches")
            print(f"{events} erased: {batches} removed, {erased.rewritten} written anew")
        for name in erased.unreadable:
            print(f"{name} can't be read, and was left as it is", file=sys.stderr)
    if erased.unreadable:
        sys.exit(1)
