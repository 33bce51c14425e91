"""The command `telemetry keys`, which makes a pair of keys for the way over TCP."""

from __future__ import annotations

from pathlib import Path

import click

from telemetry.cli.consent import CommandError
from telemetry.errors import ConfigError


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def keys(file: Path) -> None:
    """Make FILE, 0600, with a secret key, and FILE.pub with the public one, which is printed.

    For hosts and shippers on different machines. A host's public key goes into the shipper's `clients_file`, a line
    each, and the shipper's FILE.pub to its hosts. Files that stand are left as they are. Exit code 2: not made.
    """
    from telemetry.rendezvous.keys import make_keys  # noqa: PLC0415 loads zmq

    try:
        print(make_keys(file))
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
