"""The command `telemetry purge`, which erases everything local of a product but the user's choice."""

from __future__ import annotations

import json
import sys

import click

from telemetry.cli.consent import CommandError, FailedError, json_option, product_option
from telemetry.consent import find_product
from telemetry.errors import ConfigError, TelemetryError
from telemetry.inspect.erase import Erased, count, erase_product
from telemetry.paths import spools_of
from telemetry.terminal import counted

yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@click.command()
@product_option
@yes_option
@json_option
def purge(product: str | None, yes: bool, as_json: bool) -> None:  # noqa: FBT001 click passes them by name
    """Stop the shippers of a product and erase its spools, sent copies, ledger and logs.

    The stored choice stays, and so does a no. Exit codes: 0, erased; 1, it could not be; 2, nobody said yes.
    """
    try:
        name = find_product(product)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    erased = count(spools_of(name))
    confirm(f"Erase all local data of {name}: {describe_erased(erased)}?", yes=yes)
    try:
        erase_product(name)
    except (TelemetryError, OSError) as fault:
        raise FailedError(f"not everything was erased: {fault}") from None
    if as_json:
        print(json.dumps({"product": name, **as_counts(erased)}))
    else:
        print(f"{name}: erased {describe_erased(erased)}; the stored choice stays")


def confirm(question: str, *, yes: bool) -> None:
    """Ask on the terminal, which blocks, and end the command unless the answer is yes.

    Raises:
        CommandError: there is no terminal to ask on, or the answer is no.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("there is no terminal to ask on: pass --yes to erase")
    if not click.confirm(question):
        raise CommandError("nothing is erased")


def describe_erased(erased: Erased) -> str:
    """Return the counts of what was erased, as a text for people."""
    return ", ".join(
        (counted(erased.segments, "segment"), counted(erased.events, "event"), counted(erased.size_bytes, "byte"))
    )


def as_counts(erased: Erased) -> dict[str, int]:
    """Return the counts of what was erased, for `--json`."""
    return {"segments": erased.segments, "events": erased.events, "bytes": erased.size_bytes}
