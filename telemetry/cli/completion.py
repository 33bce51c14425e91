"""The command `telemetry completion`: prints what a shell needs to complete commands, options, products and batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, get_completion_class

from telemetry.consent import known_products
from telemetry.inspect.contents import find_segments
from telemetry.paths import spools_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_TELEMETRY_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, products, batches and paths.

    It asks `telemetry` itself, which so must be on the PATH. To have it in each session:

    \b
      bash  telemetry completion bash > ~/.local/share/bash-completion/completions/telemetry
      zsh   telemetry completion zsh > "${fpath[1]}/_telemetry"
      fish  telemetry completion fish > ~/.config/fish/completions/telemetry.fish
    """  # noqa: D301 click's mark for lines that stay as they are
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"this version of click can't complete in {shell}")
    script = found(click.Command("telemetry"), {}, "telemetry", VARIABLE)
    click.echo(script.source_template % script.source_vars())


def batches(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the batches whose ids go on from what was typed: of the product that was named, or of all."""
    product = context.params.get("product")
    names = [product] if product else known_products()
    return [
        CompletionItem(id_, help=folder) for name in names for id_, folder in _batches(name) if id_.startswith(begun)
    ]


def _batches(product: str) -> Iterator[tuple[str, str]]:
    for spool in spools_of(product):
        yield from ((found.id, found.folder) for found in find_segments(spool))
