"""The documentation as chapters: the READMEs beside the code, and what is made from the code itself."""

from __future__ import annotations

import inspect
from importlib.resources import files
from typing import TYPE_CHECKING

import click

import telemetry
from telemetry.cli.metrics import FAMILIES
from telemetry.doctor.remedies import REMEDIES
from telemetry.view.serve import Chapter

if TYPE_CHECKING:
    from collections.abc import Iterator

_READMES = ("view", "", "catalog", "redact", "shipper", "collector")
"""The packages that have a README, in the order in which a newcomer reads them."""


def documentation() -> list[Chapter]:
    """Return all chapters; a program that carries no READMEs has those alone that are made."""
    return [
        *_readmes(),
        Chapter("calls", "Reference of the calls", "# Reference of the calls\n\n" + "\n".join(_calls())),
        Chapter("commands", "Reference of the commands", "# Reference of the commands\n\n" + "\n".join(_commands())),
        Chapter("drops", "Why events are dropped", _drops()),
        Chapter("metrics", "Metrics", _metrics()),
    ]


def _readmes() -> Iterator[Chapter]:
    for package in _READMES:
        file = files("telemetry").joinpath(package, "README.md")
        if file.is_file():
            text = file.read_text("utf-8")
            yield Chapter("/".join(filter(None, ("telemetry", package, "README.md"))), _title(text), text)


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def _calls() -> Iterator[str]:
    for name in telemetry.__all__:
        found = getattr(telemetry, name)
        if isinstance(found, type) or callable(found):
            yield f"## {name}\n\n```text\n{name}{_signature(found)}\n\n{inspect.getdoc(found)}\n```\n"


def _signature(found: object) -> str:
    if isinstance(found, type) and issubclass(found, Exception):
        return ""
    try:
        return str(inspect.signature(found))  # type: ignore[arg-type] # a class or a function
    except ValueError:
        return ""


def _commands() -> Iterator[str]:
    from telemetry.cli.commands import commands  # noqa: PLC0415 it imports this command's own module

    def walk(command: click.Command, context: click.Context) -> Iterator[str]:
        yield f"## {context.command_path}\n\n```text\n{command.get_help(context)}\n```\n"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                if inner := command.get_command(context, name):
                    yield from walk(inner, click.Context(inner, info_name=name, parent=context))

    return walk(commands, click.Context(commands, info_name="telemetry", terminal_width=100))


def _drops() -> str:
    rows = "\n".join(f"| `{reason}` | {remedy} |" for reason, remedy in REMEDIES.items())
    return (
        "# Why events are dropped\n\nEvery event and every field that does not leave is counted under one of these "
        "reasons; `telemetry status` has the counts, `telemetry doctor` names event and field.\n\n"
        f"| reason | what to do |\n|---|---|\n{rows}\n"
    )


def _metrics() -> str:
    def suffix(kind: str) -> str:
        return "_total" if kind == "counter" else ""

    rows = "\n".join(
        f"| `telemetry_{name}{suffix(kind)}` | {kind} | {label and f'`{label}`'} | {said} |"
        for name, (kind, said, label) in FAMILIES.items()
    )
    return (
        "# Metrics\n\nWhat `telemetry metrics` prints, each with the label `product`.\n\n"
        f"| metric | kind | label | what it is |\n|---|---|---|---|\n{rows}\n"
    )
