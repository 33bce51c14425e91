"""What the shipper has used, looked at from outside while it lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from telemetry.rendezvous.lock import LOCK_FILE

if TYPE_CHECKING:
    from pathlib import Path


class ShipperMeter:
    """Follows the shippers of one rendezvous: who lives, and what they have used in all."""

    def __init__(self, rendezvous: Path) -> None:
        self._rendezvous = rendezvous
        self._cpu_seconds: dict[int, float] = {}

    @property
    def cpu_seconds(self) -> float:
        """The CPU time of all shippers so far, as of the last look."""
        return sum(self._cpu_seconds.values())

    def look(self) -> psutil.Process | None:
        """Look at the shipper of the moment; None when there is none."""
        try:
            process = psutil.Process(int((self._rendezvous / LOCK_FILE).read_text()))
            if str(self._rendezvous) not in process.cmdline():  # its pid is another's by now, or it is a zombie
                return None
            used = process.cpu_times()
        except (OSError, ValueError, psutil.Error):
            return None
        self._cpu_seconds[process.pid] = used.user + used.system
        return process
