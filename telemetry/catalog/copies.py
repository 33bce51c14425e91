"""Copies of catalogs, kept by the digest of their file, so that events collected before an upgrade stay readable.

    <state>/<product>/catalogs/<sha256>     the file, byte for byte, 0600; beside the product's spools

`init` keeps one, once, and so does a shipper of each that it is configured with. A copy's time of modification is the
day on which the original was written; its time of status change, which nobody can set, is when it was last named. A
shipper holds a shared lock on each copy by which it reads. A copy goes when nobody has named it for a week and no
segment does; `telemetry purge` takes them all.

Standard library only: the host imports it.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry import files
from telemetry.digest import sha256_hex
from telemetry.files import private_dir, private_file, write_private
from telemetry.paths import product_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Container
    from pathlib import Path

FOLDER = "catalogs"

KEEP_SECONDS = 7 * 86_400.0
"""The time for which an unused copy stays: far longer than a host is ever without a shipper."""

MAX_CATALOG_BYTES = 16 << 20
"""The largest file that is kept: far more than anybody would review."""


class Copy:
    """A copy whose contents fit its name.

    Attributes:
        data: the contents of the file.
        written_unix_seconds: the time when the original was written.
        lock: a descriptor that holds the copy; the caller closes it.
    """

    def __init__(self, data: bytes, written_unix_seconds: float, lock: int) -> None:
        self.data = data
        self.written_unix_seconds = written_unix_seconds
        self.lock = lock


def digest_of(data: bytes) -> str:
    """Return the SHA-256 of a catalog's file, hexadecimal, by which it is called."""
    return sha256_hex(data)


def is_digest(text: str) -> bool:
    """Tell whether a text can be a catalog's digest."""
    return re.fullmatch("[0-9a-f]{64}", text) is not None


def written_unix_seconds(file: Path) -> float:
    """Return the time at which a file was written, as far as its file system knows.

    The time of modification may come out of an archive and lie in the future; that of the last status change is this
    machine's. So the earlier one is believed.
    """
    found = file.stat()
    return min(found.st_mtime, found.st_ctime)


def path_of(product: str, digest: str) -> Path:
    """Return the path of the copy of a digest, whether there is one or not."""
    return product_dir(product) / FOLDER / digest


def keep(product: str, data: bytes, original: Path) -> None:
    """Keep a copy of a catalog's file, for readers of its events; an existing one is only named anew.

    Raises:
        OSError: none can be kept; nothing is half written.
    """
    copy = path_of(product, digest_of(data))
    if _size_bytes(copy) == len(data):
        name(product, copy.name)
        return
    private_dir(copy.parent)
    written = written_unix_seconds(original)
    write_private(copy, data)
    os.utime(copy, (written, written))


def name(product: str, digest: str) -> None:
    """Mark a copy as still wanted, if there is one. Never raises."""
    copy = path_of(product, digest)
    with suppress(OSError):
        found = copy.stat()
        os.utime(copy, ns=(found.st_atime_ns, found.st_mtime_ns))


def read(product: str, digest: str) -> Copy | None:
    """Return the copy of a digest, held; None if there is none, or a damaged one, which is then removed."""
    if not is_digest(digest):
        return None
    copy = path_of(product, digest)
    try:
        lock = private_file(copy, os.O_RDONLY)
    except OSError:
        return None
    try:
        files.lock(lock, is_shared=True)
        data = _read(lock)
        if digest_of(data) == digest:
            return Copy(data, os.fstat(lock).st_mtime, lock)
        copy.unlink(missing_ok=True)  # a power cut: the next `init` keeps it anew
    except OSError:
        pass
    os.close(lock)
    return None


def drop_unnamed(
    product: str, named: Callable[[], Container[str] | None], now_unix_seconds: float | None = None
) -> None:
    """Remove the copies that nobody needs any more. Never raises.

    Args:
        product: the product whose copies are meant.
        named: returns the digests that segments name, None if they can't be known now; called only if a copy may go.
        now_unix_seconds: the present time, None for the clock's. A copy dated later is kept.
    """
    now = time.time() if now_unix_seconds is None else now_unix_seconds
    with suppress(OSError):
        old = [copy for copy in (product_dir(product) / FOLDER).iterdir() if now - copy.lstat().st_ctime > KEEP_SECONDS]
        still = named() if old else None
        for copy in old:
            if still is not None and copy.name not in still:
                _remove_free(copy)


def _remove_free(copy: Path) -> None:
    """Remove a copy unless a shipper holds it."""
    with suppress(OSError):
        lock = private_file(copy, os.O_RDONLY)
        try:
            files.lock(lock)
            copy.unlink(missing_ok=True)
        finally:
            os.close(lock)


def _read(file: int) -> bytes:
    with os.fdopen(os.dup(file), "rb") as opened:
        return opened.read(MAX_CATALOG_BYTES)


def _size_bytes(copy: Path) -> int:
    try:
        return copy.lstat().st_size
    except OSError:
        return -1
