"""The privacy page, in Markdown, for the people whose machine it is about.

The same catalog makes the same page, whatever the day. What stands in the catalog can't break it: it is escaped for
CommonMark, for tables and for HTML.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from telemetry.catalog.compile import declared_fields
from telemetry.catalog.leaving import leaves_as
from telemetry.catalog.visible import visible
from telemetry.consent.decide import product_variable
from telemetry.settings import ShipperSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.catalog.model import Catalog, Event, Field

_ABOUT = {"technical": "machine and program", "interaction": "what somebody did"}
_MARKUP = re.compile(r"[\\`*_{}\[\]~|&<>]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}  # not every reader of Markdown takes a backslash
_MIB = 1 << 20
_DAY_SECONDS = 86_400


def privacy_page(catalog: Catalog) -> str:
    """The page, with a final line break."""
    blocks = [
        *_intro(catalog),
        "## All events",
        _table(("event", "what for", "about", "until"), (_overview(event) for event in catalog.events.values())),
        *(block for event in catalog.events.values() for block in _event(event)),
        *_besides(catalog),
        *_never(catalog),
        *_see(catalog.product),
        *_refuse(catalog.product),
        *_kept(catalog.product),
    ]
    return "\n\n".join(blocks) + "\n"


def escape(text: str) -> str:
    """Any text so that it reads as itself on one line of Markdown, within a table too."""
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
        return "counted on your machine; the sums of a second leave"
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
        "`session`: a random number, drawn anew at least once a day and whenever the last program has ended",
    )
    yield "With every upload, which holds many events:"
    yield _listed(
        "a random number of its own, so that it counts once if it has to be sent twice",
        "the product and the version of this list",
        "the consent it rests on: who said yes, which notice was shown, what kind of deployment it is",
        "how many events of the session were collected, sent and dropped, and why",
    )
    yield (
        "As with any connection, the server sees the network address that it comes from. It is no part of the data; "
        "the collector of `telemetry` does not store it."
    )


def _never(catalog: Catalog) -> Iterator[str]:
    texts = [
        f"`{event.name}.{field.name}`"
        for event in catalog.events.values()
        for field in event.fields.values()
        if field.type == "text"
    ]
    free_text = f"nowhere but in {', '.join(texts)}, and there only once it is redacted" if texts else "nowhere"
    yield "## What is never collected"
    yield _listed(
        "a number or name of you, your machine or your installation that would outlast a session",
        "what is called identifier here, such as a user or a table: a token stands for it, which nobody can turn back",
        "the text of a query, the message of an error, the name of a file",
        f"free text: {free_text}",
    )


def _see(product: str) -> Iterator[str]:
    yield "## See it"
    yield _listed(
        f"`telemetry preview --product {product} --sent`: the very bytes that wait to be sent, and those that went",
        f"`telemetry status --product {product}`: whether anything is collected, by whose word, and how much",
    )


def _refuse(product: str) -> Iterator[str]:
    yield "## Say no"
    yield "Each of these is enough, and nothing overrides it:"
    yield _listed(
        f"`telemetry off --product {product}`: for good; what was not sent yet is erased within a second",
        f"`{product_variable(product)}=off` in the environment: for this product",
        "`DO_NOT_TRACK=1` in the environment: for every program that heeds it",
        "`TELEMETRY_DISABLED=1` in the environment: for every program that uses `telemetry`",
    )
    yield (
        f"`telemetry local --product {product}` collects for your own eyes: it stays on this machine and is never "
        "sent, not even later. In CI, and where a product runs on servers of your own or your company, nobody needs to "
        "say no: there it is off until somebody says yes."
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
