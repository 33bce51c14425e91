"""The command `telemetry demo`: sends a million events about this machine to a collector of its own."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from telemetry.cli.consent import CommandError
from telemetry.cli.extras import not_installed
from telemetry.errors import ConfigError, TelemetryError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEAST_EVENTS = 1000  # every producer has something to do, and a chance to meet every event


@click.command()
@click.option(
    "--events", default=1_000_000, show_default=True, type=click.IntRange(min=_LEAST_EVENTS), help="How many to emit."
)
@click.option(
    "--processes", default=2, show_default=True, type=click.IntRange(1, 64), help="How many producers emit them."
)
@click.option("--keep", type=click.Path(path_type=Path), help="A new directory for what the collector gets.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def demo(events: int, processes: int, keep: Path | None, *, as_json: bool) -> None:
    """Emit events about this machine's Python files and processes, and account for every one.

    Producers, a shipper and a collector run in a private temporary home, whatever your own choice of telemetry is:
    nothing leaves this machine. Only the collector's store stays, for you to look at; the end of the output says where.
    """
    from telemetry.demo.children import Interrupt  # noqa: PLC0415 `telemetry --help` should not wait for any of this

    with Interrupt() as interrupt:
        try:  # it takes a moment, and Ctrl-C holds already
            from telemetry.demo.run import Plan, perform  # noqa: PLC0415 the same
        except ImportError as fault:
            raise CommandError(not_installed(fault)) from None
        try:
            with _store(keep) as store:
                exit_code = perform(Plan(events, processes, store), interrupt, as_json=as_json)
        except (TelemetryError, OSError) as fault:
            print(f"telemetry demo: {fault}", file=sys.stderr)
            exit_code = 1
    sys.exit(exit_code)


@contextmanager
def _store(keep: Path | None) -> Iterator[Path]:
    """Make the collector's directory, which is kept only if the demo has stored something."""
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise ConfigError(f"--keep {keep}: it is not empty; name a new directory")
        yield keep
        return
    store = Path(tempfile.mkdtemp(prefix="telemetry-demo-store-"))
    try:
        yield store
    except BaseException:
        shutil.rmtree(store, ignore_errors=True)
        raise
    if not any(store.glob("batches/*")):
        shutil.rmtree(store, ignore_errors=True)
