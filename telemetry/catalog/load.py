"""Reader of a catalog's TOML file, which finds all of its faults at once, each with its remedy.

An event past its date is no fault here: a program must go on running with an old catalog.
"""

from __future__ import annotations

import datetime as dt
import difflib
import errno
import keyword
import os
import reprlib
import tomllib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from telemetry.catalog.compile import KIND_FIELDS
from telemetry.catalog.field_types import TYPES, Treatment
from telemetry.catalog.forms import Key, is_table
from telemetry.catalog.holes import parameter_name, parameters, template_faults, typed_holes
from telemetry.catalog.keys import (
    CATALOG,
    DOCUMENT,
    EVENT,
    EVENT_NAME,
    FIELD,
    FIELD_NAME,
    HOLE,
)
from telemetry.catalog.model import Catalog, Event, Field
from telemetry.catalog.source import KEY, read_whole
from telemetry.errors import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from telemetry.catalog.model import Kind

FORM = "form"
"""The code of a fault of form."""


class Fault(NamedTuple):
    """A mistake in a catalog's file.

    Attributes:
        event: the event it is in; empty for none.
        field: the field it is in; empty for none.
        fault: the mistake, and the remedy.
        code: the rule, a name that stays: `form` for a catalog that no program can run with, or one of `lint`.
        warning: whether it is only to be thought about.
    """

    event: str
    field: str
    fault: str
    code: str = FORM
    warning: bool = False

    def line(self, path: Path) -> str:
        """Return the fault as one line that names the file."""
        event = f"event {self.event}: " if self.event else ""
        field = f"field {self.field}: " if self.field else ""
        code = "" if self.code == FORM else f" [{self.code}]"
        warning = "warning: " if self.warning else ""
        return f"{path}: {warning}{event}{field}{self.fault}{code}".replace("\n", "\\n")


def load(path: Path) -> Catalog:
    """Read the catalog at `path`.

    Raises:
        CatalogError: the file can't be read, or has faults: one line for each of them.
    """
    return _sound(path, *inspect(path))


def parse(data: bytes, path: Path) -> Catalog:
    """Read a catalog from the contents of its file; `path` names it in errors.

    Raises:
        CatalogError: it has faults: one line for each of them.
    """
    return _sound(path, *_inspect(data))


def inspect(path: Path) -> tuple[Catalog | None, list[Fault]]:
    """Read the catalog at `path`; if it has faults, return all of them, and no catalog."""
    try:
        data = _read(path)
    except OSError as error:
        return None, [Fault("", "", f"can't be read ({error.strerror}); name a TOML file that you can read")]
    return _inspect(data)


def _sound(path: Path, catalog: Catalog | None, faults: list[Fault]) -> Catalog:
    if catalog is None:
        raise CatalogError("\n".join(fault.line(path) for fault in faults))
    return catalog


def _inspect(data: bytes) -> tuple[Catalog | None, list[Fault]]:
    try:
        document = tomllib.loads(data.decode("utf-8-sig"))  # some editors mark UTF-8 by its first bytes
    except UnicodeDecodeError as error:
        return None, [Fault("", "", f"byte {error.start} is not UTF-8; save the file as UTF-8")]
    except (ValueError, RecursionError) as error:  # TOMLDecodeError, and what int() says of 5,000 digits
        return None, [Fault("", "", f"is not TOML: {error}; fix the syntax there")]
    faults = list(_document_faults(document))
    return (None, faults) if faults else (_catalog(document), [])


def _read(path: Path) -> bytes:
    try:
        return read_whole(path)
    except ValueError:  # a path that holds what no file's name can
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL)) from None


def _document_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    faults = [*_key_faults(document, DOCUMENT), *_key_faults(_table(document, "catalog"), CATALOG)]
    yield from (Fault("", "", fault) for fault in faults)
    common = _table(_table(document, "catalog"), "common")
    for name, field in common.items():
        yield from (Fault("", name, fault) for fault in _field_faults(name, field, {"fields": common}))
    for name, event in _table(document, "events").items():
        if not is_table(event):
            yield Fault(name, "", f"must be a table; write [events.{name}]")
            continue
        yield from (Fault(name, "", fault) for fault in _event_faults(name, event))
        for field_name, field in _table(event, "fields").items():
            yield from (Fault(name, field_name, fault) for fault in _field_faults(field_name, field, event))
            if field_name in common:
                yield Fault(name, field_name, "is a common field, which every event has; remove it here, or rename it")


def _event_faults(name: str, event: Mapping[str, Any]) -> Iterator[str]:
    if not EVENT_NAME(name):
        yield "the name must be a letter, then letters, digits, `_` or `.`; rename it"
    yield from _key_faults(event, EVENT)
    if event.get("kind") in ("counter", "distribution", "report"):  # a tuple: it may not be hashable
        for key in event.keys() & {"sample", "max_per_second"}:
            yield f"`{key}` goes with kind event only, a {event['kind']} is rare already; remove it"
    if "scale" in event and event.get("kind") != "distribution":
        yield "`scale` goes with kind distribution only; remove it"


def _field_faults(name: str, field: Any, event: Mapping[str, Any]) -> Iterator[str]:
    yield from _field_name_faults(name, event)
    if not is_table(field):
        yield f'must be a table; write {name} = {{ type = "int", purpose = "..." }}'
        return
    kind = field.get("type")
    if not FIELD["type"].accepts(kind):
        own = {key for row in TYPES.values() for key in row.keys}
        yield from _key_faults({key: field[key] for key in field if key not in own}, FIELD)
        return
    row = TYPES[kind]
    if (named := field.get(KEY)) is not None and "values" in row.keys:
        yield (
            f"`{KEY}` is {reprlib.repr(named)}, must be the name of a file beside the catalog, in double "
            "quotes, with a value a line (`telemetry catalog values` writes one)"
        )
        return
    yield from _key_faults(field, {**FIELD, **row.keys}, f" of type {kind}")
    yield from row.key_faults(field)
    if row.treatment is Treatment.MATCHED:
        yield from _message_faults(name, field, event)


