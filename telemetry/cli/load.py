"""The command `telemetry load`, which loads a collector's store, or a stream, into tables."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from telemetry.cli.access import access_options
from telemetry.cli.extras import not_installed
from telemetry.cli.places import iceberg_option, tables_option
from telemetry.endpoint import without_credentials
from telemetry.errors import CatalogError, TelemetryError
from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from telemetry.catalog.model import Catalog
    from telemetry.collector.stream.source import StreamSource
    from telemetry.collector.tables.loader import Loader
    from telemetry.collector.tables.stored import StoreSource

_EXTRAS = "collector,tables"
_STREAM = "nats://"
_SHOWN_SECONDS = 0.5
_QUIET_SECONDS = 1.0
_STOPPED = 130


@click.command()
@click.argument("source", envvar="TELEMETRY_STREAM")
@tables_option
@iceberg_option
@click.option("--follow", is_flag=True, help="Stay, and load what comes.")
@click.option(
    "--catalog",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A catalog's file, for the types of its fields; beside those that the source keeps.",
)
@click.option(
    "--partition", "chosen", multiple=True, metavar="NAME|NUMBER", help="Load this partition alone; or several."
)
@click.option(
    "--commit-bytes",
    type=click.IntRange(1 << 10, 4 << 30),
    default=128 << 20,
    show_default=True,
    help="Commit when a file has grown to this.",
)
@click.option(
    "--commit-seconds",
    type=click.FloatRange(0.1, 6 * 3600),
    default=900.0,
    show_default=True,
    help="With --follow: commit after this time, however little it is.",
)
@click.option("--keep-days", type=click.IntRange(min=0), default=0, help="Remove rows received longer ago; 0 for none.")
@click.option(
    "--keep-types", is_flag=True, help="Go on where a catalog has changed a type: what does not fit is kept aside."
)
@access_options
@click.option("--json", "as_json", is_flag=True, help='Print one object: {"table": rows}.')
def load(
    source: str,
    tables: str | None,
    iceberg_catalog: str | None,
    files: tuple[Path, ...],
    chosen: tuple[str, ...],
    commit_bytes: int,
    commit_seconds: float,
    keep_days: int,
    access: dict[str, Any],
    *,
    follow: bool,
    keep_types: bool,
    as_json: bool,
) -> None:
    """Load SOURCE, a collector's directory or nats://A,B,C/STREAM, into Iceberg tables: one for each event.

    Of a stream, TELEMETRY_STREAM may be set instead: other users of the machine see arguments.

    Columns are typed by the catalogs that the source keeps, and those given. Each event is loaded once, whatever is
    killed: the next run goes on where the tables stand. Several may load at one time. What belongs to no table is kept
    in the table `aside`, as it came, with the reason.

    Exit codes: 0, all is loaded, or with --follow, it was stopped; 1, it failed, and the next run goes on; 2, it could
    not begin; 130, it was stopped, and the next run goes on.
    """
    if tables is None:
        _fail("give --tables DIR, or s3://BUCKET/PREFIX", 2)
    stop = _Stop()
    try:
        from telemetry.collector.tables import run  # noqa: PLC0415 it comes with an extra, and loads slowly
        from telemetry.collector.tables.lake import Lake, place_of  # noqa: PLC0415 as above
        from telemetry.collector.tables.loader import Loader, Pace  # noqa: PLC0415 as above

        opened, catalogs = _open(source, files, access)
    except ImportError as fault:
        _fail(not_installed(fault, f"{_EXTRAS},nats" if source.startswith(_STREAM) else _EXTRAS), 2)
    except TelemetryError as fault:
        _fail(str(fault), 2)
    loaders: list[Loader] = []
    progress = _Progress(loaders)

    def is_stopped() -> bool:
        progress.show()
        return stop.is_set()

    try:
        if not catalogs():
            # With --follow it may come yet, and whoever has started this starts it again.
            shown = without_credentials(source)
            _fail(f"{shown} keeps no catalog, so no table could have columns: give --catalog FILE", 1 if follow else 2)
        lake = Lake(place_of(tables, iceberg_catalog), is_new=True)
        pace = Pace(commit_bytes, commit_seconds)
        loaders.extend(
            Loader(lake, opened, partition, catalogs, pace, progress.note, keep_types=keep_types)
            for partition in _partitions(opened, chosen)
        )
        if follow:
            run.follow(lake, loaders, keep_days, is_stopped, stop.wait, progress.note)
        else:
            run.load(lake, loaders, keep_days, is_stopped)
    except (TelemetryError, OSError) as fault:
        progress.end()
        _fail(f"{fault}; what was committed stays, and the next run goes on from there", 1)
    finally:
        opened.close()
    progress.end()
    _tell(loaders, as_json=as_json)
    if stop.is_set() and not follow:
        _fail("stopped; the next run goes on from here", _STOPPED)


def _partitions(source: StoreSource | StreamSource, chosen: Sequence[str]) -> Sequence[str]:
    known = source.partitions()
    named = {**{name: name for name in known}, **{name.rpartition(".")[2]: name for name in known}}
    if unknown := [name for name in chosen if name not in named]:
        _fail(f"there is no partition {', '.join(unknown)}; there are {', '.join(known)}", 2)
    return [named[name] for name in chosen] or known


def _open(
    source: str, files: Sequence[Path], access: dict[str, Any]
) -> tuple[StoreSource | StreamSource, Callable[[], list[Catalog]]]:
    """Return a source, and the function that returns the catalogs which are known there now."""
    from telemetry.catalog.load import load as read  # noqa: PLC0415 not before it is needed
    from telemetry.catalog.load import parse  # noqa: PLC0415 as above

    given = [read(file) for file in files]
    if source.startswith(_STREAM):
        from telemetry.collector.stream.source import StreamSource  # noqa: PLC0415 it comes with an extra
        from telemetry.jetstream import Access  # noqa: PLC0415 as above

        stream = StreamSource(source, Access(**access), os.environ)

        def published() -> list[Catalog]:
            found = list(given)
            for content in stream.catalogs():
                try:
                    found.append(parse(content, Path(source)))
                except CatalogError:  # of a version that this one does not know
                    continue
            return found

        return stream, published
    from telemetry.collector.catalogs import kept_catalogs  # noqa: PLC0415 as above
    from telemetry.collector.tables.stored import StoreSource  # noqa: PLC0415 as above

    directory = Path(source)
    return StoreSource(directory), lambda: [*given, *(found for _, found in kept_catalogs(directory) if found)]


class _Stop:
    """The wish to end, by Ctrl-C or SIGTERM; said twice, it ends the process at once."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.is_set = self._event.is_set
        self.wait = self._event.wait
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._hear)

    def _hear(self, number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._event.set()


class _Progress:
    """A line on stderr that says how far the loaders are; on a terminal alone, and after the first second."""

    def __init__(self, loaders: Sequence[Loader]) -> None:
        self._loaders = loaders
        self._begun = time.monotonic()
        self._shown = self._begun + _QUIET_SECONDS - _SHOWN_SECONDS
        self._is_shown = False

    def show(self) -> None:
        now = time.monotonic()
        if now - self._shown < _SHOWN_SECONDS or not sys.stderr.isatty():
            return
        self._shown = now
        self._is_shown = True
        read = sum(loader.read for loader in self._loaders)
        kept = sum(loader.batches for loader in self._loaders)
        line = f"{counted(read, 'batch', 'batches')} read, {kept} committed, {now - self._begun:.0f} s"
        print(f"\r\x1b[Ktelemetry load: {line}", end="", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        self.end()
        _note(text)

    def end(self) -> None:
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
        self._is_shown = False


def _tell(loaders: Sequence[Loader], *, as_json: bool) -> None:
    rows: dict[str, int] = {}
    for loader in loaders:
        for table, number in loader.rows.items():
            rows[table] = rows.get(table, 0) + number
    if as_json:
        print(json.dumps(dict(sorted(rows.items()))))
        return
    for table, number in sorted(rows.items()):
        print(f"{table}\t{number}")


def _note(text: str) -> None:
    print(f"telemetry load: {printable(text)}", file=sys.stderr)


def _fail(text: str, code: int) -> NoReturn:
    _note(text)
    raise SystemExit(code)
