"""A worker: it has everything imported, and forks for each mutant; a plugin of pytest, and a program.

A mutant of a function's code is put into all the function objects that have this code. What runs as modules are
imported can't be changed later: such a mutant needs a fork that has imported nothing of ours yet (`python -m
mutants.serve`). For processes that tests start, the mutant lies in the worker's copy of the tree, as a compiled file
that is taken without a look at its source.
"""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
from collections import defaultdict
from contextlib import suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any, NoReturn

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_PATIENCE = 10.0
_PATIENCE_SECONDS = 8.0
_ONCE_MORE = 2.0
"""How much more patience a test is met with that has taken too long: a busy machine looks like a change that hangs."""
_MOST_CPU = 3.0
_MOST_CPU_SECONDS = 4.0
_START_SECONDS = 60.0
_SLICE_SECONDS = 0.25
_IS_FUNCTION = 0x3  # CO_OPTIMIZED | CO_NEWLOCALS
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER
_HEAVY = (
    "zmq", "msgspec", "msgspec.json", "msgspec.msgpack", "msgpack", "requests", "urllib3", "psutil", "hyperscan",
    "zstandard", "cryptography", "h11", "hypothesis", "hypothesis.stateful", "xdist.plugin", "pytest_timeout",
    "_hypothesis_pytestplugin", "duckdb", "numpy", "starlette", "asyncio", "multiprocessing.pool", "unittest.mock",
    "http.server", "click", "rich", "trustme", "jsonschema", "stdnum", "schwifty", "phonenumbers",
)  # fmt: skip


def place_of(copy: Path, module: str) -> Path:
    """Return where the compiled code of a module lies in a copy of the tree."""
    return Path(importlib.util.cache_from_source(str(copy / "telemetry" / module)))


def compiled(code: CodeType) -> bytes:
    """Return code as the file that is taken without a look at its source."""
    import_bytes: Any = import_module("importlib._bootstrap_external")
    return bytes(import_bytes._code_to_hash_pyc(code, bytes(8), checked=False))


def changes(old: CodeType, new: CodeType) -> dict[CodeType, CodeType] | None:
    """Return which code stands for which, among the functions of a module; None if more than functions differ."""
    inner_old = [const for const in old.co_consts if isinstance(const, CodeType)]
    inner_new = [const for const in new.co_consts if isinstance(const, CodeType)]
    is_same = _body(old) == _body(new)
    is_function = old.co_flags & _IS_FUNCTION == _IS_FUNCTION
    if len(inner_old) != len(inner_new):
        return {old: new} if is_function and old.co_freevars == new.co_freevars else None
    found: dict[CodeType, CodeType] = {}
    for pair in zip(inner_old, inner_new, strict=True):
        inside = changes(*pair)
        if inside is None:
            return None
        found |= inside
    if is_same and not found:
        return {}
    if is_function:
        if old.co_freevars != new.co_freevars:
            return None
        found[old] = new
    return found if is_function or is_same else None


def _body(code: CodeType) -> tuple[object, ...]:
    """What a code object does, but for what the code in it does."""
    consts = [(type(const), repr(const)) for const in code.co_consts if not isinstance(const, CodeType)]
    return (
        code.co_code, consts, code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_flags,
        code.co_argcount, code.co_exceptiontable,
    )  # fmt: skip


class _Worker:
    """One of several that take mutants of the same job."""

    def __init__(self, job: Path, copy: Path, *, is_bare: bool) -> None:
        self.job = json.loads(job.read_text())
        self.directory = job.parent
        self.copy = copy
        self.is_bare = is_bare
        self.codes = {module: self._compiled(module, source) for module, source in self.job["sources"].items()}
        self.killers: dict[str, list[str]] = defaultdict(list)
        ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)

    def run(self, child: Callable[[list[str], Callable[[str], None]], None]) -> None:
        """Take mutants until none is left; `child` runs tests in their order, and tells of each that begins."""
        functions = [] if self.is_bare else self._functions()
        gc.collect()
        gc.freeze()
        for mutant in self.job["mutants"]:
            code, swap = self._changed(mutant)
            if code is None or not self._claim(mutant["number"]):
                continue
            if swap == {} or not mutant["tests"]:
                self._note(mutant["number"], "same" if swap == {} else "survived", "", 0.0)
                continue
            module = mutant["module"]
            killers = self.killers[f"{module} {mutant['function']}"]
            first = [test for test in [*mutant["first"], *killers] if test in mutant["tests"]]
            order = list(dict.fromkeys([*first, *mutant["tests"]]))

            def start(
                order: list[str], tell: Callable[[str], None], swap: dict[CodeType, CodeType] = swap or {}
            ) -> None:
                for function in functions:
                    function.__code__ = swap.get(function.__code__, function.__code__)
                child(order, tell)

            begun = time.monotonic()
            place_of(self.copy, module).write_bytes(compiled(code))
            fate, test = self._watch(partial(start, order), mutant["tests"])
            if fate == "timeout":
                again = list(dict.fromkeys([test, *order] if test else order))
                fate, test = self._watch(partial(start, again), mutant["tests"], _ONCE_MORE)
            place_of(self.copy, module).write_bytes(compiled(self.codes[module]))
            self._note(mutant["number"], fate, test, time.monotonic() - begun)
            if fate != "survived" and test:
                self.killers[f"{module} {mutant['function']}"] = [test, *(other for other in killers if other != test)]

    def _functions(self) -> list[FunctionType]:
        """Return all functions of the modules that there are."""
        paths = {code.co_filename for code in self.codes.values()}
        # By its type: an object of the tests may run code when it is asked for its class.
        return [f for f in gc.get_objects() if type(f) is FunctionType and f.__code__.co_filename in paths]

    def _compiled(self, module: str, source: str) -> CodeType:
        return compile(source, str(self.copy / "telemetry" / module), "exec", dont_inherit=True)

    def _changed(self, mutant: dict[str, Any]) -> tuple[CodeType | None, dict[CodeType, CodeType] | None]:
        """Return a mutant's code, and what it puts in whose place; no code if it is none, or for other workers."""
        try:
            code = self._compiled(mutant["module"], mutant["source"])
        except SyntaxError:
            return None, None
        swap = changes(self.codes[mutant["module"]], code)
        is_ours = (swap is None or (bool(swap) and mutant["is_imported"])) == self.is_bare
        return code if is_ours else None, swap

    def _claim(self, number: int) -> bool:
        try:
            (self.directory / f"claim-{number}").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _note(self, number: int, fate: str, test: str, seconds: float) -> None:
        with (self.directory / f"results-{os.getpid()}.jsonl").open("a") as file:
            file.write(json.dumps({"number": number, "fate": fate, "test": test, "seconds": round(seconds, 2)}) + "\n")

    def _watch(
        self, start: Callable[[Callable[[str], None]], None], seconds: dict[str, float], patience: float = 1.0
    ) -> tuple[str, str]:
        """Fork, and wait until a verdict is there or a test takes too long."""
        told, tells = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(told)
            os.setpgid(0, 0)

            def tell(line: str) -> None:
                _bound_cpu(seconds.get(line.removeprefix("test "), 1.0))
                os.write(tells, f"{line}\n".encode())

            try:
                start(tell)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(3)
        os.close(tells)
        try:
            fate, test = _verdict(told, seconds, patience)
        finally:
            os.close(told)
            _end_all()
        if fate == "died" and not test:
            raise RuntimeError("a fork ended before its first test")
        return fate, test


