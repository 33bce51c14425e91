"""The command `telemetry forget`: erases one session from a collector's store, or from tables."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from telemetry.cli.consent import CommandError, FailedError, json_option
from telemetry.cli.extras import not_installed
from telemetry.cli.places import iceberg_option, tables_option
from telemetry.errors import ConfigError, TelemetryError
from telemetry.terminal import counted

_SESSION = re.compile("[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
"""The form of a session's id: as it stands in events, or as a UUID, which is how a RisingWave endpoint shows it."""


@click.command()
@click.argument("session")
@click.option(
    "--store",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="The directory that keeps batches.",
)
@tables_option
@iceberg_option
@json_option
def forget(
    session: str,
    directory: Path | None,
    tables: str | None,
    iceberg_catalog: str | None,
    as_json: bool,  # noqa: FBT001 click passes it by name
) -> None:
    """Erase all that a collector's store, or tables, have of SESSION, and let none of it come again.

    A person finds the ids of their sessions with `telemetry preview --sent`, in each event. Collectors and loaders may
    run meanwhile. Exit codes: 0, erased, or nothing was there; 1, DIR is no store or has no tables, a body can't be
    read, and is named, or the disk refuses; 2, SESSION is no session's id, or neither place is named, or both.
    """
    if (directory is None) == (tables is None):
        raise CommandError("name one place: --store DIR, or --tables DIR or s3://BUCKET/PREFIX")
    if not _SESSION.fullmatch(session):
        raise CommandError(f"{session!r} is no session's id: 32 hexadecimal digits, or a UUID")
    session = session.replace("-", "").lower()
    if directory is not None:
        _of_store(session, directory, as_json=as_json)
    elif tables is not None:
        _of_tables(session, tables, iceberg_catalog, as_json=as_json)


def _of_tables(session: str, tables: str, iceberg_catalog: str | None, *, as_json: bool) -> None:
    try:
        from telemetry.collector.tables.forget import forget as erase  # noqa: PLC0415 pyiceberg loads slowly
        from telemetry.collector.tables.lake import Lake, place_of  # noqa: PLC0415 as above
    except ImportError as fault:
        raise CommandError(not_installed(fault, "collector,tables")) from None
    try:
        erased = erase(Lake(place_of(tables, iceberg_catalog)), session, datetime.now(UTC))
    except (TelemetryError, OSError) as fault:
        raise FailedError(str(fault)) from None
    if as_json:
        print(json.dumps({"session": session, **erased._asdict()}))
    elif erased.rows:
        print(
            f"{counted(erased.rows, 'row')} erased from {counted(erased.files, 'file')}; "
            "in a day no snapshot has them, if `telemetry load` runs"
        )
    else:
        print("nothing of this session is in these tables; it will be left out from now on")


def _of_store(session: str, directory: Path, *, as_json: bool) -> None:
    try:
        from telemetry.collector.forget import forget as erase  # noqa: PLC0415 zstandard and SQLite load slowly
    except ImportError as fault:
        raise CommandError(not_installed(fault)) from None
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
