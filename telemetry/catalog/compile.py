"""Compiles a catalog to msgspec Structs, so that one decode in C reads and checks a whole frame's events.

An event on the wire is `[name, unix_ns, {field: scalar}]`. Its Struct is array-like, and its tag, the event's
name, matches the first element. The Struct of its fields is what gets encoded for the upload, so its members
stand in that order: event, time, session, weight, count, then the declared fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Union, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType

from telemetry.catalog.field_types import type_of
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.redact.checksum import LEAST_CARD
from telemetry.wire import MAX_FRAME_EVENTS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

    from telemetry.catalog.model import Kind

KIND_FIELDS: dict[Kind, dict[str, tuple[str, int | None]]] = {
    "counter": {"count": ("int", 0)},
    "distribution": {
        "count": ("int", 1),
        "sum": ("bound", None),
        "min": ("bound", None),
        "max": ("bound", None),
        "zero_count": ("int", 1),
        "scale": ("int", None),
        "offset": ("int", None),
        "bucket_counts": ("counts", None),
    },
}
"""The fields that every event of a kind has by itself: the type of each, and its least value if there is one."""

MAX_TIME_NS = 2**63 - 1  # in the year 2262; every later one breaks somebody's clock


class Envelope(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    """An event as it comes off the wire; each event of a catalog has a subclass of its own.

    Attributes:
        time_ns: the time when it happened, in UNIX nanoseconds.
        fields: the event's own Struct of fields; its type is a key of `Compiled.plans`. Its members `time` and `weight`
            can't come from the wire; the stages of the shipper set them.
    """

    time_ns: Annotated[int, Meta(ge=0, le=MAX_TIME_NS)]
    fields: Any


class Plan(NamedTuple):
    """The knowledge that the shipper's stages need of one event.

    Attributes:
        name: the event's name.
        event: the event, with the fields that are still collected.
        expired: the names of the fields that are not; the validator leaves None in them.
    """

    name: str
    event: Event
    expired: frozenset[str]


class Compiled(NamedTuple):
    """A catalog made ready to decode events with.

    Attributes:
        catalog: the catalog it was made of.
        decoder: the decoder of the msgpack array of a frame's events; it raises at the first that is invalid.
        one: the decoder of a single event, of any name.
        envelopes: the Struct of each event that has not expired, by the event's name.
        plans: the plans, by the type of `Envelope.fields`.
        expired: the names of events that are no longer collected.
    """

    catalog: Catalog
    decoder: msgspec.msgpack.Decoder[list[Envelope]]
    one: msgspec.msgpack.Decoder[Envelope]
    envelopes: dict[str, type[Envelope]]
    plans: dict[type, Plan]
    expired: frozenset[str]


def compile_catalog(catalog: Catalog, today: dt.date) -> Compiled:
    """Compile the part of `catalog` that is still collected on the day `today`; `expires` is a last day."""
    live = [_unexpired(event, today) for event in catalog.events.values() if today <= event.expires]
    expired = {event.name: frozenset(catalog.events[event.name].fields.keys() - event.fields.keys()) for event in live}
    fields = {event.name: _fields_struct(event, expired[event.name]) for event in live}
    envelopes = {event.name: _envelope(event.name, fields[event.name]) for event in live}
    # The tag of a lone Struct is checked as well.
    union, array = cast("tuple[Any, Any]", (Union, list))
    any_event = union[(*envelopes.values(),) or (_Nothing,)]
    return Compiled(
        catalog=catalog,
        decoder=msgspec.msgpack.Decoder(Annotated[array[any_event], Meta(max_length=MAX_FRAME_EVENTS)]),
        one=msgspec.msgpack.Decoder(any_event),
        envelopes=envelopes,
        plans={fields[event.name]: Plan(event.name, event, expired[event.name]) for event in live},
        expired=frozenset(catalog.events.keys() - envelopes.keys()),
    )


def _unexpired(event: Event, today: dt.date) -> Event:
    fields = {name: field for name, field in event.fields.items() if field.expires is None or today <= field.expires}
    return msgspec.structs.replace(event, fields=fields)


class _Nothing(Envelope, tag=True):
    """Stand-in for the events of a catalog that has none left; no wire value is an UnsetType, so none matches."""

    fields: UnsetType


def _envelope(name: str, fields: type[msgspec.Struct]) -> type[Envelope]:
    envelope: Any = msgspec.defstruct(name, [("fields", fields)], bases=(Envelope,), tag=name, gc=False)
    return cast("type[Envelope]", envelope)


def _fields_struct(event: Event, expired: Iterable[str]) -> type[msgspec.Struct]:
    # No wire value is an UnsetType, so a host that sends one of these names fails validation. The stages set them
    # unchecked; the session is written with the time. (`event` sent with the tag as its value does pass: the Struct has
    # that constant anyway.)
    stamped = [("time", UnsetType, UNSET)]
    if event.may_weigh:
        stamped.append(("weight", UnsetType, UNSET))
    declared = [(name, _fast_type(field) | None, None) for name, field in declared_fields(event).items()]
    # They are taken with any value, for the validator to empty. Were they left out, each event that still comes with
    # one would fail as a whole: 3 us instead of 0.3, for as long as there are programs of that age.
    taken = [(name, Any, None) for name in expired]
    return msgspec.defstruct(
        event.name,
        [*stamped, *declared, *taken],
        tag_field="event",
        tag=event.name,
        namespace={"__errors__": frozenset(name for name, field in event.fields.items() if field.type == "error")},
        omit_defaults=True,
        forbid_unknown_fields=True,
        gc=False,
    )


def declared_fields(event: Event) -> dict[str, Field]:
    """Return the fields that may come from the wire, in order: those that its kind of event has, before its own."""
    return {
        name: Field(name=name, type=type_, purpose=event.purpose, min=least, scale=event.scale)
        for name, (type_, least) in KIND_FIELDS.get(event.kind, {}).items()
    } | event.fields


def may_be_card(field: Field) -> bool:
    """Tell whether a number in this field could be that of a payment card, so that it is looked at before it leaves."""
    is_open = field.max is None or field.max >= LEAST_CARD
    return type_of(field).number is not None and not field.buckets and is_open


def _fast_type(field: Field) -> Any:
    # An event with a larger number is taken apart by the validator, which looks: nothing else has to be asked.
    return _checked(msgspec.structs.replace(field, max=LEAST_CARD - 1) if may_be_card(field) else field)


def _checked(field: Field) -> Any:
    return type_of(field).checked(field)


def value_decoder(field: Field) -> Callable[[bytes | msgspec.Raw], Any]:
    """Return the function that reads one value of `field` from msgpack; None is an absent one.

    The function raises as msgspec does. It also accepts values in the wide form of the type, which the decoder of whole
    events does not, because such events are decoded one by one.
    """
    wide = type_of(field).wide(field)
    if wide is None:
        return msgspec.msgpack.Decoder(_checked(field) | None).decode
    narrow = wide.narrow
    decode = msgspec.msgpack.Decoder(wide.type | None).decode

    def decode_wide(raw: bytes | msgspec.Raw) -> Any:
        value = decode(raw)
        return None if value is None else narrow(value)

    return decode_wide


def text_reader(field: Field) -> Callable[[str], Any]:
    """Return the function that reads one value of `field` out of a message's text, where it had the form of its type.

    The function raises msgspec.ValidationError for one that is out of its bounds.
    """
    read, kind = type_of(field).read, _checked(field)
    return lambda value: msgspec.convert(read(value), kind)
