"""The types of fields, one row each: accepted values, checks, the form that leaves, and its descriptions.

To add one, write its row into `TYPES` and its line into the table of `telemetry/catalog/README.md`. A key of the
catalog's file that no other type has is also an attribute of `telemetry.catalog.model.Field`. No other code asks for
the type of a field.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections import ChainMap
from enum import Enum, IntEnum, StrEnum, auto
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast, get_args

import msgspec
from msgspec import Meta

from telemetry.catalog.forms import (
    NUMBER,
    WHOLE,
    YES_OR_NO,
    Key,
    is_ascending,
    is_count,
    is_int,
    is_number,
    is_table,
    is_text,
    is_values,
    one_of,
)
from telemetry.catalog.model import (
    MAX_IDENTIFIER_LENGTH,
    MAX_INT,
    MAX_STRING_LENGTH,
    OTHER,
    Catalog,
    Field,
    Overflow,
    spellings,
)
from telemetry.exponential import MAX_BUCKETS, MOST, nearest_bound
from telemetry.redact import error, path, sql, version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from telemetry.redact.free_text import FreeTextRedactor

TEXT = "VARCHAR"
"""The SQL type of texts."""

CHOICES = "Literal"
"""The type in Python of a field whose values are listed."""

EXCEPTION = "BaseException"
"""The type in Python of a field whose values are exceptions."""

_MAX_FLOAT = sys.float_info.max  # NaN and the infinities lie outside: JSON has no word for them
_CACHED_VERSIONS = 256


class Treatment(Enum):
    """A way in which the redactor treats the values of a type."""

    ALONE = auto()  # it is kept as it was checked, or rewritten by itself
    MATCHED = auto()  # it is compared with templates, whose holes become fields of their own
    SCANNED = auto()  # it is searched together with all other free texts of a drain


class Exposure(IntEnum):
    """The degree to which something private, in a value of a type, could leave."""

    NONE = 0  # such a value can't hold anything private
    REWRITTEN = 1  # it may, and leaves as something else
    FULL = 2  # it may, and leaves as it is


class Means(NamedTuple):
    """The means that a session's redactor lends to types which can't be rewritten without it.

    Attributes:
        token: returns, by the name of a field, the function that makes a token of an identifier.
        texts: redacts free text; None where there is no scanner.
    """

    token: Callable[[str], Callable[[str | int], str | int | None]]
    texts: FreeTextRedactor | None


class Wide(NamedTuple):
    """A second form of a type's values, which the decoder of whole events does not take.

    Attributes:
        type: the type that msgspec checks it against.
        narrow: converts a value to the type proper, or lets one pass that is of that type already.
    """

    type: Any
    narrow: Callable[[Any], Any]


def _nothing(*_: Any) -> None:
    """Return nothing, for a type that has none."""


def _no_faults(_: Mapping[str, Any]) -> Iterator[str]:
    yield from ()


class FieldType(NamedTuple):
    """A type of field.

    Attributes:
        takes: the accepted values, in words, for errors: "must be ...".
        is_taken: tells whether a scalar is of that form.
        fault: returns why the shipper would nevertheless remove a scalar of that form; empty if it would not.
        leaves_as: describes to users what leaves; the catalog's own texts in it are not escaped for anything.
        held_back: the part of a value that never leaves, for the privacy page; empty if there is nothing to say.
        schema: returns the JSON Schema of what leaves, with patterns that ECMA 262 and Python read alike.
        keys: the type's keys in the catalog's file, beside those of every field.
        key_faults: yields the faults of a table whose keys each have the right form.
        checked: returns the type that msgspec checks a value against.
        wide: returns the form in which a value may be spelled otherwise; None if there is none.
        treatment: the way in which the redactor treats a value.
        rewriter: returns the function that rewrites a value, to None if it must not leave; None if it leaves as it is.
        rule: the redaction that is counted for each value that was rewritten; empty for none.
        number: int or float if an exact number of that kind leaves, which may be a card's, an id, or tell a machine.
        exposure: the degree to which something private could leave.
        suggested_by: words in the name of a field that ask for this type rather than free text.
        is_counted: whether a report counts its values one by one.
        is_endless: whether a field has so many values that a counter with it is no counter.
        cells: returns the number of forms in which a field can leave, absent aside; 1 if it is unknown.
        python: the type of its parameter, in stubs.
        column: the type of its column, in SQL.
        holes: the words for it in the hole of a template, the usual one first; none if it can't stand in one.
        form: a regular expression that tells where a value in a text ends; empty if a value may be anything.
        read: converts a text of that form to a value.
        example: an example of such a text.
    """

    takes: str
    is_taken: Callable[[Field, object], bool]
    leaves_as: Callable[[Field], str]
    schema: Callable[[Field], dict[str, Any]]
    fault: Callable[[Field, Any], str] = lambda _field, value: _length_fault(value, MAX_STRING_LENGTH)
    held_back: str = ""
    keys: Mapping[str, Key] = {}
    key_faults: Callable[[Mapping[str, Any]], Iterator[str]] = _no_faults
    checked: Callable[[Field], Any] = lambda _: Annotated[str, Meta(max_length=MAX_STRING_LENGTH)]
    wide: Callable[[Field], Wide | None] = _nothing
    treatment: Treatment = Treatment.ALONE
    rewriter: Callable[[Field, Means], Callable[[Any], Any] | None] = _nothing
    rule: str = ""
    number: type[int | float] | None = None
    exposure: Exposure = Exposure.REWRITTEN
    suggested_by: frozenset[str] = frozenset()
    is_counted: bool = False
    is_endless: bool = False
    cells: Callable[[Field], int] = lambda _: 1
    python: str = "str"
    column: str = TEXT
    holes: tuple[str, ...] = ()
    form: str = ""
    read: Callable[[str], Any] = str
    example: str = "X"


def type_of(field: Field) -> FieldType:
    """Return the row of a field's type."""
    return _ROWS[field.type]


