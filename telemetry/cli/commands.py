"""The group of all commands for people; each is loaded when it is named."""

from __future__ import annotations

from importlib import import_module

import click

_PLACES = {
    "catalog": "catalog",
    "collect": "collect",
    "consent": "client",
    "demo": "demo",
    "doctor": "doctor",
    "forget": "forget",
    "keys": "keys",
    "local": "consent",
    "metrics": "metrics",
    "off": "consent",
    "on": "consent",
    "place": "client",
    "preview": "preview",
    "purge": "purge",
    "query": "query",
    "spool": "spool",
    "status": "status",
    "technical": "consent",
    "tripwire": "tripwire",
}
_FAST = {
    "redact": "A filter by the very code that redacts `text` fields.",
    "ship": "The shipper in the foreground.",
}


class _Lazy(click.Group):
    """Group of commands that imports each when it is named: `status` must not wait for DuckDB."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        return sorted([*_PLACES, *_FAST])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 the same
        if cmd_name in _FAST:  # dispatched before click; here for the help
            return click.Command(cmd_name, help=_FAST[cmd_name])
        if cmd_name not in _PLACES:
            return None
        command: click.Command = getattr(import_module(f"telemetry.cli.{_PLACES[cmd_name]}"), cmd_name)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="telemetry-shipper")
def commands() -> None:
    """Usage telemetry that can prove what leaves this machine."""
