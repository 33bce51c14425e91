"""What a message costs by the number of templates, and how much of what real programs say fits theirs.

The templates are collected from the source of installed packages, as `telemetry catalog templates` does. The programs
run here, all that they log or raise is caught, and whatever they are given holds a canary: none may be left in what
leaves.
"""

from __future__ import annotations

import ast
import gc
import logging
import random
import warnings
from importlib.util import find_spec
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

from bench.measure import Result, progress, summarize
from bench.programs import CANARY, PROGRAMS
from telemetry.catalog.matcher import Matcher
from telemetry.catalog.messages import collect
from telemetry.catalog.template import Hole, parse_template

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PACKAGES = ("celery", "django", "jsonschema", "kombu", "requests", "sqlglot", "starlette", "urllib3", "uvicorn")
TEMPLATES = 1_000
_TEXTS = 20_000
_DRAIN = 500
_VALUES = {"int": "4711", "float": "12.5", "duration": "12.5", "bool": "True", "version": "1.4.2"}
_SAID = ("10.1.17.3", "/srv/data/orders.csv", "customers", "no such file or directory", "<object at 0x7f3a>", "x")


def measure(runs: int) -> list[Result]:
    """Measure cost with 1,000 templates, then what real programs say."""
    progress("message: collecting templates")
    templates = _templates(PACKAGES)
    return [*_cost(templates, runs), *_shares()]


def _templates(packages: tuple[str, ...]) -> list[str]:
    collected = collect(_sources(packages))
    return [message.template for messages in collected.messages.values() for message in messages]


def _sources(packages: tuple[str, ...]) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        origin = Path(spec.origin)
        for file in [origin] if origin.name != "__init__.py" else sorted(origin.parent.rglob("*.py")):
            with warnings.catch_warnings(action="ignore"):
                yield str(file), ast.parse(file.read_bytes())


def _cost(templates: list[str], runs: int) -> Iterator[Result]:
    """CPU of a message, of each kind by itself: no text comes twice but those that are constant."""
    dice = random.Random(7)
    known = dice.sample(templates, TEMPLATES)
    matcher = Matcher(known)
    matcher.open_scan(None)
    unknown = [one for one in templates if one not in set(known) and matcher.match(_fill(one, dice)) is None]
    of_kind: dict[str, list[str]] = {}
    for one in known:
        holes = [part for part in parse_template(one) if isinstance(part, Hole)]
        kind = "with typed holes" if any(hole.type for hole in holes) else "with bare holes" if holes else "exact"
        of_kind.setdefault(kind, []).append(one)
    of_kind["that fits none"] = unknown
    of_kind["of any template as collected"] = known
    words = frozenset(word for one in known for word in one.split(" "))

    def floor(some: list[str]) -> object:
        return [words.isdisjoint(text.split(" ")) for text in some]

    gc.freeze()  # as the shipper does
    for kind, some in of_kind.items():
        texts = [_fill(dice.choice(some), dice) for _ in range(_TEXTS)]
        turns = [(_turn(texts, _DRAIN, matcher.match_all), _turn(texts, _DRAIN, floor)) for _ in range(runs + 1)][1:]
        name = f"message {kind}, {TEMPLATES:,} templates"
        yield summarize(name, "CPU per message", "us", [cost for cost, _ in turns])
        yield summarize(name, "to a split and a look-up of words", "ratio", [cost / floor for cost, floor in turns])


def _turn(texts: list[str], drain: int, look_up: Callable[[list[str]], object]) -> float:
    began = process_time()
    for at in range(0, len(texts), drain):
        look_up(texts[at : at + drain])
    return (process_time() - began) / len(texts) * 1e6


def _fill(template: str, dice: random.Random) -> str:
    parts = parse_template(template)
    return "".join(
        part if isinstance(part, str) else _VALUES.get(part.type or "", f"{dice.choice(_SAID)}-{dice.randrange(10**6)}")
        for part in parts
    )


def _shares() -> Iterator[Result]:
    """How many of the messages of each program fit a template of its packages, and whether anything is left of them."""
    for name, (packages, run) in PROGRAMS.items():
        progress(f"message: {name}")
        said = _caught(run)
        matcher = Matcher(_templates(packages))
        found = [matcher.match(text) for text in said]
        left = [match for match in found if match and CANARY in f"{match.template} {match.values}"]
        assert any(CANARY in text for text in said), f"{name} says nothing of what it was given"
        share = 100 * sum(match is not None for match in found) / len(said)
        yield summarize(f"{name}, {len(said)} messages", "fit a template", "%", [share])
        yield summarize(f"{name}, {len(said)} messages", "canaries left", "messages", [float(len(left))])


class _Catch(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def _caught(run: Callable[[], Iterator[Callable[[], object]]]) -> list[str]:
    """All that a program logs, and the texts of what it raises."""
    catch = _Catch()
    root = logging.getLogger()
    level = root.level
    root.addHandler(catch)
    root.setLevel(logging.DEBUG)
    try:
        for step in run():
            try:
                step()
            except Exception as error:  # noqa: BLE001 what it says is what is asked for
                catch.said.append(str(error))
    finally:
        root.removeHandler(catch)
        root.setLevel(level)
    return catch.said
