"""Which tests reach which statement, and how long each takes: a plugin of pytest, and the code that tells it.

The modules are compiled with a call before each statement of each function. What a test reaches in processes that it
starts counts too; what is reached while modules are imported belongs to the empty name.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from _pytest.fixtures import FixtureDef

HITS = "hits"
TESTS = "tests.json"
_CURRENT = "current"
_TEST = "_mutants_test"
"""The name of the running test in the process that runs it, among the builtins; others find it in a file."""

_HIT = """
def _mutants_hit(line, seen=set()):
    import builtins, posix
    test = getattr(builtins, {test!r}, None)
    if (line, test) in seen:
        return
    seen.add((line, test))
    try:
        if test is None:
            file = posix.open({current!r}, posix.O_RDONLY)
            test = posix.read(file, 65536).decode()
            posix.close(file)
        file = posix.open({hits!r}, posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC, 0o666)
        posix.write(file, f"{module} {{line}} {{test}}\\n".encode())
        posix.close(file)
    except OSError:
        pass
"""


class Reach(NamedTuple):
    """What the tests of one file reach.

    Attributes:
        seconds: how long each test took, by its name; those that failed are not in it.
        reached: the tests that reach each statement, by module and line; the empty name is the import.
    """

    seconds: dict[str, float]
    reached: dict[str, dict[int, set[str]]]


def telling(source: str, module: str, directory: Path) -> ast.Module:
    """Return a module whose functions tell, in `directory`, which of their statements are reached."""
    tree = ast.parse(source)
    for function in [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]:
        _tell(function.body)
        # What is kept of an earlier test would be reached by that test alone.
        function.decorator_list = [one for one in function.decorator_list if "cache(" not in ast.unparse(one)]
    told = _HIT.format(test=_TEST, current=str(directory / _CURRENT), hits=str(directory / HITS), module=module)
    first = next(
        number
        for number, node in enumerate(tree.body)
        if not (isinstance(node, ast.Expr) or (isinstance(node, ast.ImportFrom) and node.module == "__future__"))
    )
    tree.body[first:first] = ast.parse(told).body
    return ast.fix_missing_locations(tree)


def _tell(body: list[ast.stmt]) -> None:
    """Put a call before each statement of a body, and of the bodies in it."""
    for statement in [*body]:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner: list[list[ast.stmt]] = []  # a function's are told by themselves
        else:
            inner = [
                getattr(part, name)
                for part in _parts(statement)
                for name in ("body", "orelse", "finalbody")
                if hasattr(part, name)
            ]
        for statements in inner:
            if isinstance(statements, list) and statements and isinstance(statements[0], ast.stmt):
                _tell(statements)
        call = ast.parse(f"_mutants_hit({statement.lineno})").body[0]
        for node in ast.walk(call):
            ast.copy_location(node, statement)
        if not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)):  # a docstring stays one
            body.insert(next(number for number, other in enumerate(body) if other is statement), call)


def _parts(statement: ast.stmt) -> Iterator[ast.AST]:
    yield statement
    yield from getattr(statement, "handlers", ())
    yield from getattr(statement, "cases", ())


def read(directory: Path) -> Reach:
    """Read what a run of pytest with this plugin has left in a directory."""
    seconds = json.loads((directory / TESTS).read_text())
    reached: dict[str, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
    for line in (directory / HITS).read_text(errors="replace").splitlines() if (directory / HITS).exists() else ():
        module, number, test = line.split(" ", 2)
        reached[module][int(number)].update(seconds if test.endswith("::") else [test])
    return Reach(seconds, reached)


class _Plugin:
    """Tells the instrumented code which test runs, and keeps how long each took."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed: set[str] = set()
        self._is("")

    def _is(self, test: str) -> None:
        setattr(builtins, _TEST, test)
        temporary = self.directory / "next"
        temporary.write_text(test)
        temporary.replace(self.directory / _CURRENT)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._is(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        self._is("")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: FixtureDef[object]) -> Generator[None, object, object]:
        """Lay what a fixture of several tests reaches to all tests of their file, and not to the first alone."""
        if fixturedef.scope == "function":
            return (yield)
        test: str = getattr(builtins, _TEST)
        self._is(f"{test.partition('::')[0]}::")
        try:
            return (yield)
        finally:
            self._is(test)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        passed = {test: seconds for test, seconds in self.seconds.items() if test not in self.failed}
        (self.directory / TESTS).write_text(json.dumps(passed))


def pytest_configure(config: pytest.Config) -> None:
    """Take part, where a directory is named."""
    if directory := os.environ.get("MUTANTS_REACH"):
        config.pluginmanager.register(_Plugin(Path(directory)))