def is_free_text(row: FieldType) -> bool:
    """Return whether values of a type are searched for private data, which takes the compiled rules."""
    return row.treatment is Treatment.SCANNED


def declares(catalog: Catalog, wanted: Callable[[FieldType], bool]) -> bool:
    """Return whether a catalog has a field of a wanted type."""
    return any(wanted(type_of(field)) for event in catalog.events.values() for field in event.fields.values())


def leaves_as(field: Field) -> str:
    """Describe what leaves of a value of `field`; the catalog's own texts in it are not escaped for anything."""
    told = type_of(field).leaves_as(field)
    return f"{told}; it stands in the text of {field.parameter_of}" if field.parameter_of else told


def is_of(*kinds: type) -> Callable[[Field, object], bool]:
    """Return the test for values of exactly these types."""
    return lambda _, value: type(value) in kinds


def _always(said: Any) -> Callable[[Field], Any]:
    return lambda _: said


def _always_rewritten(rewrite: Callable[[Any], Any]) -> Callable[[Field, Means], Callable[[Any], Any]]:
    return lambda _field, _means: rewrite


def _length_fault(text: str, longest: int) -> str:
    return f"is a text of {len(text)} characters, of at most {longest}; shorten it" if len(text) > longest else ""


# Numbers


def _bounds_fault(field: Field, number: float) -> str:
    if not math.isfinite(number):
        return "is no finite number"
    if field.min is not None and number < field.min:
        return f"is less than {field.min}"
    if field.max is not None and number > field.max:
        return f"is more than {field.max}"
    return ""


def _bits_fault(_: Field, number: float) -> str:
    return "is over 63 bits" if abs(number) > MAX_INT else ""


def _int_fault(field: Field, number: float) -> str:
    return _bounds_fault(field, number) or _bits_fault(field, number)


def _duration_fault(field: Field, number: float) -> str:
    return _bounds_fault(field, number) or ("is less than 0" if number < 0 else _bits_fault(field, number))


def _bound_fault(_: Field, number: float) -> str:
    return "" if 0 <= number <= MOST else f"must be from 0 to {MOST}"


