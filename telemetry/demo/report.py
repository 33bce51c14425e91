"""The demo's last page: ledger, cost, redactions, and how to look at the rest."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from telemetry.terminal import counted, printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from rich.console import RenderableType

    from telemetry.demo.result import Result, Sample


LINE_SECONDS = 2.0


Row = tuple[str, str, str]
QUERY = "SELECT event, count(*) FROM events GROUP BY event"


class Stage(NamedTuple):
    """A moment of the demo: how far it has come.

    Attributes:
        seconds: since the producers were started.
        wanted: events that will be emitted.
        emitted: events so far, as the producers say.
        on_disk: events in the spool.
        delivered: events that the collector has confirmed.
    """

    seconds: float
    wanted: int
    emitted: int
    on_disk: int
    delivered: int

    @property
    def events_per_second(self) -> float:
        """Events emitted a second, so far."""
        return self.emitted / self.seconds if self.seconds else 0.0


class Display(Protocol):
    """A way to show stages."""

    def __enter__(self) -> Self:
        """Make room on the terminal."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, stage: Stage) -> None:
        """Show the stage of the moment."""


def open_display() -> Display:
    """Choose the display that fits stderr."""
    return Bars() if sys.stderr.isatty() else Lines()


class Bars:
    """Three bars, drawn anew at every stage."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(),
            TextColumn("{task.completed:>11,.0f}"),
            TextColumn("{task.fields[remark]}"),
            console=Console(stderr=True),
            auto_refresh=False,
            transient=True,
        )
        names = ("emitted", "on disk", "delivered")
        self._emitted, self._on_disk, self._delivered = (
            self._progress.add_task(name, total=None, remark="") for name in names
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, stage: Stage) -> None:
        """Draw the stage of the moment."""
        rate = f"{stage.events_per_second:,.0f}/s" if stage.emitted < stage.wanted else "all"
        self._set(self._emitted, stage.wanted, stage.emitted, rate)
        self._set(self._on_disk, stage.wanted, stage.on_disk, "")
        self._set(self._delivered, stage.wanted, stage.delivered, "")
        self._progress.refresh()

    def _set(self, task: int, wanted: int, number: int, remark: str) -> None:
        self._progress.update(task, total=wanted, completed=number, remark=remark)  # type: ignore[arg-type] # TaskID


class Lines:
    """A line every few seconds, for logs."""

    def __init__(self) -> None:
        self._shown_seconds = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.stderr.flush()

    def show(self, stage: Stage) -> None:
        """Write the stage of the moment, unless the last one is recent."""
        if stage.seconds - self._shown_seconds < LINE_SECONDS:
            return
        self._shown_seconds = stage.seconds
        sys.stderr.write(
            f"emitted {stage.emitted:,}  on disk {stage.on_disk:,}  delivered {stage.delivered:,}  "
            f"({stage.events_per_second:,.0f}/s)\n"
        )


def print_report(result: Result, samples: list[Sample]) -> None:
    """Print the whole page on stdout."""
    console = Console(highlight=False)
    _print_section(console, "Ledger", _ledger_table(result))
    _print_section(console, "Cost", _cost_table(result))
    _print_section(console, "Redacted, by rule", _counts_table(result.run.account.tally.redacted))
    _print_section(console, "Before, in a file; after, in the collector's store", _samples_table(samples))
    _print_where(console, result)


def print_ledger(result: Result) -> None:
    """Print the ledger of a run that was interrupted."""
    console = Console(highlight=False)
    _print_section(console, "Ledger so far", _ledger_table(result))
    _print_where(console, result)


def _ledger_table(result: Result) -> Table:
    """Return a table of the events emitted and, line by line, their fates."""
    account = result.run.account
    table = _grid()
    table.add_row("  emitted", f"{account.tally.emitted:,}", _emitted_remark(result))
    table.add_row("= delivered", f"{account.delivered:,}", "")
    table.add_row("+ on disk", f"{account.on_disk:,}", "")
    table.add_row("+ in flight", "0", "")
    table.add_row("+ dropped", f"{account.tally.lost:,}", _listed(account.tally.dropped))
    table.add_row("  unaccounted", f"{account.balance:,}", "")
    fields = account.tally.fields_dropped
    table.add_row(
        "  fields removed", f"{sum(fields.values()):,}", _listed(fields) + ("; their events went on" if fields else "")
    )
    return table


def _emitted_remark(result: Result) -> str:
    if result.run.interrupted:
        return ""
    return f"{result.run.plan.events:,} events and {result.aggregates:,} aggregates of the counter"


def _cost_table(result: Result) -> Table:
    table = _grid()
    for row in (*_rates(result), *_costs(result)):
        table.add_row(*row)
    return table


def _rates(result: Result) -> Iterator[Row]:
    run = result.run
    emitted = run.account.tally.emitted
    yield (
        "emitted",
        _rate(emitted, run.produced_seconds),
        f"by {counted(run.plan.processes, 'producer')}, until confirmed on disk",
    )
    yield "delivered", _rate(emitted, run.seconds), f"from start to the last delivery, {run.seconds:.1f} s"


def _costs(result: Result) -> Iterator[Row]:
    host, own, shipper = (
        "?" if cost is None else f"{cost:.2f} µs"
        for cost in (result.host_cpu_us_per_event, result.own_cpu_us_per_event, result.shipper_cpu_us_per_event)
    )
    init_ms = max(word.init_cpu_seconds for word in result.run.words) * 1e3
    yield (
        "telemetry in the host",
        host,
        "CPU an event: all that producers used, threads included, but for their own work",
    )
    yield "the host's own work", own, "CPU an event: reading and tokenising"
    yield "init, once", f"{init_ms:,.0f} ms", "CPU a process: imports, and spawning the shipper"
    yield "shipper", shipper, "CPU an event, its start included"
    yield "on the wire", f"{result.bytes_per_event or 0:,.1f} B", "an event: bodies of the uploads, compressed"


def _counts_table(counts: dict[str, int]) -> RenderableType:
    if not counts:
        return Text("nothing")
    table = _grid()
    for name, number in sorted(counts.items(), key=lambda pair: -pair[1]):
        table.add_row(name, f"{number:,}")
    return table


def _samples_table(samples: list[Sample]) -> RenderableType:
    if not samples:
        return Text("no comment contained anything to redact")
    table = Table(show_header=True, show_lines=True, header_style="bold")
    for column in ("before", "after", "rules"):
        table.add_column(column, overflow="fold")
    for sample in samples:
        table.add_row(Text(printable(sample.before)), Text(printable(sample.after)), Text(" ".join(sample.rules)))
    return table


def _print_section(console: Console, title: str, content: RenderableType) -> None:
    console.print(Text(f"\n{title}", "bold"))
    console.print(Padding(content, (0, 0, 0, 2)))


def _print_where(console: Console, result: Result) -> None:
    if not result.stored.events:
        return
    store = quote(str(result.run.plan.store))
    console.print(Text("\nLook at what the collector has, then remove the directory", "bold"))
    # Not wrapped: it is there to be copied.
    console.print(f'  {_program()} query "{QUERY}" --store {store}', markup=False, soft_wrap=True)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    return table


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in sorted(counts.items()))


def _rate(events: int, seconds: float) -> str:
    return f"{events / seconds:,.0f}/s" if seconds else "?"


def _program() -> str:
    """Return how to call `telemetry` from where the user stands: the environment may not be on the PATH."""
    if shutil.which("telemetry"):
        return "telemetry"
    return quote(os.path.relpath(Path(sys.executable).with_name("telemetry")))
