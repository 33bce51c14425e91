"""Directory in which a host and its shipper meet: its name and its place. The host imports it.

It holds the shipper's lock, its sockets (telemetry/wire.py), its configuration, and the reason why none starts, if none
does. Standard library only.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from telemetry import paths
from telemetry.settings import ShipperSettings
from telemetry.wire import HANDOVER_SOCKET, PROTOCOL

if TYPE_CHECKING:
    from pathlib import Path

CONFIG_FILE = "shipper.json"
"""The configuration that a producer writes for the shipper that it spawns."""

NAME_CHARACTERS = 24
"""The length to which a product's name is cut in that of its rendezvous."""

_DEFAULTS = ShipperSettings()
_SOCKET_PATH_BYTES = 100  # sun_path holds 104 bytes on macOS, 108 on Linux; names below take their part


def rendezvous_dir(
    product: str, catalog_digest: str, endpoint: str, settings: ShipperSettings = _DEFAULTS, lane: int = 0
) -> Path:
    """Return where the producers of one user, product, catalog, endpoint and settings meet the shipper they spawn.

    Of several side by side, that of a lane.

    Producers of another protocol meet elsewhere: an old shipper and a new producer do not understand each other. A path
    that can't be a socket's name, too long or no UTF-8, falls back to a short one.
    """
    return _meeting_place(product, f"{catalog_digest}\0{endpoint}\0{settings.identity}", lane)


def foreground_dir(product: str, endpoint: str, lane: int = 0) -> Path:
    """Return where a shipper in the foreground meets the producers of its user, product and endpoint, in its lane.

    It serves all of them, whatever their catalog and settings: somebody has written down how this product is shipped.
    While one runs here, no other is spawned for the product and endpoint, and one that was leaves.
    """
    return _meeting_place(product, endpoint, lane)


def _meeting_place(product: str, of: str, lane: int) -> Path:
    what = f"{os.getuid()}\0{product}\0{of}\0{PROTOCOL}" + (f"\0{lane}" if lane else "")
    # Below a home that was named, spools lie beside it wherever that is mounted; elsewhere they may be anywhere.
    where = "" if paths.named_home() else str(paths.state_dir())
    name = paths.short_digest(f"{what}\0{where}")
    path = paths.runtime_root() / f"{product[:NAME_CHARACTERS]}-{name}"
    if _can_name_a_socket(path / HANDOVER_SOCKET):
        return path
    return paths.short_root() / paths.short_digest(f"{what}\0{paths.state_dir()}")


def _can_name_a_socket(path: Path) -> bool:
    try:
        return len(str(path).encode()) <= _SOCKET_PATH_BYTES
    except UnicodeEncodeError:
        return False
