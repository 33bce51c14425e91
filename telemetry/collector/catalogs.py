"""Catalogs kept in a store, which tell a query the type of each field. Each is a file named by its digest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from telemetry.catalog.load import inspect, load
from telemetry.catalog.source import read_whole
from telemetry.files import private_dir, write_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from telemetry.catalog.model import Catalog

FOLDER = "catalogs"


def read_catalogs(files: Iterable[Path]) -> list[bytes]:
    """Return the contents of catalogs' files. Raises CatalogError if one of them has faults."""
    return [(load(file), read_whole(file))[1] for file in files]


def keep_catalogs(directory: Path, files: Iterable[Path]) -> None:
    """Copy catalogs into a store, beside those of other versions that it has.

    Args:
        directory: the store's directory.
        files: the catalogs' files.

    Raises:
        CatalogError: one of them has faults; then none is kept.
        OSError: the disk refuses.
    """
    contents = read_catalogs(files)
    folder = directory / FOLDER
    for content in contents:
        private_dir(folder)
        kept = folder / f"{hashlib.sha256(content).hexdigest()}.toml"
        if not kept.exists():
            write_private(kept, content)


def kept_catalogs(directory: Path) -> Iterator[tuple[Path, Catalog | None]]:
    """Yield the files of a store's catalogs, each with its catalog, or with None if the file holds no valid one."""
    for file in sorted((directory / FOLDER).glob("*.toml")):
        yield file, inspect(file)[0]
