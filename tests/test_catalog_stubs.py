"""The typed functions: mypy finds a wrong call, a right one emits what the catalog accepts, ruff leaves them alone."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import telemetry
from telemetry import api
from telemetry.catalog.load import load
from telemetry.catalog.model import Catalog
from telemetry.catalog.stubs import function_names, stubs

ROOT = Path(telemetry.__file__).parent
CATALOG = """
[catalog]
product = "acme-db"
version = 3

[events.query_finished]
purpose = "decide which engine to optimise next"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
[events.query_finished.fields]
duration_ms = { type = "float", purpose = "find slow engines" }
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }
rows = { type = "int", purpose = "find big results" }
ok = { type = "bool", purpose = "how often it fails" }
table = { type = "identifier", purpose = "distinct tables in a session" }
failure = { type = "error", purpose = "why it failed" }

[events."index.built"]
purpose = "how long builds take"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"

[events.queries]
kind = "counter"
purpose = "how much each engine is used"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
[events.queries.fields]
engine = { type = "enum", values = ["batch", "stream"], purpose = "compare engines" }

[events.machine]
kind = "report"
purpose = "what it runs on"
owner = "query team"
expires = "2027-06-30"
sensitivity = "technical"
"""
# Names and texts that would break a generator which does not look.
NASTY = """
[catalog]
product = "acme-db"
version = 3

[events.print]
purpose = '''say \"\"\" and \\ and {x}, and end in \\'''
owner = "a \\u202e b\\nc"
expires = "2027-06-30"
sensitivity = "technical"
[events.print.fields]
emit = { type = "bool", purpose = "p\\"" }
fields = { type = "int", purpose = "p" }
str = { type = "text", max_length = 9, purpose = "p" }
dict = { type = "sql", purpose = "p" }
telemetry = { type = "path", purpose = "p" }
match = { type = "version", purpose = "p" }
self.type = "enum"
self.purpose = "p"
self.values = ['"', "'", "it's \\"both\\"", "\\\\", "\\n\\t\\u0000", "ü\\u202e", "{x}"]
one = { type = "enum", purpose = "p", values = ["other"] }

[events."print.x"]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"

[events.print_x]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events.print_x.fields]
duration_ms = { type = "duration", purpose = "p" }

[events.print_x_timer]
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"

[events.float]
kind = "counter"
purpose = "p"
owner = "o"
expires = "2027-06-30"
sensitivity = "technical"
[events.float.fields]
n = { type = "int", purpose = "p" }
"""

RIGHT = """
import events

events.query_finished()
events.query_finished(duration_ms=12.5, engine="batch", rows=3, ok=True, table="t", failure=ValueError())
events.query_finished(duration_ms=12, engine="other", table=7, rows=None)
events.index_built()
events.queries()
events.queries(3, engine="stream")
with events.query_finished_timer(engine="batch", ok=False):
    pass


@events.query_finished_timer()
def timed(number: int) -> str:
    return str(number)


