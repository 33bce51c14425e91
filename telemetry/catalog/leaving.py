"""What leaves of a field, in plain words: for the privacy page, the machine form and the schema alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.catalog.model import OTHER

if TYPE_CHECKING:
    from telemetry.catalog.model import Field

_BY_TYPE = {
    "bool": "true or false",
    "duration": "a number, 0 or more",
    "version": "a version number, such as 1.4 or 2.0-rc.1; nothing if it has any other form",
    "identifier": (
        "a token of 16 characters that only this session has for it, and another one in the next; never the value"
    ),
    "sql": "the kind of statement and counts of its parts; never its text, a name or a value in it",
    "path": f'the extension of the file if it is a common one, else "{OTHER}" or "none"; never a name or a folder',
    "error": "the type of the error and the places in the program's own code; never its message",
}


def leaves_as(field: Field) -> str:
    """What leaves of a value of `field`; the catalog's own texts in it are not escaped for anything."""
    if field.parameter_of:
        return f"{_leaves_as(field)}; it stands in the text of {field.parameter_of}"
    return _leaves_as(field)


def _leaves_as(field: Field) -> str:
    match field.type:
        case "int" | "float":
            return _number(field)
        case "enum":
            values = ", ".join(f'"{value}"' for value in dict.fromkeys((*field.values, OTHER)))
            spelled = " (other spellings of them too)" if field.fold_case or field.prefix or field.numbered else ""
            return f'one of {values}{spelled}; any other value as "{OTHER}"'
        case "message":
            templates = ", ".join(f'"{template}"' for template in field.templates)
            return (
                f"one of {templates}, as it stands here; of what the text had in place of the braces, what leaves as a "
                f'field of its own, if any; any other text as "{OTHER}"'
            )
        case "text":
            longer = "cut there if it is longer" if field.overflow == "cut" else "nothing if it is longer"
            return (
                f"free text of at most {field.max_length} characters, in which what its rules know of addresses, "
                "secrets, numbers, paths and this machine's own names is replaced; may hold names of people and what "
                f"its rules don't know; {longer}, nothing if it can't be searched"
            )
        case other:
            return _BY_TYPE[other]


def _number(field: Field) -> str:
    kind = "a whole number" if field.type == "int" else "a number"
    if field.buckets:
        return f"{kind}, rounded down to one of {', '.join(map(str, field.buckets))}"
    if field.min is not None and field.max is not None:
        return f"{kind} from {field.min} to {field.max}"
    if field.min is not None:
        return f"{kind}, {field.min} or more"
    if field.max is not None:
        return f"{kind}, {field.max} or less"
    return kind
