"""The catalog once it is read: the events and fields that may leave, and why. Values only; `load` checks."""

from __future__ import annotations

import datetime as dt  # noqa: TC003 msgspec reads the annotation
from typing import TYPE_CHECKING, Literal, get_args

import msgspec

from telemetry.exponential import SCALE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Kind = Literal["event", "counter", "distribution", "report"]
Overflow = Literal["drop", "cut"]
Sensitivity = Literal["technical", "interaction"]
SENSITIVITIES: tuple[Sensitivity, ...] = get_args(Sensitivity)

OTHER = "other"
"""The value that an enum's unknown value becomes, and a message that fits no template."""

MAX_STRING_LENGTH = 64 << 10
"""The hard cap, in characters, of any string on the wire; `max_length` is for what redaction leaves."""

MAX_INT = 2**63 - 1
"""The largest whole number: databases and readers of JSON hold no larger ones."""

MAX_IDENTIFIER_LENGTH = 1 << 10
"""The hard cap, in characters, of an identifier; the longest names in use are keys of objects, 1024 bytes."""


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """A field of an event.

    Attributes:
        name: the name, as in `emit(..., name=...)`.
        type: the type of its values, a key of `telemetry.catalog.field_types.TYPES`.
        purpose: the reason why it is collected.
        values: the values of an enum; others leave as `other`.
        fold_case: whether an enum's values are recognised in any case; they leave as they stand in `values`.
        prefix: a prefix with which an enum's values are recognised too, as in generated code: `STAGE_QUERY` for
            `query`.
        numbered: whether an enum's value may be given by its number, counted from 0 in the order of `values`.
        min: the least int or float that is valid.
        max: the greatest int or float that is valid.
        buckets: ascending lower bounds; an int or float leaves as the bound at or below it.
        max_length: the greatest length of a text in characters, once redacted.
        overflow: the treatment of a longer text: `drop` or `cut`.
        reason: the reason why no other type than `text` would do; may be empty.
        templates: the templates of a message, as `template` reads them; a text leaves as the one it fits, or as
            `other`.
        parameter_of: the message field whose texts hold the values of this one, in the holes of its name; empty for a
            field that stands in the file.
        scale: the scale of the exponential buckets that a number of a distribution is rounded to a bound of.
        expires: the last day on which it is collected, if it ends before its event does.
    """

    name: str
    type: str
    purpose: str
    values: tuple[str, ...] = ()
    fold_case: bool = False
    prefix: str = ""
    numbered: bool = False
    min: float | None = None
    max: float | None = None
    buckets: tuple[float, ...] = ()
    max_length: int | None = None
    overflow: Overflow = "drop"
    reason: str = ""
    templates: tuple[str, ...] = ()
    parameter_of: str = ""
    scale: int = SCALE
    expires: dt.date | None = None


def spellings(values: Iterable[str], prefix: str, *, numbered: bool) -> Iterator[tuple[str, str]]:
    """Yield each spelling by which a value of an enum is recognised, with the value."""
    for number, value in enumerate(values):
        yield value, value
        if prefix:
            yield prefix + value, value
        if numbered:
            yield str(number), value


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """An event, with its purpose, its owner, and its last day.

    Attributes:
        name: the name, as in `emit(name)`.
        kind: `event`; `counter`, fed by `count()`; `distribution`, fed by `observe()`; `report`, filled by the shipper
            itself.
        purpose: the reason why it is collected.
        owner: the people who answer for it.
        expires: the last day on which it is collected.
        sensitivity: `technical` (about machine and program) or `interaction` (about a person's actions).
        fields: the fields by name, in the order of the file, which is the order on the wire.
        sample: the share that is kept, over 0 and up to 1.
        max_per_second: the number kept of those that happened within one second; None for all.
        scale: the scale of a distribution's buckets.
    """

    name: str
    purpose: str
    owner: str
    expires: dt.date
    sensitivity: Sensitivity
    kind: Kind = "event"
    fields: dict[str, Field] = {}
    sample: float = 1.0
    max_per_second: int | None = None
    scale: int = SCALE

    @property
    def weighted(self) -> bool:
        """Whether an event that leaves may stand for several: it carries a `weight`."""
        return self.sample < 1.0 or self.max_per_second is not None

    @property
    def may_weigh(self) -> bool:
        """Whether one can carry a `weight`, by the catalog or because the collector asked for a share of them."""
        return self.weighted or (self.kind == "event" and "weight" not in self.fields)


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The one reviewed list of what may leave.

    Attributes:
        product: the product of these events; it names directories and the variable `<PRODUCT>_TELEMETRY`.
        version: the version, counted up with each change.
        policy_url: the address where users read what is collected; may be empty.
        time_precision_seconds: the precision to which the times of events are rounded.
        events: the events by name, in the order of the file.
        no_unless: variables of the environment; one that is set, but to none of these words, means no.
    """

    product: str
    version: int
    policy_url: str = ""
    time_precision_seconds: int = 60
    events: dict[str, Event] = {}
    no_unless: dict[str, tuple[str, ...]] = {}
