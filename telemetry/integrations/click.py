"""click: one event a command that has run, and a count for each option that was given, never its value.

command_events(cli)                           # before `cli()`

[events.command]
purpose = "find commands that are used, slow, or fail"
owner = "command line team"
expires = "2027-06-30"
sensitivity = "interaction"
[events.command.fields]
command = { type = "enum", values = ["spool ls", "spool purge"], purpose = "which command" }
exit_code = { type = "int", min = 0, max = 255, purpose = "how it ends" }
duration_ms = { type = "duration", purpose = "how long it takes" }

[events.option]
kind = "counter"
purpose = "find options that nobody needs"
owner = "command line team"
expires = "2027-06-30"
sensitivity = "interaction"
[events.option.fields]
command = { type = "enum", values = ["spool ls", "spool purge"], purpose = "of which command" }
option = { type = "enum", values = ["--json", "--all"], purpose = "which option" }

`telemetry catalog values SOURCE` writes the values.
"""

from __future__ import annotations

from typing import Any, TypeVar

import telemetry
from telemetry.native import perf_counter

AnyCommand = TypeVar("AnyCommand")  # click's own, or the copy that typer has of it: they are told by their form

_MARK = "_telemetry_tells"
_GIVEN = "COMMANDLINE"
_MOST = 255


def command_events(command: AnyCommand, *, event: str = "command", option_event: str = "option") -> AnyCommand:
    """Emit an event with `command`, `exit_code` and `duration_ms` for a command, and for each one that it leads to.

    The command is named without its program, as in `spool ls`; a program without commands of its own is named by its
    own name. Options are counted that stood on the command line, by the longest name that each has; arguments and
    values never leave. Lazily loaded commands are seen as well.

    Args:
        command: a command or group of click, or of typer's own.
        event: the name of the event, which the catalog declares.
        option_event: the name of the counter of options, which the catalog declares.

    Returns:
        The same command.
    """
    if getattr(command, _MARK, False):
        return command
    told: Any = command
    invoke = told.invoke

    def invoke_and_tell(context: Any) -> Any:
        if context.invoked_subcommand is not None or getattr(context, "_protected_args", None):
            return invoke(context)  # of a group: its command tells
        began, code = perf_counter(), 0
        try:
            return invoke(context)
        except BaseException as fault:
            code = _exit_code(fault)
            raise
        finally:
            name = _name(context)
            telemetry.emit(event, command=name, exit_code=code, duration_ms=(perf_counter() - began) * 1e3)
            for option in _given(context):
                telemetry.count(option_event, command=name, option=option)

    told.invoke = invoke_and_tell
    setattr(told, _MARK, True)
    if (resolve := getattr(told, "resolve_command", None)) is not None:

        def resolve_and_tell(context: Any, args: list[str]) -> Any:
            name, found, rest = resolve(context, args)
            return name, found and command_events(found, event=event, option_event=option_event), rest

        told.resolve_command = resolve_and_tell
    return command


def _name(context: Any) -> str:
    names = []
    while context.parent is not None:
        names.append(context.info_name)
        context = context.parent
    return " ".join(reversed(names)) or context.command.name or "other"


def _given(context: Any) -> list[str]:
    return [
        max(parameter.opts, key=len)
        for parameter in context.command.params
        if parameter.param_type_name == "option"
        and getattr(context.get_parameter_source(parameter.name), "name", "") == _GIVEN
    ]


def _exit_code(fault: BaseException) -> int:
    """Return the exit code that a program ends with by an exception: click's own have one, SystemExit may."""
    code = fault.code if isinstance(fault, SystemExit) else getattr(fault, "exit_code", 1)
    if code is None:
        return 0
    return code & _MOST if isinstance(code, int) else 1
