"""Index of one folder of the spool: its segments, oldest first, and those beyond a limit.

The folder is listed, and no segment is loaded. Files that are no segment's data are left alone.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING, NamedTuple

from telemetry.drops import DropReason
from telemetry.spool.segment import created_unix_seconds, is_data, seal_name

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator
    from pathlib import Path


_SEAL_BYTES = 1024
"""The size counted for the Seal of a listed segment: more than all but a few take. Looking at each of 100,000 would
make a start a third longer."""


class _Seen(NamedTuple):
    """The time when a data file was first seen, shared by all files listed at once: there may be 100,000."""

    at: float  # monotonic seconds
    unix_seconds: float  # by the wall clock, which may be wrong


class _Entry(NamedTuple):
    size_bytes: int
    seen: _Seen
    producers: frozenset[str] | None = None  # whose events it holds; None for what this process has not sealed


class Arrival(NamedTuple):
    """A segment that has come to a folder.

    Attributes:
        file: the name of its data file.
        seen_at: the monotonic time in seconds when it was first seen; a part of a split segment has the time of the
            whole.
    """

    file: str
    seen_at: float


class Folder:
    """The index of one folder; iterates over the names of its data files, oldest first.

    Attributes:
        path: the directory.
        size_bytes: the size of all its segments, data and Seals.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = monotonic) -> None:
        self.path = path
        self._clock = clock
        self.size_bytes = 0
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._arrived: list[str] | None = None  # nobody has asked yet

    def load(self) -> None:
        """List the directory again. Raises OSError."""
        found = sorted(_list(self.path))
        before, self._entries, self.size_bytes = self._entries, OrderedDict(), 0
        now = self._now()
        for file, size_bytes in found:
            if (entry := before.get(file)) is None:
                self._arrive(file, _Entry(size_bytes + _SEAL_BYTES, now))
            else:
                self._put(file, entry)

    def add(self, file: str, producers: frozenset[str] | None = None) -> None:
        """Add a segment that was put here, as the youngest; `producers` are those of its events, if known."""
        self._add(file, self._now(), producers)

    def add_part(self, file: str, whole: str) -> None:
        """Add a part of a segment that is still here; it goes before all others, and is as old as the whole."""
        self._add(file, self._entries[whole].seen, self._entries[whole].producers)
        self._entries.move_to_end(file, last=False)

    def arrivals(self) -> list[Arrival]:
        """Return the segments that have come since the last call, in order; on the first call, all that are here."""
        arrived, self._arrived = list(self) if self._arrived is None else self._arrived, []
        return [Arrival(file, self._entries[file].seen.at) for file in arrived if file in self]

    def holding(self, producer: str, *, or_unknown: bool) -> frozenset[str]:
        """Return the segments with events of a producer; with `or_unknown`, also those of unknown producers."""
        return frozenset(
            file
            for file, entry in self._entries.items()
            if (or_unknown if entry.producers is None else producer in entry.producers)
        )

    def has_news(self) -> bool:
        """Tell whether another process has put a data file into the directory. Raises OSError."""
        return any(file not in self for file, _ in _list(self.path))

    def seen_at(self, file: str) -> float:
        """Return the monotonic time when a data file was first seen; minus infinity if it is not here."""
        entry = self._entries.get(file)
        return entry.seen.at if entry else float("-inf")

    def forget(self, file: str) -> None:
        """Remove a data file from the index; the file itself is left alone."""
        if (entry := self._entries.pop(file, None)) is not None:
            self.size_bytes -= entry.size_bytes

    def remove(self, file: str) -> None:
        """Delete a segment. The data goes last: without it, a Seal would never be found again."""
        self.forget(file)
        with suppress(IsADirectoryError, PermissionError):  # somebody's directory of that name
            (self.path / seal_name(file)).unlink(missing_ok=True)
        (self.path / file).unlink(missing_ok=True)

    def move(self, file: str, other: Folder) -> None:
        """Move a segment to another folder, or delete it if that fails: its fate is in the ledger already."""
        self.forget(file)
        try:
            for name in (seal_name(file), file):
                if (self.path / name).exists():
                    (self.path / name).replace(other.path / name)
            other.add(file)
        except OSError:
            self.remove(file)

    def beyond(
        self, limit_bytes: int, limit_segments: int, limit_seconds: float, spared: Container[str] = ()
    ) -> Iterator[tuple[str, DropReason]]:
        """Yield the segments to drop, oldest first, so that the rest is within the limits.

        The age of a segment is the monotonic time since it was first seen, plus its age by the wall clock at that
        moment, bounded by half the limit: a clock that jumps drops nothing.
        """
        now, size_bytes, segments = self._clock(), self.size_bytes, len(self)
        for file, entry in self._entries.items():
            age_then_seconds = max(0.0, entry.seen.unix_seconds - created_unix_seconds(file))
            age_seconds = now - entry.seen.at + min(age_then_seconds, limit_seconds / 2)
            is_full = size_bytes > limit_bytes or segments > limit_segments
            if not is_full and age_seconds < limit_seconds:
                return
            if file not in spared:
                yield file, DropReason.SPOOL_FULL if is_full else DropReason.SPOOL_AGE
                size_bytes -= entry.size_bytes
                segments -= 1

    def __contains__(self, file: object) -> bool:
        return file in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def _add(self, file: str, seen: _Seen, producers: frozenset[str] | None) -> None:
        self.forget(file)
        self._arrive(file, _Entry(sum(map(self._size_of, (file, seal_name(file)))), seen, producers))

    def _arrive(self, file: str, entry: _Entry) -> None:
        self._put(file, entry)
        if self._arrived is not None:
            self._arrived.append(file)

    def _put(self, file: str, entry: _Entry) -> None:
        self._entries[file] = entry
        self.size_bytes += entry.size_bytes

    def _size_of(self, name: str) -> int:
        try:
            return (self.path / name).stat().st_size
        except OSError:  # the segment is here all the same
            return 0

    def _now(self) -> _Seen:
        return _Seen(self._clock(), time())


def _list(path: Path) -> Iterator[tuple[str, int]]:
    with os.scandir(path) as entries:
        for entry in entries:
            if is_data(entry.name) and entry.is_file(follow_symlinks=False):
                try:
                    yield entry.name, entry.stat(follow_symlinks=False).st_size
                except FileNotFoundError:
                    continue  # another shipper of the same spool has delivered it meanwhile
