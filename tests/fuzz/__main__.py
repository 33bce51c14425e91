"""`tools/fuzz`: see its options."""

from __future__ import annotations

import json
import os
import random
import resource
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import click

from fuzz.pool import openers, run

if TYPE_CHECKING:
    from fuzz.pool import Tally


@click.command(context_settings={"max_content_width": 120})
@click.argument("targets", nargs=-1)
@click.option("--seconds", type=float, help="Stop after so long; 60 when --inputs is not given.")
@click.option("--inputs", type=int, help="Stop after so many inputs of all targets together.")
@click.option("--seed", type=int, help="The same seed gives the same inputs.  [default: a random one]")
@click.option("--workers", type=int, default=os.cpu_count(), show_default=True, help="Processes.")
@click.option("--list", "as_list", is_flag=True, help="Print the targets' names and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def main(
    targets: tuple[str, ...],
    seconds: float | None,
    inputs: int | None,
    seed: int | None,
    workers: int,
    *,
    as_list: bool,
    as_json: bool,
) -> None:
    """Feed TARGETS (all, if none is named) with mutated inputs until one crashes, or time or inputs are up.

    A crash is an error that is not documented, more than a second of CPU for one input, or a gigabyte of memory.
    Exit code: 0 without a crash, 1 with one, which is printed so that it can be run again.
    """
    known = tuple(openers(Path("unopened")))
    if as_list:
        click.echo("\n".join(known))
        return
    if unknown := set(targets) - set(known):
        raise click.UsageError(f"no such target: {', '.join(sorted(unknown))}; take {', '.join(known)}")
    seed = random.SystemRandom().randrange(2**32) if seed is None else seed
    begun = monotonic()
    limit = seconds if seconds is not None else 60.0 if inputs is None else float("inf")
    tally = run(targets or known, seed, inputs, limit, workers)
    took = monotonic() - begun
    if as_json:
        click.echo(json.dumps(_report(tally, seed, took)))
    else:
        _print(tally, seed, took)
    sys.exit(1 if tally.crashes or tally.died else 0)


def _report(tally: Tally, seed: int, seconds: float) -> dict[str, object]:
    return {
        "seed": seed,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(_cpu_seconds(), 1),
        "inputs": sum(tally.inputs.values()),
        "targets": tally.inputs,
        "crashes": [{**crash._asdict(), "input": repr(crash.input)} for crash in tally.crashes],
        "died": [chunk._asdict() for chunk in tally.died],
    }


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _print(tally: Tally, seed: int, seconds: float) -> None:
    for name, inputs in tally.inputs.items():
        click.echo(f"{name:10} {inputs:>12,} inputs")
    total = sum(tally.inputs.values())
    click.echo(
        f"{'all':10} {total:>12,} inputs in {seconds:.0f} s ({_cpu_seconds():.0f} s of CPU), seed {seed}: "
        f"{len(tally.crashes) + len(tally.died)} crashes"
    )
    for crash in tally.crashes:
        click.echo(
            f"\n{crash.target} crashed at input {crash.number} of seed {crash.seed}: {crash.what}\n{crash.input!r}"
        )
    for chunk in tally.died:
        click.echo(f"\nthe process died while it ran {chunk.target} with seed {chunk.seed}, or one beside it")


if __name__ == "__main__":
    main()
