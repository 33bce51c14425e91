"""The command `telemetry collect`: runs the collector in the foreground."""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import click

from telemetry.cli.access import access_options
from telemetry.cli.extras import not_installed
from telemetry.collector.limits import Limits
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from telemetry.collector.declared import Treatment
    from telemetry.collector.keeper import Keeper
    from telemetry.collector.metrics import Metrics
    from telemetry.collector.tokens import Token

_TOKENS = "TELEMETRY_COLLECTOR_TOKENS"
_DEFAULTS = Limits()

_log = logging.getLogger(__name__)


def _limit(name: str, default: int, help_: str) -> Callable[[Any], Any]:
    kind = click.IntRange(min=1 if default else 0)
    return click.option(name, type=kind, default=default, show_default=True, help=help_)


@click.command()
@click.option("--listen", required=True, metavar="HOST:PORT", help="Where to take uploads; port 0 is any free one.")
@click.option(
    "--store",
    "directory",
    type=click.Path(path_type=Path),
    help="The directory that keeps batches, of a collector that is alone.",
)
@click.option(
    "--stream",
    metavar="nats://A,B,C/STREAM",
    envvar="TELEMETRY_STREAM",
    help="The stream that keeps batches, of one of many collectors; `telemetry stream create` makes it. Or set "
    "TELEMETRY_STREAM: other users of the machine see arguments.",
)
@access_options
@click.option(
    "--catalog",
    "catalogs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A catalog's file: store or stream keeps each version, for the types of what is asked of them.",
)
@click.option(
    "--unknown",
    type=click.Choice(["keep", "aside", "refuse"]),
    default="keep",
    show_default=True,
    help="What to do with a batch that has an event or a field which no catalog of the store names.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help=f"A file, 0600: refuse clients without a token listed in it, one NAME:TOKEN a line. Or set {_TOKENS}.",
)
@click.option(
    "--thin",
    type=click.Path(path_type=Path),
    help='A file of shares by event, {"query_finished": 0.25}: ask shippers to keep 1/2, 1/4, ... or 0 of it.',
)
@click.option("--tls-cert", type=click.Path(path_type=Path), help="Speak TLS: the certificate with its chain, PEM.")
@click.option("--tls-key", type=click.Path(path_type=Path), help="The certificate's key, PEM, 0600.")
@_limit("--max-body-bytes", _DEFAULTS.body_bytes, "Refuse a larger body, as it comes.")
@_limit("--max-unpacked-bytes", _DEFAULTS.unpacked_bytes, "Refuse a larger body, decompressed.")
@_limit(
    "--max-bytes-per-second", _DEFAULTS.bytes_per_second, "Let the uploads of one token name wait (429) beyond this."
)
@_limit("--max-held-bytes", 256 << 20, "With --stream: hold no more of bodies under way (503).")
@_limit("--max-connections", _DEFAULTS.connections, "Answer no more clients at one time.")
@_limit("--max-store-bytes", 0, "Keep no more in the store (507); 0 for no bound but the next.")
@_limit("--keep-days", 0, "Remove batches received longer ago; 0 to keep all.")
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
    directory: Path | None,
    stream: str | None,
    access: dict[str, Any],
    catalogs: tuple[Path, ...],
    unknown: Treatment,
    token_file: Path | None,
    thin: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    max_store_bytes: int,
    max_held_bytes: int,
    keep_free_bytes: int,
    keep_days: int,
    stall_seconds: float,
    **maxima: int,
) -> None:
    """Take uploads and keep them, as they come, in a directory or in a stream.

    Prints {"listening": URL} when ready; ends on SIGINT or SIGTERM. Keeps no client address, no access log. Tokens,
    certificates and what --thin asks for are read again when their files change. GET /healthz says whether uploads can
    be taken, GET /metrics (OpenMetrics; with a token, where uploads need one) how many were.
    """
    try:
        # Here, for they come with an extra, and no other command should wait for them.
        from telemetry.collector import chores  # noqa: PLC0415
        from telemetry.collector.certificate import Certificate  # noqa: PLC0415
        from telemetry.collector.less import Less  # noqa: PLC0415
        from telemetry.collector.log import start_log  # noqa: PLC0415
        from telemetry.collector.metrics import Metrics  # noqa: PLC0415
        from telemetry.collector.serve import bind, serve, set_up, url_of  # noqa: PLC0415
        from telemetry.collector.tokens import Tokens, parse_tokens, read_token_file  # noqa: PLC0415
    except ImportError as fault:
        _fail(not_installed(fault))
    if (tls_cert is None) != (tls_key is None):
        _fail("--tls-cert and --tls-key go together; give both, or neither")
    if (directory is None) == (stream is None):
        _fail("give either --store DIR or --stream nats://A,B,C/STREAM")
    limits = Limits(**{name.removeprefix("max_"): most for name, most in maxima.items()}, stall_seconds=stall_seconds)
    read: Callable[[], tuple[Token, ...]] = tuple
    if token_file is not None:
        read = functools.partial(read_token_file, token_file)
    elif _TOKENS in os.environ:
        read = functools.partial(parse_tokens, os.environ[_TOKENS], _TOKENS)
    metrics = Metrics()
    try:
        tokens = Tokens(read, limits.bytes_per_second)
        certificate = Certificate(tls_cert, tls_key) if tls_cert and tls_key else None
        less = Less(thin)
        bound = bind(listen)
        if stream is not None:
            place = _open_stream(stream, access, catalogs, limits, max_held_bytes, metrics)
        elif directory is not None:
            place = _open_store(
                directory, catalogs, unknown, limits, max_store_bytes, keep_free_bytes, keep_days, metrics
            )
    except (ConfigError, OSError) as fault:
        _fail(str(fault))
    url = url_of(bound, tls=certificate is not None)
    start_log()

    def announce() -> None:
        who = f"tokens: {', '.join(tokens.names)}" if tokens.are_needed else "no token is asked for"
        _log.info("start: %s, %s, %s", url, place.name, who)
        print(json.dumps({"listening": url}), flush=True)

    work: list[Callable[[], Awaitable[None]]] = [
        functools.partial(chores.reload, tokens, certificate, less),
        *place.work,
    ]
    serve(bound, set_up(place.keeper, limits, tokens, metrics, less), certificate, work, announce)
    place.close()
    _log.info("end: %s", url)


