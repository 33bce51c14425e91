"""Writes the privacy page, in Markdown, for the people whose machine it is about.

The same catalog makes the same page, whatever the day. What stands in the catalog can't break it: it is escaped for
CommonMark, for tables and for HTML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.field_types import TYPES, Treatment, leaves_as
from telemetry.catalog.visible import visible
from telemetry.consent.decide import product_variable
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from telemetry.catalog.model import Catalog, Event, Field

_ABOUT = {"technical": "machine and program", "interaction": "what somebody did"}
_MARKUP = re.compile(r"[\\`*_{}\[\]~|&<>]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}  # not every reader of Markdown takes a backslash
_MIB = 1 << 20
_DAY_SECONDS = 86_400


def privacy_page(catalog: Catalog) -> str:
    """Write the privacy page of a catalog, with a final line break."""
    blocks = [
        *_intro(catalog),
        "## All events",
        _table(("event", "what for", "about", "until"), (_overview(event) for event in catalog.events.values())),
        *(block for event in catalog.events.values() for block in _event(event)),
        *_besides(catalog),
        *_never(catalog),
        *_see(catalog.product),
        *_refuse(catalog),
        *_kept(catalog.product),
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Escape a text so that it reads as itself on one line of Markdown, within a table too."""
    return _MARKUP.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), visible(text))


def _intro(catalog: Catalog) -> Iterator[str]:
    product = escape(catalog.product)
    yield f"# What {product} collects"
    yield (
        f"A program wrote this page from version {catalog.version} of the list by which {product} itself decides what "
        "may leave your machine. An event or a field that is not on this page does not leave: it is dropped before "
        "anything is written to disk. Whether any is collected is your choice: see [Say no](#say-no)."
    )
    if catalog.policy_url:
        yield f"The privacy policy: <{catalog.policy_url.translate({ord('<'): '%3C', ord('>'): '%3E'})}>"


def _overview(event: Event) -> tuple[str, ...]:
    return (f"`{event.name}`", escape(event.purpose), _ABOUT[event.sensitivity], event.expires.isoformat())


def _event(event: Event) -> Iterator[str]:
    yield f"### `{event.name}`"
    yield _listed(
        f"What for: {escape(event.purpose)}",
        f"Who answers for it: {escape(event.owner)}",
        f"Until: {event.expires}; from the next day on no program collects it, however old it is",
        f"About: {_ABOUT[event.sensitivity]} ({event.sensitivity})",
        f"How often: {_how_often(event)}",
    )
    fields = declared_fields(event).values()
    if fields:
        yield _table(("field", "what for", "what leaves"), map(_field, fields))
    else:
        yield "It has no fields: only that it happened leaves."


def _how_often(event: Event) -> str:
    if event.kind == "counter":
        return "counted on your machine; the sums of a second, or less, leave"
    if event.kind == "distribution":
        return "counted on your machine into buckets; how many fell into each, within a second or less, leaves"
    if event.kind == "report":
        return f"every {ShipperSettings().report_seconds / 3600:g} hours"
    often = ["each time it happens"]
    if event.sample < 1:
        often.append(f"a share of {event.sample:g} of it leaves, chosen at random")
    if event.max_per_second is not None:
        often.append(f"at most {event.max_per_second} within one second leave")
    if event.weighted:
        often.append("with `weight`, the number that each stands for")
    return "; ".join(often)


def _field(field: Field) -> tuple[str, ...]:
    until = f"; until {field.expires}" if field.expires else ""
    return (f"`{field.name}`", escape(field.purpose), escape(leaves_as(field)) + until)


def _table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *rows))


def _listed(*items: str) -> str:
    return "\n".join(f"- {item}" for item in items)


