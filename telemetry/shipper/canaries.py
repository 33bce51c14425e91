"""Self-test at the start: canaries go through the pure stages, redact, encode, tripwire, but never into a segment.

The redactor must take each of them out, and the tripwire must find each when the redactor is left out.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
from typing import TYPE_CHECKING

import msgspec

from telemetry.catalog.compile import compile_catalog
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.receipt import Receipt
from telemetry.shipper.delivery.forbidden import FORBIDDEN
from telemetry.shipper.intake.redactor import Redactor
from telemetry.spool.segment import Head
from telemetry.spool.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from telemetry.redact.free_text import FreeTextRedactor
    from telemetry.redact.names.name import Name
    from telemetry.shipper.delivery.tripwire import Tripwire
    from telemetry.shipper.encode.format import Format

_REGULAR = re.compile(r"[a-z0-9 ._@/:+-]{2,}")
"""The form of names that are planted: one like an escape or a placeholder would change the text around it."""

log = logging.getLogger("telemetry.shipper")

_TEXT = Field(name="detail", type="text", purpose="self-test", max_length=2000)
_EVENT = Event(
    name="canary",
    purpose="self-test",
    owner="telemetry",
    expires=dt.date.max,
    sensitivity="technical",
    fields={"detail": _TEXT},
)
_COMPILED = compile_catalog(Catalog(product="canary", version=1, events={"canary": _EVENT}), dt.date.min)


def plant(names: Collection[Name]) -> list[tuple[str, str]]:
    """Return the canaries: the kind of each, and a text that holds it. Names of unusual characters are left out."""
    tokens = [(forbidden.kind, f"refused {forbidden.example} at last") for forbidden in FORBIDDEN]
    own = sorted(name for name in names if _REGULAR.fullmatch(name.folded))
    return tokens + [
        (f"own:{name.kind}", f"refused user={name.folded} at {name.folded}@{name.folded} in a/b/{name.folded}/c")
        for name in own
    ]


def prove(
    names: Collection[Name], texts: FreeTextRedactor | None, tripwire: Tripwire, format_: Format
) -> FreeTextRedactor | None:
    """Run the self-test, and disable what fails it: the tripwire is dead then, or the redactor is not given back.

    Args:
        names: this machine's own names.
        texts: the redactor; None if there is none.
        tripwire: the tripwire; on a platform without a scanner there is nothing to test.
        format_: the format of the uploads.
    """
    if tripwire.state != "armed":
        return texts
    canaries = plant(names)
    try:
        missed = missed_by_tripwire(canaries, tripwire, format_)
        leaked = missed_by_redactor(canaries, texts, tripwire, format_) if texts is not None else set()
    except Exception:  # noqa: BLE001 whatever it was, nothing may leave unchecked; its text may hold a name
        missed, leaked = {"every kind"}, set()
    if missed:
        log.error("the tripwire's self-test misses %s", ", ".join(sorted(missed)))
        tripwire.die()
    if leaked:
        log.error("free text is dropped: the redactor's self-test misses %s", ", ".join(sorted(leaked)))
        return None
    return texts


def missed_by_redactor(
    canaries: Sequence[tuple[str, str]], texts: FreeTextRedactor, tripwire: Tripwire, format_: Format
) -> set[str]:
    """Return the kinds of canaries that the tripwire finds although they were redacted."""
    redactor = Redactor(_COMPILED, texts, bytes(32), {})
    body = _encode([text for _, text in canaries], redactor, format_)
    return set(tripwire.find(_head(format_), body))


def missed_by_tripwire(canaries: Sequence[tuple[str, str]], tripwire: Tripwire, format_: Format) -> set[str]:
    """Return the kinds of canaries that the tripwire does not find when the redactor is left out."""
    head = _head(format_)
    return {kind for kind, text in canaries if not tripwire.find(head, _encode([text], None, format_))[kind]}


def _encode(texts: list[str], redactor: Redactor | None, format_: Format) -> bytes:
    raw = msgspec.msgpack.encode([["canary", 0, {"detail": text}] for text in texts])
    events = _COMPILED.decoder.decode(raw)
    if redactor is not None:
        events = redactor.redact(events, Tally())
    return format_.encode(events, "0" * 32, 1)


def _head(format_: Format) -> Head:
    return Head(
        id="",
        file="",
        format=format_.name,
        compressed=False,
        content_type=format_.content_type,
        route=format_.route,
        catalog="",
        session="",
        receipt=Receipt("local", "none", 0, "unknown"),
    )
