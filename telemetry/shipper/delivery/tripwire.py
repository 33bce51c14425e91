"""Tripwire: the last look at a body before it is uploaded, as it lies on disk, for what must never be there.

It shares no rule with the redactor; a user's own names are confirmed by the same finder. The whole body is scanned once
in its raw bytes; only events that are hit are decoded, and values that are constants of catalog or protocol do not
count. A first hit costs its segment; a second one in this run, or a scanner that fails, stops all uploads until a
person has looked (`telemetry tripwire`) or the shipper restarts. Only the kind of a finding is ever logged.

The check costs 0.11 us of CPU for an event of 174 bytes, including decompression.
"""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from telemetry.redact.names import prefilter
from telemetry.redact.names.find import find
from telemetry.redact.names.name import Name, Reach, allowing
from telemetry.redact.normalise import normalise
from telemetry.redact.rules.placeholder import protect
from telemetry.shipper.delivery.constants import Constants
from telemetry.shipper.delivery.forbidden import FORBIDDEN
from telemetry.shipper.encode import format_named
from telemetry.spool.segment import plain_events
from telemetry.spool.stream import DamagedError, decode_pieces
from telemetry.terminal import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from telemetry.catalog.model import Catalog
    from telemetry.spool.segment import Head, Seal

_ADVICE = (
    "see `telemetry tripwire show`: upgrade whatever let it through or, if it is harmless, run "
    "`telemetry tripwire clear`"
)

log = logging.getLogger("telemetry.shipper")


class Tripwire:
    """The check of one shipper, for use in the thread that delivers.

    Attributes:
        hits: the number of segments stopped in this run.
        state: `armed`; `tripped` by one segment; `paused` by a second; `dead` if the scanner fails; `unavailable` where
            there is no scanner, and therefore no free text either.
        cause: the reason why nothing may be uploaded any more; empty while all is well.
        places: the findings in the last segment stopped: event, field and kind, with the number of events.
    """

    def __init__(self, catalog_of: Callable[[Head], Catalog | None]) -> None:
        """Judge each segment by its own catalog, which `catalog_of` returns; None if it is not known."""
        self.hits = 0
        self.state = "armed"
        self.cause = ""
        self.places: Counter[tuple[str, str, str]] = Counter()
        self._catalog_of = catalog_of
        self._constants = {"": Constants(None)}
        self._wanted: frozenset[Name] = frozenset()
        self._scanner = _Scanner(())
        try:
            self._scanner.compile()
        except ImportError:
            self.state = "unavailable"
        except Exception:  # noqa: BLE001 whatever it was, nothing may leave unchecked
            self.die()

    def look_for(self, names: Collection[Name]) -> None:
        """Set the names to look for from the next check on; may be called from any thread."""
        self._wanted = frozenset(names)

    def passes(self, seal: Seal, body: bytes) -> bool:
        """Tell whether a segment may be uploaded; if not, it is to be quarantined, unless the tripwire is dead.

        Never raises: a check that fails stops the uploads.
        """
        if self.state == "unavailable":
            return True
        try:
            found = self.find(seal.head, body)
        except DamagedError:
            found = Counter({"unreadable": seal.tally.kept})
        except Exception:  # noqa: BLE001 as above; its text may hold data
            self.die()
            return False
        if found:
            self._trip(found, seal.tally.kept)
        return not found

    def rearm(self) -> None:
        """Reset the tripwire, because a person has cleared what was stopped."""
        self.hits, self.state, self.cause = 0, "armed", ""

    def find(self, head: Head, body: bytes) -> Counter[str]:
        """Return the number of events with each kind of finding; `places` then tells where they are."""
        self.places.clear()
        if self._scanner.names != self._wanted:
            self._scanner = _Scanner(self._wanted)
            self._scanner.compile()
        found: Counter[str] = Counter()
        for piece in self._pieces(head, body):
            if hits := self._scanner.scan(piece):
                events = self._split(head, piece)
                constants = self._constants_of(head)
                for number, fired in _by_event(events, hits).items():
                    places = self._confirm(self._values(head, events[number]), fired, constants)
                    self.places.update(places)
                    found.update({kind for _, _, kind in places})
        return found

    def die(self) -> None:
        """Stop the uploads, because bodies can't be checked."""
        self.state, self.cause = "dead", "tripwire: dead scanner"
        log.error("the tripwire's scanner fails: uploads are paused until a new shipper starts; %s", _ADVICE)

    def _trip(self, found: Counter[str], events: int) -> None:
        self.hits += 1
        kinds = ", ".join(f"{kind} in {number}" for kind, number in sorted(found.items()))
        log.error("tripwire: %s of %s: the segment is quarantined and was not sent", kinds, counted(events, "event"))
        self.state = "tripped"
        if self.hits > 1:
            self.state, self.cause = "paused", f"tripwire: {', '.join(sorted(found))}"
            log.error("uploads are paused until a new shipper starts: %s; %s", self.cause, _ADVICE)

    def _pieces(self, head: Head, body: bytes) -> Iterator[bytes]:
        """Yield a body uncompressed, in pieces of whole events."""
        if head.wraps:  # the envelope holds constants alone
            yield plain_events(head, body)
            return
        if head.encoding == "none":
            yield body
            return
        rest = b""
        by_line = format_named(head.format).by_line
        for chunk in decode_pieces(head.encoding, body):
            end = chunk.rfind(b"\n") + 1 if by_line else 0
            if end:
                yield rest + chunk[:end]
                rest = b""
            rest += chunk[end:]
        yield rest

    def _split(self, head: Head, piece: bytes) -> list[bytes]:
        """Split a piece of a body into its events; a report, or a piece that can't be read, is left whole."""
        format_ = format_named(head.format)
        if head.route != format_.route:
            return [piece]
        try:
            return format_.split(piece)
        except ValueError:
            return [piece]

    def _values(self, head: Head, event: bytes) -> dict[str, Any]:
        """Return an event's values; a report, or an event that can't be read, is a single value."""
        format_ = format_named(head.format)
        if head.route == format_.route:
            try:
                return format_.values(event)
            except ValueError:
                pass
        return {"": event.decode(errors="replace")}

    def _constants_of(self, head: Head) -> Constants:
        if (catalog := self._catalog_of(head)) is None:
            return self._constants[""]
        key = f"{head.catalog_digest} {head.catalog}"
        if key not in self._constants:
            self._constants[key] = Constants(catalog)
        return self._constants[key]

    def _confirm(self, values: dict[str, Any], fired: set[int], constants: Constants) -> set[tuple[str, str, str]]:
        event = str(values.get("event", ""))
        places: set[tuple[str, str, str]] = set()
        for name, value in values.items():
            if isinstance(value, str):
                constant = constants.holds(values.get("event"), name, value)
                # Names may stand in a constant, and in the name of a type; a token in neither.
                looked_for = (n for n in fired if n < len(FORBIDDEN) or not constant)
                kinds = self._scanner.kinds_in(value, looked_for, constants.words)
                places |= {(event, name, kind) for kind in kinds}
        return places


