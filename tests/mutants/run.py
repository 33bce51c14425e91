"""The mutants of a module against its tests, by workers; what became of each is kept, so that a run can go on."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from mutants.mutate import Mutant, mutants
from mutants.reach import Reach, read, telling
from mutants.serve import OPTIONS, compiled, place_of
from mutants.targets import MODULES
from telemetry.redact.text import TextRedactor

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
_KEPT = ROOT / ".mutants"
_PARTS = ("pyproject.toml", "README.md", "telemetry", "tests", "bench", "tools")


class Fate(NamedTuple):
    """What became of a mutant.

    Attributes:
        mutant: the mutant.
        fate: `killed` by a test that failed, `died`, `timeout`, `survived`, or `same` if its code is the module's.
        test: the test that saw it, or took too long.
    """

    mutant: Mutant
    fate: str
    test: str


class Runner:
    """Runs tests on mutants, in copies of the tree: nothing is changed where it runs.

    Args:
        workers: how many at once.
        seconds: for how long one mutant's tests may take, if all goes well; the slowest of other files are left out.
    """

    def __init__(self, workers: int, seconds: float) -> None:
        self.seconds = seconds
        self._directory = Path(tempfile.mkdtemp(prefix="tm"))
        self._directory.chmod(0o755)
        self._copies = [self._copy(self._directory / str(number)) for number in range(workers)]
        self.root = self._copies[0]
        """The tree that is looked at: the state of the beginning, whatever is changed meanwhile."""
        _KEPT.mkdir(exist_ok=True)
        (_KEPT / ".gitignore").write_text("*\n")
        redact = [path.read_bytes() for path in sorted((self.root / "telemetry/redact").rglob("*.py"))]
        self._rules = _KEPT / f"rules-{_digest(*redact)}"
        if not self._rules.exists():
            self._rules.mkdir(mode=0o700)
            TextRedactor(self._rules)
        self._log = _KEPT / "fates.jsonl"
        self._kept: dict[str, dict[str, Any]] = {}
        for line in self._log.read_text().splitlines() if self._log.exists() else ():
            kept = json.loads(line)
            self._kept[kept["mutant"]] = kept

    def close(self) -> None:
        """End what still runs, and remove the copies."""
        for process in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def mutants(self, module: str) -> list[Mutant]:
        """Return all mutants of a module."""
        return list(mutants((self.root / "telemetry" / module).read_text()))

    def fates(self, chosen: dict[str, list[Mutant]]) -> Iterator[tuple[str, Fate]]:
        """Yield what becomes of each mutant, with its module; the mutants are of modules that have the same tests."""
        job: dict[str, Any] = {"sources": {}, "mutants": []}
        waiting: list[tuple[str, Mutant, str, str]] = []
        for module, mutant in [(module, mutant) for module, all_of in chosen.items() for mutant in all_of]:
            reach = self.reach(module)
            name = _digest(module.encode(), mutant.source.encode())
            order = _tests_of(mutant, module, reach)
            state = self._state(order)
            order = self._within(order, f"tests/test_{Path(module).stem}.py::")
            kept = self._kept.get(name)
            is_known = kept and (kept["state"] == state or kept["fate"] == "same")
            if kept and is_known and (kept["fate"] != "survived" or kept["tests"] == len(order)):
                yield module, Fate(mutant, kept["fate"], kept["test"])
                continue
            job["sources"][module] = (self.root / "telemetry" / module).read_text()
            job["mutants"].append(
                {
                    "number": len(waiting),
                    "module": module,
                    "source": mutant.source,
                    "function": mutant.function,
                    "is_imported": "" in reach.reached.get(module, {}).get(mutant.statement, ()),
                    "tests": order,
                    "first": [kept["test"]] if kept and kept["test"] in order else [],
                }
            )
            waiting.append((module, mutant, name, state))
        if not waiting:
            return
        job["files"] = sorted({test.partition("::")[0] for mutant in job["mutants"] for test in mutant["tests"]})
        for result in self._work(job):
            module, mutant, name, state = waiting[result["number"]]
            tests = len(job["mutants"][result["number"]]["tests"])
            kept = {"mutant": name, "state": state, "fate": result["fate"], "test": result["test"], "tests": tests}
            kept |= {"module": module, "change": mutant.key}  # for who looks while it runs
            self._kept[name] = kept
            with self._log.open("a") as file:
                file.write(json.dumps(kept) + "\n")
            yield module, Fate(mutant, result["fate"], result["test"])

    def _state(self, tests: dict[str, float]) -> str:
        files = sorted({test.partition("::")[0] for test in tests})
        return _digest(json.dumps(sorted(tests)).encode(), *[self._bytes_of(file) for file in files])

    @functools.cache  # noqa: B019 there is one runner
    def _bytes_of(self, file: str) -> bytes:
        return (self.root / file).read_bytes()

    def _within(self, tests: dict[str, float], own: str) -> dict[str, float]:
        """Return those of some tests that the time is enough for: the module's own first, then the quickest."""
        left: dict[str, float] = {}
        total = 0.0
        for test, seconds in sorted(tests.items(), key=lambda item: (not item[0].startswith(own), item[1])):
            total += seconds
            if left and total > self.seconds:
                break
            left[test] = seconds
        return left

    def _work(self, job: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Let all workers take from a job; first those who have all imported, then those who have not."""
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        (directory / "job.json").write_text(json.dumps(job))
        commands = {
            "fork": [sys.executable, "-m", "pytest", "-p", "mutants.serve", *OPTIONS],
            "bare": [sys.executable, "-m", "mutants.serve"],
        }
        for kind, command in commands.items():
            processes = []
            for copy in self._copies:
                self._clear(copy)
                base = copy.with_name(f"{copy.name}b")
                whole = [*command, f"--basetemp={base}", *job["files"]] if kind == "fork" else command
                environ = self._environ(copy) | {"MUTANTS_JOB": str(directory / "job.json"), "MUTANTS_BASE": str(base)}
                output = (self._directory / f"{copy.name}.{kind}.log").open("w")
                processes.append(
                    subprocess.Popen(
                        whole, cwd=copy, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL
                    )
                )
            is_last = False
            while not is_last:
                is_last = all(process.poll() is not None for process in processes)
                lines = [line for file in sorted(directory.glob("results-*")) for line in file.read_text().splitlines()]
                yield from map(json.loads, _new(lines, directory))
                time.sleep(0.5)
            for process, copy in zip(processes, self._copies, strict=True):
                if process.returncode:
                    said = (self._directory / f"{copy.name}.{kind}.log").read_text()[-2000:]
                    raise RuntimeError(f"a worker ended with {process.returncode}: {said}")

    @functools.cache  # noqa: B019 there is one runner
    def reach(self, module: str) -> Reach:
        """Return what tests reach of a module."""
        source = _digest((self.root / "telemetry" / module).read_bytes())
        stale = []
        for name in MODULES[module]:
            kept = self._kept_reach(name)
            if not kept.exists() or (
                self._read(kept)["sources"].get(module) != source and module in self._read(kept)["reached"]
            ):
                stale.append(name)
        self.measure(stale)
        seconds: dict[str, float] = {}
        reached: dict[str, dict[int, set[str]]] = {}
        for name in MODULES[module]:
            known = self._read(self._kept_reach(name))
            seconds |= known["seconds"]
            for line, names in known["reached"].get(module, {}).items():
                reached.setdefault(module, {}).setdefault(int(line), set()).update(names)
        return Reach(seconds, reached)

    def measure(self, names: list[str]) -> None:
        """Measure what the tests of some files reach."""
        running: list[tuple[subprocess.Popen[bytes], str, Path]] = []
        free = [*self._copies]
        while names or running:
            if names and free:
                name, copy = names.pop(0), free.pop()
                running.append((self._measure(name, copy), name, copy))
            time.sleep(0.2)
            for one in [one for one in running if one[0].poll() is not None]:
                running.remove(one)
                free.append(one[2])
                self._keep_reach(one[1], one[2])

    @functools.cache  # noqa: B019 there is one runner
    def _read(self, kept: Path) -> Any:
        return json.loads(kept.read_text())

    def _measure(self, name: str, copy: Path) -> subprocess.Popen[bytes]:
        directory = copy.with_name(f"{copy.name}r")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        directory.chmod(0o777)
        (directory / "hits").touch()
        (directory / "hits").chmod(0o666)
        for module in MODULES:
            place_of(copy, module).parent.mkdir(exist_ok=True)
            place_of(copy, module).write_bytes(self._telling(copy, module))
        base = copy.with_name(f"{copy.name}b")
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "mutants.reach",
            *OPTIONS,
            f"--basetemp={base}",
            f"tests/test_{name}.py",
        ]
        environ = self._environ(copy) | {"MUTANTS_REACH": str(directory)}
        output = (_KEPT / f"{name}.log").open("w")
        return subprocess.Popen(command, cwd=copy, env=environ, stdout=output, stderr=output, stdin=subprocess.DEVNULL)

    @functools.cache  # noqa: B019 there is one runner
    def _telling(self, copy: Path, module: str) -> bytes:
        path = copy / "telemetry" / module
        tree = telling(path.read_text(), module, copy.with_name(f"{copy.name}r"))
        return compiled(compile(tree, str(path), "exec", dont_inherit=True))

    def _keep_reach(self, name: str, copy: Path) -> None:
        self._clear(copy)
        reach = read(copy.with_name(f"{copy.name}r"))
        kept = {
            "seconds": reach.seconds,
            "reached": {
                module: {line: sorted(tests) for line, tests in lines.items()}
                for module, lines in reach.reached.items()
            },
            "sources": {module: _digest((self.root / "telemetry" / module).read_bytes()) for module in MODULES},
        }
        self._kept_reach(name).write_text(json.dumps(kept))
        self._read.cache_clear()

    def _kept_reach(self, name: str) -> Path:
        """Return where the reach of a file of tests is kept, as long as it and its measurement are what they are."""
        files = [self.root / "tests" / f"test_{name}.py", self.root / "tests" / "mutants" / "reach.py"]
        return _KEPT / f"{name}-{_digest(*[file.read_bytes() for file in files])}.json"

    @staticmethod
    def _clear(copy: Path) -> None:
        for module in MODULES:
            place_of(copy, module).unlink(missing_ok=True)

    def _environ(self, copy: Path) -> dict[str, str]:
        temporary = copy.with_name(f"{copy.name}t")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        temporary.chmod(0o1777)
        path = os.pathsep.join([str(copy), str(copy / "tests")])
        return os.environ | {"PYTHONPATH": path, "MUTANTS_RULES": str(self._rules), "TMPDIR": str(temporary)}

    def _copy(self, directory: Path) -> Path:
        directory.mkdir()
        for part in _PARTS:
            if (ROOT / part).is_dir():
                shutil.copytree(ROOT / part, directory / part, symlinks=True)
            else:
                shutil.copy(ROOT / part, directory / part)
        return directory


def _new(lines: list[str], directory: Path) -> Iterator[str]:
    """Yield the lines that have not been seen yet."""
    seen = directory / "seen"
    known = set(seen.read_text().splitlines()) if seen.exists() else set()
    fresh = [line for line in lines if line not in known]
    if fresh:
        seen.write_text("\n".join([*known, *fresh]) + "\n")
    yield from fresh


def _tests_of(mutant: Mutant, module: str, reach: Reach) -> dict[str, float]:
    """Return the tests that can see a mutant, and how long each takes: what reaches its statement, or its function."""
    lines = reach.reached.get(module, {})
    names = lines.get(mutant.statement, set()) if mutant.statement else set().union(*lines.values())
    return {test: reach.seconds[test] for test in sorted(names) if test in reach.seconds}


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:24]