def _bound_key_faults(table: Mapping[str, Any]) -> Iterator[str]:
    least: Any = table.get("min")
    most: Any = table.get("max")
    if is_number(least) and is_number(most) and least > most:
        yield f"`min` {least} is over `max` {most}; swap them"


def _between(number: type[int | float], limit: float) -> Callable[[Field], Any]:
    def checked(field: Field) -> Any:
        least = -limit if field.min is None else field.min
        most = limit if field.max is None else field.max
        return Annotated[number, Meta(ge=number(least), le=number(most))]

    return checked


def _number_leaves_as(kind: str) -> Callable[[Field], str]:
    def told(field: Field) -> str:
        if field.buckets:
            return f"{kind}, rounded down to one of {', '.join(map(str, field.buckets))}"
        if field.min is not None and field.max is not None:
            return f"{kind} from {field.min} to {field.max}"
        if field.min is not None:
            return f"{kind}, {field.min} or more"
        return kind if field.max is None else f"{kind}, {field.max} or less"

    return told


def _number_schema(kind: str) -> Callable[[Field], dict[str, Any]]:
    def schema(field: Field) -> dict[str, Any]:
        if field.buckets:
            return {"enum": list(field.buckets)}
        bounds = {"minimum": field.min, "maximum": field.max}
        return {"type": kind} | {name: bound for name, bound in bounds.items() if bound is not None}

    return schema


def _to_bounds(field: Field, _: Means) -> Callable[[float], float] | None:
    return partial(_bound, field.buckets) if field.buckets else None


def _bound(bounds: tuple[float, ...], value: float) -> float:
    return bounds[max(bisect_right(bounds, value) - 1, 0)]


def _bound_count(field: Field) -> int:
    return len(field.buckets) or 1


def _is_whole(_: Field, value: object) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


def whole(value: Any) -> Any:
    """Return a float that is a whole number as an int, and any other value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_checked_int = _between(int, MAX_INT)


def _int_as_float(field: Field) -> Wide:
    kind = _checked_int(field)
    return Wide(kind | float, lambda value: msgspec.convert(whole(value), kind))  # bounds are looked at again


# Enums


_ENUM_KEYS = {
    "values": Key('distinct strings, such as ["batch", "stream"]', is_values, required=True),
    "fold_case": YES_OR_NO,
    "prefix": Key('a quoted string, such as "ENGINE_"', is_text),
    "numbered": YES_OR_NO,
}


def _spelling_faults(table: Mapping[str, Any]) -> Iterator[str]:
    if any(not key.accepts(table[name]) for name, key in _ENUM_KEYS.items() if name in table):
        return  # that fault was told
    meant: dict[str, str] = {}
    for spelling, value in spellings(table.get("values", ()), table.get("prefix", ""), numbered=False):
        spelled = spelling.casefold() if table.get("fold_case") else spelling
        if meant.setdefault(spelled, value) != value:
            yield f"`{spelling}` stands for {meant[spelled]!r} and for {value!r} in `values`; rename or remove one"


def _by_spelling(field: Field) -> tuple[Callable[[str], str], dict[str, str]]:
    """Return the function that folds spellings of an enum's values, and the value of each folded spelling."""
    fold = str.casefold if field.fold_case else str
    known = spellings(field.values, field.prefix, numbered=field.numbered)
    return fold, {fold(spelling): value for spelling, value in known}


def _is_enum_value(field: Field, value: object) -> bool:
    return type(value) is str or (field.numbered and type(value) is int)


def _enum_fault(field: Field, value: str | int) -> str:
    text = str(value)
    fold, known = _by_spelling(field)
    if too_long := _length_fault(text, MAX_STRING_LENGTH):
        return too_long
    return "" if text == OTHER or fold(text) in known else "is not among the `values`; list it, or emit one of them"


