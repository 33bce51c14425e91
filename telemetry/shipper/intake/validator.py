"""Validation, from a frame's msgpack to typed events: what the catalog does not declare ends here.

The common case is one decode in C of the whole array. Only if that fails are the events decoded one by one, and only
the bad ones repaired. A number large enough for a payment card's counts as bad until it has been looked at, which costs
all others nothing. If a field occurs twice, the last one counts, as in the decoder itself.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Raw

from telemetry.catalog.compile import (
    MAX_TIME_NS,
    Compiled,
    Envelope,
    declared_fields,
    may_be_card,
    value_decoder,
)
from telemetry.catalog.field_types import whole
from telemetry.drops import DropReason
from telemetry.redact.checksum import holds_card
from telemetry.spool.tally import UNDECLARED_FIELD
from telemetry.wire import MAX_EVENT_FIELDS, MAX_FRAME_EVENTS, UNENCODABLE

if TYPE_CHECKING:
    from collections.abc import Callable

    from telemetry.spool.tally import Tally

# The errors of decoding foreign bytes. Their texts hold data: they are never passed on.
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_ARRAY: msgspec.msgpack.Decoder[list[Raw]] = msgspec.msgpack.Decoder(
    Annotated[list[Raw], Meta(max_length=MAX_FRAME_EVENTS)]
)
_Time = Annotated[int, Meta(ge=0, le=MAX_TIME_NS)]
_ANYTHING = msgspec.msgpack.Decoder()
UNENCODABLE_VALUE = msgspec.msgpack.encode(msgspec.msgpack.Ext(UNENCODABLE, b""))
MAX_UNDECLARED = 100
"""The number of names that are remembered of what the catalog does not declare."""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")

_FORM = msgspec.msgpack.Decoder(tuple[str, int | float, dict[Any, Raw]])


class UnreadableEventsError(ValueError):
    """Raised if the events of a frame are no msgpack array, too many, or nested too deep; their number is unknown."""


class Validator:
    """A reader of frames' events by one compiled catalog.

    Attributes:
        undeclared: how often an event, or a field as `event.field`, was met that the catalog does not declare. It is
            for the people on this machine, and goes to no disk: nobody has reviewed these names.
    """

    def __init__(self, compiled: Compiled) -> None:
        self.undeclared: Counter[str] = Counter()
        self._decode_all = compiled.decoder.decode
        self._decode_one = compiled.one.decode
        self._parts = {name: _parts(compiled, envelope) for name, envelope in compiled.envelopes.items()}
        self._expired = compiled.expired
        self._expired_fields = {
            fields: [(name, f"{plan.name}.{name}") for name in plan.expired]
            for fields, plan in compiled.plans.items()
            if plan.expired
        }

    def validate(self, events: bytes | Raw, tally: Tally) -> list[Envelope]:
        """Return the events of a frame that the catalog lets pass, in order.

        All others are counted in `tally` as dropped.

        An event loses its bad fields (counted in `tally.fields_dropped`) and goes on.

        Args:
            events: a msgpack array of `[name, unix_ns, {field: scalar}]`.
            tally: the account of the drain; `emitted` and `kept` are the caller's.

        Raises:
            UnreadableEventsError: `events` can't be taken apart; nothing was counted.
        """
        try:
            valid = self._decode_all(events)
        except _UNREADABLE:
            valid = self._validate_each(events, tally)
        if self._expired_fields:
            self._empty_expired(valid, tally)
        return valid

    def _empty_expired(self, events: list[Envelope], tally: Tally) -> None:
        emptied: Counter[str] = Counter()
        for event in events:
            fields = event.fields
            for name, label in self._expired_fields.get(type(fields), ()):
                if getattr(fields, name) is not None:
                    setattr(fields, name, None)
                    emptied[label] += 1
        for label, number in emptied.items():
            tally.drop_field(label, DropReason.EXPIRED, number)

    def _validate_each(self, events: bytes | Raw, tally: Tally) -> list[Envelope]:
        valid = []
        for raw in _take_apart(events):
            try:
                valid.append(self._decode_one(raw))
            except _UNREADABLE:
                repaired = self._repair(raw, tally)
                if repaired is not None:
                    valid.append(repaired)
        return valid

    def _repair(self, raw: Raw, tally: Tally) -> Envelope | None:
        try:
            name, time, fields = _FORM.decode(raw)
            time_ns = msgspec.convert(whole(time), _Time)
        except _UNREADABLE:
            tally.drop(DropReason.INVALID)
            return None
        if len(fields) > MAX_EVENT_FIELDS:
            tally.drop(DropReason.INVALID)
            return None
        parts = self._parts.get(name)
        if parts is None:
            tally.drop(DropReason.EXPIRED if name in self._expired else DropReason.UNDECLARED)
            if name not in self._expired:
                self._remember(name)
            return None
        for field in fields:
            if field not in parts.decoders and field not in parts.expired:
                self._remember(f"{name}.{field}")
        return parts.envelope(time_ns, parts.fields(**_valid_fields(fields, parts, tally)))

    def _remember(self, name: str) -> None:
        is_known = name in self.undeclared
        if is_known or (len(self.undeclared) < MAX_UNDECLARED and _NAME.fullmatch(name)):
            self.undeclared[name] += 1


class _Parts(NamedTuple):
    """The parts from which an event is put together, one field at a time."""

    name: str
    envelope: type[Envelope]
    fields: type
    decoders: dict[str, Callable[[bytes | Raw], Any]]
    cards: frozenset[str]
    expired: frozenset[str]


def _parts(compiled: Compiled, envelope: type[Envelope]) -> _Parts:
    fields = next(field.type for field in msgspec.structs.fields(envelope) if field.name == "fields")
    plan = compiled.plans[fields]
    declared = declared_fields(plan.event)
    decoders = {name: value_decoder(field) for name, field in declared.items()}
    cards = frozenset(name for name, field in plan.event.fields.items() if may_be_card(field))
    return _Parts(plan.name, envelope, fields, decoders, cards, plan.expired)


def _take_apart(events: bytes | Raw) -> list[Raw]:
    try:
        return _ARRAY.decode(events)
    except _UNREADABLE:
        raise UnreadableEventsError("the events of a frame must be one msgpack array; fix the producer") from None


def _valid_fields(fields: dict[Any, Raw], parts: _Parts, tally: Tally) -> dict[str, Any]:
    valid = {}
    for name, raw in fields.items():
        decode = parts.decoders.get(name)
        if name in parts.expired:
            tally.drop_field(f"{parts.name}.{name}", DropReason.EXPIRED)
            continue
        if decode is None:
            tally.drop_field(f"{parts.name}.{UNDECLARED_FIELD}", DropReason.UNDECLARED)
            continue
        try:
            value = _decode(decode, raw)
        except _UNREADABLE:
            is_marker = bytes(raw) == UNENCODABLE_VALUE
            tally.drop_field(f"{parts.name}.{name}", DropReason.UNENCODABLE if is_marker else DropReason.INVALID)
            continue
        if name in parts.cards and value is not None and holds_card(value):
            tally.drop_field(f"{parts.name}.{name}", DropReason.REDACTION_FAILED)
            tally.redact(f"{parts.name}.{name}", "card")
            continue
        valid[name] = value
    return valid


def _decode(decode: Callable[[Raw], Any], raw: Raw) -> Any:
    """Decode a value; msgpack's own timestamp is taken as the text that another producer would have written."""
    try:
        return decode(raw)
    except _UNREADABLE:
        moment = _ANYTHING.decode(raw)
        if not isinstance(moment, dt.datetime):
            raise
        return decode(Raw(msgspec.msgpack.encode(moment.isoformat())))
