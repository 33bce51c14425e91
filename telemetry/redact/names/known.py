"""The names that are looked for, as they come and go with the processes that have them.

To compile a name takes some 6 ms, and short programs with fresh secrets may come by the hundred: so each that comes is
compiled once, in a part of its own, and not all anew; many parts are joined now and then. What nobody has any more is
looked for until its part is joined to others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from telemetry.redact.names.name import Name
from telemetry.redact.names.redactor import NameRedactor, Suspect
from telemetry.redact.scanner import ScannerUnavailableError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

MAX_PARTS = 16
"""Each is one more scan of all texts. Beyond them all but the largest become one."""

MAX_STALE_NAMES = 64
"""... and so do all when more than these, and than half of all, are nobody's any more."""


class _Part(NamedTuple):
    names: frozenset[Name]
    redactor: NameRedactor


class KnownNames:
    """Names that change. For one thread.

    Args:
        names: to begin with.

    Raises:
        ScannerUnavailableError: there is no hyperscan here, or it refuses them.
    """

    def __init__(self, names: Collection[Name]) -> None:
        self._wanted = frozenset(names)
        self._parts = [_compile(self._wanted)]
        self._refused: frozenset[Name] | None = None

    def know(self, names: Collection[Name]) -> None:
        """Look for these from the next text on."""
        self._wanted = frozenset(names)

    def suspects(self, texts: Sequence[str]) -> dict[int, Suspect]:
        """Which of the texts may hold a name, by index; those that are too long to be kept are left out.

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