def _open_enum(field: Field) -> type[StrEnum]:
    # Measured: an Enum decodes no slower than a Literal, and takes unknown values in its stride.
    fold, by_spelling = _by_spelling(field)

    class OpenEnum(StrEnum):
        """An enum that reads other spellings of its values, and a value nobody declared as `other`."""

        @classmethod
        def _missing_(cls, value: object) -> OpenEnum:
            return cls(by_spelling.get(fold(str(value)), OTHER))

    members = {f"V{number}": value for number, value in enumerate(field.values)}
    make: Any = OpenEnum
    return cast("type[StrEnum]", make(field.name, {**members, "OTHER": OTHER}))


def _numbers_of_enum(field: Field) -> Wide | None:
    if not field.numbered:
        return None
    kind: Any = _open_enum(field)
    return Wide(kind | int, lambda value: kind(value) if isinstance(value, int) else value)


def _enum_choices(field: Field) -> list[str]:
    return list(dict.fromkeys((*field.values, OTHER)))


def _enum_leaves_as(field: Field) -> str:
    values = ", ".join(f'"{value}"' for value in _enum_choices(field))
    spelled = " (other spellings of them too)" if field.fold_case or field.prefix or field.numbered else ""
    return f'one of {values}{spelled}; any other value as "{OTHER}"'


# Messages and free text


def _message_leaves_as(field: Field) -> str:
    templates = ", ".join(f'"{template}"' for template in field.templates)
    return (
        f"one of {templates}, as it stands here; of what the text had in place of the braces, what leaves as a "
        f'field of its own, if any; any other text as "{OTHER}"'
    )


def _text_leaves_as(field: Field) -> str:
    longer = "cut there if it is longer" if field.overflow == "cut" else "nothing if it is longer"
    return (
        f"free text of at most {field.max_length} characters, in which what its rules know of addresses, "
        "secrets, numbers, paths and this machine's own names is replaced; may hold names of people and what "
        f"its rules don't know; {longer}, nothing if it can't be searched"
    )


def _text_fault(field: Field, text: str) -> str:
    longest = field.max_length if field.overflow == "drop" else None
    return _length_fault(text, longest or MAX_STRING_LENGTH)


# Values that are rewritten


def _identifier_fault(field: Field, value: str | int) -> str:
    return _bits_fault(field, value) if isinstance(value, int) else _length_fault(value, MAX_IDENTIFIER_LENGTH)


def _version_fault(_: Field, text: str) -> str:
    if too_long := _length_fault(text, MAX_STRING_LENGTH):
        return too_long
    return "is no version, such as 1.4 or 2.0-rc.1" if version.clean(text) is None else ""


_clean_version = lru_cache(_CACHED_VERSIONS)(version.clean)  # a program has few, and says them again and again

_DIGITS = "[0-9]{1,8}"
_STAGE = "([-._]?(alpha|beta|preview|pre|post|dev|rc|a|b|c)[-._]?[0-9]{0,8}){0,2}"
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_DOTTED = rf"{_NAME}(\.{_NAME})*"
_FRAME = rf"{_DOTTED}:{_NAME}:[0-9]{{1,7}}"
_FLOAT = r"(?:[0-9]{1,40}(?:\.[0-9]{1,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"