class _Scanner:
    """The patterns to look for, compiled. For use in one thread."""

    def __init__(self, names: Collection[Name]) -> None:
        self.names = frozenset(names)
        self._ordered = tuple(self.names)
        self._database: Any = None

    def compile(self) -> None:
        """Compile the patterns; in memory only, because the names must not be written down.

        Raises:
            ImportError: there is no hyperscan here. Any other exception: it refuses.
        """
        import hyperscan  # noqa: PLC0415 there is no wheel for every platform

        numbered = [(n, forbidden.prefilter) for n, forbidden in enumerate(FORBIDDEN)]
        for n, name in enumerate(self._ordered, len(FORBIDDEN)):
            numbered += [(n, found) for found in prefilter.plain(name, prefilter.JSON, _spellings(name))]
        self._database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
        self._database.compile(
            expressions=[expression.encode() for _, expression in numbered],
            ids=[number for number, _ in numbered],
            flags=hyperscan.HS_FLAG_CASELESS,
        )

    def scan(self, piece: bytes) -> list[tuple[int, int]]:
        """Return the possible findings in a piece: the offset behind each, and the number of its pattern."""
        hits: list[tuple[int, int]] = []

        def on_hit(number: int, _start: int, end: int, _flags: int, _context: object) -> None:
            hits.append((end, number))

        self._database.scan(piece, match_event_handler=on_hit)
        return hits

    def kinds_in(self, value: str, fired: Iterable[int], words: Collection[str]) -> set[str]:
        """Return the kinds of the hits that a value really contains; `words` are the catalog's constants."""
        text = value if value.isascii() else normalise(value)
        text = protect(text)
        kinds = set()
        for number in fired:
            if number < len(FORBIDDEN):
                if FORBIDDEN[number].is_in(value):
                    kinds.add(FORBIDDEN[number].kind)
            else:
                (name,) = allowing([self._ordered[number - len(FORBIDDEN)]], words)
                if _is_in(name, text):
                    kinds.add(f"own:{name.kind}")
        return kinds


def _is_in(name: Name, text: str) -> bool:
    if name.reach is Reach.ANYWHERE and not name.pattern:
        return name.folded in text.casefold()
    return bool(find(text, [name]))


def _spellings(name: Name) -> list[str]:
    """Return the forms in which a name may stand in JSON, including letter cases that hyperscan does not fold."""
    cases = [name.folded] if name.folded.isascii() else [name.folded, name.folded.upper(), name.folded.title()]
    return [*cases, *(json.dumps(case, ensure_ascii=False)[1:-1] for case in cases)]


def _by_event(events: list[bytes], hits: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    """Group hits by the index of their event. The byte behind a hit may be the first of the next event."""
    ends = list(accumulate(map(len, events)))
    fired: dict[int, set[int]] = {}
    for end, number in hits:
        fired.setdefault(min(bisect_left(ends, end), len(events) - 1), set()).add(number)
    return fired
