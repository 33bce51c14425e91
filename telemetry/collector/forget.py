"""Erasure of one session from a store, whether a collector is running or not."""

from __future__ import annotations

import gzip
import os
import secrets
import zlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zstandard

from telemetry.collector.erased import Erased
from telemetry.collector.store import (
    BODY_SUFFIXES,
    NDJSON_SUFFIXES,
    find_batches,
    remove_batch,
    require_store,
)
from telemetry.files import private_file, sync_directory

if TYPE_CHECKING:
    from pathlib import Path


class _Line(msgspec.Struct):
    session: object = None


_LINE = msgspec.json.Decoder(_Line)


class Forgotten(NamedTuple):
    """Result of an erasure.

    Attributes:
        batches: the number of batches removed entirely.
        rewritten: the number of batches rewritten because they also held other sessions, which remain.
        events: the number of lines erased, not counting bodies that are not read line by line.
        unreadable: the names of bodies that can't be read, and were left.
    """

    batches: int
    rewritten: int
    events: int
    unreadable: tuple[str, ...]


def forget(directory: Path, session: str) -> Forgotten:
    """Erase a session's events from a store, and keep them from coming again.

    A body with other lines is written anew; of any other body only the batch's id remains, so that a repeat is not
    stored.
    A body that a collector is just taking in is not kept either. The call may be repeated.

    Args:
        directory: the store's directory.
        session: the session's id, as it stands in the events.

    Raises:
        ConfigError: the directory is no store (none is made), or belongs to another user.
        OSError: the disk refuses; the erasures made until then remain.
    """
    find_batches(directory)
    require_store(directory)
    erased = Erased(directory)
    try:
        erased.add_session(session)
        try:
            return _erase(directory, session, erased)
        finally:
            erased.tell_others()
    finally:
        erased.close()


def _erase(directory: Path, session: str, erased: Erased) -> Forgotten:
    batches = directory / "batches"
    removed, rewritten, events, unreadable = 0, 0, 0, []
    for name in sorted(path.name for path in batches.iterdir()):
        batch, dot, rest = name.partition(".")
        if dot + rest not in BODY_SUFFIXES:
            continue
        try:
            body = _read(batches / name)
        except FileNotFoundError:  # it expired meanwhile
            continue
        except (OSError, EOFError, zlib.error, zstandard.ZstdError):
            unreadable.append(name)
            continue
        kept, gone = _part(body, dot + rest, session)
        if not gone:
            continue
        if kept:
            _rewrite(directory, name, kept)
            rewritten += 1
        else:
            erased.add_batches([batch])
            remove_batch(batches, batch)
            removed += 1
        events += gone if dot + rest in NDJSON_SUFFIXES else 0
    sync_directory(batches)
    return Forgotten(removed, rewritten, events, tuple(unreadable))


def _part(body: bytes, suffix: str, session: str) -> tuple[bytes, int]:
    """Return a body without the session's lines, and the number of lines left out."""
    if suffix not in NDJSON_SUFFIXES:  # one message of one session, where its id may stand as a UUID
        dashed = "-".join(session[a:b] for a, b in ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32)))
        return (b"", 1) if session.encode() in body or dashed.encode() in body else (body, 0)
    if session.encode() not in body:
        return body, 0
    lines = body.splitlines(keepends=True)
    kept = [line for line in lines if not _is_of(line, session)]
    return b"".join(kept), len(lines) - len(kept)


def _is_of(line: bytes, session: str) -> bool:
    try:
        return session.encode() in line and _LINE.decode(line).session == session
    except ValueError:
        return True  # it names the session, and nobody can read it


def _read(path: Path) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        match path.suffix:
            case ".zst":
                return zstandard.ZstdDecompressor().decompressobj().decompress(file.read())
            case ".gz":
                return gzip.decompress(file.read())
            case _:
                return file.read()


def _rewrite(directory: Path, name: str, body: bytes) -> None:
    path = directory / "incoming" / f"{name.partition('.')[0]}-{secrets.token_hex(8)}"
    match name.rpartition(".")[2]:
        case "zst":
            content = zstandard.ZstdCompressor(write_checksum=True).compress(body)
        case "gz":
            content = gzip.compress(body, mtime=0)
        case _:
            content = body
    with os.fdopen(private_file(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.rename(directory / "batches" / name)
