"""Site of a client's shipper: its place, and the care that one lives there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from telemetry.files import private_dir
from telemetry.native import monotonic, posix
from telemetry.producer.spawn import Spawner, is_starting
from telemetry.rendezvous.lock import shipper_runs
from telemetry.rendezvous.refusal import is_beginning

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RETRY_SECONDS = 0.5
"""The time after which a shipper that does not serve is started again; doubled from the fourth time on."""

MAX_RETRY_SECONDS = 10.0
"""The longest such time: a start that fails costs a tenth of a second of CPU, and one that works must not wait long."""

QUICK_STARTS = 3
"""The number of failed starts in a row after which they are reported in the rendezvous."""


class Places(NamedTuple):
    """The directories of a user, in one of the lanes of a product.

    Attributes:
        lane: the lane.
        lanes: the number of lanes that there are.
        own: the rendezvous of a spawned shipper.
        foreground: the rendezvous of a shipper in the foreground.
        spool: the spool.
    """

    lane: int
    lanes: int
    own: Path
    foreground: Path
    spool: Path


class Site:
    """The place of a client's shipper, and the configuration it is spawned with.

    Attributes:
        lanes: the number of lanes among which this one was chosen.
        directory: the rendezvous: sockets, lock and configuration. It is that of a shipper in the foreground while one
            serves this product and endpoint, else the client's own.
        spool: the spool, where tombstones are left.
        config: the shipper's configuration, as it goes into its file.
        runs: whether a shipper ran at the last look.
        is_missing: whether none ran then, and none can be expected either.
    """

    def __init__(self, find: Callable[[], Places], config: dict[str, Any]) -> None:
        """Take the places of this user.

        Args:
            find: returns the places of the user that this process runs as at that moment, in the lane with the fewest
                producers.
            config: the shipper's configuration.
        """
        self._given = config
        self._find = find
        self.move()

    def move(self) -> None:
        """Take the places of the user that this process runs as now, in the lane with the fewest producers."""
        self._user = posix.getuid()
        self._lane, self.lanes, self._own, self._foreground, self.spool = self._find()
        self.directory = self._foreground if shipper_runs(self._foreground) else self._own
        self.config = {**self._given, "lane": self._lane} if self._lane else self._given
        self._spawner = Spawner(self.config)
        self.runs = self.is_missing = self._is_closed = False
        self._starts = 0  # since one last served
        self._started_at = self._first_started_at = float("-inf")

    @property
    def is_anothers(self) -> bool:
        """Whether this process has become another user since, and can't go there any more, or its lane was closed."""
        return self._is_closed or self._user != posix.getuid()

    def make_private(self) -> Path:
        """Return the rendezvous, made sure to be ours alone: others who can write there could pose as the shipper.

        Raises OSError.
        """
        private_dir(self.directory)
        return self.directory

    def look(self) -> bool:
        """Make sure that a shipper runs, spawning one if none does. Never raises.

        Blocks for the milliseconds of a spawn.

        Returns:
            Whether it is met elsewhere than before: one in the foreground has come or gone.
        """
        before = self.directory
        self.directory = self._foreground if shipper_runs(self._foreground) else self._own
        try:
            self.runs = shipper_runs(self.make_private())
        except OSError:  # a read-only disk, or a directory that is not ours: events are dropped and counted
            self.runs, self.is_missing = False, True
        else:
            if self.runs:
                self.is_missing = False
                if self._serves():
                    self.confirm()
            elif self._lane and self._lane >= self._find().lanes:  # of shippers in the foreground, which are fewer
                self._is_closed = True
            else:
                self.is_missing = not self._start()
        return self.directory != before

    def confirm(self) -> None:
        """Note that a shipper answers: the next one, should this one die, is started at once."""
        self._starts = 0
        self.is_missing = False

    def _serves(self) -> bool:
        """Tell whether the running shipper has come further than its lock, where many a one may be killed again."""
        return monotonic() - self._started_at > MAX_RETRY_SECONDS or not is_beginning(self.directory)

    def _start(self) -> bool:
        """Start a shipper if it is time to; return whether one is on its way, as far as is known."""
        start = self._spawner.plan(self.directory)
        if start is None:
            return False
        doubled = max(0, self._starts - QUICK_STARTS)
        due_at = self._started_at + min(RETRY_SECONDS * 2**doubled, MAX_RETRY_SECONDS)
        if is_starting(self.directory) or (self._starts and monotonic() < due_at):
            return not doubled
        if self._starts >= QUICK_STARTS:
            self._spawner.say_none_came(self.directory, start, self._starts, monotonic() - self._first_started_at)
        self._started_at = monotonic()
        if not self._starts:
            self._first_started_at = self._started_at
        self._starts += 1
        return self._spawner.spawn(self.directory, start) and not doubled
