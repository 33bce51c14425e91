"""typer: one event a command that has run, and a count for each option that was given, never its value.

command_events(app)()                         # in the place of `app()`

The events are those of telemetry/integrations/click.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.main import get_command

from telemetry.integrations import click

if TYPE_CHECKING:
    from typer import Typer


def command_events(app: Typer, *, event: str = "command", option_event: str = "option") -> Any:
    """Return an application's command that emits events, as those of click do; call it as the application is called.

    Args:
        app: the application.
        event: the name of the event, which the catalog declares.
        option_event: the name of the counter of options, which the catalog declares.
    """
    return click.command_events(get_command(app), event=event, option_event=option_event)
