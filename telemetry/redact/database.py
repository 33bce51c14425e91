"""Database of hyperscan's patterns: compiled once, which takes a second, and then kept on disk for the next start.

    <cache>/scanner-<key>    blake2b of the rest, 32 bytes; the database as hyperscan serialises it

The key depends on the patterns, on hyperscan's version and on the processor's features. Hyperscan does not notice an
altered database, so the digest must fit before it is loaded.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from telemetry.files import private_dir

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST_BYTES = 32


def open_database(
    hyperscan: Any, expressions: list[bytes], numbers: list[int], cache: Path | None, *, folds_case: bool = True
) -> Any:
    """Return the database of these patterns, from the cache if it is there, otherwise compiled and cached.

    Args:
        hyperscan: the module; there is no wheel for every platform.
        expressions: the patterns.
        numbers: the number that each pattern reports.
        cache: a directory of ours; None to do without. An unusable one costs the time, and nothing else.
        folds_case: whether the patterns are case-insensitive.

    Raises:
        hyperscan.error: it refuses a pattern.
    """
    flags = hyperscan.HS_FLAG_CASELESS if folds_case else 0
    file = cache and cache / f"scanner-{_key(hyperscan, expressions, numbers, flags)}"
    if file and (kept := _read(file)) is not None:
        with suppress(hyperscan.error):
            database = hyperscan.loadb(kept, hyperscan.HS_MODE_BLOCK)
            database.scratch = hyperscan.Scratch(database)
            return database
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(expressions=expressions, ids=numbers, flags=flags)
    if file:
        with suppress(OSError):
            _write(file, hyperscan.dumpb(database))
    return database


def _key(hyperscan: Any, expressions: list[bytes], numbers: list[int], flags: int) -> str:
    probe = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    probe.compile(expressions=[b"a"], ids=[0])
    parts = repr((hyperscan.__version__, probe.info(), expressions, numbers, flags))
    return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()


def _read(file: Path) -> bytes | None:
    try:
        private_dir(file.parent)
        kept = file.read_bytes()
    except OSError:
        return None
    digest, database = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
    return database if hashlib.blake2b(database, digest_size=_DIGEST_BYTES).digest() == digest else None


def _write(file: Path, database: bytes) -> None:
    private_dir(file.parent)
    new = file.with_name(f".{file.name}.{os.getpid()}")
    new.write_bytes(hashlib.blake2b(database, digest_size=_DIGEST_BYTES).digest() + database)
    new.chmod(0o600)
    new.replace(file)
