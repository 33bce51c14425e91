"""The command `telemetry config`: the settings of a shipper, and where each of them comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from telemetry.cli.consent import CommandError, json_option, product_option
from telemetry.consent import find_product
from telemetry.errors import ConfigError
from telemetry.rendezvous.find import find_rendezvous
from telemetry.settings import SOURCES, ShipperSettings, shown, texts_of_environment, variable_of
from telemetry.shipper.config import keys_of, read_config
from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Setting(NamedTuple):
    name: str
    value: Any
    source: str


@click.group()
def config() -> None:
    """Show what a shipper is told."""


@config.command()
@product_option
@click.option("--config", "file", type=click.Path(path_type=Path), help="The file of `telemetry ship --config`.")
@json_option
def show(product: str | None, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Print each setting with its value and where it comes from.

    With --config, those of a shipper in the foreground: an environment variable goes before the file, the file before
    the default. Without, those that hosts gave to the shippers that they started. With --json, an object a line.

    Exit codes: 0, good; 2, the file can't be used, or nothing is known of the product.
    """
    try:
        shippers = [_of_file(file)] if file else list(_of_hosts(find_product(product)))
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    if not shippers:
        raise CommandError("no host has started a shipper here yet; --config FILE shows that of one in the foreground")
    for number, (whose, settings) in enumerate(shippers):
        if as_json:
            for setting in settings:
                click.echo(json.dumps({"shipper": whose, **setting._asdict()}))
            continue
        width = max(len(_told(setting)) for setting in settings)
        click.echo(("\n" if number else "") + printable(f"# {whose}"))
        for setting in settings:
            click.echo(printable(f"{_told(setting):<{width}}  # {setting.source}"))


def _told(setting: _Setting) -> str:
    return f"{setting.name} = {shown(setting.name, setting.value)}"


def _of_file(file: Path) -> tuple[str, list[_Setting]]:
    settings, named, variables = read_config(file).settings, keys_of(file), texts_of_environment(os.environ)

    def source(name: str) -> str:
        if name in variables:
            return variable_of(name)
        return str(file) if name in named else "default"

    return str(file), [_Setting(name, _safe(name, value), source(name)) for name, value in settings._asdict().items()]


def _of_hosts(product: str) -> Iterator[tuple[str, list[_Setting]]]:
    for place in find_rendezvous(product):
        if place.config:
            sources = place.config.get(SOURCES)  # a shipper in the foreground writes none
            otherwise = "telemetry ship --config" if sources is None else "init(shipper=...)"
            told = [
                _Setting(
                    name,
                    _safe(name, value),
                    "default" if value == default else (sources or {}).get(name, otherwise),
                )
                for name, default in ShipperSettings()._asdict().items()
                for value in [place.config.get(name, default)]
            ]
            yield str(place.directory), told


def _safe(name: str, value: Any) -> Any:
    """Return a value that may be shown: nothing of a proxy's URL, which may hold a password."""
    return "..." if name == "proxy" and value else value
