"""The command `telemetry catalog`: checks a catalog before it is published, and writes what is made from it."""

from __future__ import annotations

import ast
import datetime as dt
import json
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemetry.catalog.load import Fault, inspect
from telemetry.errors import ConfigError
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry.catalog.messages import Collected
    from telemetry.catalog.model import Catalog

_PROGRAMS = ("asgi", "django", "flask", "celery", "arq", "click", "loggers", "entry-points")
"""The kinds of programs that `values` looks at, as in telemetry/catalog/values.py, which loads only when asked."""

file_argument = click.argument("file", type=click.Path(path_type=Path))
output_option = click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Where to write it; stdout if not given."
)


@click.group()
def catalog() -> None:
    """Check the catalog, the one list of what may leave, and write what is made from it."""


@catalog.command()
@file_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--strict", is_flag=True, help="Fail for warnings as well.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="Check as if today were this date.")
def check(file: Path, as_json: bool, strict: bool, today: dt.datetime | None) -> None:  # noqa: FBT001 click passes it by name
    """Find every fault of FILE, and what a reviewer would doubt, each with its remedy.

    Exit codes: 0, good; 1, a finding (with --strict, a warning too).
    """
    from telemetry.catalog.lint import lint  # noqa: PLC0415 each command pays for itself only

    found, faults = inspect(file)
    if found is not None:
        faults = lint(found, (today or dt.datetime.now(dt.UTC)).date())
    good = not [fault for fault in faults if strict or not fault.warning]
    events = found.events.values() if found else ()
    fields = sum(len(event.fields) for event in events)
    if as_json:
        print(_as_json(file, faults, {"good": good, "events": len(events), "fields": fields}))
    else:
        print("".join(f"{fault.line(file)}\n" for fault in faults), end="")
        if good:
            print(f"{file}: {counted(len(events), 'event')}, {counted(fields, 'field')}, good")
    sys.exit(0 if good else 1)


@catalog.command()
@file_argument
@output_option
def docs(file: Path, output: Path | None) -> None:
    """Write the privacy page of FILE, in Markdown: what users read.

    Exit codes: 0, written; 1, FILE has faults; 2, it can't be written.
    """
    from telemetry.catalog.docs import privacy_page  # noqa: PLC0415 as above

    _write(file, output, privacy_page)


@catalog.command(name="json")
@file_argument
@output_option
@click.option("--schema", is_flag=True, help="The JSON Schema of one line of an upload instead.")
def json_(file: Path, output: Path | None, schema: bool) -> None:  # noqa: FBT001 click passes it by name
    """Write FILE as JSON, for programs; its keys are described in `telemetry.catalog.machine`.

    Exit codes: 0, written; 1, FILE has faults; 2, it can't be written.
    """
    from telemetry.catalog.machine import machine_form  # noqa: PLC0415 as above
    from telemetry.catalog.schema import line_schema  # noqa: PLC0415 as above

    make = line_schema if schema else machine_form
    _write(file, output, lambda found: json.dumps(make(found), indent=2, sort_keys=True) + "\n")


@catalog.command()
@file_argument
@output_option
def stubs(file: Path, output: Path | None) -> None:
    """Write a Python module with a typed function for each event of FILE.

    Exit codes: 0, written; 1, FILE has faults; 2, it can't be written.
    """
    from telemetry.catalog.stubs import stubs as write_stubs  # noqa: PLC0415 as above

    _write(file, output, write_stubs)


