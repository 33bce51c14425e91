"""The command `telemetry top`: the figures of a product, live, in a terminal."""

from __future__ import annotations

import sys
from functools import partial

import click

from telemetry.cli.consent import CommandError, lane_option, product_option
from telemetry.cli.status import gather
from telemetry.consent import find_product
from telemetry.errors import ConfigError


@click.command()
@product_option
@lane_option
@click.option("--every", default=1.0, show_default=True, type=click.FloatRange(0.1), help="Seconds between two looks.")
def top(product: str | None, lane: int | None, every: float) -> None:
    """Show the ledger of a product as it grows, what was dropped, its shippers and its disk, live.

    Ends with q. `telemetry status --json` is for scripts.

    Exit codes: 0, it was ended; 2, no such product can be, a library is missing, or there is no terminal.
    """
    try:
        name = find_product(product)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    try:
        from telemetry.cli.top_screen import Top  # noqa: PLC0415 of an extra
    except ImportError as fault:
        raise CommandError(f"{fault.name} is not installed; run: pip install 'telemetry-shipper[top]'") from None
    if not sys.stdout.isatty():
        raise CommandError("there is no terminal here: `telemetry status --json` is for scripts")
    Top(name, every, partial(gather, lane=lane)).run()
