"""Record of erased batches and sessions, which keeps a repeated upload from bringing them back.

It lies beside the batches as `erased.sqlite`, and holds nothing but these ids. Several processes may use it at once.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from typing import TYPE_CHECKING

from telemetry.errors import ConfigError
from telemetry.files import lock, private_file, unlock

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS batches (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_WAIT_SECONDS = 30.0


class Erased:
    """The ids that one store has erased.

    Args:
        directory: the store's directory.

    Raises:
        ConfigError: the file there is no such database.
        OSError: the disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        path = directory / "erased.sqlite"
        os.close(private_file(path, os.O_RDWR | os.O_CREAT))  # SQLite gives its other files the mode of this one
        self._lock = private_file(directory / "erased.lock", os.O_RDWR | os.O_CREAT)
        self._threads = threading.Lock()
        try:
            self._database = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")  # readers wait for nobody
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_TABLES)
        except sqlite3.Error as fault:
            os.close(self._lock)
            raise ConfigError(f"{path} can't be read: {fault}; put a copy in its place") from None

    def close(self) -> None:
        """Close the files."""
        self._database.close()
        os.close(self._lock)

    def holds_batch(self, batch: str) -> bool:
        """Tell whether a batch, given by its 32 hexadecimal digits, was erased."""
        return bool(self._select("SELECT 1 FROM batches WHERE id = ?", bytes.fromhex(batch)))

    def holds_a_session(self, sessions: Collection[str]) -> bool:
        """Tell whether any of the sessions was erased."""
        return any(self._select("SELECT 1 FROM sessions WHERE id = ?", session) for session in sessions)

    def add_batches(self, batches: Collection[str]) -> None:
        """Record batches as erased; they are safe on disk when the call returns."""
        if batches:
            self._insert("INSERT OR IGNORE INTO batches VALUES (?)", [(bytes.fromhex(batch),) for batch in batches])

    def add_session(self, session: str) -> None:
        """Record a session as erased, once every commit that did not know of it has put its batch in place."""
        with self._locked(is_shared=False):
            self._insert("INSERT OR IGNORE INTO sessions VALUES (?)", [(session,)])

    def changes(self) -> int:
        """Return a number that changes when another process erases something, but not by additions of this object."""
        with self._threads:
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

    def tell_others(self) -> None:
        """Change the number that `changes` returns in other processes, now that the erased files are gone."""
        with self._threads:
            self._database.execute("BEGIN IMMEDIATE")
            told = self._database.execute("PRAGMA user_version").fetchone()[0]
            self._database.execute(f"PRAGMA user_version = {(told + 1) % 2**31}")
            self._database.execute("COMMIT")

    def nothing_new(self) -> contextlib.AbstractContextManager[None]:
        """Return a context manager within which no session is added."""
        return self._locked(is_shared=True)

    @contextlib.contextmanager
    def _locked(self, *, is_shared: bool) -> Iterator[None]:
        lock(self._lock, is_shared=is_shared, waits=True)
        try:
            yield
        finally:
            unlock(self._lock)

    def _select(self, sql: str, value: bytes | str) -> list[tuple[int]]:
        with self._threads:
            return self._database.execute(sql, (value,)).fetchall()

    def _insert(self, sql: str, rows: list[tuple[bytes]] | list[tuple[str]]) -> None:
        with self._threads:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(sql, rows)
            self._database.execute("COMMIT")