class _Place(NamedTuple):
    """A place for batches: what the log calls it, its keeper, its chores, and its end."""

    name: str
    keeper: Keeper
    work: list[Callable[[], Awaitable[None]]]
    close: Callable[[], None]


def _open_store(
    directory: Path,
    catalogs: Sequence[Path],
    unknown: Treatment,
    limits: Limits,
    max_store_bytes: int,
    keep_free_bytes: int,
    keep_days: int,
    metrics: Metrics,
) -> _Place:
    from telemetry.collector import chores  # noqa: PLC0415 it comes with an extra
    from telemetry.collector.catalogs import keep_catalogs  # noqa: PLC0415 as above
    from telemetry.collector.checks import Checks  # noqa: PLC0415 as above
    from telemetry.collector.disk import Disk  # noqa: PLC0415 as above
    from telemetry.collector.store import Store  # noqa: PLC0415 as above

    store = Store(directory, max_bytes=max_store_bytes, keep_free_bytes=keep_free_bytes)
    keep_catalogs(directory, catalogs)
    metrics.measure(
        "store_bytes", "Bytes of the bodies and records that the store holds or takes in.", lambda: store.usage()[0]
    )
    metrics.measure("disk_free_bytes", "Bytes free on the store's disk.", lambda: store.usage()[1])
    checks = Checks(limits.unpacked_bytes, directory.resolve(), refuses_unknown=unknown == "refuse")
    keeper = Disk(store, checks, metrics, limits.body_bytes, unknown)
    work = [functools.partial(chores.expire, store, keep_days, metrics)] if keep_days else []
    return _Place(f"store {directory.resolve()}", keeper, [*work], store.close)


def _open_stream(
    url: str,
    access: dict[str, Any],
    catalogs: Sequence[Path],
    limits: Limits,
    max_held_bytes: int,
    metrics: Metrics,
) -> _Place:
    try:
        from telemetry.collector.catalogs import read_catalogs  # noqa: PLC0415 it comes with an extra
        from telemetry.collector.stream.keeper import Stream  # noqa: PLC0415 as above
        from telemetry.collector.stream.link import Link, probe  # noqa: PLC0415 as above
        from telemetry.collector.stream.shape import parse_stream  # noqa: PLC0415 as above
        from telemetry.jetstream import Access, Servers  # noqa: PLC0415 as above
    except ImportError as fault:
        _fail(not_installed(fault, "collector,nats"))
    target, name = parse_stream(url)
    servers, contents = Servers(target, Access(**access), os.environ), read_catalogs(catalogs)
    if reason := asyncio.run(probe(Link(servers, name))):
        _log.warning("the stream %s can't be reached yet: %s", name, reason)
    keeper = Stream(Link(servers, name), metrics, limits.body_bytes, max_held_bytes)
    work: list[Callable[[], Awaitable[None]]] = [keeper.run]
    if contents:
        work.append(functools.partial(keeper.offer, contents))
    return _Place(f"stream {name}", keeper, work, lambda: None)


def _fail(text: str) -> NoReturn:
    print(f"telemetry collect: {text}", file=sys.stderr)
    raise SystemExit(2)