def _besides(catalog: Catalog) -> Iterator[str]:
    yield "## What goes with it"
    yield "With every event:"
    yield _listed(
        "`event`: its name",
        f"`time`: when it happened, in UTC, rounded down to {catalog.time_precision_seconds} seconds",
        "`session`: a random number, drawn anew at each midnight, UTC, and whenever the last program has ended",
        "`weight`, where the server has asked for less, so that a share of an event leaves: how many it stands for",
    )
    yield "With every upload, which holds many events:"
    yield _listed(
        "a random number of its own, so that it counts once if it has to be sent twice",
        "the product and the version of this list",
        "the consent it rests on: who said yes, which notice was shown, what kind of deployment it is",
        "whether its session is your installation's first of the day, the week and the month, and no more: "
        "so that installations can be counted without a number for any",
        "how many events of the session were collected, sent and dropped, and why: only of those that are about the "
        "same as what is in it",
    )
    yield (
        "As with any connection, the server sees the network address that it comes from. It is no part of the data; "
        "the collector of `telemetry` does not store it."
    )


def _never(catalog: Catalog) -> Iterator[str]:
    free = {name for name, row in TYPES.items() if row.treatment is Treatment.SCANNED}
    texts = _fields_of(free, catalog)
    free_text = f"nowhere but in {texts}, which may hold names of people and what its rules don't know"
    held_back = ((_fields_of({name}, catalog), row.held_back) for name, row in TYPES.items() if row.held_back)
    yield "## What is never collected"
    yield _listed(
        "by `telemetry` itself, a number or name of you, your machine or installation that would outlast a session",
        *(f"of {fields}, {what}" for fields, what in held_back if fields),
        f"free text: {free_text if texts else 'nowhere'}",
    )


def _fields_of(types: Collection[str], catalog: Catalog) -> str:
    return ", ".join(
        f"`{event.name}.{field.name}`"
        for event in catalog.events.values()
        for field in event.fields.values()
        if field.type in types
    )


def _see(product: str) -> Iterator[str]:
    yield "## See it"
    yield _listed(
        f"`telemetry preview --product {product} --sent`: the very bytes that wait to be sent, and those that went",
        f"`telemetry status --product {product}`: whether anything is collected, by whose word, and how much",
    )


def _refuse(catalog: Catalog) -> Iterator[str]:
    product = catalog.product
    yield "## Say no"
    yield "Each of these is enough, and nothing overrides it:"
    yield _listed(
        f"`telemetry off --product {product}`: for good; what was not sent yet is erased within a second",
        f"`{product_variable(product)}=off` in the environment: for this product",
        "`DO_NOT_TRACK=1` in the environment: for every program that heeds it",
        "`TELEMETRY_DISABLED=1` in the environment: for every program that uses `telemetry`",
        *(
            f"`{variable}` in the environment with any value but {', '.join(f'`{escape(word)}`' for word in words)}"
            for variable, words in catalog.no_unless.items()
        ),
    )
    yield "Between yes and no:"
    yield _listed(
        f"`telemetry technical --product {product}`, or `{product_variable(product)}=technical`, sends what is about "
        f"{_ABOUT['technical']}; what is about {_ABOUT['interaction']} stays on this machine and is never sent, not "
        "even later, nor how much of it there is. [The table](#all-events) says what each event is about",
        f"`telemetry local --product {product}`, or `{product_variable(product)}=local`, collects for your "
        "own eyes: it stays on this machine and is never sent, not even later",
    )
    yield (
        "In CI, in a run of pytest, and where a product runs on servers of your own or your company, nobody needs to "
        f"say no: there it is off until somebody says yes: you (`telemetry on --product {product}`, or "
        f"`{product_variable(product)}=on`), or the program, by its own settings. What the program says counts in CI "
        "and in tests, too. A no of yours goes before either."
    )


def _kept(product: str) -> Iterator[str]:
    usual = ShipperSettings()
    days, waiting, sent = usual.spool_seconds / _DAY_SECONDS, usual.spool_bytes // _MIB, usual.sent_bytes // _MIB
    yield "## How long it stays on your machine"
    yield (
        f"What waits to be sent stays in a directory that only you can read, for at most {days:g} days and {waiting} "
        "MiB unless the program sets other limits; beyond them the oldest is erased. Copies of what was sent are kept "
        f"there for you to read, up to {sent} MiB. `telemetry purge --product {product}` erases all of it."
    )
    yield (
        "Beside it a file has the date of the last day on which anything was sent, and nothing else. It tells whether "
        "a session is the first of its day. A no for good, and the purge, erase it."
    )
