"""The command `telemetry preview`: prints pending requests, and those that were sent, as they are on the wire.

In its output for people, a line that begins with `#` is a remark; all other lines are the request: its head, a blank
line, its body: an event a line, after the envelope around them where the format has one.
"""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import msgspec

from telemetry.cli.completion import batches
from telemetry.cli.consent import CommandError, FailedError, json_option, lane_option, product_option
from telemetry.consent import find_product, read_stored
from telemetry.errors import ConfigError, SpoolError
from telemetry.inspect.contents import Found, find_segments, is_spool
from telemetry.paths import spools_of
from telemetry.shipper.config import ShipperConfig, read_config
from telemetry.shipper.delivery.preview import Preview, Source, find_sources
from telemetry.shipper.permission import permission_of
from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.spool.segment import Seal
    from telemetry.spool.tally import Tally

EXIT_GONE = 3
"""The exit code for a batch that is gone by now: delivered, and its copy deleted."""

TERMINAL_EVENTS = 20
"""The number of events shown of each body on a terminal; a pipe gets all."""

_WAITING = ("sealed", "active")
_SHOWN = ("sent", *_WAITING, "local", "quarantine")
_BECOMES = {
    "active": "not sealed yet: this is its present state, and more may be added",
    "sealed": "waits for its upload, and will be sent like this",
    "sent": "went like this",
    "local": "stays on this machine and is never sent; it would have been sent like this",
    "quarantined": "was set aside and is no longer sent; it would have been sent like this",
}


class _Chosen(NamedTuple):
    """The segments of a spool that are shown, and the number left out in each folder."""

    source: Source
    segments: list[Found]
    left_out: Counter[str]


@click.command()
@product_option
@lane_option
@click.option(
    "--config", metavar="FILE", help="The file of `telemetry ship --config`: only it knows the endpoint then."
)
@click.option("--sent", is_flag=True, help="Also what was sent, as far as copies are kept.")
@click.option("--all", "everything", is_flag=True, help="Also what was sent, and what never is: local, quarantined.")
@click.option(
    "--batch",
    metavar="ID",
    shell_complete=batches,
    help="This one, in any state; the beginning of its id is enough.",
)
@click.option("--limit", default=3, show_default=True, type=click.IntRange(1), help="Batches shown of each state.")
@click.option(
    "--events", type=click.IntRange(0), help=f"Events shown of each; all, or {TERMINAL_EVENTS} on a terminal."
)
@click.option("--raw", is_flag=True, help="Write the very bytes of one batch's body: `| zstdcat` reads them.")
@json_option
def preview(config: str | None, events: int | None, *, raw: bool, as_json: bool, **which: Any) -> None:
    """Print what is on its way as it is on the wire, head and events, and which rule touched each field.

    Needs no shipper and changes nothing. Lines with a # ahead are remarks. With --json, an object a line for each
    batch. Credentials are shown as [secret].

    Exit codes: 1, a batch is not what was written; 2, no such product or batch; 3, the batch is gone by now.
    """
    known = _read_config(config)
    chosen = _find(known, **which)
    if raw:
        _write_raw(chosen)
        return
    if events is None and sys.stdout.isatty():
        events = TERMINAL_EVENTS
    missed = [missed for each in chosen for missed in _print(each, events, as_json=as_json)]
    sys.stdout.flush()
    if "fault" in missed:
        sys.exit(1)
    if which["batch"] and "gone" in missed:
        sys.exit(EXIT_GONE)


# Choice of the batches.


def _read_config(file: str | None) -> ShipperConfig | None:
    try:
        return read_config(Path(file)) if file else None
    except ConfigError as fault:
        raise CommandError(str(fault)) from None


def _find(
    config: ShipperConfig | None,
    product: str | None,
    lane: int | None,
    batch: str | None,
    limit: int,
    *,
    sent: bool,
    everything: bool,
) -> list[_Chosen]:
    folders = _SHOWN if everything else ("sent", *_WAITING) if sent else _WAITING
    try:
        name = config.product if config and not product else find_product(product)
        sources = find_sources(name, filter(is_spool, spools_of(name, lane)), config)
        chosen = [_choose(source, folders, batch, limit) for source in sources]
    except (ConfigError, SpoolError) as fault:
        raise CommandError(str(fault)) from None
    except OSError as fault:
        raise CommandError(f"{fault.filename}: {fault.strerror}; run this as the user whose programs collect") from None
    if batch and sum(len(each.segments) for each in chosen) != 1:
        raise CommandError(f"not exactly one batch of {name} has an id that begins with {batch!r}: --all shows them")
    if not chosen:
        click.echo(f"nothing was collected of {name} on this machine", err=True)
    return chosen


def _choose(source: Source, folders: tuple[str, ...], batch: str | None, limit: int) -> _Chosen:
    found = find_segments(source.directory)
    if batch:
        return _Chosen(source, [segment for segment in found if segment.id.startswith(batch)], Counter())
    shown: list[Found] = []
    for folder in _SHOWN:
        alike = [segment for segment in found if segment.folder == folder and folder in folders]
        shown += alike[:limit] if folder == "sealed" else alike[-limit:]  # those that go next; else the newest
    return _Chosen(source, shown, Counter(each.folder for each in found) - Counter(each.folder for each in shown))


# Output of the very bytes.


def _write_raw(chosen: list[_Chosen]) -> None:
    if sys.stdout.isatty():
        raise CommandError("--raw writes compressed bytes, which are not for a terminal: pipe them, `| zstdcat`")
    segments = [(each.source, segment) for each in chosen for segment in each.segments]
    if len(segments) != 1:
        raise CommandError("--raw writes one batch: name it with --batch ID")
    source, found = segments[0]
    try:
        batch = source.read(found)
    except SpoolError as fault:
        raise FailedError(str(fault)) from None
    if batch is None:
        sys.exit(EXIT_GONE)
    sys.stdout.buffer.write(batch.data)
    sys.stdout.flush()


