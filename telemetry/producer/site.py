"""Where a client's shipper lives, and that one lives there."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from telemetry.paths import private_dir
from telemetry.producer.spawn import can_spawn, is_starting, shipper_runs, spawn_shipper

if TYPE_CHECKING:
    from pathlib import Path

RETRY_SECONDS = 0.5
"""How soon a shipper that does not come up is started again; doubled from the fourth time on."""

MAX_RETRY_SECONDS = 10.0
"""What can't start costs a tenth of a second of CPU each time; what can is not to be waited for much longer."""

QUICK_STARTS = 3


class Site:
    """Where a client's shipper lives, and what it is told when it is spawned.

    Attributes:
        directory: the rendezvous: sockets, lock and configuration.
        spool: where tombstones are left.
        config: of the shipper, as it goes into its file.
        runs: whether a shipper ran at the last look.
        is_missing: whether none ran then, and none can be expected either.
    """

    def __init__(self, directory: Path, spool: Path, config: dict[str, Any]) -> None:
        self.directory = directory
        self.spool = spool
        self.config = config
        self.runs = self.is_missing = False
        self._starts = 0  # since one was last seen
        self._started_at = float("-inf")

    def make_private(self) -> Path:
        """The rendezvous, made sure to be ours alone: who can write there can pose as the shipper. Raises OSError."""
        private_dir(self.directory)
        return self.directory

    def look(self) -> None:
        """See that a shipper runs; spawn one when none does. Never raises; blocks for the milliseconds of a spawn."""
        try:
            self.runs = shipper_runs(self.make_private())
        except OSError:  # a read-only disk, or a directory that is not ours: events are dropped and counted
            self.runs, self.is_missing = False, True
            return
        if self.runs:
            self.confirm()
        else:
            self.is_missing = not self._start()

    def confirm(self) -> None:
        """A shipper answers: the next one, should this one die, is started at once."""
        self._starts = 0
        self.is_missing = False

    def _start(self) -> bool:
        """Whether a shipper is on its way, as far as can be told."""
        if not can_spawn(self.directory):
            return False
        doubled = max(0, self._starts - QUICK_STARTS)
        due_at = self._started_at + min(RETRY_SECONDS * 2**doubled, MAX_RETRY_SECONDS)
        if is_starting(self.directory) or (self._starts and monotonic() < due_at):
            return not doubled
        self._starts += 1
        self._started_at = monotonic()
        return spawn_shipper(self.directory, self.config) and not doubled
