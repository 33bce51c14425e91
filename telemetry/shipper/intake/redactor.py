"""The stage after which nothing raw is left: every field that may hold private data is rewritten or removed.

It fails closed: a value is taken out of its event first, and put back only once it is redacted.
"""

from __future__ import annotations

from functools import lru_cache, partial
from hashlib import blake2b
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry.catalog.compile import declared_fields, may_be_card, text_reader
from telemetry.catalog.field_types import Means, Treatment, type_of
from telemetry.catalog.holes import parameter_name
from telemetry.catalog.matcher import matcher_of
from telemetry.catalog.model import OTHER
from telemetry.drops import DropReason
from telemetry.redact.checksum import holds_card
from telemetry.redact.rules.placeholder import cut
from telemetry.spool.tally import UNMATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry.catalog.compile import Compiled, Envelope, Plan
    from telemetry.catalog.matcher import Match
    from telemetry.catalog.model import Field
    from telemetry.redact.free_text import FreeTextRedactor
    from telemetry.spool.tally import Tally

OVERFLOW = "overflow"
"""The name that is counted along with the rules when a redacted text was cut."""

_MESSAGE_RULE = "message_field"
"""The name that is counted for each text of which only a template and parameters are left."""

_TOKEN_BYTES = 8  # it takes about 2**32 identifiers in one session before two are likely to share a token
_CACHED_TOKENS = 1 << 14  # 2 MB for usual names; 64 MB if all are as long as the catalog lets them be


class Redactor:
    """The redaction of events of one compiled catalog, in one session.

    A renewed session takes a new Redactor with a new secret: then no token of the old one means anything.
    """

    def __init__(
        self,
        compiled: Compiled,
        texts: FreeTextRedactor | None,
        secret: bytes,
        identifiers: Mapping[str, Callable[[bytes, str | int], int | None]],
    ) -> None:
        """Redact by `compiled`.

        Args:
            compiled: the catalog.
            texts: the redactor of free text; None where there is no scanner, then every text is removed.
            secret: 16 to 64 random bytes that key the tokens of identifiers; never stored.
            identifiers: by the name of a field, the function that makes the upload format's own id there, instead of a
                token.
        """
        self._texts = texts
        token = lru_cache(_CACHED_TOKENS)(partial(_token, secret))
        own = {name: lru_cache(_CACHED_TOKENS)(partial(read, secret)) for name, read in identifiers.items()}
        special = {
            compiled.envelopes[plan.name]: special_fields(plan, Means(lambda name: own.get(name, token), texts))
            for plan in compiled.plans.values()
        }
        self._special = {envelope: found for envelope, found in special.items() if any(found)}

    def redact(self, events: list[Envelope], tally: Tally) -> list[Envelope]:
        """Redact `events` in place and return them; redactions are counted in `tally`."""
        if not self._special:
            return events
        rows: dict[type[Envelope], list[Any]] = {envelope: [] for envelope in self._special}
        # Most events have no such field, and are not looked at here.
        for event in compress(events, map(rows.__contains__, map(type, events))):
            rows[type(event)].append(event.fields)
        # Column by column: the loops that run for each event stay short.
        taken: list[_Taken] = []
        for kind, alike in rows.items():
            special = self._special[kind]
            for message in special.messages:  # before the others: its parameters are fields as they are
                _match_message(message, alike, tally)
            for column in special.columns:
                _rewrite_column(column, alike, tally)
            for text in special.texts:
                taken += _take_column(text, alike)
        if taken:
            self._redact_texts(taken, tally)
        return events

    def _redact_texts(self, taken: list[_Taken], tally: Tally) -> None:
        if self._texts is None:
            for _, text, _ in taken:
                tally.drop_field(text.label, DropReason.REDACTION_FAILED)
            return
        findings = self._texts.redact([raw for _, _, raw in taken])
        for number, (fields, text, raw) in enumerate(taken):
            finding = findings.get(number)
            redacted, rules = (raw, ()) if finding is None else finding
            if redacted is None:
                tally.drop_field(text.label, DropReason.REDACTION_FAILED)
            elif len(redacted) > text.max_length and not text.cuts:
                tally.drop_field(text.label, DropReason.INVALID)
            else:
                if len(redacted) > text.max_length:
                    redacted, rules = cut(redacted, text.max_length), (*rules, OVERFLOW)
                setattr(fields, text.name, redacted)
                for rule in rules:
                    tally.redact(text.label, rule)


class _Column(NamedTuple):
    """A field whose values are rewritten one by one, to None if that is impossible, which removes the value.

    Attributes:
        label: the field's label in the tally.
        name: the field's name.
        rewrite: turns a value into the one that leaves.
        rule: the name counted for each value that was rewritten; empty for none.
    """

    label: str
    name: str
    rewrite: Callable[[Any], Any]
    rule: str


class _Message(NamedTuple):
    """A field whose texts leave as the templates that they fit.

    Attributes:
        label: the field's label in the tally.
        name: the field's name.
        match_all: returns, for each text, what it fits, if anything.
        parameters: the fields that its typed holes become, by the hole.
    """

    label: str
    name: str
    match_all: Callable[[list[str]], list[Match | None]]
    parameters: dict[str, _Parameter]


