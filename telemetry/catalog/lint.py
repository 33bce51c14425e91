"""Finds what a reviewer would object to in a well-formed catalog; none of it keeps a program from running.

Each finding has a code that stays, and there is no way to silence one but to change the catalog: the remedy says how.

    code                 fails when
    thin-purpose         a purpose is too short to be one, or a placeholder
    expired              the last day of an event or a field is over
    private-name         a field's name smells of a person, a place or a secret, and its type lets that out
    wide-enum            an enum has more than 64 values
    fingerprint          a machine's fact is an exact number
    free-text            a text where another type would do, an endless one, a second one in an event, or one in an
                         event of sensitivity `interaction`
    hollow-template      a template of a message is nearly all hole
    fine-time            events of sensitivity `interaction` with times finer than a minute
    counter-field        a field of a counter that has no end of values

    code                 warns when
    expires-soon         the last day is less than 30 days away
    expires-late         the last day is more than two years away
    fine-combination     the enums, messages, bools and buckets of one event have more than a million combinations
    no-reason            a text does not say why it is no message
    id-hole              a whole number in a hole of a message may be an id
    shared-template      what fits a template with typed holes fits another one, too
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from telemetry.catalog.field_types import TYPES, Treatment, type_of
from telemetry.catalog.holes import typed_holes
from telemetry.catalog.load import Fault
from telemetry.catalog.matcher import matcher_of
from telemetry.catalog.model import OTHER
from telemetry.catalog.names import may_be_id, needless_text, private_name
from telemetry.catalog.template import is_hollow, parse_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from telemetry.catalog.model import Catalog, Event, Field

MIN_PURPOSE_CHARACTERS = 8
"""The least characters of a reason; in Chinese or Japanese eight make a sentence."""

SOON = dt.timedelta(days=30)
"""The days before an expiry in which a release can renew what is still needed."""

LATE = dt.timedelta(days=2 * 366)
"""The most days until an expiry: nobody knows what will be asked in two years, so a later day is no review."""

MAX_ENUM_VALUES = 64
"""The most values of an enum: one that hardly anybody has names somebody; of 64 even a rare one is shared among some
thousand sessions."""

MAX_COMBINATIONS = 1_000_000
"""The most combinations of values: beyond it a product with a million sessions has not one for each, on average."""

MAX_TEXT_LENGTH = 1_000
"""The most characters of a text: longer than any message; what is longer is somebody's document."""

MIN_PRECISION_SECONDS = 60
"""The finest time, in seconds, of what somebody did: the minute, as the default has it."""

_PLACEHOLDER = re.compile(r"(todo|tbd|fixme|xxx)\b", re.IGNORECASE)
_MACHINE = frozenset("memory ram swap disk storage cpu cpus core cores gpu gpus screen monitor resolution".split())  # noqa: SIM905
_AMOUNT = frozenset("count total bytes kb mb gb kib mib gib size number cores cpus gpus width height".split())  # noqa: SIM905


class _Objection(NamedTuple):
    """A finding without its place."""

    code: str
    fault: str
    warning: bool = False


def lint(catalog: Catalog, today: dt.date) -> list[Fault]:
    """Find the objections to `catalog` on the day `today`, in the order of the file."""
    return list(_findings(catalog, today))


def _findings(catalog: Catalog, today: dt.date) -> Iterator[Fault]:
    for code, fault, warning in _catalog(catalog):
        yield Fault("", "", fault, code, warning)
    for event in catalog.events.values():
        for code, fault, warning in _event(event, today):
            yield Fault(event.name, "", fault, code, warning)
        for field in event.fields.values():
            for code, fault, warning in _field(field, event, today):
                yield Fault(event.name, field.name, fault, code, warning)


def _catalog(catalog: Catalog) -> Iterator[_Objection]:
    precision = catalog.time_precision_seconds
    interaction = next((event.name for event in catalog.events.values() if event.sensitivity == "interaction"), None)
    if interaction is not None and precision < MIN_PRECISION_SECONDS:
        yield _Objection(
            "fine-time",
            f"`time_precision_seconds` {precision} tells when somebody did something ({interaction}); "
            f"raise it to {MIN_PRECISION_SECONDS} or more",
        )


def _event(event: Event, today: dt.date) -> Iterator[_Objection]:
    yield from _purpose(event.purpose)
    yield from _expiry(event.expires, today)
    texts = [field.name for field in event.fields.values() if _is_free(field)]
    if len(texts) > 1:
        yield _Objection("free-text", f"has {len(texts)} free texts, {', '.join(texts)}; keep the one that is needed")
    combinations = math.prod(type_of(field).cells(field) for field in event.fields.values())
    if combinations > MAX_COMBINATIONS:
        yield _Objection(
            "fine-combination",
            f"has {combinations:,} combinations of enums, messages, bools and buckets, so many an event is the only "
            f"one of its kind; coarsen or remove fields until there are {MAX_COMBINATIONS:,} or fewer",
            warning=True,
        )


