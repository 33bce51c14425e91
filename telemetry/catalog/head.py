"""Reader of a catalog's head, which a host must know before it collects: its product, and variables that mean no.

The host reads no more of it, but for the distributions of a catalog that has some: parsing a whole catalog takes longer
than all else in `init`. Standard library only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.exponential import SCALE, SCALES

if TYPE_CHECKING:
    from collections.abc import Mapping


class Head(NamedTuple):
    """The part of a catalog that concerns consent.

    Attributes:
        product: the catalog's product; empty if it can't be read, which the shipper reports.
        no_unless: variables of the environment, by name; one that is set, but to none of these words, means no.
        distributions: the scale of each distribution, by its name.
    """

    product: str = ""
    no_unless: Mapping[str, tuple[str, ...]] = {}
    distributions: Mapping[str, int] = {}


_PLAIN = rb"[ \t]*(?:([a-z_]+)[ \t]*=[ \t]*(?:\"([^\"\\]*)\"|[0-9]+)[ \t]*)?(?:#.*)?"
"""A line with a plain text or a number, or nothing, like nearly all lines in [catalog]."""


def read_head(data: bytes) -> Head:
    """Read the head from the bytes of a catalog's file. Never raises."""
    if not any(odd in data for odd in (b"no_unless", b"distribution", b'"""', b"'''")):
        product = _plain_product(data)
        if product is not None:
            return Head(product.decode(errors="replace"))
    return _parse(data)


def _plain_product(data: bytes) -> bytes | None:
    """Return the product, if [catalog] has only plain lines before it."""
    before, _, table = data.partition(b"[catalog]")
    if before and not before.endswith(b"\n"):
        return None
    for line in table.partition(b"\n[")[0].splitlines():
        found = re.fullmatch(_PLAIN, line)
        if found is None or (found[1] == b"product" and found[2] is not None):
            return found and found[2]
    return None


def _parse(data: bytes) -> Head:
    import tomllib  # noqa: PLC0415 takes its time, and few need it

    try:
        document = tomllib.loads(data.decode("utf-8-sig"))
        catalog: Any = document.get("catalog")
    except (ValueError, RecursionError):
        return Head()
    if not isinstance(catalog, dict):
        return Head()
    product, said = catalog.get("product"), catalog.get("no_unless")
    words = {name: _words(values) for name, values in said.items()} if isinstance(said, dict) else {}
    return Head(product if isinstance(product, str) else "", words, _scales(document.get("events")))


def _scales(events: Any) -> dict[str, int]:
    named = events.items() if isinstance(events, dict) else ()
    found = {name: event for name, event in named if isinstance(event, dict) and event.get("kind") == "distribution"}
    scales = {name: event.get("scale", SCALE) for name, event in found.items()}
    return {name: scale for name, scale in scales.items() if type(scale) is int and scale in SCALES}


def _words(values: Any) -> tuple[str, ...]:
    return tuple(value for value in values if isinstance(value, str)) if isinstance(values, list) else ()
