"""How the demo shows that it gets on: bars on a terminal, else a line now and then; always on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

if TYPE_CHECKING:
    from types import TracebackType

LINE_SECONDS = 2.0


class Stage(NamedTuple):
    """How far the demo has come.

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
    """Where stages are shown."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Leave the terminal as it was."""

    def show(self, stage: Stage) -> None:
        """Show the stage of the moment."""


def open_display() -> Display:
    """The display that fits stderr."""
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