def _field(field: Field, event: Event, today: dt.date) -> Iterator[_Objection]:
    message = event.fields.get(field.parameter_of)
    if message is None or message.purpose != field.purpose:
        yield from _purpose(field.purpose)
    if message is None and field.expires is not None:
        yield from _expiry(field.expires, today)
    if type_of(field).treatment is Treatment.MATCHED:
        yield from _message(field)
    if doubt := may_be_id(field):
        yield _Objection("id-hole", doubt, warning=True)
    elif private := private_name(field):
        yield _Objection("private-name", private)
    if _is_free(field):
        yield from _text(field, event)
    if len(field.values) > MAX_ENUM_VALUES:
        yield _Objection(
            "wide-enum",
            f"{len(field.values)} are too many to be anonymous; list the {MAX_ENUM_VALUES} or fewer that decide "
            f"something, the rest leaves as `{OTHER}`",
        )
    if _is_fingerprint(field, event):
        yield _Objection(
            "fingerprint", "the exact number tells one machine from another; give it `buckets`, such as powers of two"
        )
    if event.kind in {"counter", "distribution"} and type_of(field).is_endless:
        yield _Objection(
            "counter-field",
            f"a field of type {field.type} makes a {event.kind} of its own of nearly every call; "
            "declare it as `enum`, or make this an event",
        )


def _purpose(purpose: str) -> Iterator[_Objection]:
    if len(purpose.strip()) < MIN_PURPOSE_CHARACTERS or _PLACEHOLDER.match(purpose.strip()):
        yield _Objection("thin-purpose", f"`purpose` {purpose!r} says nothing; say what is decided by it")


def _expiry(expires: dt.date, today: dt.date) -> Iterator[_Objection]:
    if expires < today:
        yield _Objection("expired", f"expired after {expires}; remove it, or give it a new date if it is still needed")
    elif expires - today < SOON:
        yield _Objection(
            "expires-soon", f"expires after {expires}; give it a new date if it is still needed", warning=True
        )
    elif expires - today > LATE:
        yield _Objection(
            "expires-late", f"expires after {expires}, which is no review; choose a date within two years", warning=True
        )


def _text(field: Field, event: Event) -> Iterator[_Objection]:
    if event.sensitivity == "interaction":
        yield _Objection(
            "free-text", "free text in an event about what somebody did; declare it as another type, or remove it"
        )
    if needless := needless_text(field.name):
        yield _Objection("free-text", needless)
    if (field.max_length or 0) > MAX_TEXT_LENGTH:
        yield _Objection(
            "free-text", f"`max_length` {field.max_length} is a document; {MAX_TEXT_LENGTH} is enough for a message"
        )

    if not field.reason:
        yield _Objection(
            "no-reason",
            "free text may hold names of people and what no rule knows; declare it as "
            f'`{field.name} = {{ type = "message", templates = ["..."], purpose = "{field.purpose}" }}` with the '
            "messages that `telemetry catalog templates` collects, or say by `reason` why that can't be",
            warning=True,
        )


def _message(field: Field) -> Iterator[_Objection]:
    matcher = matcher_of(field.templates)
    for template in field.templates:
        parts = parse_template(template)
        if is_hollow(parts):
            yield _Objection(
                "hollow-template",
                f"the template {template!r} is nearly all hole, so it says nothing of what fits it; give it more "
                "constant text, or remove it",
            )
        text = "".join(
            part if isinstance(part, str) else TYPES[part.type].example if part.type else "X" for part in parts
        )
        if typed_holes([template]) and len(also := matcher.all_that_fit(text)) > 1:
            others = ", ".join(repr(other) for other in also if other != template)
            yield _Objection(
                "shared-template",
                f"what fits {template!r} fits {others}, too, and then leaves without the values of its holes; tell "
                "them apart, or remove one",
                warning=True,
            )


def _is_free(field: Field) -> bool:
    return type_of(field).treatment is Treatment.SCANNED


def _is_fingerprint(field: Field, event: Event) -> bool:
    """Tell whether a field is an exact number that stays the same on one machine; a report holds nothing else."""
    if type_of(field).number is None or field.buckets:
        return False
    words = frozenset(field.name.split("_"))
    return event.kind == "report" or bool(words & _MACHINE and words & _AMOUNT)
