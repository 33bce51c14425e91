"""Tests that every docstring stands alone: it begins with a verb or a noun, and leans on no neighbour."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "telemetry"

# A docstring that opens with one of these is a fragment: it takes its subject from the line above it.
FORBIDDEN = re.compile(
    r"\W*(?:(?:what|who|whom|whose|where|which|whoever|whatever|wherever|of|it|as|so|for|those|also|once|before|nobody)"
    r"|the same)\b",
    re.IGNORECASE,
)

# Directories whose words are still to be put right, without those below them.
TO_DO: set[str] = set()


def docstrings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each docstring, those of a module's and a class's variables among them."""
    for node in ast.walk(module):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for statement in node.body:
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield statement.lineno, text


def fragments(source: str) -> list[str]:
    """Return the first line of each docstring that does not stand alone, with its number."""
    return [
        f"{line}: {text.strip().splitlines()[0]}"
        for line, text in docstrings(ast.parse(source))
        if FORBIDDEN.match(text)
    ]


@pytest.mark.parametrize(
    "opening", ["What is left.", "Of each.", "The same of the others.", "As above.", "`who` asks."]
)
def test_a_fragment_is_found(opening: str) -> None:
    assert fragments(f'def f():\n    """{opening}"""\n') == [f"2: {opening}"]
    assert fragments(f'A = 1\n"""{opening}"""\n') == [f"2: {opening}"]


@pytest.mark.parametrize("opening", ["Whether it rains.", "Offer a seat.", "Whole numbers.", "Item of a list."])
def test_a_docstring_that_stands_alone_passes(opening: str) -> None:
    assert fragments(f'def f():\n    """{opening}"""\n') == []


def test_every_docstring_stands_alone() -> None:
    found = [
        f"{path.relative_to(PACKAGE.parent)}:{fragment}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.parent.relative_to(PACKAGE)).removeprefix(".") not in TO_DO
        for fragment in fragments(path.read_text(encoding="utf-8"))
    ]
    assert found == []
