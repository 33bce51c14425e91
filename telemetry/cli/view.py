"""The command `telemetry view`: serves the local page until it is interrupted."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from telemetry.cli.consent import CommandError, json_option, product_option
from telemetry.cli.documentation import documentation
from telemetry.cli.status import gather
from telemetry.consent import check_product
from telemetry.errors import ConfigError
from telemetry.shipper.config import read_config
from telemetry.view.facts import Facts
from telemetry.view.serve import Server


@click.command()
@product_option
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="The port to listen at; any free one if 0.")
@click.option("--open", "opens", is_flag=True, help="Open it in the browser.")
@click.option(
    "--config",
    "file",
    type=click.Path(path_type=Path),
    help="The file of `telemetry ship --config`: only it knows the endpoint then.",
)
@json_option
def view(product: str | None, port: int, opens: bool, file: Path | None, as_json: bool) -> None:  # noqa: FBT001 click passes them by name
    """Serve a page for this machine's user: what is collected and why, what happens now, what left, your choice.

    Prints its address, which counts once and for one browser; ends on SIGINT or SIGTERM. Nobody else can reach it.

    Exit codes: 0, it was ended; 2, the file can't be used, or the port is taken.
    """
    try:
        config = read_config(file) if file else None
        path = f"#{check_product(product)}" if product else ""
        server = Server(Facts(gather, config), documentation, port)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    except OSError as fault:
        raise CommandError(f"port {port}: {fault.strerror}; leave --port out for a free one") from None
    signal.signal(signal.SIGTERM, _end)
    url = server.url + path
    print(json.dumps({"url": url}) if as_json else url, flush=True)
    if opens:
        click.launch(url)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _end(*_: object) -> NoReturn:
    sys.exit(0)
