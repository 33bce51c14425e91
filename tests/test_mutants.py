"""What `tools/mutants` changes is what it says, and a fork runs the change and nothing else."""

from __future__ import annotations

from types import FunctionType
from typing import TYPE_CHECKING

import pytest
from mutants.mutate import Mutant, mutants
from mutants.reach import telling
from mutants.serve import changes
from mutants.targets import MODULES

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = '''
"""A module."""

LIMIT = 3

def outer(number: int = 0) -> list[int]:
    """Count."""
    def inner() -> int:
        return number + LIMIT
    if number > 2:
        return [inner() for _ in range(2)]
    return []
'''


def test_a_mutant_is_named_by_its_function_and_knows_its_statement() -> None:
    named = {mutant.key: mutant.statement for mutant in mutants(SOURCE)}

    assert named == {
        ": 3 -> 4": 0,
        "outer: 0 -> 1": 0,
        "outer.inner: return number + LIMIT -> return None": 9,
        "outer.inner: number + LIMIT -> (number - LIMIT)": 9,
        "outer: number > 2 -> (number > 2 or True)": 10,
        "outer: number > 2 -> (number > 2 and False)": 10,
        "outer: number > 2 -> (number >= 2)": 10,
        "outer: 2 -> 3": 10,
        "outer: return [inner() for _ in range(2)] -> return None": 11,
        "outer: 2 -> 3 [2]": 11,
        "outer: return [] -> return None": 12,
    }


@pytest.mark.parametrize("mutant", [one for one in mutants(SOURCE) if one.statement], ids=lambda one: one.key)
def test_a_function_with_the_code_of_a_mutant_does_what_the_mutant_does(mutant: Mutant) -> None:
    old, new = (compile(text, "module", "exec") for text in (SOURCE, mutant.source))
    there: dict[str, object] = {}
    exec(old, there)  # noqa: S102 that is the subject
    swap = changes(old, new)
    function = there["outer"]
    assert isinstance(function, FunctionType)
    if swap is None:  # it needs other variables of the function around it
        assert "inner" in mutant.function
        return
    function.__code__ = swap[function.__code__]
    changed: dict[str, object] = {}
    exec(new, changed)  # noqa: S102 as above
    expected = changed["outer"]
    assert isinstance(expected, FunctionType)

    def said(number: int, function: FunctionType) -> object:
        try:
            return function(number)
        except TypeError as fault:
            return str(fault)

    for number in range(5):
        assert said(number, function) == said(number, expected)


@pytest.mark.parametrize("mutant", [one for one in mutants(SOURCE) if not one.statement], ids=lambda one: one.key)
def test_what_runs_at_import_can_only_be_changed_before(mutant: Mutant) -> None:
    assert changes(compile(SOURCE, "m", "exec"), compile(mutant.source, "m", "exec")) is None


def test_a_change_that_is_none_is_known() -> None:
    assert changes(compile(SOURCE, "m", "exec"), compile(SOURCE.replace("> 2", "> (2)"), "m", "exec")) == {}


def test_each_statement_of_each_function_tells_that_it_is_reached(tmp_path: Path) -> None:
    there: dict[str, object] = {}
    exec(compile(telling(SOURCE, "m.py", tmp_path), "m", "exec"), there)  # noqa: S102 as above
    told: list[int] = []
    there["_mutants_hit"] = told.append
    outer = there["outer"]
    assert isinstance(outer, FunctionType)

    assert (outer(3), told) == ([6, 6], [8, 10, 11, 9, 9])


def test_every_module_that_is_named_has_mutants() -> None:
    assert len(MODULES) > 90
