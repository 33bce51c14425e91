"""The command `telemetry tail`: prints events as they pass, as they would leave: after redaction."""

from __future__ import annotations

import signal
import sys
from fnmatch import fnmatchcase
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from telemetry.cli.consent import CommandError, product_option
from telemetry.consent import find_product
from telemetry.errors import ConfigError, SpoolError, TelemetryError
from telemetry.inspect.contents import find_segments, is_spool
from telemetry.paths import spools_of
from telemetry.shipper.delivery.preview import find_sources
from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.inspect.contents import Found
    from telemetry.shipper.delivery.preview import Source

POLL_SECONDS = 0.2


class _Wanted(NamedTuple):
    """The events to print: by name, with wildcards, and by values of fields; nothing wanted is all."""

    names: tuple[str, ...]
    fields: tuple[tuple[str, str], ...]

    def fits(self, line: str) -> bool:
        if not self.names and not self.fields:
            return True
        try:
            event: Any = msgspec.json.decode(line)
        except ValueError:
            return False
        if not isinstance(event, dict):
            return False
        named = not self.names or any(fnmatchcase(str(event.get("event")), name) for name in self.names)
        return named and all(_text_of(event.get(field)) == value for field, value in self.fields)


@click.command()
@click.argument("names", nargs=-1, metavar="[EVENT]...")
@product_option
@click.option("--where", "fields", multiple=True, metavar="FIELD=VALUE", help="Only events with this value.")
@click.option("--last", default=0, type=click.IntRange(0), help="Begin with so many that lie here already.")
@click.option("--limit", type=click.IntRange(1), help="End after so many events.")
def tail(names: tuple[str, ...], product: str | None, fields: tuple[str, ...], last: int, limit: int | None) -> None:
    """Print events as they pass, a line of JSON each, as they are sent or would be: after redaction.

    EVENT is a name, or a pattern such as `query_*`. What is no event goes to stderr, so that it pipes. What the
    consent keeps on this machine is printed too; dropped events are not. Ends on SIGINT.

    Exit codes: 0, it was ended, or has printed --limit events; 2, no such product can be.
    """
    if wrong := [text for text in fields if "=" not in text]:
        raise CommandError(f"--where {wrong[0]}: must be FIELD=VALUE, such as engine=batch")
    pairs = [text.partition("=") for text in fields]
    wanted = _Wanted(names, tuple((field, value) for field, _, value in pairs))
    try:
        name = find_product(product)
    except ConfigError as fault:
        raise CommandError(str(fault)) from None
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # a reader that left, or ctrl-C, ends it without a word
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        for line in islice(_lines(name, wanted, last), limit):
            print(printable(line), flush=True)
    except (TelemetryError, OSError) as fault:
        raise CommandError(str(fault)) from None


def _lines(product: str, wanted: _Wanted, last: int) -> Iterator[str]:
    """Yield the lines that are wanted: the last of those that lie here, then each that comes; never ends."""
    seen: dict[str, int] = {}
    sizes: dict[str, int] = {}
    here = [line for line in _new(product, seen, sizes) if wanted.fits(line)]
    _note(f"{product}: {counted(len(here), 'event lies', 'events lie')} here already; waiting for more")
    yield from here[len(here) - min(last, len(here)) :]
    while True:
        yield from filter(wanted.fits, _new(product, seen, sizes))
        sleep(POLL_SECONDS)


def _new(product: str, seen: dict[str, int], sizes: dict[str, int]) -> Iterator[str]:
    """Yield the lines that have come since the last look, oldest segment first.

    Args:
        product: the product.
        seen: the number of lines taken of each segment, which this call brings up to date.
        sizes: the size that each segment had then.
    """
    present = set()
    for source in find_sources(product, filter(is_spool, spools_of(product)), None):
        for found in find_segments(source.directory):
            present.add(found.id)
            if found.size_bytes != sizes.get(found.id):
                lines = _read(source, found)
                sizes[found.id] = found.size_bytes
                yield from lines[seen.get(found.id, 0) :]
                seen[found.id] = max(len(lines), seen.get(found.id, 0))
    for gone in {*seen} - present:
        del seen[gone], sizes[gone]


def _read(source: Source, found: Found) -> list[str]:
    try:
        batch = source.read(found)
        return [line.decode(errors="replace") for line in source.show(batch).lines] if batch else []
    except SpoolError as fault:
        _note(str(fault))
        return []


def _text_of(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _note(text: str) -> None:
    print(f"telemetry tail: {printable(text)}", file=sys.stderr, flush=True)