# Output for people and for scripts.


def _print(chosen: _Chosen, events: int | None, *, as_json: bool) -> Iterator[str]:
    """Print a spool's batches; yield `fault` or `gone` for each that could not be shown."""
    remarks = list(_of_source(chosen))
    permission = permission_of(read_stored(chosen.source.directory.parent.name))
    print("".join(f"# {printable(remark)}\n" for remark in remarks), end="", file=sys.stderr if as_json else sys.stdout)
    for found in chosen.segments:
        try:
            batch = chosen.source.read(found)
            shown = batch and chosen.source.show(batch)
        except (SpoolError, OSError) as fault:
            print(f"# {printable(str(fault))}", file=sys.stderr)
            if found.folder != "quarantine":  # where it lies for that
                yield "fault"
            continue
        if shown is None:
            yield "gone"
            continue
        leaves = shown.state in _WAITING and permission.lets_leave(shown.batch.seal.head)
        if as_json:
            print(printable(_as_json(chosen.source, shown, events, leaves=leaves)))
        else:
            sys.stdout.writelines(f"{printable(line)}\n" for line in _as_text(shown, events, leaves=leaves))


def _of_source(chosen: _Chosen) -> Iterator[str]:
    source = chosen.source
    yield f"{source.directory.parent.name} to {source.endpoint or 'an endpoint that is not known here'}"
    if source.fault:
        yield f"the shipper's configuration can't be used: {source.fault}"
    elif source.endpoint is None:
        yield "a host tells it to the shipper it spawns; one in the foreground has it in the file for --config"
    if not source.is_authorized:
        yield "a bearer token may come with it: no file is configured, and TELEMETRY_TOKEN is not set here"
    if chosen.left_out:
        counts = ", ".join(f"{number} {folder}" for folder, number in sorted(chosen.left_out.items()))
        yield f"not shown: {counts}; --limit, --sent and --all show more"


def _as_text(shown: Preview, events: int | None, *, leaves: bool) -> Iterator[str]:
    seal = shown.batch.seal
    yield ""
    yield f"# {shown.state}: {_BECOMES[shown.state]}"
    if seal.head.sensitivity:
        yield f"# its events are of the sensitivity {seal.head.sensitivity}"
    if shown.state in _WAITING and not leaves:
        yield "# but the user's choice does not let it leave"
    yield shown.request.line
    yield from (f"{name}: {value}" for name, value in shown.request.headers)
    yield ""
    if shown.envelope:
        yield shown.envelope.decode()
    yield from (line.decode(errors="replace") for line in shown.lines[:events])
    left_out = len(shown.lines[events:]) if events is not None else 0
    if left_out:
        yield f"# and {counted(left_out, 'more event')}: --events {len(shown.lines)} shows all"
    yield f"# {counted(len(shown.batch.data), 'byte')}, SHA-256 {hashlib.sha256(shown.batch.data).hexdigest()}"
    yield from (f"# {remark}" for remark in _of_account(seal))


def _of_account(seal: Seal) -> Iterator[str]:
    rows = [("field", "rule", "values"), *_touched(seal.tally)]
    widths = [max(len(str(row[column])) for row in rows) for column in range(3)]
    if len(rows) > 1:
        yield from (f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]:>{widths[2]}}" for row in rows)
    elif seal.depth:
        yield "part of a batch: which rule touched which field was counted for the whole"
    elif seal.tally.redacted or seal.tally.fields_dropped:
        yield "written by a version that did not count field by field"
    else:
        yield "no rule touched a field"
    if dropped := seal.tally.dropped:
        yield "events dropped on the way here: " + ", ".join(f"{reason} {number}" for reason, number in dropped.items())


def _touched(tally: Tally) -> Iterator[tuple[str, str, int]]:
    for field, touched in sorted(tally.touched.items()):
        yield from ((field, rule, values) for rule, values in sorted(touched.redacted.items()))
        yield from ((field, f"removed: {reason}", values) for reason, values in sorted(touched.dropped.items()))


def _as_json(source: Source, shown: Preview, events: int | None, *, leaves: bool) -> str:
    batch, seal = shown.batch, shown.batch.seal
    row = {
        "id": seal.head.id,
        "state": shown.state,
        "leaves": leaves,
        "sensitivity": seal.head.sensitivity or None,
        "spool": str(source.directory),
        "endpoint": source.endpoint,
        "request": {"line": shown.request.line, "headers": shown.request.headers},
        "body": {
            "bytes": len(batch.data),
            "sha256": hashlib.sha256(batch.data).hexdigest(),
            "lines": len(shown.lines),
            **({"envelope": msgspec.Raw(shown.envelope)} if shown.envelope else {}),
            "events": [_embedded(line) for line in shown.lines[:events]],
        },
        "touched": msgspec.to_builtins(
            {field: {"redacted": each.redacted, "dropped": each.dropped} for field, each in seal.tally.touched.items()}
        ),
        "redacted": seal.tally.redacted,
        "fields_dropped": seal.tally.fields_dropped,
        "dropped": seal.tally.dropped,
    }
    return msgspec.json.encode(row).decode()


def _embedded(line: bytes) -> msgspec.Raw | str:
    """Return an event as it stands, without encoding it again; as text if it is no JSON."""
    try:
        msgspec.json.decode(line)
    except ValueError:
        return line.decode(errors="replace")
    return msgspec.Raw(line)