@catalog.command()
@click.argument("sources", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@output_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def templates(sources: tuple[Path, ...], output: Path | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Collect the messages of a program from SOURCES, files of Python or folders, as the lines of a `message` field.

    Those of logging calls, warnings and exceptions; what is filled in becomes a hole. For a reviewer, who takes away
    what need not leave. Folders of tests are passed over.

    Exit codes: 0, written; 1, also, but a file was passed over; 2, it can't be written.
    """
    from telemetry.catalog.messages import collect, lines_for_review  # noqa: PLC0415 as above

    read = list(map(_read_source, _files(sources)))
    collected = collect(source for source in read if source)
    _put(output, _templates_json(collected) if as_json else lines_for_review(collected))
    sys.exit(0 if all(read) else 1)


@catalog.command()
@click.argument("kind", type=click.Choice(_PROGRAMS))
@click.argument("source")
@click.option("--field", metavar="NAME", help="Only the values of this field: `command` or `option`, of click.")
@click.option(
    "--check",
    "checked",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Only the values that this file lacks, a catalog's `values_file`.",
)
@output_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def values(kind: str, source: str, field: str | None, checked: Path | None, output: Path | None, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Collect the values that an enum takes of a program, for a `values_file`, one a line.

    SOURCE is `module:name` of an ASGI or Flask application, a Celery application, arq's settings, or a command of
    click or typer, which are imported; the settings' module for django; files of Python for loggers; a group's name
    for entry points. For a reviewer, who takes away what need not leave.

    Exit codes: 0, written, or nothing lacks; 1, the file of --check lacks some; 2, SOURCE is no such program.
    """
    from telemetry.catalog.source import values_in  # noqa: PLC0415 as above
    from telemetry.catalog.values import collect_values, written  # noqa: PLC0415 as above

    try:
        found = collect_values(kind, source)
        listed = set(values_in(checked.read_text("utf-8"))) if checked else set()
    except ConfigError as fault:
        raise click.UsageError(str(fault)) from None
    except OSError as fault:
        raise click.UsageError(f"{checked} can't be read ({fault.strerror}); name another file") from None
    if field is not None and field not in found:
        raise click.UsageError(f"--field: {kind} has {', '.join(found)}")
    lists = {
        name: [value for value in each if value not in listed] for name, each in found.items() if field in {name, None}
    }
    _put(output, json.dumps(lists) + "\n" if as_json else written(lists))
    sys.exit(1 if checked and any(lists.values()) else 0)


def _templates_json(collected: Collected) -> str:
    found = {
        file: [{"line": message.line, "template": message.template} for message in messages]
        for file, messages in collected.messages.items()
    }
    return json.dumps({"messages": found, "left_out": collected.left_out}) + "\n"


def _files(sources: tuple[Path, ...]) -> Iterator[tuple[str, Path]]:
    """Yield the Python files of the sources, each with the name by which a reviewer knows it."""
    for source in sources:
        if source.is_file():
            yield source.name, source
            continue
        for file in sorted(source.rglob("*.py")):
            within = file.relative_to(source)
            if not any(part in {"test", "tests"} or part.startswith(".") for part in within.parts[:-1]):
                yield str(source.resolve().name / within), file


def _read_source(named: tuple[str, Path]) -> tuple[str, ast.Module] | None:
    """Parse a file; report one that is no Python, and return None."""
    name, file = named
    try:
        with warnings.catch_warnings(action="ignore"):
            return name, ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError) as fault:
        print(f"{file}: is skipped: it can't be read as Python ({type(fault).__name__})", file=sys.stderr)
        return None


@catalog.command()
@click.argument("old", type=click.Path(path_type=Path))
@click.argument("new", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object for each change, one a line.")
def diff(old: Path, new: Path, as_json: bool) -> None:  # noqa: FBT001 click passes it by name
    """Say what the change from catalog OLD to NEW does to those who query the events.

    Exit codes: 0, no type changes under a name that stays; 1, one does; 2, a file is no catalog.
    """
    from telemetry.catalog.diff import find_changes  # noqa: PLC0415 as above

    changes = find_changes(_load(old), _load(new))
    for change in changes:
        print(json.dumps(change._asdict()) if as_json else change.line())
    if not changes and not as_json:
        print("nothing changes for those who query")
    sys.exit(1 if any(change.breaks for change in changes) else 0)


def _load(file: Path) -> Catalog:
    found, faults = inspect(file)
    if found is None:
        print("\n".join(fault.line(file) for fault in faults), file=sys.stderr)
        sys.exit(2)
    return found


def _write(file: Path, output: Path | None, make: Callable[[Catalog], str]) -> None:
    found, faults = inspect(file)
    if found is None:
        print("\n".join(fault.line(file) for fault in faults), file=sys.stderr)
        sys.exit(1)
    _put(output, make(found))


def _put(output: Path | None, text: str) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"{output} can't be written ({error.strerror}); name another file") from None


def _as_json(file: Path, faults: list[Fault], result: dict[str, object]) -> str:
    def listed(*, warnings: bool) -> list[dict[str, str]]:
        return [
            {"code": fault.code, "event": fault.event, "field": fault.field, "fault": fault.fault}
            for fault in faults
            if fault.warning == warnings
        ]

    lists = {"faults": listed(warnings=False), "warnings": listed(warnings=True)}
    return json.dumps({"file": str(file), **result, **lists})