class _Parameter(NamedTuple):
    """A field that a typed hole becomes, and how its value is read."""

    label: str
    name: str
    read: Callable[[str], Any]
    may_be_card: bool


class _Text(NamedTuple):
    """A field of free text, its greatest length once redacted, and whether a longer text is cut."""

    label: str
    name: str
    max_length: int
    cuts: bool


_Taken = tuple[Any, _Text, str]
"""A free text taken out of its fields: the fields, the text's description, and its raw value."""


def _rewrite_column(column: _Column, rows: list[Any], tally: Tally) -> None:
    label, name, rewrite, rule = column
    rewritten = invalid = failed = 0
    for fields in rows:
        raw = getattr(fields, name)
        if raw is None:
            continue
        setattr(fields, name, None)
        try:
            redacted = rewrite(raw)
        except Exception:  # noqa: BLE001 whatever failed, a value that can't be redacted does not leave
            failed += 1
            continue
        if redacted is None:
            invalid += 1
            continue
        rewritten += 1
        setattr(fields, name, redacted)
    tally.drop_field(label, DropReason.REDACTION_FAILED, failed)
    tally.drop_field(label, DropReason.INVALID, invalid)
    if rule:
        tally.redact(label, rule, rewritten)


def _match_message(message: _Message, rows: list[Any], tally: Tally) -> None:
    label, name, match_all, parameters = message
    taken: list[Any] = []
    texts: list[str] = []
    for fields in rows:
        raw = getattr(fields, name)
        if raw is not None:
            setattr(fields, name, None)
            taken.append(fields)
            texts.append(raw)
    try:
        matches = match_all(texts)
    except Exception:  # noqa: BLE001 whatever failed, a text that can't be compared does not leave
        tally.drop_field(label, DropReason.REDACTION_FAILED, len(texts))
        return
    for fields, match in zip(taken, matches, strict=True):
        if match is None:
            setattr(fields, name, OTHER)
            continue
        for hole, value in match.values.items():
            _set_parameter(parameters[hole], fields, value, tally)
        setattr(fields, name, match.template)
    tally.redact(label, UNMATCHED, matches.count(None))
    tally.redact(label, _MESSAGE_RULE, sum(match is not None and match.has_holes for match in matches))


def _set_parameter(parameter: _Parameter, fields: Any, raw: str | None, tally: Tally) -> None:
    setattr(fields, parameter.name, None)
    if raw is None:  # it can be read in more than one way
        tally.drop_field(parameter.label, DropReason.REDACTION_FAILED)
        return
    if not raw:
        return
    try:
        value = parameter.read(raw)
    except msgspec.ValidationError:
        tally.drop_field(parameter.label, DropReason.INVALID)
        return
    if parameter.may_be_card and holds_card(value):
        tally.drop_field(parameter.label, DropReason.REDACTION_FAILED)
        tally.redact(parameter.label, "card")
        return
    setattr(fields, parameter.name, value)


def _take_column(text: _Text, rows: list[Any]) -> list[_Taken]:
    taken: list[_Taken] = []
    for fields in rows:
        raw = getattr(fields, text.name)
        if raw is not None:
            setattr(fields, text.name, None)
            taken.append((fields, text, raw))
    return taken


class _Special(NamedTuple):
    """The fields of one event that need more than validation."""

    messages: tuple[_Message, ...]
    columns: tuple[_Column, ...]
    texts: tuple[_Text, ...]


def special_fields(plan: Plan, means: Means) -> _Special:
    """Return the fields of an event that need more than validation, each treated by the row of its type."""
    fields = declared_fields(plan.event)
    treated: dict[Treatment, list[Field]] = {treatment: [] for treatment in Treatment}
    for field in fields.values():
        treated[type_of(field).treatment].append(field)
    label = {name: f"{plan.name}.{name}" for name in fields}

    def parameter(name: str) -> _Parameter:
        return _Parameter(label[name], name, text_reader(fields[name]), may_be_card(fields[name]))

    def message(field: Field) -> _Message:
        matcher = matcher_of(field.templates)
        holes = {hole: parameter(parameter_name(field.name, hole)) for hole in matcher.typed}
        return _Message(label[field.name], field.name, matcher.match_all, holes)

    return _Special(
        messages=tuple(map(message, treated[Treatment.MATCHED])),
        columns=tuple(
            _Column(label[field.name], field.name, rewrite, type_of(field).rule)
            for field in treated[Treatment.ALONE]
            if (rewrite := type_of(field).rewriter(field, means)) is not None
        ),
        texts=tuple(
            _Text(label[field.name], field.name, field.max_length or 0, field.overflow == "cut")
            for field in treated[Treatment.SCANNED]
        ),
    )


def _token(secret: bytes, value: str | int) -> str:
    return blake2b(str(value).encode(), key=secret, digest_size=_TOKEN_BYTES).hexdigest()
