"""The turn to deliver, held by one of a spool's shippers, and the signals between it and the others."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from telemetry import files
from telemetry.files import private_file, try_lock
from telemetry.spool.layout import DELIVERY_LOCK_FILE, HURRY_FILE

if TYPE_CHECKING:
    from pathlib import Path


class Turn:
    """The lock of the shipper that delivers, with the state of its uploads inside.

    Attributes:
        is_ours: whether this process holds it.
    """

    def __init__(self, directory: Path) -> None:
        self._lock_path = directory / DELIVERY_LOCK_FILE
        self._hurry_path = directory / HURRY_FILE
        self._lock: int | None = None
        self._said = ""
        self._asked_ns = self._heeded_ns = 0

    @property
    def is_ours(self) -> bool:
        """Whether this process is the one that delivers."""
        return self._lock is not None

    def take(self) -> bool:
        """Take the lock if nobody has it, and tell whether this call has taken it. Raises OSError."""
        if self.is_ours:
            return False
        self._lock = try_lock(self._lock_path)
        if self._lock is None:
            return False
        self._said = self._read()  # by the predecessor
        self.say("")
        return True

    def give_up(self) -> None:
        """Leave delivery to another shipper."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def say(self, state: str) -> None:
        """Tell the other shippers how uploads go, if this one delivers. Never raises."""
        with suppress(OSError):
            if self._lock is not None and state != self._said:
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, state.encode(), 0)
                self._said = state

    @property
    def said(self) -> str:
        """The state of uploads as told by the shipper that delivers; empty if it is not known."""
        return self._said if self.is_ours else self._read()

    def ask_to_hurry(self) -> None:
        """Ask the shipper that delivers, if it is another one, to look for sealed segments. Never raises."""
        if not self.is_ours:
            with suppress(OSError):
                file = private_file(self._hurry_path, os.O_WRONLY | os.O_CREAT)
                try:
                    os.utime(file)
                finally:
                    os.close(file)

    def is_asked_to_hurry(self) -> bool:
        """Tell whether another shipper has asked since `heed` was called. Never raises."""
        if not self.is_ours:
            return False
        try:
            self._asked_ns = self._hurry_path.lstat().st_mtime_ns
        except OSError:
            return False
        return self._asked_ns != self._heeded_ns

    def heed(self) -> None:
        """Take note that the requested search is done."""
        self._heeded_ns = self._asked_ns

    def _read(self) -> str:
        try:
            return files.read_file(self._lock_path).decode(errors="replace")
        except (OSError, ValueError):
            return ""
