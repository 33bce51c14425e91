"""`tools/mutants`: see its options."""

from __future__ import annotations

import os
import random
import signal
import sys
from collections import Counter
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mutants.run import Fate, Runner
from mutants.targets import MODULES

if TYPE_CHECKING:
    from mutants.mutate import Mutant

_KNOWN = Path(__file__).with_name("survivors.txt")


@click.command(context_settings={"max_content_width": 120})
@click.argument("modules", nargs=-1)
@click.option("--workers", type=int, default=os.cpu_count(), show_default=True, help="Mutants at once.")
@click.option("--seconds", default=20.0, show_default=True, help="How long the tests on one mutant may take.")
@click.option("--sample", type=int, default=0, help="Try no more than so many mutants of each module, drawn by --seed.")
@click.option("--seed", default=0, show_default=True, help="Which mutants are drawn; the same seed draws the same.")
@click.option("--all", "as_all", is_flag=True, help="Print survivors that are listed, too.")
@click.option("--list", "as_list", is_flag=True, help="Print the modules and stop.")
def main(
    modules: tuple[str, ...], workers: int, seconds: float, sample: int, seed: int, *, as_all: bool, as_list: bool
) -> None:
    """Change one thing of MODULES (all, if none is named) after the other, and print each change that no test sees.

    Survivors that change nothing are listed, with the reason, in tests/mutants/survivors.txt. What became of each
    mutant is kept in .mutants/ as long as module and tests stay as they are: a run that was stopped goes on. Exit code:
    0 when at most 5 % survive and all that do are listed, 1 when not.
    """
    if as_list:
        click.echo("\n".join(MODULES))
        return
    if unknown := set(modules) - MODULES.keys():
        raise click.UsageError(f"no such module: {', '.join(sorted(unknown))}; see --list")
    known = {line.partition("  #")[0] for line in _KNOWN.read_text().splitlines() if line and line[0] != "#"}
    whole: Counter[str] = Counter()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    runner = Runner(workers, seconds)
    try:
        for _, room in groupby(modules or MODULES, key=MODULES.__getitem__):
            made = {module: runner.mutants(module) for module in room}
            chosen = {module: _drawn(all_of, sample, seed) for module, all_of in made.items()}
            fates: dict[str, list[Fate]] = {module: [] for module in chosen}
            for module, fate in runner.fates(chosen):
                fates[module].append(fate)
            for module, all_of in fates.items():
                counts = _counts(module, all_of, known)
                whole += counts
                for fate in sorted(all_of, key=lambda fate: fate.mutant.line):
                    is_known = f"{module} {fate.mutant.key}" in known
                    if fate.fate == "survived" and (as_all or not is_known):
                        click.echo(f"{module}:{fate.mutant.line} {fate.mutant.key}")
                click.echo(_told(module, counts, len(all_of) / len(made[module])))
    finally:
        runner.close()
    click.echo(_told("all", whole))
    survive = whole["listed"] + whole["survive"]
    sys.exit(1 if whole["survive"] or survive > 0.05 * whole["made"] else 0)


def _drawn(mutants: list[Mutant], sample: int, seed: int) -> list[Mutant]:
    return random.Random(seed).sample(mutants, sample) if 0 < sample < len(mutants) else mutants


def _counts(module: str, fates: list[Fate], known: set[str]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for mutant, fate, _ in fates:
        if fate != "same":
            is_known = f"{module} {mutant.key}" in known
            counts["made"] += 1
            counts["killed" if fate != "survived" else "listed" if is_known else "survive"] += 1
            counts["timeout"] += fate == "timeout"
    return counts


def _told(name: str, counts: Counter[str], share: float = 1.0) -> str:
    sample = f" (a sample of {share:.0%})" if share < 1 else ""
    return (
        f"{name}{sample}: {counts['made']} mutants, {counts['killed']} seen ({counts['timeout']} by a test that hung), "
        f"{counts['listed']} change nothing, {counts['survive']} survive"
    )


if __name__ == "__main__":
    main()
