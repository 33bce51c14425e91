"""The command `telemetry stream`, which makes the stream that collectors beyond one machine publish to."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import click

from telemetry.cli.access import access_options
from telemetry.cli.consent import CommandError, json_option
from telemetry.cli.extras import not_installed
from telemetry.errors import ConfigError

_MIB = 1 << 20


@click.group()
def stream() -> None:
    """Make the stream of a fleet of collectors."""


@stream.command()
@click.argument("url", metavar="nats://A,B,C/STREAM", envvar="TELEMETRY_STREAM")
@click.option("--partitions", type=click.IntRange(1, 1024), default=8, show_default=True, help="How many; for ever.")
@click.option("--replicas", type=click.IntRange(1, 5), default=3, show_default=True, help="Servers that hold a batch.")
@click.option("--max-bytes", type=click.IntRange(min=_MIB), help="Refuse batches beyond this size (503).")
@access_options
@json_option
def create(
    url: str,
    partitions: int,
    replicas: int,
    max_bytes: int | None,
    access: dict[str, Any],
    as_json: bool,  # noqa: FBT001 click passes it by name
) -> None:
    """Make a stream as it must be, and say what belongs into its servers' own file.

    It is kept in files for 14 days by so many servers, refuses when it is full, and has its partitions for ever. One
    that is there already is brought into this shape; another number of partitions is refused.

    Exit codes: 0, it stands; 2, it could not be made.
    """
    try:
        from telemetry.collector.stream.create import SERVER_FILE  # noqa: PLC0415 it comes with an extra
        from telemetry.collector.stream.create import create as make  # noqa: PLC0415 as above
        from telemetry.collector.stream.link import reason_of  # noqa: PLC0415 as above
        from telemetry.collector.stream.shape import LEAST_PAYLOAD_BYTES, Shape, parse_stream  # noqa: PLC0415 as above
        from telemetry.jetstream import Access, Servers  # noqa: PLC0415 as above
    except ImportError as fault:
        raise CommandError(not_installed(fault, "collector,nats")) from None
    try:
        target, name = parse_stream(url)
        servers = Servers(target, Access(**access), os.environ)
        made = asyncio.run(make(servers, name, Shape(partitions, replicas, max_bytes)))
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    except Exception as fault:  # noqa: BLE001 of a library
        raise CommandError(f"the stream can't be made: {reason_of(fault)}") from None
    is_small = made.max_payload < LEAST_PAYLOAD_BYTES
    if as_json:
        print(json.dumps({"stream": name, **made._asdict()}))
        return
    print(
        f"{name} {'is made' if made.is_new else 'was there'}: {made.partitions} partitions, {made.replicas} replicas, "
        "14 days, refusing when full"
    )
    hint = " (max_payload is too small now)" if is_small else ""
    print(f"\nInto each server's own file, which no client can set{hint}:\n")
    print(SERVER_FILE)
