"""Catalogs by which a shipper reads events: its own, and copies of those that its producers were started with.

An event is read by the catalog that its producer named, whatever has been installed since; a catalog that is not here
lets nothing pass.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from telemetry.catalog import copies
from telemetry.catalog.copies import digest_of
from telemetry.catalog.load import parse
from telemetry.catalog.model import Catalog
from telemetry.catalog.source import read_whole
from telemetry.errors import CatalogError, ConfigError
from telemetry.shipper.day import utc_day

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path

    from telemetry.shipper.config import ShipperConfig
    from telemetry.spool.segment import Head

MISSED_SECONDS = 10.0
"""The time for which a missing catalog is not looked for again."""

MAX_MISSED = 64
"""The number of missing catalogs that are remembered, and logged."""

log = logging.getLogger("telemetry.shipper")


class Source(msgspec.Struct, frozen=True, eq=False):
    """A catalog, and the file it was read from.

    Attributes:
        digest: the SHA-256 of the file, in hexadecimal.
        catalog: the catalog.
        written: the day on which the file was written, in UTC: no clock is behind it.
    """

    digest: str
    catalog: Catalog
    written: dt.date

    @property
    def label(self) -> str:
        """The product and version, `acme-db/3`."""
        return f"{self.catalog.product}/{self.catalog.version}"


def read_source(file: Path) -> Source:
    """Read a catalog's file.

    Raises:
        CatalogError: it can't be read, or has faults.
    """
    try:
        data = read_whole(file)
        written = copies.written_unix_seconds(file)
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or "no file can have that name"
        raise CatalogError(f"{file}: can't be read ({reason}); name a TOML file that you can read") from None
    return Source(digest_of(data), parse(data, file), utc_day(written))


class Catalogs:
    """The known catalogs. For use in one thread, but for `of_segment`.

    Attributes:
        own: the catalog in the shipper's configuration, by which its reports are made.
        nothing: the source of a catalog without events, which stands for catalogs that are not here.

    Raises:
        CatalogError: a configured catalog can't be read, or has faults.
        ConfigError: it is another product's.
    """

    def __init__(self, config: ShipperConfig) -> None:
        self._product = config.product
        self._locks: list[int] = []
        self._own_state = _state_of(config.catalog)
        self.own = self._open(config.catalog, config.catalog_digest)
        self._configured = {source.digest: source for source in (self.own, *map(self._open, config.older_catalogs))}
        self._known = dict(self._configured)
        self._missed: dict[str, float] = {}
        self._said: set[str] = set()
        self.nothing = Source("", Catalog(product=config.product, version=self.own.catalog.version), self.own.written)

    def __iter__(self) -> Iterator[Source]:
        """Iterate over all known catalogs."""
        return iter(list(self._known.values()))

    def find(self, digest: str, *, is_remote: bool = False) -> Source:
        """Return the catalog with a digest, or `nothing` if it is not here.

        Args:
            digest: the name that a producer gave; one that is no digest means our own catalog.
            is_remote: whether the producer is on another machine: only configured catalogs are read for it.
        """
        if not copies.is_digest(digest):
            return self.own
        if is_remote:
            return self._configured.get(digest) or self._miss(digest)
        return self._known.get(digest) or self._look_for(digest) or self._miss(digest)

    def of_segment(self, head: Head) -> Catalog | None:
        """Return the catalog that a segment was made by; None if it is not here. May be called from any thread."""
        digest = head.catalog_digest
        if not digest:  # of a version that did not write it down
            return self.own.catalog if head.catalog == self.own.label else None
        if (known := self._known.get(digest)) is not None:
            return known.catalog
        if (copy := copies.read(self._product, digest)) is None:
            return None
        os.close(copy.lock)
        try:
            return parse(copy.data, copies.path_of(self._product, digest))
        except CatalogError:
            return None

    def name(self) -> None:
        """Mark the copies of all known catalogs as still wanted: hosts may be without a shipper for a while."""
        for digest in self._known:
            copies.name(self._product, digest)

    def renew_own(self, file: Path) -> bool:
        """Reload the configured catalog if its file was replaced, and tell whether it was. The old one stays known.

        A catalog with faults is logged once, and passed over.
        """
        if (state := _state_of(file)) == self._own_state:
            return False
        self._own_state = state
        try:
            found = self._open(file)
        except ConfigError as fault:
            log.warning("the catalog was replaced, and the one before still counts: %s", fault)
            return False
        if found.digest == self.own.digest:
            return False
        self.own = found
        self._configured[found.digest] = self._known[found.digest] = found
        log.info("the catalog was replaced: %s", found.label)
        return True

    def close(self) -> None:
        """Release the copies."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()

    def _open(self, file: Path, digest: str = "") -> Source:
        """Open a configured catalog; by its copy if its digest is known, because the file may have been replaced."""
        if digest and (found := self._read_copy(digest, file)):
            return self._check(found, file)
        found = read_source(file)
        if digest and found.digest != digest:
            raise CatalogError(
                f"{file}: was replaced after its host had started, and no copy was kept; restart the host"
            )
        self._check(found, file)
        self._keep(found.digest, file)
        return found

    def _keep(self, digest: str, file: Path) -> None:
        """Keep a copy of a configured catalog, which may be replaced before all its events are read."""
        with suppress(OSError):  # no disk to keep it on
            data = read_whole(file)
            if digest_of(data) == digest:
                copies.keep(self._product, data, file)

    def _check(self, found: Source, file: Path) -> Source:
        if found.catalog.product != self._product:
            raise ConfigError(
                f"{file}: is the catalog of {found.catalog.product!r}, not of {self._product!r}: name one product"
            )
        return found

    def _look_for(self, digest: str) -> Source | None:
        if monotonic() - self._missed.get(digest, float("-inf")) < MISSED_SECONDS:
            return None
        try:
            found = self._read_copy(digest, copies.path_of(self._product, digest))
        except CatalogError:
            found = None
        if found is None or found.catalog.product != self._product:
            if len(self._missed) >= MAX_MISSED:
                self._missed.clear()
            self._missed[digest] = monotonic()
            return None
        self._known[digest] = found
        return found

    def _read_copy(self, digest: str, file: Path) -> Source | None:
        """Read the copy, which stays held. Raises CatalogError, which names `file`."""
        if (copy := copies.read(self._product, digest)) is None:
            return None
        self._locks.append(copy.lock)
        return Source(digest, parse(copy.data, file), utc_day(copy.written_unix_seconds))

    def _miss(self, digest: str) -> Source:
        if digest not in self._said and len(self._said) < MAX_MISSED:
            self._said.add(digest)
            log.warning(
                "a host names a catalog (%s...) of which no copy is here: its events are dropped as undeclared; "
                "restart it, or name its file in `older_catalogs`",
                digest[:12],
            )
        return self.nothing


def _state_of(file: Path) -> tuple[int, ...]:
    """Return values that change when a file is replaced or written; empty while there is none."""
    try:
        found = file.stat()
    except (OSError, ValueError):
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
