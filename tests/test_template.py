"""What a template of a message may be, and what it is taken apart into."""

from __future__ import annotations

import re

import pytest

from telemetry.catalog.template import MAX_CHARACTERS, MAX_HOLES, Hole, parse_template


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("all is well", ("all is well",)),
        ("no route to {host}", ("no route to ", Hole("host", None))),
        ("{n:int} rows", (Hole("n", "int"), " rows")),
        ("took {ms:number} ms", ("took ", Hole("ms", "float"), " ms")),
        ("took {ms:number}.", ("took ", Hole("ms", "float"), ".")),
        ("{{a}} {b} {{", ("{a} ", Hole("b", None), " {")),
        ("{a}}}{b}", (Hole("a", None), "}", Hole("b", None))),
        ("zwei\nZeilen: {ß_x}".replace("ß_", ""), ("zwei\nZeilen: ", Hole("x", None))),
        ("层{level:int}的压缩", ("层", Hole("level", "int"), "的压缩")),
    ],
)
def test_a_template_is_constant_text_and_holes(template: str, parts: tuple[str | Hole, ...]) -> None:
    assert parse_template(template) == parts


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("a { b", "double a brace"),
        ("a } b", "double a brace"),
        ("a {} b", "its name must be"),
        ("a {0} b", "its name must be"),
        ("a {Host} b", "its name must be"),
        ("a {x.y} b", "its name must be"),
        ("a {x[0]} b", "its name must be"),
        ("a {x!r} b", "has `!r` in the hole `x`"),
        ("a {x:d} b", "of type `d`; it may be one of int, number"),
        ("a {x:text} b", "of type `text`"),
        ("a {x:message} b", "of type `message`"),
        ("a {x:{y}} b", "of type `{y}`"),
        ("{a}{b}", "`a` and `b` side by side"),
        ("x {a:int}{b}", "`a` and `b` side by side"),
        ("{a} and {a}", "the hole `a` twice"),
        ("{a:int}0 rows", "could be part of its value"),
        ("{a:number}e{b}", "could be part of its value"),
        ("{a:number}.{b}", "could be part of its value"),
        ("{a:duration}.5", "could be part of its value"),
        ("{a:version}-{b}", "could be part of its value"),
        ("{a:version}rc", "could be part of its value"),
        (" ".join(f"{{h{n}}}" for n in range(MAX_HOLES + 1)), "holes, of at most"),
        ("x" * (MAX_CHARACTERS + 1), "characters, of at most"),
    ],
)
def test_what_is_no_template_is_told_with_its_remedy(template: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse_template(template)


@pytest.mark.parametrize(
    "template",
    ["{a:int}.{b:int}", "{a:int}-{b:int}", "{a:version}, {b}", "{a:number} {b}", "{a:number}s", "{a:number}%"],
)
def test_what_can_not_be_part_of_a_value_may_stand_right_behind_it(template: str) -> None:
    parse_template(template)
