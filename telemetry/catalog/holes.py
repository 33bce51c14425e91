"""Conversion of a message's typed holes into fields, as if they stood in the catalog's file beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from telemetry.catalog.model import OTHER
from telemetry.catalog.template import Hole, parse_template, shape_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


def typed_holes(templates: Iterable[str]) -> dict[str, str]:
    """Return the types of the typed holes by name, in the order of the templates."""
    holes = [part for template in templates for part in parse_template(template) if isinstance(part, Hole)]
    return {hole.name: hole.type for hole in holes if hole.type is not None}


def parameter_name(field: str, hole: str) -> str:
    """Return the name of the field that a hole of a message becomes."""
    return f"{field}_{hole}"


def parameters(name: str, field: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of the fields that the holes of a message field become, by name.

    They serve the purpose of the message and end when it does, unless `holes` gives one of them another purpose.
    """
    shared = {key: field[key] for key in ("purpose", "expires") if key in field}
    options = field.get("holes", {})
    return {
        parameter_name(name, hole): {**shared, "type": type_, "parameter_of": name, **options.get(hole, {})}
        for hole, type_ in typed_holes(field["templates"]).items()
    }


def template_faults(templates: Iterable[str]) -> Iterator[str]:
    """Yield the faults of a message's templates."""
    shapes: dict[tuple[str, ...], str] = {}
    types: dict[str, tuple[str, str]] = {}
    for template in templates:
        if template == OTHER:
            yield f"the template {OTHER!r} stands for what fits none; remove it"
        try:
            parts = parse_template(template)
        except ValueError as fault:
            yield f"the template {template!r} {fault}"
            continue
        twin = shapes.setdefault(shape_of(parts), template)
        if twin != template:
            yield f"the template {template!r} fits the same texts as {twin!r}; remove one"
        for hole in parts:
            if isinstance(hole, Hole) and hole.type is not None:
                first, where = types.setdefault(hole.name, (hole.type, template))
                if first != hole.type:
                    yield (
                        f"the hole `{hole.name}` is of type {hole.type} in {template!r} and of type {first} in "
                        f"{where!r}; rename one: each becomes a field"
                    )
