"""The screen of `telemetry top`, by textual."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.widgets import DataTable, Footer, Header, Sparkline, Static

from telemetry.terminal import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from textual.app import ComposeResult
    from textual.binding import BindingType

_SHOWN = 120
_FIGURES = ("emitted", "delivered", "on_disk", "in_flight")


class Top(App[None]):
    """The screen: consent, rates as a line of bars, and a table of figures.

    Args:
        product: the product.
        every: the seconds between two looks.
        gather: returns the report of a product, as `telemetry status --json` prints it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "End")]
    CSS = "Sparkline { height: 4; margin: 1 1; } Static { margin: 0 1; } DataTable { height: 1fr; }"
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, product: str, every: float, gather: Callable[[str], dict[str, Any]]) -> None:
        super().__init__()
        self.title = f"telemetry: {product}"
        self._product = product
        self._every = every
        self._gather = gather
        self._last: tuple[float, int] | None = None
        self._rates: deque[float] = deque(maxlen=_SHOWN)

    def compose(self) -> ComposeResult:
        """Make the parts of the screen."""
        yield Header()
        yield Static("", id="consent", markup=False)
        yield Static("", id="rate", markup=False)
        yield Sparkline([], id="rates")
        yield DataTable(id="figures", cursor_type="none")
        yield Footer()

    def on_mount(self) -> None:
        """Begin to look."""
        table = self.query_one(DataTable)
        table.add_columns("what", "which", "number")
        self.look()
        self.set_interval(self._every, self.look)

    def look(self) -> None:
        """Look once, and show it."""
        report = self._gather(self._product)
        emitted, now = report["ledger"]["emitted"], time.monotonic()
        if self._last is not None:
            before, then = self._last[1], self._last[0]
            self._rates.append(max(0.0, (emitted - before) / (now - then)))
        self._last = now, emitted
        consent = report["consent"]
        self.query_one("#consent", Static).update(
            printable(f"a program that says nothing itself: {consent['state']}, by {consent['rule']}")
        )
        self.query_one("#rate", Static).update(f"{self._rates[-1] if self._rates else 0:,.0f} events a second")
        self.query_one(Sparkline).data = list(self._rates)
        table = self.query_one(DataTable)
        table.clear()
        for what, which, number in _rows(report):
            table.add_row(what, printable(which), number)


def _rows(report: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    ledger, spool = report["ledger"], report["spool"]
    for figure in _FIGURES:
        yield "events", figure.replace("_", " "), f"{ledger[figure]:,}"
    for reason, number in sorted(ledger["dropped"].items(), key=lambda pair: -pair[1]):
        yield "dropped", reason, f"{number:,}"
    for reason, number in sorted(ledger["fields_dropped"].items(), key=lambda pair: -pair[1]):
        yield "fields dropped", reason, f"{number:,}"
    for folder, number in spool["segments"].items():
        yield "segments", folder, f"{number:,} ({spool['bytes'][folder]:,} bytes)"
    for run in (report["shipper"], *report["shipper"]["others"]):
        if run["running"]:
            state = run.get("upload", "starts" if run.get("starting") else "does not answer")
            memory = run.get("memory_bytes", 0) / 2**20
            yield "shipper", f"pid {run['pid']}, upload {state}", f"{memory:.0f} MiB"
    for line in report["errors"]:
        yield "error", line, ""
