"""Means of starting a shipper from here: an interpreter that is like the host's, a command, or the frozen host.

A shipper starts clean: it gets the part of the environment that it has use for, and none of the host's site hooks runs
in it (a `sitecustomize` that traces, a `.pth` file that imports). The paths that the host's interpreter was told or has
found are passed in one list, the host's present `sys.path`. Another interpreter, even one of the same version, can't
load modules built with the host's: it finds a standard library of its own. Standard library only: the host imports it.
"""

# ruff: noqa: SIM905 - a list of words reads better as words
from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from telemetry.frozen import SHIP, is_frozen, is_own_shipper

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GUARD = "TELEMETRY_SHIPPER"
"""The variable set in a shipper's environment, so that nothing in it can spawn another."""

_ADVICE = 'name an interpreter, as in ShipperSettings(command="/usr/bin/python3")'

_NEEDED = frozenset(
    "PATH HOME USER LOGNAME LANG LANGUAGE TZ TMPDIR VIRTUAL_ENV SSL_CERT_FILE SSL_CERT_DIR "
    "LD_LIBRARY_PATH LD_FALLBACK_LIBRARY_PATH DYLD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH "
    "HTTP_PROXY HTTPS_PROXY ALL_PROXY NO_PROXY http_proxy https_proxy all_proxy no_proxy".split()
)
"""The variables for the places of files, for the network, and for an interpreter's start."""

_ALL_NEEDED = ("TELEMETRY_", "LC_", "XDG_", "MALLOC_")
"""The beginnings of the names of further such variables."""

_ANEW = {"PYINSTALLER_RESET_ENVIRONMENT": "1"}
"""The variables that keep a frozen program from taking itself for a part of its starter, whose files go with it."""


class CanNotStartError(Exception):
    """Raised if nothing here can be started as a shipper; the text gives the reason and the remedy."""


class Start(NamedTuple):
    """A way to start a shipper.

    Attributes:
        command: the command, to which the rendezvous is added as one more argument.
        environment: the whole environment that it gets.
    """

    command: list[str]
    environment: dict[str, str]

    @property
    def program(self) -> list[str]:
        """The command that runs telemetry there; a frozen program has none, and a person has it installed."""
        return self.command[: self.command.index("ship")] if "ship" in self.command[1:] else ["telemetry"]


def plan_start(setting: str, environ: Mapping[str, str] = os.environ) -> Start:
    """Return how a shipper is started from this process.

    Args:
        setting: the setting `ShipperSettings.command`.
        environ: the host's environment.

    Raises:
        CanNotStartError: there is nothing to start.
    """
    environment = {**_needed(environ), GUARD: "1"}
    if setting and not _is_python(setting):
        return Start([*_program(setting), "ship", "--spawned"], environment | _ANEW)
    if not setting and is_own_shipper():
        return Start([sys.executable, SHIP], environment | _ANEW)
    flags = ["-P", "-s", "-S", *(["-B"] if sys.dont_write_bytecode else [])]
    interpreter = _interpreter(setting)
    path = _path()
    if _is_another(interpreter):
        left_out = set(_standard_library())
        path = [entry for entry in path if os.path.realpath(entry) not in left_out]
    elif not sys.flags.ignore_environment:
        environment |= {name: environ[name] for name in ("PYTHONHOME", "PYTHONPLATLIBDIR") if name in environ}
    environment["PYTHONPATH"] = os.pathsep.join(path)
    return Start([interpreter, *flags, "-m", "telemetry", "ship", "--spawned"], environment)


def _interpreter(setting: str) -> str:
    if setting:
        return _program(setting)[0]
    if is_frozen():
        raise CanNotStartError(
            f"{sys.executable} is a frozen program: call telemetry.freeze_support() first in it, or {_ADVICE}"
        )
    found = next(filter(_can_run, _interpreters()), None)
    if found is None:
        raise CanNotStartError(
            f"sys.executable={sys.executable!r} is not a Python interpreter that can be run: {_ADVICE}"
        )
    return found


