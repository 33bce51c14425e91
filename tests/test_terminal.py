"""Numbers in what people read have their noun in the right form."""

from __future__ import annotations

import ast
import re
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[1] / "telemetry"
PLURAL = re.compile(r" (events|segments|batches|fields|frames|hosts|producers|values|messages|faults|copies)\b")


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [(0, ("event",), "0 events"), (1, ("event",), "1 event"), (2, ("batch", "batches"), "2 batches")],
)
def test_a_number_comes_with_its_noun(number: int, words: tuple[str, ...], said: str) -> None:
    assert counted(number, *words) == said


def _fixed_plurals(file: Path) -> Iterator[str]:
    """Where a number of any size stands before a plural; with thousands separated it is the demo's, a large one."""
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Constant) and re.search(f"%[ds]{PLURAL.pattern}", str(node.value)):
            yield f"{file.name}:{node.lineno}:{node.value!r}"
        parts = node.values if isinstance(node, ast.JoinedStr) else []
        for number, text in pairwise(parts):
            is_bare = isinstance(number, ast.FormattedValue) and number.format_spec is None
            if is_bare and isinstance(text, ast.Constant) and PLURAL.match(str(text.value)):
                yield f"{file.name}:{text.lineno}:{text.value!r}"


def test_no_message_says_1_events() -> None:
    found = [place for file in sorted(PACKAGE.rglob("*.py")) for place in _fixed_plurals(file)]
    assert found == []
