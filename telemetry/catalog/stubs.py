"""Generator of a typed Python module from a catalog: a function for each event, so that mypy finds a wrong field.

The source needs no formatter: ruff leaves it as it is at any usual length of line.
"""

from __future__ import annotations

import builtins
import itertools
import keyword
from typing import TYPE_CHECKING

from telemetry.catalog.field_types import CHOICES, type_of
from telemetry.catalog.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from telemetry.catalog.model import Catalog, Event, Field

TIMED = "duration_ms"
"""The field that `timer` fills."""

_CALLS = {
    "event": ("Emit", "", '_emit("{}", _fields)'),
    "counter": ("Count", "_n: int = 1", '_count("{}", _n, **_fields)'),
    "distribution": ("Observe", "_value: float", '_observe("{}", _value, **_fields)'),
}
"""The verb for events of each kind, the parameter for a number, and the call."""

# Names that the module needs unchanged. Its other names begin with `_`, as no event's and no field's does.
_TAKEN = frozenset({*dir(builtins), *keyword.kwlist, "Literal"})


def stubs(catalog: Catalog) -> str:
    """Return the source of the module. Reports are left out: the shipper fills them itself.

    An event with a `duration_ms`, and a distribution, has a second function, `…_timer`, to time a block or a decorated
    function.
    """
    events = [event for event in catalog.events.values() if event.kind != "report"]
    names = function_names([event.name for event in events])
    functions = [_function(names[event.name], event) for event in events]
    timed = {f"{names[event.name]}_timer": event for event in events if _is_timed(event)}
    timers = function_names(timed, taken=names.values())
    functions += [_timer(timers[name], event) for name, event in timed.items()]
    return "\n\n\n".join([_head(catalog, events), *functions]) + "\n"


def function_names(wanted: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return a name for the function of each event of `wanted`, none twice and none of `taken`.

    A name that is valid in Python stays as it is, whatever events come beside it; in others a dot becomes `_`, and a
    name that is needed or used already gets a `_` or a number appended.
    """
    used = {*_TAKEN, *taken}
    wanted = list(wanted)
    names = {name: name for name in wanted if name not in used and "." not in name}
    used.update(names)
    for name in wanted:
        if name not in names:
            names[name] = next(free for free in _candidates(name.replace(".", "_")) if free not in used)
            used.add(names[name])
    return names


def _candidates(name: str) -> Iterator[str]:
    yield from (name, f"{name}_")
    yield from (f"{name}_{number}" for number in itertools.count(2))


def _is_timed(event: Event) -> bool:
    field = event.fields.get(TIMED)
    has_duration = event.kind == "event" and field is not None and type_of(field).python == "float"
    return has_duration or event.kind == "distribution"


def _head(catalog: Catalog, events: list[Event]) -> str:
    types = {type_of(field).python for event in events for field in event.fields.values()}
    kinds = {event.kind for event in events}
    imports = {
        "from telemetry import Timer as _Timer": any(map(_is_timed, events)),
        "from telemetry import count as _count": "counter" in kinds,
        "from telemetry import observe as _observe": "distribution" in kinds,
        "from telemetry import timer as _timer": any(map(_is_timed, events)),
        # Measured: emit itself would copy the fields, which doubles what a stub costs.
        "from telemetry.api import emit_fields as _emit": "event" in kinds,
    }
    needed = [line for line, is_needed in imports.items() if is_needed]
    lines = [
        "# ruff: noqa",  # names and lengths are the catalog's
        f'"""What {catalog.product} may emit, by version {catalog.version} of its catalog.',
        "",
        "Written by `telemetry catalog stubs`: change the catalog, then generate it again.",
        "A field that is None is absent. No call blocks or raises.",
        '"""',
        *(["", "from typing import Literal"] if CHOICES in types else []),
        *(["", *needed] if needed else []),
        "",
        "_Fields = dict[str, object]",
    ]
    return "\n".join(lines)


def _function(name: str, event: Event) -> str:
    fields = event.fields.values()
    does, number, call = _CALLS[event.kind]
    return "\n".join(
        [
            *_signature(name, fields, "None", number),
            *_docstring(event, fields, does),
            *_body(fields, call.format(event.name)),
        ]
    )


def _timer(name: str, event: Event) -> str:
    fields = [field for field in event.fields.values() if event.kind == "distribution" or field.name != TIMED]
    return "\n".join(
        [
            *_signature(name, fields, "_Timer"),
            f'    """Time a block, or each call of a function, for `{event.name}`."""',
            *_body(fields, f'return _timer("{event.name}", **_fields)'),
        ]
    )


def _signature(name: str, fields: Iterable[Field], returns: str, number: str = "") -> Iterator[str]:
    parameters = [line for field in fields for line in _parameter(field)]
    if not parameters and not number:
        yield f"def {name}() -> {returns}:"
        return
    yield f"def {name}("
    if number:
        yield from (f"    {number},", "    /,")
    if parameters:
        yield "    *,"
    yield from parameters
    yield f") -> {returns}:"


def _parameter(field: Field) -> Iterator[str]:
    row = type_of(field)
    values = row.schema(field)["enum"] if row.python == CHOICES else []
    if not values:
        yield f"    {field.name}: {row.python} | None = None,"
    elif len(values) == 1:  # a comma behind the only value would make a tuple of it
        yield f"    {field.name}: Literal[{_literal(values[0])}] | None = None,"
    else:
        yield f"    {field.name}: Literal["
        yield from (f"        {_literal(value)}," for value in values)
        yield "    ]"
        yield "    | None = None,"


def _docstring(event: Event, fields: Iterable[Field], does: str) -> Iterator[str]:
    yield f'    """{does} `{event.name}`: {_prose(event.purpose)}.'
    yield ""
    yield f"    Until {event.expires}. Owner: {_prose(event.owner)}."
    arguments = [f"        {field.name}: {_prose(field.purpose)}." for field in fields]
    if arguments:
        yield from ("", "    Args:", *arguments)
    yield '    """'


def _body(fields: Iterable[Field], call: str) -> Iterator[str]:
    yield "    _fields: _Fields = {}"
    for field in fields:
        yield f"    if {field.name} is not None:"
        yield f'        _fields["{field.name}"] = {field.name}'
    yield f"    {call}"


def _literal(value: str) -> str:
    """Write a string as ruff does: in the quotes that need fewer escapes, with ASCII only, so that nothing hides."""
    plain = value.encode("unicode_escape").decode()
    quote = "'" if plain.count('"') > plain.count("'") else '"'
    return quote + plain.replace(quote, f"\\{quote}") + quote


def _prose(text: str) -> str:
    """Write a text for a docstring: on one line, and without anything that would end it."""
    return visible(text).replace("\\", "\\\\").replace('"', "'")
