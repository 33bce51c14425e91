"""The stage after which nothing raw is left: every field that may hold private data is rewritten or removed.

Fails closed: a value is taken out of its event first, and put back only once it is redacted.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache, partial
from hashlib import blake2b
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry.catalog.compile import may_be_card, text_reader
from telemetry.catalog.holes import parameter_name
from telemetry.catalog.model import OTHER
from telemetry.drops import DropReason
from telemetry.redact import error, path, sql, version
from telemetry.redact.checksum import holds_card
from telemetry.redact.message import matcher_of
from telemetry.redact.rules.placeholder import cut
from telemetry.spool.tally import UNMATCHED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from telemetry.catalog.compile import Compiled, Envelope, Plan
    from telemetry.redact.free_text import FreeTextRedactor
    from telemetry.redact.message import Matcher
    from telemetry.redact.text import Finding
    from telemetry.spool.tally import Tally

OVERFLOW = "overflow"
"""Counted with the rules that redacted a text when it was cut."""

_TOKEN_BYTES = 8  # it takes about 2**32 identifiers in one session before two are likely to share a token
_CACHED_VERSIONS = 256
_CACHED_ERRORS = 1024
_CACHED_TOKENS = 1 << 14  # 2 MB for usual names; 64 MB if all are as long as the catalog lets them be


class Redactor:
    """Redacts the events of one compiled catalog, in one session.

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
            identifiers: by the name of a field, what the upload format has there instead of a token.
        """
        self._texts = texts
        token = lru_cache(_CACHED_TOKENS)(partial(_token, secret))
        own = {name: lru_cache(_CACHED_TOKENS)(partial(read, secret)) for name, read in identifiers.items()}
        special = {
            compiled.envelopes[plan.name]: _special(plan, lambda name: own.get(name, token), texts)
            for plan in compiled.plans.values()
        }
        self._special = {envelope: found for envelope, found in special.items() if any(found)}

    def redact(self, events: list[Envelope], tally: Tally) -> list[Envelope]:
        """Redact `events` in place and return them; what was done is counted in `tally`."""
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
                _match_column(message, alike, tally)
            for rewrite in special.rewrites:
                _rewrite_column(rewrite, alike, tally)
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


_NO_NAME = re.compile("[@;:]")  # between the names of a reduced exception
_NEVER_NAMES = frozenset(["secret", "jwt", "key", "opaque", "card", "iban", "uuid"])


class _Rewrite(NamedTuple):
    """How one field is rewritten by itself: to None when it can't be, which removes it. `label` is for the tally."""

    label: str
    name: str
    rewrite: Callable[[Any], Any]
    rule: str = ""


class _Parameter(NamedTuple):
    """The field that a typed hole becomes, and how a value of it is read."""

    label: str
    name: str
    read: Callable[[str], Any]
    may_be_card: bool


class _Message(NamedTuple):
    """A message field, and its parameters by the names of their holes."""

    label: str
    name: str
    matcher: Matcher
    parameters: dict[str, _Parameter]


class _Text(NamedTuple):
    """A field of free text, how long it may be once redacted, and whether a longer one is cut."""

    label: str
    name: str
    max_length: int
    cuts: bool


_Taken = tuple[Any, _Text, str]
"""A free text taken out of its fields: the fields, which text of theirs, and what stood there."""


def _rewrite_column(column: _Rewrite, rows: list[Any], tally: Tally) -> None:
    label, name, rewrite, rule = column
    rewritten = invalid = failed = 0
    for fields in rows:
        raw = getattr(fields, name)
        if raw is None:
            continue
        setattr(fields, name, None)
        try:
            redacted = rewrite(raw)
        except Exception:  # noqa: BLE001 whatever failed, what can't be redacted does not leave
            failed += 1
            continue
        if redacted is None:
            invalid += 1
            continue
        setattr(fields, name, redacted)
        rewritten += 1
    tally.drop_field(label, DropReason.REDACTION_FAILED, failed)
    tally.drop_field(label, DropReason.INVALID, invalid)
    if rule:
        tally.redact(label, rule, rewritten)


