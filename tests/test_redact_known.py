"""Names that come and go: each is found from then on, and compiled about once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from telemetry.redact.free_text import FreeTextRedactor
from telemetry.redact.names import known
from telemetry.redact.names.known import MAX_PARTS, KnownNames
from telemetry.redact.names.name import Name, names_to_find
from telemetry.redact.names.redactor import NameRedactor

if TYPE_CHECKING:
    from collections.abc import Collection


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many names each part was made of."""
    sizes: list[int] = []

    def compile_names(names: Collection[Name]) -> NameRedactor:
        sizes.append(len(names))
        return NameRedactor(names)

    monkeypatch.setattr(known, "NameRedactor", compile_names)
    return sizes


def _fresh(number: int, seed: int) -> frozenset[Name]:
    source = random.Random(seed)
    return names_to_find({"secret": [f"{source.getrandbits(96):024x}" for _ in range(number)]})


def test_a_host_that_comes_costs_its_own_names_and_those_of_the_dead_are_let_go(compiled: list[int]) -> None:
    machine = _fresh(5, 0)
    names = KnownNames(machine)
    for seed in range(1, 61):
        environment = _fresh(3, seed)
        names.look_for(machine | environment)
        found = names.suspects([f"at {name.folded}" for name in (*machine, *environment)])
        assert sorted(found) == list(range(8))
        assert len(names._parts) <= MAX_PARTS
    assert sum(compiled) < 2 * 60 * 3 + 60, "all anew each time, they would be 480, and 10,000 if none were let go"
    assert sum(len(part.names) for part in names._parts) < 100


def test_of_many_that_live_each_is_found_and_none_is_compiled_often(compiled: list[int]) -> None:
    environments = [_fresh(2, seed) for seed in range(40)]
    names = KnownNames(())
    living: frozenset[Name] = frozenset()
    for environment in environments:
        living |= environment
        names.look_for(living)
        names.suspects(["-"])
    assert names.suspects([name.folded for name in living]).keys() == {*range(80)}
    assert sum(compiled) <= 3 * 80


def test_names_are_compiled_with_the_first_text_that_may_hold_them(compiled: list[int]) -> None:
    texts = FreeTextRedactor()
    before = len(compiled)
    for seed in range(20):
        texts.look_for(_fresh(3, seed))
    assert len(compiled) == before
    (name, *_) = _fresh(3, 19)
    assert texts.redact([f"at {name.folded}!"])[0].text == "at [secret]!"
    assert len(compiled) == before + 1