def _interpreters() -> Iterator[str]:
    """Yield where the host's interpreter may lie.

    In uWSGI and others that embed Python, `sys.executable` is the host.
    """
    if _is_python(sys.executable or ""):
        yield sys.executable
    threads = "t" if "t" in getattr(sys, "abiflags", "") else ""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}{threads}"
    for prefix in dict.fromkeys((sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)):
        yield str(Path(prefix, "bin", name))


def _is_another(interpreter: str) -> bool:
    """Tell whether an interpreter is none of the host's own, by whatever name."""
    own = {os.path.realpath(found) for found in _interpreters()}
    return os.path.realpath(interpreter) not in own


def _standard_library() -> Iterator[str]:
    """Yield where the host's standard library lies, behind all links."""
    import sysconfig  # noqa: PLC0415 seldom needed

    for name in ("stdlib", "platstdlib"):
        place = Path(os.path.realpath(sysconfig.get_path(name)))
        yield str(place)
        yield str(place / "lib-dynload")
        yield str(place.parent / f"python{sys.version_info.major}{sys.version_info.minor}.zip")


def _program(setting: str) -> list[str]:
    """Return the words of a command, whose first can be run."""
    try:
        words = shlex.split(setting)
    except ValueError as fault:
        raise CanNotStartError(f"command={setting!r}: {fault}; quote it as for a shell") from None
    if not words or not _can_run(words[0]):
        raise CanNotStartError(f"command={setting!r}: can't be run; give the full path of a program")
    return words


def _is_python(program: str) -> bool:
    """Tell by its name whether a program is an interpreter.

    `t` is a build without the global lock, `d` one to debug.
    """
    name = Path(program).name.removesuffix(".exe").removesuffix("d").removesuffix("t")
    return name.rstrip("0123456789.") in {"python", "pypy"}


def _can_run(program: str) -> bool:
    path = Path(program)
    # os.path: a Path raises where this user, who may not be the one that started, can't look.
    return path.is_absolute() and os.path.isfile(path) and os.access(path, os.X_OK)  # noqa: PTH113 as above


def _needed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the part of the host's environment that a shipper has use for: the rest holds secrets, and stays there."""
    needed = {name: value for name, value in environ.items() if name in _NEEDED or name.startswith(_ALL_NEEDED)}
    for name in [name for name in needed if "LIBRARY_PATH" in name and is_frozen()]:
        # PyInstaller puts its own libraries ahead, which go when the host does.
        before = environ.get(f"{name}_ORIG")
        if before is None:
            del needed[name]
        else:
            needed[name] = before
    return needed


def _path() -> list[str]:
    """Return the host's `sys.path`, seen from `/`, preceded by this package's own place if no entry leads there.

    The directory of the host's script, or the working one, stands last: it was there for the host's own modules.
    """
    place = str(Path(__file__).parents[2])
    entries = [_absolute(entry) for entry in sys.path if isinstance(entry, str)]
    found = dict.fromkeys(filter(None, entries))
    own = [] if place in found else [place]
    last = {_directory_of_script()} - {place} & found.keys()
    return [*own, *(entry for entry in found if entry not in last), *last]


def _directory_of_script() -> str:
    """Return the directory that an interpreter has put first; empty for one that puts nothing there."""
    if sys.flags.safe_path or not sys.path or not isinstance(sys.path[0], str):
        return ""
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    first = _absolute(sys.path[0])
    return first if first in {_absolute(str(Path(script).parent)), _absolute("")} else ""


def _absolute(path: str) -> str:
    """Return a path seen from `/`.

    Empty if it is relative to a directory that is gone, or can't be in a list of paths.
    """
    try:
        whole = str(Path(path).absolute())
    except OSError:
        return ""
    return "" if os.pathsep in whole or "\0" in whole else whole
