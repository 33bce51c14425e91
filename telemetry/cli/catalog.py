"""`telemetry catalog`: looks a catalog's file over before it is published."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from telemetry.catalog.load import Fault, inspect


@click.group()
def catalog() -> None:
    """Check the catalog: the one list of what may leave."""


@catalog.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(file: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Find all faults of FILE; the exit code is 1 when there are any."""
    found, faults = inspect(file)
    events = found.events.values() if found else ()
    fields = sum(len(event.fields) for event in events)
    if as_json:
        print(_as_json(file, faults, len(events), fields))
    elif faults:
        print("\n".join(fault.line(file) for fault in faults))
    else:
        print(f"{file}: {len(events)} events, {fields} fields, good")
    if faults:
        sys.exit(1)


def _as_json(file: Path, faults: list[Fault], events: int, fields: int) -> str:
    result = {"file": str(file), "good": not faults, "faults": [fault._asdict() for fault in faults]}
    return json.dumps({**result, "events": events, "fields": fields})
