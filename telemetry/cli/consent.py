"""The commands `telemetry on`, `technical`, `local` and `off`, which store the user's choice; `off` also erases."""

from __future__ import annotations

import json
import os
import time

import click

from telemetry.consent import ConsentError, State, Stored, decide, find_product, known_products, store_choice
from telemetry.errors import ConfigError, TelemetryError
from telemetry.terminal import did_you_mean
from telemetry.times import iso_time


def _products(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    return [name for name in known_products() if name.startswith(begun)]


product_option = click.option(
    "--product",
    metavar="NAME",
    shell_complete=_products,
    help="The product; may be left out if this machine knows only one.",
)
lane_option = click.option(
    "--lane",
    type=click.IntRange(0),
    help="Of several shippers side by side, this one alone, from 0; all of them otherwise.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


class CommandError(click.ClickException):
    """A wrong call; ends the command with a text on stderr and exit code 2."""

    exit_code = 2


class FailedError(click.ClickException):
    """A failure of a right call, or of part of it; ends the command with exit code 1."""


@click.command()
@product_option
@json_option
def on(product: str | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Say yes: usage data of a product may be sent."""
    _choose(State.ON, product, as_json=as_json)


@click.command()
@product_option
@json_option
def technical(product: str | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Let usage data of a product be sent that is about machine and program; what is about you stays here.

    Of the kinds of events that the product's privacy page calls technical. All others are kept as by `local`.
    """
    _choose(State.TECHNICAL, product, as_json=as_json)


@click.command()
@product_option
@json_option
def local(product: str | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Keep usage data of a product on this machine, for yourself; it is never sent, not even later."""
    _choose(State.LOCAL, product, as_json=as_json)


@click.command()
@product_option
@click.option("--all", "everything", is_flag=True, help="Of every product that this machine knows.")
@json_option
def off(product: str | None, *, everything: bool, as_json: bool) -> None:
    """Say no: nothing of a product is collected, whatever the product itself says; what was is erased.

    With --all and --json, an object a line for each product.

    Exit codes: 1, the choice is stored, but not all could be erased; 2, it is not stored.
    """
    if everything and product is not None:
        raise CommandError("--product and --all say two things; give one")
    if everything and not known_products():
        raise CommandError("no product has a choice or a spool on this machine yet: name one with --product NAME")
    names = known_products() if everything else [product]
    chosen = [_choose(State.OFF, name, as_json=as_json) for name in names]  # all, before anything can fail
    for name in chosen:
        _erase(name)


def _choose(choice: State, product: str | None, *, as_json: bool) -> str:
    try:
        name = find_product(product)
        known = known_products()
        stored = store_choice(name, choice, time.time())
    except (ConfigError, ConsentError) as error:
        raise CommandError(str(error)) from None
    _print(name, stored, as_json=as_json)
    if name not in known:  # a choice may be made before the program is there; it may also be a slip of the hand
        others = f"; known are {', '.join(known)}" if known else ""
        click.echo(f"Nothing called {name} has asked or collected here so far{others}.", err=True)
        if meant := did_you_mean(name, known).removeprefix("; "):
            click.echo(f"D{meant[1:]} Then say it again: `telemetry {choice} --product ...`.", err=True)
    _warn_when_overruled(name, choice)
    return name


def _erase(product: str) -> None:
    from telemetry.inspect.erase import withdraw  # noqa: PLC0415 the spool's libraries; only `off` needs them

    try:
        withdraw(product)
    except (TelemetryError, OSError) as error:
        raise FailedError(
            f"the choice is stored, but not everything was erased: {error}; `telemetry purge` may"
        ) from None


def _print(product: str, stored: Stored, *, as_json: bool) -> None:
    since = iso_time(stored.since_unix_seconds)
    if as_json:
        click.echo(json.dumps({"product": product, "choice": stored.choice, "since": since}))
    else:
        click.echo(f"{product}: {stored.choice} since {since}")


def _warn_when_overruled(product: str, choice: State) -> None:
    decision = decide(product=product, environ=os.environ, stored=choice, host=None, deployment=None, notice_shown=0)
    if decision.state != choice:
        click.echo(f"In this environment it stays {decision.state}: {decision.rule} takes precedence.", err=True)
