"""What leaves of a message: the template that it fits, and of the rest only what was declared."""

from __future__ import annotations

import random
import re
import sys
from time import process_time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.catalog.matcher import MAX_CHARACTERS, Matcher
from telemetry.catalog.template import Hole, parse_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEMPLATES = [
    "all is well",
    "no route to {host}",
    "no route to {host} at level {level:int}",
    "compaction of level {level:int} took {ms:number} ms",
    "{who} is not {whom}",
    "{n:int} rows in {seconds:duration}s",
    "user {user:identifier} opened {file:path} at last",
    "got {x} of {kind:enum} with driver {v:version}, ok={ok:bool}",
    "[{name}] {{braced}} {a}={b}",
    "层{level:int}的压缩失败: {reason}",
    "{reason}是错误",
    "a\n{x}\nb",
]
MATCHER = Matcher(TEMPLATES)


def matched(text: str, matcher: Matcher = MATCHER) -> tuple[str, dict[str, str | None]] | None:
    found = matcher.match(text)
    return None if found is None else (found.template, found.values)


@pytest.mark.parametrize(
    ("text", "template", "values"),
    [
        ("all is well", "all is well", {}),
        ("no route to 10.1.17.3", "no route to {host}", {}),
        ("no route to ", "no route to {host}", {}),
        ("no route to a\nb\x00\xff", "no route to {host}", {}),
        (
            "compaction of level -3 took 5.25e-3 ms",
            "compaction of level {level:int} took {ms:number} ms",
            {"level": "-3", "ms": "5.25e-3"},
        ),
        ("12 rows in .5s", "{n:int} rows in {seconds:duration}s", {"n": "12", "seconds": ".5"}),
        (
            "user Ann Lee opened /home/ann/a.csv at last",
            "user {user:identifier} opened {file:path} at last",
            {"user": "Ann Lee", "file": "/home/ann/a.csv"},
        ),
        (
            "got 5 of batch with driver v1.4.2-rc1, ok=True",
            "got {x} of {kind:enum} with driver {v:version}, ok={ok:bool}",
            {"kind": "batch", "v": "v1.4.2-rc1", "ok": "True"},
        ),
        ("[q] {braced} k=v", "[{name}] {{braced}} {a}={b}", {}),
        ("层3的压缩失败: 硬盘", "层{level:int}的压缩失败: {reason}", {"level": "3"}),
        ("这是错误", "{reason}是错误", {}),
        ("a\nx y\nb", "a\n{x}\nb", {}),
    ],
)
def test_a_text_leaves_as_its_template_and_the_values_of_typed_holes(
    text: str, template: str, values: dict[str, str]
) -> None:
    assert matched(text) == (template, values)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "all is well ",
        "All is well",
        "no  route to x",
        "compaction of level three took 5 ms",
        "compaction of level 3 took nan ms",
        "compaction of level ٣ took 5 ms",
        "compaction of level 12345678901234567890 took 5 ms",
        "12 rows in -5s",
        "got 5 of batch with driver x.y, ok=True",
        "a\nb",
        "no route t",
    ],
)
def test_what_does_not_fit_to_the_letter_or_by_the_form_of_its_values_fits_none(text: str) -> None:
    assert matched(text) is None


def test_the_longest_constant_part_wins_whatever_the_order() -> None:
    templates = ["no {x}", "no route to {x}", "no route {x}", "no route to {x} today", "{x} today", "no route to day"]
    for seed in range(20):
        random.Random(seed).shuffle(templates)
        matcher = Matcher(templates)
        assert matched("no route to me today", matcher) == ("no route to {x} today", {})
        assert matched("no route to me", matcher) == ("no route to {x}", {})
        assert matched("no route to day", matcher) == ("no route to day", {})


@pytest.mark.parametrize(
    ("templates", "text", "template", "values"),
    [
        (["got {x}", "got {x} at level {n:int}"], "got a at level 7", "got {x} at level {n:int}", {"n": None}),
        (["{a} level {n:int} of {b}"], "x level 77 of y level 3 of z", "{a} level {n:int} of {b}", {"n": None}),
        (["{a} level {n:int} of {b}"], "x level 3 of z", "{a} level {n:int} of {b}", {"n": "3"}),
        (["{a} - {n:int}"], "x - 5 - 7", "{a} - {n:int}", {"n": "7"}),
        (["{a}-{n:int}"], "x--5", "{a}-{n:int}", {"n": None}),
        (["{a} at {b} took {n:int}"], "x at y at z took 5", "{a} at {b} took {n:int}", {"n": "5"}),
        (["{a} by {u:identifier} at {b}"], "x by y by z at w", "{a} by {u:identifier} at {b}", {"u": None}),
        (["{a} by {u:identifier} at {b}"], "x by y at w", "{a} by {u:identifier} at {b}", {"u": "y"}),
    ],
)
def test_a_value_leaves_only_where_there_is_one_way_to_read_it(
    templates: list[str], text: str, template: str, values: dict[str, str | None]
) -> None:
    assert matched(text, Matcher(templates)) == (template, values)


