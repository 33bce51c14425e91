"""Names to look for, which come and go with the processes that have them.

Compiling a name takes some 6 ms, and short programs with fresh secrets may come by the hundred. So new names are
compiled once, in a part of their own, rather than all names again; now and then many parts are joined. A name that no
process has any more is looked for until its part is joined to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.names.name import Name
from telemetry.redact.names.redactor import NameRedactor, Suspect
from telemetry.redact.scanner import ScannerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_PARTS = 16
"""The number of parts, each one more scan of all texts; beyond it all but the two largest are joined into one."""

MAX_STALE_NAMES = 64
"""The number of stale names beyond which all parts are joined, if they are also more than half of all."""


class _Part(NamedTuple):
    names: frozenset[Name]
    redactor: NameRedactor


class KnownNames:
    """Names that change. For use in one thread.

    Args:
        names: the names to begin with.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or it refuses them.
    """

    def __init__(self, names: Collection[Name]) -> None:
        self._wanted = frozenset(names)
        self._parts = [_compile(self._wanted)]
        self._refused: frozenset[Name] | None = None

    def look_for(self, names: Collection[Name]) -> None:
        """Set the names to look for from the next text on."""
        self._wanted = frozenset(names)

    def suspects(self, texts: Sequence[str]) -> dict[int, Suspect]:
        """Return the texts that may hold a name, by index; those that are too long to be kept are left out.

        Raises:
            ScannerUnavailableError: hyperscan refuses the names.
        """
        self._catch_up()
        first, *others = (part.redactor.suspects(texts) for part in self._parts)
        for found in others:
            for index, suspect in found.items():
                first[index] = suspect if index not in first else _both(first[index], suspect)
        return first

    def _catch_up(self) -> None:
        if self._wanted == self._refused:
            raise ScannerUnavailableError("this machine's own names can't be looked for")
        held = frozenset[Name]().union(*(part.names for part in self._parts))
        stale = len(held - self._wanted)
        try:
            if stale > MAX_STALE_NAMES and 2 * stale > len(held):
                self._parts = [_compile(self._wanted)]
            elif new := self._wanted - held:
                self._parts.append(_compile(new))
            if len(self._parts) > MAX_PARTS:
                largest, *others = sorted(self._parts, key=lambda part: -len(part.names))
                second, *small = others
                joined = frozenset[Name]().union(*(part.names for part in small)) & self._wanted
                self._parts = [largest, second, _compile(joined)]
        except ScannerUnavailableError:
            self._refused = self._wanted
            raise


def _compile(names: frozenset[Name]) -> _Part:
    return _Part(names, NameRedactor(names))


def _both(one: Suspect, other: Suspect) -> Suspect:
    names = tuple(dict.fromkeys((*one.names, *other.names)))
    return Suspect(names, one.encoded or other.encoded, one.respelled or other.respelled)
