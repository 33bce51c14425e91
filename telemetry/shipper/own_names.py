"""Names that this shipper takes out of texts: its machine's, and those that its producers hand over.

They are held in memory only. A producer's names are known before its first text is read, even to a respawned shipper:
they are in every frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.redact.names.name import Name, allowing, names_to_find, words_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence

    from telemetry.catalog.model import Catalog
    from telemetry.names import Names
    from telemetry.shipper.intake.receiver import Frame

MAX_ENVIRONMENTS = 256
"""The number of producers' sets of names known at a time; a forgotten one is known again by its next frame."""
MAX_PRODUCERS = 10_000
MAX_KNOWN_NAMES = 1024
"""The number of names in all environments: compiling them takes some 2 s, and 190 MB; for 2,048, 530 MB."""

_PROTOCOL_WORDS = ("event", "time", "session", "weight", "count", "other")


class OwnNames:
    """The known names, and the producers they come from.

    Attributes:
        known: every name that is looked for.
    """

    def __init__(self, catalogs: Iterable[Catalog], machine: Callable[[], Names]) -> None:
        """Know the names that `machine` returns, now and at each `look`; the constants of `catalogs` name nobody."""
        self._words = frozenset[str]().union(*map(constants_of, catalogs))
        self._machine = machine
        self._of_machine: frozenset[Name] = frozenset()
        self._environments: dict[frozenset[Name], None] = {}
        self._producers: dict[bytes, frozenset[Name]] = {}
        self._told: list[Callable[[frozenset[Name]], None]] = []
        self.known: frozenset[Name] = frozenset()
        self.look()

    def tell(self, listener: Callable[[frozenset[Name]], None]) -> None:
        """Register a listener that is told all names that are looked for, whenever they change from now on."""
        self._told.append(listener)

    def allow(self, catalog: Catalog) -> bool:
        """Allow the constants of one more catalog; tell whether that changes what is looked for."""
        words = self._words | constants_of(catalog)
        if words == self._words:
            return False
        self._words = words
        self._of_machine = allowing(self._of_machine, words)
        self._environments = {allowing(known, words): None for known in self._environments}
        self._producers = {producer: allowing(known, words) for producer, known in self._producers.items()}
        return self._gather()

    def look(self) -> bool:
        """Look at the machine again, whose addresses may change; tell whether there is anything new."""
        self._of_machine |= names_to_find(self._machine(), self._words)
        return self._gather()

    def hear(self, frames: Sequence[Frame]) -> bool:
        """Take in the names that producers hand over; tell whether there is anything new."""
        if len(self._producers) > MAX_PRODUCERS:
            self._producers.clear()
        strangers = {frame.producer: frame.context.names for frame in frames if frame.producer not in self._producers}
        if not strangers:
            return False
        used = {self._producers[frame.producer] for frame in frames if frame.producer in self._producers}
        for producer, names in strangers.items():
            environment = names_to_find(names, self._words)
            if self._make_room(environment, used):
                self._producers[producer] = environment
                self._environments[environment] = None
                used.add(environment)
        return self._gather()

    def keep(self, producers: Container[str]) -> bool:
        """Forget the names of all producers but these, by hexadecimal id; tell whether that changes what is looked for.

        Call it when no events of the others can arrive, and none wait for a last look.
        """
        self._producers = {
            producer: known for producer, known in self._producers.items() if producer.hex() in producers
        }
        self._environments = dict.fromkeys(self._producers.values())
        return self._gather()

    def covers(self, frame: Frame) -> bool:
        """Tell whether a producer's names are known; if there was no room for them, its texts can't be read."""
        return frame.producer in self._producers

    def _make_room(self, environment: frozenset[Name], used: set[frozenset[Name]]) -> bool:
        """Forget the oldest names that no frame in hand needs, until there is room; False if all are needed."""
        while environment not in self._environments and self._is_full(environment):
            oldest = next((known for known in self._environments if known not in used), None)
            if oldest is None:
                return False
            self._forget(oldest)
        return True

    def _is_full(self, environment: frozenset[Name]) -> bool:
        names = environment.union(*self._environments)
        return len(self._environments) >= MAX_ENVIRONMENTS or len(names) > MAX_KNOWN_NAMES

    def _forget(self, environment: frozenset[Name]) -> None:
        del self._environments[environment]
        self._producers = {producer: known for producer, known in self._producers.items() if known != environment}

    def _gather(self) -> bool:
        before, self.known = self.known, self._of_machine.union(*self._environments)
        if self.known == before:
            return False
        for listener in self._told:
            listener(self.known)
        return True


def constants_of(catalog: Catalog) -> frozenset[str]:
    """Return the words that every user of a catalog sends, which name nobody."""
    events = catalog.events.values()
    fields = [field for event in events for field in event.fields.values()]
    values = (value for field in fields for value in field.values)
    return words_of([*_PROTOCOL_WORDS, catalog.product, *catalog.events, *(field.name for field in fields), *values])
