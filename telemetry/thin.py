"""Request for less: the header by which a collector asks shippers to keep a share of an event, or nothing of it. Pure.

It can only reduce, and says next to nothing: a share is 1/2, 1/4, ... or 0, since others could be a watermark.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

THIN_HEADER = "Telemetry-Thin"

MAX_HEADER_BYTES = 8 << 10
"""The greatest length of the header's value; a longer one is ignored."""

SHARES = (0.0, *(0.5**power for power in range(1, 11)))
"""The shares that can be asked for, down to 1/1024."""


class Asked(NamedTuple):
    """The content of the header of one reply.

    Attributes:
        shares: by event, the share to keep; None if the header can't be read, which changes nothing.
        ignored: the number of entries that were ignored; 1 for a header that can't be read.
    """

    shares: dict[str, float] | None
    ignored: int = 0


NOTHING = Asked({})
"""The content of a reply without the header: nothing is asked for, or what was is taken back."""


def format_thin(shares: Mapping[str, float]) -> str:
    """Return the header's value: a JSON object in ASCII."""
    return json.dumps(shares)


def parse_thin(header: str) -> Asked:
    """Parse a header's value."""
    if len(header) > MAX_HEADER_BYTES:
        return Asked(None, 1)
    try:
        found: Any = json.loads(header)
    except (ValueError, RecursionError):
        return Asked(None, 1)
    if not isinstance(found, dict):
        return Asked(None, 1)
    shares = {event: float(share) for event, share in found.items() if is_share(share)}
    return Asked(shares, len(found) - len(shares))


def is_share(share: object) -> bool:
    """Tell whether a share can be asked for."""
    return isinstance(share, (int, float)) and not isinstance(share, bool) and share in SHARES