def _verdict(told: int, seconds: dict[str, float], patience: float) -> tuple[str, str]:
    """Read which tests begin until one fails, all have passed, or one takes too long; return which."""
    test, rest, left_seconds = "", b"", _START_SECONDS
    while left_seconds > 0:
        if not select.select([told], [], [], _SLICE_SECONDS)[0]:
            left_seconds -= _SLICE_SECONDS  # slices and no clock: a machine may stop us all for a while
            continue
        if not (read := os.read(told, 65536)):
            return "died", test
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            kind, _, what = line.decode().partition(" ")
            test = what or test
            if kind != "test":
                return kind, test
            left_seconds = patience * (_PATIENCE_SECONDS + _PATIENCE * seconds.get(what, 1.0))
    return "timeout", test


def _end_all() -> None:
    """End all that a fork has started, and wait for it."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


def _bound_cpu(seconds: float) -> None:
    """End this process when it has spent much more CPU time than the next test takes: it turns in a circle."""
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    bound = int(used + _MOST_CPU_SECONDS + _MOST_CPU * seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (bound, resource.getrlimit(resource.RLIMIT_CPU)[1]))


class _Verdict:
    """Tells each test that begins, and ends the process at the first that fails."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.tell(f"test {nodeid}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.tell(f"killed {report.nodeid}")
            os._exit(1)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tell("killed import")
            os._exit(1)


class _Fork:
    """Instead of a run of all tests, one of some tests for each mutant, each in a fork."""

    def __init__(self, worker: _Worker) -> None:
        self.worker = worker

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}

        def child(order: list[str], tell: Callable[[str], None]) -> None:
            session.config.pluginmanager.register(_Verdict(tell))
            chosen = [items[test] for test in order if test in items]
            for item, following in zip(chosen, [*chosen[1:], None], strict=True):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            tell("survived ")
            os._exit(0)

        self.worker.run(child)
        return True


class _Choice:
    """Takes the tests that are named, in their order, and tells when all have passed."""

    def __init__(self, order: Sequence[str], tell: Callable[[str], None]) -> None:
        self.order = {test: number for number, test in enumerate(order)}
        self.tell = tell

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted((item for item in items if item.nodeid in self.order), key=lambda i: self.order[i.nodeid])

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        self.tell("survived " if exitstatus in {0, 5} else "killed import")
        os._exit(0)


# pytest would compile anew what it takes for a plugin's, and a distribution with a plugin is one as a whole.
OPTIONS = ["-q", "--assert=plain", "-p", "no:cacheprovider", "-p", "mutants.steady"]


def pytest_configure(config: pytest.Config) -> None:
    """Take part, where a job is named."""
    if job := os.environ.pop("MUTANTS_JOB", ""):
        config.pluginmanager.register(_Fork(_Worker(Path(job), Path.cwd(), is_bare=False)))


def main() -> NoReturn:
    """Try the mutants that need a fork which has imported nothing of ours."""
    for name in _HEAVY:
        try:
            import_module(name)
        except ImportError:
            continue
    gc.collect()
    gc.freeze()
    worker = _Worker(Path(os.environ.pop("MUTANTS_JOB")), Path.cwd(), is_bare=True)
    files = worker.job["files"]

    def child(order: list[str], tell: Callable[[str], None]) -> None:
        chosen = [file for file in files if any(test.startswith(f"{file}::") for test in order)]
        base = f"--basetemp={os.environ['MUTANTS_BASE']}"
        code = pytest.main([*OPTIONS, base, *chosen], plugins=[_Verdict(tell), _Choice(order, tell)])
        tell("survived " if code in {0, 5} else "killed import")
        os._exit(0)

    worker.run(child)
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    main()
