"""Records of the segments that the tripwire has held back, and of those that a person has cleared: a small file each.

    tripwire/<time>.json       held back: which kinds were found, in which fields of which events; no value
    tripwire/<time>.cleared    a person has looked, and says that it may leave

`<time>` begins the name of the segment's data file, and of those of its halves.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from telemetry import files
from telemetry.files import private_dir, write_private

if TYPE_CHECKING:
    from collections.abc import Container
    from pathlib import Path

    from telemetry.spool.segment import Head

FOLDER = "tripwire"
_HELD = ".json"
_CLEARED = ".cleared"


class Place(msgspec.Struct, frozen=True):
    """A place in a segment where the tripwire found something.

    Attributes:
        event: the event's name.
        field: the field's name; empty if the event could not be read.
        kind: the kind of finding: `pem`, `token`, `own:user`, ...
        events: the number of events with this finding.
    """

    event: str
    field: str
    kind: str
    events: int


class Held(msgspec.Struct, frozen=True):
    """A segment that was held back.

    Attributes:
        id: the segment's id.
        file: the name of its data file.
        events: the number of its events.
        places: the findings, by place.
    """

    id: str
    file: str
    events: int
    places: list[Place] = []


def note(spool: Path, held: Held) -> None:
    """Record that a segment was held back. Raises OSError."""
    private_dir(spool / FOLDER)
    write_private(_path(spool, held.file, _HELD), msgspec.json.encode(held))


def find_held(spool: Path) -> list[Held]:
    """Return the segments that nobody has cleared, oldest first. Changes nothing."""
    found = []
    for path in sorted((spool / FOLDER).glob(f"*{_HELD}")):
        with suppress(OSError, ValueError):
            found.append(msgspec.json.decode(files.read_file(path), type=Held))
    return found


def is_cleared(spool: Path, head: Head) -> bool:
    """Tell whether a person has cleared a segment, or the one that it is a part of."""
    return _path(spool, head.file, _CLEARED).exists()


def clear(spool: Path, ids: Container[str]) -> list[Held]:
    """Clear segments, so that they may leave; return those that were held back. Raises OSError."""
    cleared = [held for held in find_held(spool) if held.id in ids]
    for held in cleared:
        _path(spool, held.file, _HELD).replace(_path(spool, held.file, _CLEARED))
    if cleared:
        files.sync_directory(spool / FOLDER)
    return cleared


def forget(spool: Path) -> None:
    """Remove all records, along with the segments. Raises OSError."""
    for path in (spool / FOLDER).glob("*"):
        path.unlink(missing_ok=True)


def _path(spool: Path, file: str, suffix: str) -> Path:
    return spool / FOLDER / f"{file.partition('-')[0]}{suffix}"
