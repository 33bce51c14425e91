"""`telemetry collect`: the collector in the foreground."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NoReturn

import click

from telemetry.errors import ConfigError


@click.command()
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to take uploads; port 0 is any free one.")
@click.option(
    "--store",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="The directory that keeps batches.",
)
@click.option("--token-file", type=click.Path(path_type=Path), help="Refuse who does not bear the token in it.")
@click.option(
    "--max-body-bytes",
    type=click.IntRange(min=1),
    default=16 << 20,
    show_default=True,
    help="Refuse a larger body, as it comes.",
)
def collect(listen: str, directory: Path, token_file: Path | None, max_body_bytes: int) -> None:
    """Take uploads and keep them, as they come, in a directory.

    Prints {"listening": URL} when ready; ends on SIGINT or SIGTERM. Keeps no client address, no access log.
    """
    try:
        # Here, for they come with an extra, and no other command should wait for them.
        from telemetry.collector.app import build_app  # noqa: PLC0415
        from telemetry.collector.serve import bind, serve, url_of  # noqa: PLC0415
        from telemetry.collector.store import Store  # noqa: PLC0415
    except ImportError as fault:
        _fail(f"{fault.name} is not installed; run: pip install 'telemetry[collector]'")
    try:
        token = _read_token(token_file) if token_file else None
        bound = bind(listen)
        store = Store(directory)
    except (ConfigError, OSError) as fault:
        _fail(str(fault))
    app = build_app(store, token=token, max_body_bytes=max_body_bytes)
    serve(app, bound, lambda: print(json.dumps({"listening": url_of(bound)}), flush=True))
    store.close()


def _read_token(path: Path) -> str:
    token = path.read_text(encoding="utf-8").strip()
    if not token:
        raise ConfigError(f"{path} holds no token; write one line into it, or leave out --token-file")
    return token


def _fail(text: str) -> NoReturn:
    print(f"telemetry collect: {text}", file=sys.stderr)
    raise SystemExit(2)
