"""The group of all commands for people; each is loaded when it is named."""

from __future__ import annotations

from importlib import import_module

import click

from telemetry.cli.examples import add_examples
from telemetry.terminal import did_you_mean

_PLACES = {
    "catalog": "catalog",
    "collect": "collect",
    "completion": "completion",
    "config": "config",
    "consent": "client",
    "demo": "demo",
    "doctor": "doctor",
    "forget": "forget",
    "keys": "keys",
    "load": "load",
    "local": "consent",
    "metrics": "metrics",
    "off": "consent",
    "on": "consent",
    "place": "client",
    "preview": "preview",
    "purge": "purge",
    "query": "query",
    "report": "report",
    "spool": "spool",
    "status": "status",
    "stream": "stream",
    "tail": "tail",
    "technical": "consent",
    "top": "top",
    "tripwire": "tripwire",
    "view": "view",
}
_FAST = {
    "redact": "A filter by the very code that redacts `text` fields; `telemetry redact --help` has its options.",
    "ship": "The shipper in the foreground; `telemetry ship --help` has its options.",
}


class _Lazy(click.Group):
    """Group of commands that imports each when it is named: `status` must not wait for DuckDB."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_PLACES, *_FAST])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in _FAST:  # dispatched before click; here for the help
            return add_examples(cmd_name, click.Command(cmd_name, help=_FAST[cmd_name]))
        if cmd_name in _PLACES:
            return add_examples(cmd_name, getattr(import_module(f"telemetry.cli.{_PLACES[cmd_name]}"), cmd_name))
        found = super().get_command(ctx, cmd_name)
        return found and add_examples(cmd_name, found)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name, known = args[0], self.list_commands(ctx)
        if name not in known and not name.startswith("-") and not ctx.resilient_parsing:
            hint = did_you_mean(name, known) or f"; it may be one of {', '.join(known)}"
            ctx.fail(f"no such command {name!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="telemetry-shipper")
def commands() -> None:
    """Usage telemetry that can prove what leaves this machine."""


@commands.command(name="help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_(ctx: click.Context, names: tuple[str, ...]) -> None:
    """Print the help of a command, or the list of all."""
    above = ctx.parent or ctx
    command: click.Command = commands
    for name in names:
        if not isinstance(command, click.Group):
            raise click.UsageError(f"{above.command_path} has no commands of its own")
        found = command.resolve_command(above, [name])[1]
        if found is None:
            raise click.UsageError(f"no such command {name!r}")
        command, above = found, click.Context(found, above, name)
    click.echo(command.get_help(above))
