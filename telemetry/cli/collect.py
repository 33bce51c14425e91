"""`telemetry collect`: the collector in the foreground."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from telemetry.collector.limits import Limits, check_tokens
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TOKENS = "TELEMETRY_COLLECTOR_TOKENS"
_DEFAULTS = Limits()


def _limit(name: str, default: int, help_: str) -> Callable[[Any], Any]:
    kind = click.IntRange(min=1 if default else 0)
    return click.option(name, type=kind, default=default, show_default=True, help=help_)


@click.command()
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to take uploads; port 0 is any free one.")
@click.option(
    "--store",
    "directory",
    required=True,
    type=click.Path(path_type=Path),
    help="The directory that keeps batches.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help=f"A file, 0600: refuse who does not bear a token in it, a line each. Or set {_TOKENS}.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Speak TLS: the certificate with its chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's key, PEM, 0600.")
@_limit("--max-body-bytes", _DEFAULTS.body_bytes, "Refuse a larger body, as it comes.")
@_limit("--max-unpacked-bytes", _DEFAULTS.unpacked_bytes, "Refuse a larger body, decompressed.")
@_limit("--max-bytes-per-second", _DEFAULTS.bytes_per_second, "Let a token's uploads wait (429) beyond this.")
@_limit("--max-connections", _DEFAULTS.connections, "Answer no more clients at one time.")
@_limit("--max-store-bytes", 0, "Keep no more in the store (507); 0 for no bound but the next.")
@_limit("--keep-free-bytes", 64 << 20, "Leave so much of the store's disk free (507).")
@click.option(
    "--stall-seconds",
    type=click.FloatRange(min=0.01),
    default=_DEFAULTS.stall_seconds,
    show_default=True,
    help="Give up a client that is slower than this with a request's head, or stops in its body.",
)
def collect(
    listen: str,
    directory: Path,
    token_file: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_store_bytes: int,
    keep_free_bytes: int,
    stall_seconds: float,
    **maxima: int,
) -> None:
    """Take uploads and keep them, as they come, in a directory.

    Prints {"listening": URL} when ready; ends on SIGINT or SIGTERM. Keeps no client address, no access log.
    """
    try:
        # Here, for they come with an extra, and no other command should wait for them.
        from telemetry.collector.app import build_app  # noqa: PLC0415
        from telemetry.collector.serve import bind, load_tls, serve, url_of  # noqa: PLC0415
        from telemetry.collector.store import Store  # noqa: PLC0415
    except ImportError as fault:
        _fail(f"{fault.name} is not installed; run: pip install 'telemetry[collector]'")
    if (tls_cert is None) != (tls_key is None):
        _fail("--tls-cert and --tls-key go together; give both, or neither")
    limits = Limits(**{name.removeprefix("max_"): most for name, most in maxima.items()}, stall_seconds=stall_seconds)
    try:
        tokens = _read_tokens(token_file, os.environ)
        tls = load_tls(tls_cert, tls_key) if tls_cert and tls_key else None
        bound = bind(listen)
        store = Store(directory, max_bytes=max_store_bytes, keep_free_bytes=keep_free_bytes)
    except (ConfigError, OSError) as fault:
        _fail(str(fault))
    url = url_of(bound, tls=tls is not None)
    serve(
        build_app(store, limits, tokens), bound, limits, lambda: print(json.dumps({"listening": url}), flush=True), tls
    )
    store.close()


def _read_tokens(path: Path | None, environ: Mapping[str, str]) -> tuple[bytes, ...]:
    if path is None:
        return check_tokens(environ[_TOKENS], _TOKENS) if _TOKENS in environ else ()
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ConfigError(f"{path}: others can read it (mode {mode & 0o777:o}); chmod 600 it")
    return check_tokens(path.read_text(encoding="utf-8", errors="replace"), str(path))


def _fail(text: str) -> NoReturn:
    print(f"telemetry collect: {text}", file=sys.stderr)
    raise SystemExit(2)
