"""The commands `telemetry consent` and `telemetry place`, which clients in other languages call before they collect.

They spare each client rules and paths of its own. The protocol is described in tests/clients/README.md.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import click

from telemetry.catalog.load import load
from telemetry.cli.consent import CommandError, json_option
from telemetry.client import CHOICES
from telemetry.consent import check_product, evaluate
from telemetry.endpoint import check_any_endpoint
from telemetry.errors import CatalogError, ConfigError
from telemetry.ground import DEPLOYMENTS
from telemetry.paths import consent_file
from telemetry.rendezvous.directory import foreground_dir
from telemetry.rendezvous.lock import shipper_runs
from telemetry.wire import CONTROL_SOCKET, DATA_SOCKET

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_product_option = click.option("--product", metavar="NAME", required=True, help="As in the catalog.")


@click.command()
@_product_option
@click.option("--catalog", type=_FILE, required=True, help="What the program may emit.")
@click.option("--host", type=click.Choice(CHOICES), help="What the program itself says.")
@click.option("--deployment", type=click.Choice(DEPLOYMENTS), help="What the program says of where it runs.")
@json_option
def consent(product: str, catalog: Path, host: str | None, deployment: str | None, as_json: bool) -> None:  # noqa: FBT001 click's
    """Decide whether a program that runs in this environment may collect, and by which rule.

    The answer is on, technical, local or off.

    Shows no notice and stores nothing. `watch` is the file that changes with the user's choice: look at it once a
    second.
    """
    try:
        check_product(product)
        declared = load(catalog)
    except (ConfigError, CatalogError) as fault:
        raise CommandError(str(fault)) from None
    if declared.product != product:
        raise CommandError(f"product={product!r}: {catalog} is the catalog of {declared.product}; name that product")
    decision = evaluate(
        product=product,
        host=host,
        deployment=deployment,
        callback=None,
        may_tell=False,
        no_unless=declared.no_unless,
    )
    if as_json:
        print(json.dumps({**decision._asdict(), "watch": _watched(product)}))
    else:
        print(f"{product}: {decision.state} ({decision.rule})")


@click.command()
@_product_option
@click.option("--endpoint", metavar="URL", required=True, help="That of `telemetry ship --config`.")
@click.option("--catalog", type=_FILE, help="Also print its SHA-256, which each frame carries.")
@json_option
def place(product: str, endpoint: str, catalog: Path | None, as_json: bool) -> None:  # noqa: FBT001 click's
    """Tell where clients in other languages meet the shipper that runs in the foreground for a product and endpoint.

    None needs to run: connecting waits for one.
    """
    try:
        check_product(product)
        check_any_endpoint(endpoint, allow_http=True)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    directory = foreground_dir(product, endpoint)
    found = {
        "data": f"ipc://{directory / DATA_SOCKET}",
        "control": f"ipc://{directory / CONTROL_SOCKET}",
        "catalog": hashlib.sha256(catalog.read_bytes()).hexdigest() if catalog else None,
        "running": shipper_runs(directory),
    }
    print(json.dumps(found) if as_json else "\n".join(f"{name}  {value}" for name, value in found.items()))


def _watched(product: str) -> str | None:
    try:
        return str(consent_file(product))
    except RuntimeError:  # this user has no home, so nothing can be stored
        return None