def _message_faults(name: str, field: Mapping[str, Any], event: Mapping[str, Any]) -> Iterator[str]:
    keys = TYPES[field["type"]].keys
    if any(not key.accepts(field[key_name]) for key_name, key in keys.items() if key_name in field):
        return  # that fault was told
    templates, options = field.get("templates", ()), field.get("holes", {})
    faults = list(template_faults(templates))
    yield from faults
    if faults:
        return
    holes = typed_holes(templates)
    for hole in options.keys() - holes.keys():
        yield f"`holes` names `{hole}`, a typed hole of no template; {_did_you_mean(hole, holes) or 'remove it'}"
    for hole, type_ in holes.items():
        said = options.get(hole, {})
        if not is_table(said):
            yield f"`holes.{hole}` must be a table, such as {{ buckets = [0, 10, 100] }}"
            continue
        row = TYPES[type_]
        found = [*_key_faults(said, {**HOLE, **row.keys}, f" of a hole of type {type_}"), *row.key_faults(said)]
        yield from (f"`holes.{hole}`: {fault}" for fault in found)
        yield from _clashes(name, hole, event)


def _clashes(name: str, hole: str, event: Mapping[str, Any]) -> Iterator[str]:
    """Yield the other fields that have the name of a hole's field."""
    mine = parameter_name(name, hole)
    for other, field in _table(event, "fields").items():
        if other == mine:
            yield f"the hole `{hole}` leaves as `{mine}`, which is a field of its own too; rename one of them"
        elif other < name and is_table(field) and mine in _parameter_names(other, field):
            yield f"the hole `{hole}` leaves as `{mine}`, as a hole of `{other}` does; rename one of them"


def _parameter_names(name: str, field: Mapping[str, Any]) -> Iterator[str]:
    if _is_matched(field.get("type")) and TYPES[field["type"]].keys["templates"].accepts(field.get("templates")):
        with suppress(ValueError):  # that fault is told of that field
            yield from (parameter_name(name, hole) for hole in typed_holes(field["templates"]))


def _is_matched(type_: Any) -> bool:
    """Tell whether the values of a type are compared with templates."""
    return isinstance(type_, str) and type_ in TYPES and TYPES[type_].treatment is Treatment.MATCHED


def _field_name_faults(name: str, event: Mapping[str, Any]) -> Iterator[str]:
    if not FIELD_NAME(name):
        yield "the name must be a lower-case letter, then lower-case letters, digits or `_`; rename it"
    if keyword.iskeyword(name):
        yield "the name is a Python keyword, which can't be passed to emit(); rename it"
    if name in {"event", "time", "session"}:
        yield "the name is reserved: every event already has it; rename or remove it"
    if name == "weight" and (event.get("sample", 1) != 1 or "max_per_second" in event):
        yield "the name is reserved where an event is sampled or capped; rename it"
    kind = event.get("kind")
    if isinstance(kind, str) and name in KIND_FIELDS.get(cast("Kind", kind), {}):
        yield f"every {kind} already has it; remove it"


def _key_faults(table: Mapping[str, Any], keys: Mapping[str, Key], where: str = "") -> Iterator[str]:
    for name in table:
        if name not in keys:
            yield f"there is no key `{name}`{where}; {_did_you_mean(name, keys) or 'remove it'}"
    for name, key in keys.items():
        if name not in table:
            if key.required:
                yield f"`{name}` is missing; it must be {key.form}"
        elif not key.accepts(table[name]):
            guess = _did_you_mean(table[name], key.choices)
            yield f"`{name}` is {reprlib.repr(table[name])}, must be {key.form}{guess and f'; {guess}'}"


def _did_you_mean(word: Any, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1) if isinstance(word, str) else []
    return f"did you mean `{close[0]}`?" if close else ""


def _table(document: Mapping[str, Any], name: str) -> dict[str, Any]:
    table = document.get(name)
    return table if isinstance(table, dict) else {}


def _catalog(document: Mapping[str, Any]) -> Catalog:
    said = {key: value for key, value in document["catalog"].items() if key != "common"}
    common = document["catalog"].get("common", {})
    events = {name: _event(name, table, common) for name, table in document.get("events", {}).items()}
    no_unless = {name: tuple(words) for name, words in said.get("no_unless", {}).items()}
    return Catalog(**{**said, "events": events, "no_unless": no_unless})


def _event(name: str, table: Mapping[str, Any], common: Mapping[str, Any]) -> Event:
    fields: dict[str, Field] = {}
    shared = {} if table.get("kind") == "report" else common  # the shipper fills that, which binds nothing
    for field, keys in {**table.get("fields", {}), **shared}.items():
        fields[field] = _field(field, keys)
        implied = parameters(field, keys) if _is_matched(keys["type"]) else {}
        fields |= {one: _field(one, of_hole) for one, of_hole in implied.items()}
    return Event(name=name, **{**table, "expires": _date(table["expires"]), "fields": fields})


def _field(name: str, table: Mapping[str, Any]) -> Field:
    # Structs are frozen, so their lists are tuples. Numbers stay as written: an int's buckets are ints.
    keys: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items() if key != "holes"}
    if "expires" in keys:
        keys["expires"] = _date(keys["expires"])
    return Field(name=name, **keys)


def _date(value: str | dt.date) -> dt.date:
    return dt.date.fromisoformat(value) if isinstance(value, str) else value