text: str = timed(1)
"""
WRONG = [
    "events.query_finished(duratoin_ms=1.5)",
    'events.query_finished(engine="bacth")',
    'events.query_finished(duration_ms="12")',
    "events.query_finished(rows=1.5)",
    'events.query_finished(ok="yes")',
    "events.query_finished(table=1.5)",
    'events.query_finished(failure="it failed")',
    "events.query_finished(12.5)",
    "events.index_built(rows=1)",
    "events.index_biult()",
    'events.queries("three")',
    "events.queries(n=3)",
    'events.queries(engine="row")',
    "events.machine()",
    "events.query_finished_timer(duration_ms=1.5)",
    "timed('one')",
]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return read(tmp_path, CATALOG)


def read(tmp_path: Path, text: str) -> Catalog:
    path = tmp_path / "acme.toml"
    path.write_text(text)
    return load(path)


def module(source: str) -> ModuleType:
    made = ModuleType("events")
    exec(compile(source, "events.py", "exec", dont_inherit=True), made.__dict__)  # noqa: S102 what it is for
    return made


def mypy(directory: Path) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        "--cache-dir=cache",
        "program.py",
        "events.py",
    ]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False).stdout.splitlines()


def test_mypy_finds_each_wrong_call_and_no_fault_in_a_right_one(tmp_path: Path, catalog: Catalog) -> None:
    (tmp_path / "events.py").write_text(stubs(catalog))
    (tmp_path / "program.py").write_text(RIGHT + "\n".join(WRONG))
    first = RIGHT.count("\n") + 1
    found = [line for line in mypy(tmp_path) if ": error: " in line]
    assert {line.split(": ")[0] for line in found} == {f"program.py:{first + number}" for number in range(len(WRONG))}


@pytest.mark.parametrize("text", [CATALOG, NASTY], ids=["plain", "nasty"])
@pytest.mark.parametrize("length", [88, 120])
def test_ruff_format_has_nothing_to_change(tmp_path: Path, text: str, length: int) -> None:
    check_format(stubs(read(tmp_path, text)), length)


@pytest.mark.parametrize("file", ["catalog/risingwave.toml", "demo/demo.toml"])
def test_nor_in_what_our_own_catalogs_make(file: str) -> None:
    check_format(stubs(load(ROOT / file)), 120)


def check_format(source: str, length: int) -> None:
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", f"--line-length={length}", "-"]
    result = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_mypy_takes_a_catalog_of_nasty_names(tmp_path: Path) -> None:
    (tmp_path / "events.py").write_text(stubs(read(tmp_path, NASTY)))
    (tmp_path / "program.py").write_text(
        "import events\n\nevents.print_(self='\\'', one='other')\nevents.float_(2, n=1)\n"
    )
    assert mypy(tmp_path)[-1].startswith("Success")


def test_nothing_that_a_catalog_says_leaves_its_string(tmp_path: Path) -> None:
    tree = ast.parse(stubs(read(tmp_path, NASTY)))
    kinds = {type(node) for node in tree.body}
    assert kinds == {ast.Expr, ast.ImportFrom, ast.Assign, ast.FunctionDef}
    assert all(character.isprintable() or character == "\n" for character in stubs(read(tmp_path, NASTY)))
    made = module(stubs(read(tmp_path, NASTY)))
    values = inspect.signature(made.print_).parameters["self"].annotation.__args__[0].__args__
    assert values == ('"', "'", 'it\'s "both"', "\\", "\n\t\0", "ü\u202e", "{x}", "other")


def test_a_call_passes_what_is_given_and_nothing_else(monkeypatch: pytest.MonkeyPatch, catalog: Catalog) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(api, "_record", lambda name, fields: calls.append((name, fields)))
    monkeypatch.setattr(api, "_tick", lambda name, n, fields: calls.append((name, n, fields)))
    monkeypatch.setattr(api, "_time", lambda name, ms, fields: calls.append((name, {**fields, "duration_ms": ms})))
    events = module(stubs(catalog))
    events.query_finished(duration_ms=0.0, ok=False, rows=None)
    events.index_built()
    events.queries()
    events.queries(3, engine="batch")
    with events.query_finished_timer(engine="batch"):
        pass
    assert calls[:4] == [
        ("query_finished", {"duration_ms": 0.0, "ok": False}),
        ("index.built", {}),
        ("queries", 1, {}),
        ("queries", 3, {"engine": "batch"}),
    ]
    assert calls[4][0] == "query_finished"
    assert calls[4][1].keys() == {"engine", "duration_ms"}


def test_a_report_has_no_function_and_an_event_without_duration_no_timer(catalog: Catalog) -> None:
    names = {name for name in vars(module(stubs(catalog))) if not name.startswith("_")} - {"Literal"}
    assert names == {"query_finished", "query_finished_timer", "index_built", "queries"}


def test_the_docstring_says_what_for_until_when_and_who(catalog: Catalog) -> None:
    text = inspect.getdoc(module(stubs(catalog)).query_finished)
    assert text is not None
    assert text.startswith("Emit `query_finished`: decide which engine to optimise next.")
    assert "2027-06-30" in text
    assert "query team" in text
    assert "engine: compare engines." in text


def test_a_name_that_python_takes_stays_whatever_comes_beside_it() -> None:
    assert function_names(["a.b", "a_b", "a_b_", "print", "None", "Literal", "x.y"]) == {
        "a_b": "a_b",
        "a_b_": "a_b_",
        "a.b": "a_b_2",
        "print": "print_",
        "None": "None_",
        "Literal": "Literal_",
        "x.y": "x_y",
    }


def test_a_catalog_without_events_makes_a_module_without_functions() -> None:
    source = stubs(Catalog(product="acme", version=1))
    check_format(source, 88)
    assert {name for name in vars(module(source)) if not name.startswith("_")} == set()