TYPES: dict[str, FieldType] = {
    "int": FieldType(
        takes="a whole number",
        is_taken=_is_whole,
        fault=_int_fault,
        leaves_as=_number_leaves_as("a whole number"),
        schema=_number_schema("integer"),
        keys={
            "min": WHOLE,
            "max": WHOLE,
            "buckets": Key("ascending whole numbers, such as [0, 10, 100]", is_ascending(is_int)),
        },
        key_faults=_bound_key_faults,
        checked=_checked_int,
        wide=_int_as_float,
        rewriter=_to_bounds,
        number=int,
        exposure=Exposure.FULL,
        cells=_bound_count,
        python="int",
        column="BIGINT",
        holes=("int",),
        form="[+-]?[0-9]{1,19}",
        read=int,
        example="7",
    ),
    "float": FieldType(
        takes="a number",
        is_taken=is_of(int, float),
        fault=_bounds_fault,
        leaves_as=_number_leaves_as("a number"),
        schema=_number_schema("number"),
        keys={
            "min": NUMBER,
            "max": NUMBER,
            "buckets": Key("ascending numbers, such as [0, 0.5, 10]", is_ascending(is_number)),
        },
        key_faults=_bound_key_faults,
        checked=_between(float, _MAX_FLOAT),
        rewriter=_to_bounds,
        number=float,
        exposure=Exposure.FULL,
        is_endless=True,
        cells=_bound_count,
        python="float",
        column="DOUBLE",
        holes=("number", "float"),
        form=f"[+-]?{_FLOAT}",
        read=float,
        example="7.5",
    ),
    "bool": FieldType(
        takes="true or false",
        is_taken=is_of(bool),
        fault=lambda _field, _value: "",
        leaves_as=_always("true or false"),
        schema=_always({"type": "boolean"}),
        checked=_always(bool),
        exposure=Exposure.NONE,
        is_counted=True,
        cells=_always(2),
        python="bool",
        column="BOOLEAN",
        holes=("bool",),
        form="[Tt]rue|[Ff]alse",
        read=lambda text: text.lower() == "true",
        example="true",
    ),
    "duration": FieldType(
        takes="a number",
        is_taken=is_of(int, float),
        fault=_duration_fault,
        leaves_as=_always("a number, 0 or more"),
        schema=_always({"type": "number", "minimum": 0}),
        checked=_always(Annotated[float, Meta(ge=0.0, le=_MAX_FLOAT)]),
        exposure=Exposure.NONE,
        suggested_by=frozenset({"duration"}),
        is_endless=True,
        python="float",
        column="DOUBLE",
        holes=("duration",),
        form=_FLOAT,
        read=float,
        example="7.5",
    ),
    "version": FieldType(
        takes="a text",
        is_taken=is_of(str),
        fault=_version_fault,
        leaves_as=_always("a version number, such as 1.4 or 2.0-rc.1; nothing if it has any other form"),
        schema=_always(
            {
                "type": "string",
                "maxLength": version.MAX_CHARACTERS,
                "pattern": rf"^{_DIGITS}(\.{_DIGITS}){{0,3}}{_STAGE}$",
            }
        ),
        rewriter=_always_rewritten(_clean_version),
        suggested_by=frozenset({"version", "release"}),
        is_counted=True,
        holes=("version",),
        form=version.FORM,
        example="1.2",
    ),
    "enum": FieldType(
        takes="a text",
        is_taken=_is_enum_value,
        fault=_enum_fault,
        leaves_as=_enum_leaves_as,
        schema=lambda field: {"enum": _enum_choices(field)},
        keys=_ENUM_KEYS,
        key_faults=_spelling_faults,
        checked=_open_enum,
        wide=_numbers_of_enum,
        exposure=Exposure.NONE,
        is_counted=True,
        cells=lambda field: len(_enum_choices(field)),
        python=CHOICES,
        holes=("enum",),
    ),
    "message": FieldType(
        takes="a text",
        is_taken=is_of(str),
        leaves_as=_message_leaves_as,
        held_back="what the text had in place of the braces, but for what has a field of its own",
        schema=lambda field: {"enum": [*field.templates, OTHER]},
        keys={
            "templates": Key(
                'distinct strings, such as ["no route to {host}", "took {ms:number} ms"]', is_values, required=True
            ),
            "holes": Key(
                "a table with the keys of a hole's type, such as { ms = { buckets = [0, 10, 100] } }", is_table
            ),
        },
        treatment=Treatment.MATCHED,
        exposure=Exposure.NONE,
        is_counted=True,
        is_endless=True,
        cells=lambda field: len(field.templates) + 1,
    ),
    "text": FieldType(
        takes="a text",
        is_taken=is_of(str),
        fault=_text_fault,
        leaves_as=_text_leaves_as,
        schema=lambda field: {"type": "string", "maxLength": field.max_length},
        keys={
            "max_length": Key(
                f"a whole number from 1 to {MAX_STRING_LENGTH}",
                lambda value: is_count(value) and value <= MAX_STRING_LENGTH,
                required=True,
            ),
            "overflow": one_of(get_args(Overflow)),
            "reason": Key('a quoted string, such as "the plugins of others write it"', is_text),
        },
        treatment=Treatment.SCANNED,
        exposure=Exposure.FULL,
        is_endless=True,
    ),
    "identifier": FieldType(
        takes="a text or a whole number",
        is_taken=is_of(str, int),
        fault=_identifier_fault,
        leaves_as=_always(
            "a token of 16 characters that only this session has for it, and another one in the next; never the value"
        ),
        held_back="the value: a token that only this session has stands for it",
        schema=_always({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
        checked=_always(Annotated[str, Meta(max_length=MAX_IDENTIFIER_LENGTH)] | int),
        rewriter=lambda field, means: means.token(field.name),
        rule="identifier",
        is_endless=True,
        python="str | int",
        holes=("identifier",),
    ),
    "sql": FieldType(
        takes="a text",
        is_taken=is_of(str),
        leaves_as=_always("the kind of statement and counts of its parts; never its text, a name or a value in it"),
        held_back="the text of the statement, and the names and values in it",
        schema=_always({"type": "string", "pattern": "^[a-z_]+( [a-z_]+=[0-9]{1,2})*$"}),
        rewriter=_always_rewritten(sql.shape),
        rule="sql_field",
        is_endless=True,
        holes=("sql",),
    ),
    "path": FieldType(
        takes="a text",
        is_taken=is_of(str),
        leaves_as=_always(
            f'the extension of the file if it is a common one, else "{OTHER}" or "none"; never a name or a folder'
        ),
        held_back="the name of the file, and the folders that it is in",
        schema=_always({"enum": [*sorted(path.COMMON), OTHER, "none"]}),
        rewriter=_always_rewritten(path.extension),
        rule="path_field",
        is_endless=True,
        holes=("path",),
    ),
    "error": FieldType(
        takes="a text",
        is_taken=is_of(str),
        leaves_as=_always("the type of the error and the places in the program's own code; never its message"),
        held_back="the message of the error",
        schema=_always(
            {
                "type": "string",
                "maxLength": error.MAX_CHARACTERS,
                "pattern": rf"^{_DOTTED}(@{_FRAME}(;{_FRAME})*)?$",
            }
        ),
        rewriter=lambda _, means: error.reducer(means.texts),
        suggested_by=frozenset({"error", "exception", "traceback", "stacktrace"}),
        is_endless=True,
        python=EXCEPTION,
        holes=("error",),
    ),
}
"""The row of each type, by the name that stands in a catalog; their order is that of the privacy page."""

OF_DISTRIBUTIONS: dict[str, FieldType] = {
    "bound": FieldType(
        takes="a number",
        is_taken=is_of(int, float),
        fault=_bound_fault,
        leaves_as=lambda field: (
            f"a number, 0 or more, as the nearest bound of a bucket, of {2**field.scale} to an octave"
            if field.scale >= 0
            else f"a number, 0 or more, as the nearest bound of a bucket, each of {2**-field.scale} octaves"
        ),
        schema=_always({"type": "number", "minimum": 0}),
        checked=_always(Annotated[float, Meta(ge=0.0, le=MOST)]),
        rewriter=lambda field, _means: lambda number: nearest_bound(number, field.scale),
        exposure=Exposure.NONE,
        is_endless=True,
        python="float",
        column="DOUBLE",
    ),
    "counts": FieldType(
        takes="whole numbers",
        is_taken=lambda _field, _value: False,
        leaves_as=_always("how many numbers were in each bucket, from the one at `offset` on"),
        schema=_always({"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": MAX_BUCKETS}),
        checked=_always(Annotated[list[Annotated[int, Meta(ge=0, le=MAX_INT)]], Meta(max_length=MAX_BUCKETS)]),
        exposure=Exposure.NONE,
        is_endless=True,
        python="list[int]",
        column="BIGINT[]",
    ),
}
"""The rows of types that no field in a catalog's file may have, but those that a distribution has by itself."""

_ROWS = ChainMap(TYPES, OF_DISTRIBUTIONS)
