"""Facts that the local page shows, read from disk with or without a shipper, and the user's choice."""

from __future__ import annotations

import os
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from telemetry.catalog import copies
from telemetry.catalog.load import inspect, parse
from telemetry.catalog.machine import machine_form
from telemetry.consent import State, check_product, known_products, read_stored, store_choice
from telemetry.doctor.remedies import REMEDIES
from telemetry.errors import ConfigError, SpoolError, TelemetryError
from telemetry.inspect import account
from telemetry.inspect.contents import catalogs_in, describe, find_segments, is_spool
from telemetry.inspect.erase import erase_product, withdraw
from telemetry.paths import spools_of
from telemetry.rendezvous.find import find_rendezvous
from telemetry.shipper.delivery.preview import Preview, Source, find_sources
from telemetry.shipper.permission import permission_of
from telemetry.times import iso_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from telemetry.inspect.contents import Found
    from telemetry.shipper.config import ShipperConfig

MOST_BYTES = 32 << 20
"""The most bytes of segments, as they lie, that are read for figures by name, session and time: the newest."""

MOST_LINES = 2_000
"""The most lines of a batch that are shown."""

MOST_HITS = 200
"""The most lines that a search finds."""

_CACHED_SEGMENTS = 1_000
_LEAVES = frozenset({"active", "sealed"})

ERASE = "erase"
"""The choice that erases everything and leaves the stored choice as it is."""

CHOICES = (*(str(state) for state in (State.ON, State.TECHNICAL, State.LOCAL, State.OFF)), ERASE)


class _Contents(NamedTuple):
    """Events of a segment, by name, by session, and by their time."""

    names: Counter[str]
    sessions: Counter[str]
    times: Counter[str]


class Facts:
    """The facts about the products of this machine.

    Args:
        gather: returns the report of a product, as `telemetry status --json` prints it.
        config: the configuration of a shipper in the foreground; None for none.
    """

    def __init__(self, gather: Callable[[str], dict[str, Any]], config: ShipperConfig | None = None) -> None:
        self._gather = gather
        self._config = config

    def products(self) -> list[str]:
        """Return the products that this machine knows."""
        return known_products()

    def now(self, product: str) -> dict[str, Any]:
        """Return the report of a product, what rules have touched, and the events that still lie here."""
        report = self._gather(check_product(product))
        tally = account.total(map(account.read_account, _spools(product))).tally
        kept = self._contents(product)
        return {
            **report,
            "time": time.time(),
            "redacted": tally.redacted,
            "touched": {
                field: {"redacted": each.redacted, "dropped": each.dropped} for field, each in tally.touched.items()
            },
            "remedies": {str(reason): remedy for reason, remedy in REMEDIES.items()},
            "kept": {
                "names": dict(kept.names.most_common()),
                "sessions": dict(kept.sessions.most_common()),
                "times": dict(sorted(kept.times.items())),
            },
        }

    def catalogs(self, product: str) -> list[dict[str, Any]]:
        """Return the catalogs by which a product collects here, the newest first."""
        found: dict[str, dict[str, Any]] = {}
        for place in find_rendezvous(check_product(product)):
            file = place.config.get("catalog")
            known = inspect(Path(file))[0] if isinstance(file, str) and Path(file).is_file() else None
            if known is not None:
                found[f"{known.product}/{known.version}"] = machine_form(known)
        for digest in sorted({digest for spool in _spools(product) for digest in catalogs_in(spool) or ()}):
            kept = _kept_catalog(product, digest)
            if kept is not None:
                found.setdefault(f"{kept['product']}/{kept['version']}", kept)
        return sorted(found.values(), key=lambda form: -int(form["version"]))

    def batches(self, product: str) -> list[dict[str, Any]]:
        """Return every batch of a product in any state, the newest first."""
        permission = permission_of(read_stored(check_product(product)))
        rows = []
        for source in self._sources(product):
            for found in find_segments(source.directory):
                head, events = describe(source.directory, found) or (None, 0)
                rows.append(
                    {
                        "id": found.id,
                        "state": found.folder,
                        "began": iso_time(found.began_seconds),
                        "bytes": found.size_bytes,
                        "events": events,
                        "sensitivity": head and head.sensitivity,
                        "endpoint": source.endpoint,
                        "leaves": head is not None and found.folder in _LEAVES and permission.lets_leave(head),
                    }
                )
        return sorted(rows, key=lambda row: str(row["began"]), reverse=True)

    def batch(self, product: str, id_: str) -> dict[str, Any] | None:
        """Return one batch as it is sent, head and lines, with the rules that touched each field; None if it is gone.

        Raises:
            SpoolError: it is not what was written.
        """
        for source in self._sources(check_product(product)):
            for found in find_segments(source.directory):
                if found.id == id_ and (shown := _show(source, found)):
                    touched = shown.batch.seal.tally.touched.items()
                    return {
                        "id": id_,
                        "state": shown.state,
                        "line": shown.request.line,
                        "headers": shown.request.headers,
                        "envelope": shown.envelope.decode(),
                        "events": len(shown.lines),
                        "lines": [line.decode(errors="replace") for line in shown.lines[:MOST_LINES]],
                        "touched": {
                            name: {"redacted": each.redacted, "dropped": each.dropped} for name, each in touched
                        },
                    }
        return None

    def search(self, product: str, text: str) -> list[dict[str, str]]:
        """Return lines that hold a text, in any case, with the batches that they are in: the newest first."""
        wanted, hits = text.casefold(), list[dict[str, str]]()
        for source, found in self._newest(check_product(product)):
            for line in _lines(source, found):
                if wanted in line.casefold():
                    hits.append({"batch": found.id, "state": found.folder, "line": line})
                    if len(hits) == MOST_HITS:
                        return hits
        return hits

    def choose(self, product: str, choice: str) -> dict[str, Any]:
        """Store the user's choice, or erase everything, and return what the page shows then.

        Raises:
            ConfigError: there is no such choice.
            TelemetryError: it was not stored, or not all could be erased.
            OSError: the disk refuses.
        """
        check_product(product)
        if choice not in CHOICES:
            raise ConfigError(f"choice={choice!r}: must be one of {', '.join(CHOICES)}")
        if choice == ERASE:
            erase_product(product)
        else:
            store_choice(product, State(choice), time.time())
            if choice == State.OFF:
                withdraw(product)
        return self.now(product)

    def _sources(self, product: str) -> list[Source]:
        return find_sources(product, _spools(product), self._config)

    def _newest(self, product: str) -> Iterator[tuple[Source, Found]]:
        """Yield segments, the newest first, as many as may be read."""
        sources = self._sources(product)
        all_ = [(source, found) for source in sources for found in find_segments(source.directory)]
        read = 0
        for source, found in sorted(all_, key=lambda pair: pair[1].began_seconds, reverse=True):
            read += found.size_bytes
            if read > MOST_BYTES:
                return
            yield source, found

    def _contents(self, product: str) -> _Contents:
        total = _Contents(Counter(), Counter(), Counter())
        for source, found in self._newest(product):
            each = _contents_of(source.directory, found)
            if each is None:  # one that grows, or was not read before
                each = _count(_lines(source, found))
                _remember(source.directory, found, each)
            for sum_, part in zip(total, each, strict=True):
                sum_.update(part)
        return total


