"""The command `telemetry doctor`, which finds out why nothing arrives."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from telemetry.catalog.load import inspect
from telemetry.cli.access import access_options
from telemetry.cli.consent import CommandError, json_option, lane_option, product_option
from telemetry.cli.extras import not_installed
from telemetry.cli.status import gather
from telemetry.client import CHOICES
from telemetry.consent import find_product
from telemetry.doctor.examine import Case, examine
from telemetry.doctor.step import Verdict
from telemetry.endpoint import without_credentials
from telemetry.errors import ConfigError
from telemetry.inspect import account
from telemetry.paths import spools_of
from telemetry.rendezvous.find import find_rendezvous
from telemetry.settings import ShipperSettings
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.doctor.step import Step

EXIT_FAULT = 1
_MARKS = {Verdict.GOOD: "ok", Verdict.NOTE: "note", Verdict.FAULT: "FAULT"}


@click.command()
@product_option
@lane_option
@click.option("--catalog", type=click.Path(path_type=Path), help="The catalog's file; known where a host has run.")
@click.option("--endpoint", metavar="URL", help="Where batches should go; known where a host has run.")
@click.option("--host", type=click.Choice(CHOICES), help="What the program itself says, as in init(consent=...).")
@click.option("--stream", metavar="URL", help="Look at a fleet's stream instead, nats://A,B,C/STREAM.")
@click.option("--monitor", "monitors", multiple=True, metavar="URL", help="A server's monitoring, for --stream.")
@access_options
@click.option("--send", is_flag=True, help="Upload a batch of no events, with a receipt of consent.")
@json_option
def doctor(
    product: str | None,
    lane: int | None,
    catalog: Path | None,
    endpoint: str | None,
    host: str | None,
    stream: str | None,
    monitors: tuple[str, ...],
    access: dict[str, Any],
    send: bool,  # noqa: FBT001 click passes it by name
    as_json: bool,  # noqa: FBT001 as above
) -> None:
    """Walk the way of an event, and say at each step what is so and what to do.

    Run it as the user, and in the environment, of the program. Changes nothing. With --stream, look at the stream of a
    fleet of collectors, and at its servers.

    Exit codes: 0, no fault was found; 1, one was; 2, no such product can be.
    """
    if stream is None:
        case = _known_case(product, lane, catalog, endpoint, host, send=send)
        about, found = {"product": case.product}, examine(case)
    else:
        about, found = {"stream": without_credentials(stream)}, _examine_stream(stream, access, monitors)
    steps = []
    for step in found:
        steps.append(step)
        if not as_json:
            _print(step)
    if as_json:
        print(json.dumps({**about, "steps": [step._asdict() for step in steps]}))
    if any(step.verdict is Verdict.FAULT for step in steps):
        sys.exit(EXIT_FAULT)


def _examine_stream(stream: str, access: dict[str, Any], monitors: tuple[str, ...]) -> Iterator[Step]:
    try:
        from telemetry.doctor.stream import examine_stream  # noqa: PLC0415 it comes with an extra
        from telemetry.jetstream import Access  # noqa: PLC0415 as above
    except ImportError as fault:
        raise CommandError(not_installed(fault, "collector,nats")) from None
    return examine_stream(stream, Access(**access), monitors, os.environ)


def _known_case(
    product: str | None,
    lane: int | None,
    catalog: Path | None,
    endpoint: str | None,
    host: str | None,
    *,
    send: bool,
) -> Case:
    try:
        return _case(product, lane, catalog, endpoint, host, send=send)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    except OSError as fault:
        raise CommandError(f"{fault.filename}: {fault.strerror}; run this as the user whose programs collect") from None


def _case(
    product: str | None,
    lane: int | None,
    catalog: Path | None,
    endpoint: str | None,
    host: str | None,
    *,
    send: bool,
) -> Case:
    declared = inspect(catalog)[0] if catalog else None
    name = find_product(declared.product if product is None and declared else product)
    configs = [place.config for place in find_rendezvous(name, lane) if place.config]
    known = {config["endpoint"]: _settings(config) for config in configs}
    if endpoint is not None:
        known = {endpoint: known.get(endpoint, ShipperSettings())}
    file = catalog or next((Path(config["catalog"]) for config in configs), None)
    return Case(name, file, known, gather(name, lane), _fields_dropped(name, lane), host, send)


def _settings(config: dict[str, Any]) -> ShipperSettings:
    return ShipperSettings(**{name: config[name] for name in ShipperSettings._fields if name in config})


def _fields_dropped(product: str, lane: int | None) -> dict[str, dict[str, int]]:
    touched = account.total(map(account.read_account, spools_of(product, lane))).tally.touched
    return {field: dict(counts.dropped) for field, counts in touched.items() if counts.dropped}


def _print(step: Step) -> None:
    print(f"{_MARKS[step.verdict]:<6}{step.step:<10}{printable(step.found)}", flush=True)
    if step.advice:
        print(f"{'':<16}-> {printable(step.advice)}", flush=True)
