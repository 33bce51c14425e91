"""Lane of a shipper: which one it is of several side by side, and its share of what bounds the product."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from telemetry.settings import ShipperSettings

LEAST_MEMORY_BYTES = 128 << 20
"""The least bound of a shipper's memory that several of them are set: each takes some 80 MiB at full rate."""

_SHORTEST_SESSION = 0.5


class Lane(NamedTuple):
    """One of the shippers of a product, side by side on a machine.

    Attributes:
        number: its number; the first is 0.
        of: the number of lanes.
    """

    number: int = 0
    of: int = 1

    def share_of(self, total: int, turn: int = 0) -> int:
        """Return this lane's part of a number of things; those of all lanes add up to it.

        Where it can't be divided evenly, each lane is given more in some turns, and over as many turns as there are
        lanes, each as much as another.
        """
        return (total * (turn + 1) + self.number) // self.of - (total * turn + self.number) // self.of

    def settings_of(self, settings: ShipperSettings) -> ShipperSettings:
        """Return the settings of this lane's shipper by those of the product; for the only one the very same.

        A session ends at a moment that tells nothing of another lane's.
        """
        if self.of == 1:
            return settings
        shortest_seconds = settings.session_seconds * _SHORTEST_SESSION
        least_bytes = min(settings.memory_limit_bytes, LEAST_MEMORY_BYTES)
        return settings._replace(
            spool_bytes=self.share_of(settings.spool_bytes),
            spool_segments=max(1, self.share_of(settings.spool_segments)),
            sent_bytes=self.share_of(settings.sent_bytes),
            upload_bytes_per_second=-(-settings.upload_bytes_per_second // self.of),
            memory_limit_bytes=max(self.share_of(settings.memory_limit_bytes), least_bytes),
            session_seconds=random.uniform(shortest_seconds, settings.session_seconds),  # noqa: S311 no secret
        )


ONLY = Lane()
"""The lane of a shipper that has none beside it."""