# Whatever is put into a bare hole: words of templates, whole filled ones, numbers that look like values.
FRAGMENTS = [
    *re.split(r"[ \n]+|\{[^{}]*\}", " ".join(TEMPLATES)),
    *[
        "all is well",
        " took 5 ms",
        " at level 77",
        "层7的压缩失败: ",
        "是错误",
        "\n",
        " ",
        "\xff",
        "77",
        "-7.5",
        "v7.7",
        "true",
    ],
]
HOSTILE = st.lists(st.sampled_from(FRAGMENTS), max_size=8).map(" ".join) | st.lists(
    st.sampled_from(FRAGMENTS), max_size=8
).map("".join)
VALUES: dict[str | None, st.SearchStrategy[str]] = {
    "int": st.integers(-999, 999).map(str),
    "float": st.floats(-1e9, 1e9).map(str),
    "duration": st.integers(0, 999).map(str),
    "bool": st.sampled_from(["true", "False"]),
    "version": st.sampled_from(["1.2", "v3.0-rc1"]),
}


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(TEMPLATES), st.data())
def test_nothing_that_is_put_into_a_bare_hole_is_ever_a_value(template: str, data: st.DataObject) -> None:
    text, put = "", dict[str, str | None]()
    for part in parse_template(template):
        if isinstance(part, Hole):
            value = data.draw(VALUES.get(part.type, HOSTILE), part.name)
            put[part.name] = value if part.type else None
            text += value
        else:
            text += part
    found = MATCHER.match(text)
    assert found is not None
    for hole, read in found.values.items():
        assert read is None or read == put.get(hole), "a value is the one that was given to this typed hole, or none"


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(FRAGMENTS), max_size=12).map("".join))
def test_every_template_that_a_text_fits_is_looked_at(text: str) -> None:
    alone = [template for template in TEMPLATES if Matcher([template]).match(text)]
    assert sorted(MATCHER.all_that_fit(text)) == sorted(alone)


@pytest.fixture(scope="module")
def scanning() -> Matcher:
    matcher = Matcher([*TEMPLATES, *(f"{{a}} step{n} {{b}} at {{n:int}}" for n in range(100))])
    matcher.open_scan(None)
    assert matcher._scan is not None, "there are too few templates for a scan"
    return matcher


@settings(max_examples=300, deadline=None)
@given(st.lists(HOSTILE | st.sampled_from(TEMPLATES) | st.text(), min_size=1, max_size=20), st.data())
def test_a_scan_finds_for_many_texts_what_each_fits_by_itself(
    scanning: Matcher, texts: list[str], data: st.DataObject
) -> None:
    step = data.draw(st.integers(0, 99))
    texts += [f"a step{step} b at 5", f"step{step} b at 5", f" step{step} at 5 step{step} at 5 step7 at 6", ""]
    assert scanning.match_all(texts) == list(map(scanning.match, texts))


def test_a_scan_compares_no_text_that_is_too_long(scanning: Matcher) -> None:
    texts = ["no route to " + "x" * length for length in (0, 3, MAX_CHARACTERS - 12, MAX_CHARACTERS - 11)]
    assert [match is not None for match in scanning.match_all(texts)] == [True, True, True, False]


def test_where_hyperscan_is_missing_or_refuses_each_text_is_looked_up_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "hyperscan", None)
    matcher = Matcher(MANY)
    matcher.open_scan(tmp_path)
    texts = ["x step7 y is z of w in v at 3 of u", "step7"] * 5
    assert matcher.match_all(texts) == list(map(matcher.match, texts))
    assert matcher.match_all(texts)[0] is not None


def test_few_templates_have_nothing_compiled(tmp_path: Path) -> None:
    MATCHER.open_scan(tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_text_that_is_too_long_is_not_compared() -> None:
    assert matched("no route to " + "x" * (MAX_CHARACTERS - 12)) is not None
    assert matched("no route to " + "x" * (MAX_CHARACTERS - 11)) is None


MANY = [f"{{a}} step{n} {{b}} is {{c}} of {{d}} in {{e}} at {{n{n}:int}} of {{f}}" for n in range(500)]
HOSTILE_TEXTS: dict[str, Callable[[int], str]] = {
    "all words": lambda size: " ".join(f"step{n}" for n in range(size // 8)),
    "one part again and again": lambda size: " step7 x is " * (size // 12),
    "all parts again and again": lambda size: " step7 x is y of z in w at 5 of " * (size // 32),
    "numbers": lambda size: " step7 is of in at" + " at 5" * (size // 5),
    "digits": lambda size: " step7 is of in at " + "5" * size,
}


@pytest.mark.parametrize("kind", HOSTILE_TEXTS)
def test_a_text_that_is_made_to_be_slow_takes_time_by_its_length_alone(kind: str) -> None:
    matcher = Matcher([*MANY, "{a} at {n:int} at {m:int} at {o:int} {b} at {p:int}"])

    def cost(size: int) -> float:
        text = HOSTILE_TEXTS[kind](size)[:MAX_CHARACTERS]
        costs = []
        for _ in range(3):
            began = process_time()
            for _ in range(8):
                matcher.match(text)
            costs.append(process_time() - began)
        return min(costs)

    cost(1000)
    assert cost(8000) < 40 * cost(1000)  # eight times, were it by the length alone; quadratic would be 64
