"""`tools/mutants`: see its options."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from mutants.run import fates
from mutants.targets import TARGETS

_KNOWN = Path(__file__).with_name("survivors.txt")


@click.command(context_settings={"max_content_width": 120})
@click.argument("modules", nargs=-1)
@click.option("--workers", type=int, default=os.cpu_count(), show_default=True, help="Mutants at once.")
@click.option("--list", "as_list", is_flag=True, help="Print the modules and stop.")
def main(modules: tuple[str, ...], workers: int, *, as_list: bool) -> None:
    """Change one thing of MODULES (all, if none is named) after the other, and print each change that no test sees.

    Survivors that change nothing are listed, with the reason, in tests/mutants/survivors.txt. Exit code: 0 when all
    others are killed, 1 when not.
    """
    if as_list:
        click.echo("\n".join(TARGETS))
        return
    if unknown := set(modules) - TARGETS.keys():
        raise click.UsageError(f"no such module: {', '.join(sorted(unknown))}; see --list")
    known = {line.partition("  #")[0] for line in _KNOWN.read_text().splitlines() if line and line[0] != "#"}
    is_good = True
    for module in modules or TARGETS:
        made = killed = listed = 0
        with tempfile.TemporaryDirectory(prefix="telemetry-mutants-") as directory:
            for fate in fates(module, TARGETS[module], workers, Path(directory)):
                made += 1
                killed += fate.is_killed
                is_known = f"{module} {fate.mutant.key}" in known
                listed += is_known and not fate.is_killed
                if not fate.is_killed and not is_known:
                    click.echo(f"{module}:{fate.mutant.line} {fate.mutant.key}")
        click.echo(
            f"{module}: {made} mutants, {killed} killed, {listed} change nothing, {made - killed - listed} survive"
        )
        is_good &= made == killed + listed
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
