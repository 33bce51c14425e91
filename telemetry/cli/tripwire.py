"""The command `telemetry tripwire`, which shows segments held back before an upload, for a person to judge."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from telemetry.cli.consent import CommandError, FailedError, json_option, product_option
from telemetry.cli.purge import confirm, yes_option
from telemetry.consent import find_product
from telemetry.errors import ConfigError, SpoolError
from telemetry.inspect import requeuing
from telemetry.inspect.contents import find_segments, follow, read_body
from telemetry.paths import spools_of
from telemetry.spool import held
from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.spool.held import Held, Place

MAX_VALUES = 5
_VALUE_CHARACTERS = 200


@click.group()
def tripwire() -> None:
    """Look at what was held back before an upload, and let it go if it is harmless."""


@tripwire.command()
@product_option
@json_option
def show(product: str | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Show what was found where, with the values: they are yours, and have not left this machine.

    Exit codes: 0, nothing is held back; 1, something is; 2, no such product can be.
    """
    found = [(spool, one) for spool in _spools(product) for one in held.find_held(spool)]
    shown = [_shown(spool, one) for spool, one in found]
    if as_json:
        print(json.dumps({"held": shown}))
    else:
        print("\n".join(line for one in shown for line in _lines(one)) or "nothing is held back")
    if found:
        sys.exit(1)


@tripwire.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that is held back.")
@product_option
@yes_option
@json_option
def clear(ids: tuple[str, ...], everything: bool, product: str | None, yes: bool, as_json: bool) -> None:  # noqa: FBT001 click passes them by name
    """Let segments go that were held back, by ID or all: they are sent after all, and uploads go on.

    Nothing of them is lost: they come back from quarantine, and count as lost no more. A running shipper hears it
    within seconds. Exit codes: 0, done; 1, some of it could not be; 2, none was named, or nobody said yes.
    """
    if bool(ids) == everything:
        raise CommandError("name them: ids or --all; `telemetry tripwire show` lists them")
    spools = _spools(product)
    meant = [one for spool in spools for one in held.find_held(spool) if everything or one.id in ids]
    missing = [id_ for id_ in ids if id_ not in {one.id for one in meant}]
    if meant:
        confirm(
            f"Send {counted(sum(one.events for one in meant), 'event')} in {counted(len(meant), 'segment')} after all?",
            yes=yes,
        )
    segments = events = 0
    try:
        for spool in spools:
            cleared = {one.id for one in held.clear(spool, {one.id for one in meant})}
            brought, left = requeuing.requeue(spool, lambda id_, _, these=cleared: id_ in these)  # type: ignore[misc] # a default
            segments, events = segments + len(brought), events + sum(brought.values())
            missing += [one.where for one in left]
    except OSError as fault:
        raise FailedError(f"not everything was released: {fault}; run it again when the disk can be written") from None
    if as_json:
        print(json.dumps({"segments": segments, "events": events, "left": missing}))
    else:
        print(f"{counted(segments, 'segment')}, {counted(events, 'event')} await delivery again")
        for id_ in missing:
            print(f"{id_} is not held back here")
    if missing:
        sys.exit(1)


def _spools(product: str | None) -> list[Path]:
    try:
        return spools_of(find_product(product))
    except ConfigError as fault:
        raise CommandError(str(fault)) from None


def _shown(spool: Path, one: Held) -> dict[str, Any]:
    events = list(_events(spool, one))
    return {
        "id": one.id,
        "spool": str(spool),
        "events": one.events,
        "places": [
            {"event": place.event, "field": place.field, "kind": place.kind, "events": place.events}
            | {"values": _values(events, place)}
            for place in one.places
        ],
    }


def _events(spool: Path, one: Held) -> Iterator[dict[str, Any]]:
    """Yield a segment's events if its format has one a line; other formats can't be shown here."""
    for found in find_segments(spool):
        if found.id == one.id:
            try:
                body = follow(spool, found, read_body) or b""
            except (SpoolError, OSError):
                return
            for line in body.splitlines():
                try:
                    event = json.loads(line)
                except ValueError:
                    return
                if isinstance(event, dict):
                    yield event


def _values(events: list[dict[str, Any]], place: Place) -> list[str]:
    """Return some of the values in a place; a person sees which of them was hit."""
    values = (event.get(place.field) for event in events if event.get("event") == place.event)
    return list(dict.fromkeys(value for value in values if isinstance(value, str)))[:MAX_VALUES]


def _lines(one: dict[str, Any]) -> Iterator[str]:
    yield f"{one['id']}  {counted(one['events'], 'event')}, in {one['spool']}"
    for place in one["places"]:
        where = f"{place['event']}.{place['field']}" if place["field"] else place["event"] or "an event"
        yield printable(f"  {place['kind']} in {where} of {counted(place['events'], 'event')}")
        for value in place["values"]:
            yield printable(f"    {value[:_VALUE_CHARACTERS]}")
