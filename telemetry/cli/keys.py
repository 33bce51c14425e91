"""The command `telemetry keys`, which makes a pair of keys for the way over TCP."""

from __future__ import annotations

import json
from pathlib import Path

import click

from telemetry.cli.consent import CommandError, json_option
from telemetry.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def keys(file: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Make FILE, 0600, with a secret key, and FILE.pub with the public one, which is printed.

    For hosts and shippers on different machines. A host's public key goes into the shipper's `clients_file`, a line
    each, and the shipper's FILE.pub to its hosts. Files that stand are left as they are. Exit code 2: not made.
    """
    from telemetry.rendezvous.keys import make_keys  # noqa: PLC0415 loads zmq

    try:
        line = make_keys(file)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    print(json.dumps({"file": str(file), "line": line}) if as_json else line)