def _match_column(message: _Message, rows: list[Any], tally: Tally) -> None:
    label, name, matcher, parameters = message
    unmatched = filled = failed = 0
    for fields in rows:
        raw = getattr(fields, name)
        if raw is None:
            continue
        setattr(fields, name, None)
        try:
            match = matcher.match(raw)
        except Exception:  # noqa: BLE001 whatever failed, what was not compared does not leave
            failed += 1
            continue
        if match is None:
            setattr(fields, name, OTHER)
            unmatched += 1
            continue
        for hole, value in match.values.items():
            _set_parameter(parameters[hole], fields, value, tally)
        setattr(fields, name, match.template)
        filled += match.has_holes
    tally.drop_field(label, DropReason.REDACTION_FAILED, failed)
    tally.redact(label, UNMATCHED, unmatched)
    tally.redact(label, "message_field", filled)


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
    rewrites: tuple[_Rewrite, ...]
    texts: tuple[_Text, ...]


def _special(
    plan: Plan, token: Callable[[str], Callable[[str | int], str | int | None]], texts: FreeTextRedactor | None
) -> _Special:
    fields = plan.event.fields
    label = {name: f"{plan.name}.{name}" for name in fields}
    is_private = lru_cache(_CACHED_ERRORS)(partial(_holds_private, texts))  # a program's errors are much the same

    def parameter(name: str) -> _Parameter:
        return _Parameter(label[name], name, text_reader(fields[name]), may_be_card(fields[name]))

    def message(name: str) -> _Message:
        matcher = matcher_of(fields[name].templates)
        holes = {hole: parameter(parameter_name(name, hole)) for hole in matcher.typed}
        return _Message(label[name], name, matcher, holes)

    return _Special(
        messages=tuple(map(message, plan.message)),
        rewrites=(
            *(_Rewrite(label[name], name, token(name), "identifier") for name in plan.identifier),
            *(_Rewrite(label[name], name, sql.shape, "sql_field") for name in plan.sql),
            *(_Rewrite(label[name], name, path.extension, "path_field") for name in plan.path),
            *(_Rewrite(label[name], name, partial(_reduce, texts, is_private)) for name in plan.error),
            *(_Rewrite(label[name], name, _clean_version) for name in plan.version),
            *(_Rewrite(label[name], name, partial(_bucket, fields[name].buckets)) for name in plan.buckets),
        ),
        texts=tuple(
            _Text(label[name], name, fields[name].max_length or 0, fields[name].overflow == "cut") for name in plan.text
        ),
    )


def _token(secret: bytes, value: str | int) -> str:
    return blake2b(str(value).encode(), key=secret, digest_size=_TOKEN_BYTES).hexdigest()


def _reduce(texts: FreeTextRedactor | None, is_private: Callable[[str], bool], value: str) -> str | None:
    """A reduced exception. A text that only looks like one may be a name of this machine, or a token."""
    reduced = error.reduce(value)
    if reduced is None or (texts is not None and texts.names_own(reduced.partition("@")[0])):
        return None
    return None if is_private(reduced) else reduced


def _holds_private(texts: FreeTextRedactor | None, reduced: str) -> bool:
    findings = {} if texts is None else texts.redact(_NO_NAME.split(reduced))
    return any(map(_is_private, findings.values()))


def _is_private(found: Finding) -> bool:
    """Whether the rules found in a name what no program's source calls a thing. A module's may look like a host's."""
    return found.text is None or any(rule.partition(":")[0] in _NEVER_NAMES for rule in found.rules)


_clean_version = lru_cache(_CACHED_VERSIONS)(version.clean)  # a program has few, and says them again and again


def _bucket(bounds: tuple[float, ...], value: float) -> float:
    return bounds[max(bisect_right(bounds, value) - 1, 0)]