_known: dict[tuple[Path, str, int], _Contents] = {}
"""The contents of segments that no longer change, by spool, id and size."""


def _contents_of(spool: Path, found: Found) -> _Contents | None:
    return _known.get((spool, found.id, found.size_bytes)) if found.folder != "active" else None


def _remember(spool: Path, found: Found, contents: _Contents) -> None:
    if found.folder != "active":
        if len(_known) >= _CACHED_SEGMENTS:
            _known.clear()
        _known[spool, found.id, found.size_bytes] = contents


def _spools(product: str) -> list[Path]:
    found = []
    for spool in spools_of(product):
        try:
            if is_spool(spool):
                found.append(spool)
        except SpoolError:
            continue  # of another version: the report says so
    return found


def _show(source: Source, found: Found) -> Preview | None:
    batch = source.read(found)
    return source.show(batch) if batch else None


def _lines(source: Source, found: Found) -> list[str]:
    try:
        shown = _show(source, found)
    except (TelemetryError, OSError):
        return []  # opened by itself, it says what is wrong
    return [line.decode(errors="replace") for line in shown.lines] if shown else []


def _count(lines: list[str]) -> _Contents:
    counted = _Contents(Counter(), Counter(), Counter())
    for line in lines:
        try:
            event = msgspec.json.decode(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            for counter, name in zip(counted, ("event", "session", "time"), strict=True):
                if isinstance(value := event.get(name), str):
                    counter[value] += 1
    return counted


@lru_cache(16)
def _kept_catalog(product: str, digest: str) -> dict[str, Any] | None:
    copy = copies.read(product, digest)
    if copy is None:
        return None
    os.close(copy.lock)
    try:
        return machine_form(parse(copy.data, Path(digest)))
    except TelemetryError:
        return None
