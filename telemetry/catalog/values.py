"""Collectors of the values that enums take of a program: its routes, tasks, jobs, commands, loggers and entry points.

A program is looked at as it is after import, by the attributes that its framework gives it; no framework is imported
here. What is collected is for a reviewer, who puts it into the catalog: nothing is registered at run time.
"""

from __future__ import annotations

import ast
import importlib
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from telemetry.catalog.source import COMMENT
from telemetry.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNMATCHED = "unmatched"
"""The route of requests that no route takes, which each list of routes has."""

Values = dict[str, list[str]]
"""Values by the field of the event that a module of `telemetry.integrations` emits."""


def collect_values(kind: str, target: str) -> Values:
    """Collect values of a program.

    Args:
        kind: one of `KINDS`.
        target: `module:name` of an application, task queue or command; the settings' module for django; a source file
            or directory for loggers; a group's name for entry points.

    Raises:
        ConfigError: the target is not there, or of another kind.
    """
    try:
        found = KINDS[kind](target)
    except ConfigError:
        raise
    except Exception as fault:
        raise ConfigError(f"{target}: is no {kind} that can be looked at ({type(fault).__name__}: {fault})") from fault
    return {field: sorted(set(values)) for field, values in found.items()}


def written(values: dict[str, list[str]]) -> str:
    """Return values as a reviewer has them in a catalog's `values_file`, one list below the other."""
    many = len(values) > 1
    return "".join(
        (f"{COMMENT}{field}\n" if many else "") + "".join(f"{value}\n" for value in listed)
        for field, listed in values.items()
    )


def _load(target: str) -> Any:
    """Return what `module:name` names; the working directory goes first, as for servers that are told so."""
    module, _, name = target.partition(":")
    if not name:
        raise ConfigError(f"{target}: must be module:name, such as acme.web:app")
    if "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as fault:
        raise ConfigError(f"{target}: {fault}; name a module and what is in it") from fault
    return found


def _asgi(target: str) -> Values:
    app = _load(target)
    while not hasattr(app, "routes"):  # middleware around it
        inner = getattr(app, "app", None) or getattr(app, "_app", None)
        if inner is None:
            raise ConfigError(f"{target}: tells no routes; name the application inside of it")
        app = inner
    return {"route": [*_paths(app.routes), UNMATCHED]}


def _paths(routes: Any) -> Iterator[str]:
    for route in routes:
        inner = getattr(route, "routes", None) or getattr(getattr(route, "app", None), "routes", None)
        if inner:  # of what is mounted, each route tells its own part
            yield from _paths(inner)
        elif isinstance(path := getattr(route, "path", None), str):
            yield path


def _flask(target: str) -> Values:
    return {"route": [*(str(rule.rule) for rule in _load(target).url_map.iter_rules()), UNMATCHED]}


def _django(target: str) -> Values:
    os.environ["DJANGO_SETTINGS_MODULE"] = target
    if "" not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    importlib.import_module("django").setup()
    resolver = importlib.import_module("django.urls").get_resolver()
    return {"route": [*_patterns(resolver.url_patterns, ""), UNMATCHED]}


def _patterns(patterns: Any, before: str) -> Iterator[str]:
    for pattern in patterns:
        route = f"{before}{pattern.pattern}"
        if hasattr(pattern, "url_patterns"):
            yield from _patterns(pattern.url_patterns, route)
        else:
            yield route


def _celery(target: str) -> Values:
    app = _load(target)
    app.loader.import_default_modules()
    return {"task": [str(name) for name in app.tasks if not name.startswith("celery.")]}


def _arq(target: str) -> Values:
    settings = _load(target)
    jobs = [*getattr(settings, "functions", ()), *(getattr(settings, "cron_jobs", None) or ())]
    return {"job": [_job_name(job) for job in jobs]}


def _job_name(job: Any) -> str:
    return job.rpartition(".")[2] if isinstance(job, str) else str(getattr(job, "coroutine", job).__qualname__)


def _click(target: str) -> Values:
    command = _load(target)
    if not hasattr(command, "params"):  # typer's application
        command = importlib.import_module("typer.main").get_command(command)
    found: Values = {"command": [], "option": []}
    _walk(command, "", found)
    return found


def _walk(command: Any, name: str, found: Values) -> None:
    found["option"] += [max(param.opts, key=len) for param in command.params if param.param_type_name == "option"]
    if not hasattr(command, "list_commands"):
        found["command"].append(name or command.name)
        return
    if command.invoke_without_command:
        found["command"].append(name or command.name)
    context = command.context_class(command)
    for inner in command.list_commands(context):
        _walk(command.get_command(context, inner), f"{name} {inner}".strip(), found)


def _loggers(target: str) -> Values:
    source = Path(target)
    if not source.exists():
        raise ConfigError(f"{target}: no such file or directory; name the program's source")
    files = [source] if source.is_file() else sorted(source.rglob("*.py"))
    return {"logger": [name for file in files for name in _named_in(file)]}


def _named_in(file: Path) -> Iterator[str]:
    """Yield the names of the loggers that a file makes by `getLogger` or `get_logger`."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in {"getLogger", "get_logger"}:
                yield from _logger_name(node.args[0], file)


def _logger_name(argument: ast.expr, file: Path) -> Iterator[str]:
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str) and argument.value:
        yield argument.value
    elif isinstance(argument, ast.Name) and argument.id == "__name__":
        yield _module_name(file)


def _module_name(file: Path) -> str:
    """Return the name that a file is imported by: with the packages above it."""
    file = file.resolve()
    parts = [] if file.stem == "__init__" else [file.stem]
    above = file.parent
    while (above / "__init__.py").exists():
        parts.append(above.name)
        above = above.parent
    return ".".join(reversed(parts))


def _entry_points(target: str) -> Values:
    return {"name": [point.name for point in entry_points(group=target)]}


KINDS: dict[str, Callable[[str], Values]] = {
    "asgi": _asgi,
    "django": _django,
    "flask": _flask,
    "celery": _celery,
    "arq": _arq,
    "click": _click,
    "loggers": _loggers,
    "entry-points": _entry_points,
}
"""The collector of each kind of program."""
